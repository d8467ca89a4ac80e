"""What runs cost: per second, a minute at least, a free first hour where EC2 interrupts."""

from __future__ import annotations

import pytest

from aspot.machine import events as ev
from aspot.machine.ledger import attempt_rows, job_cost
from aspot.machine.model import EndReason
from aspot.machine.money import cost_now, cost_per_hour, extras_per_hour, on_demand_cost
from aspot.machine.pool import Market
from tests.machine.world import A, World, working

EXTRAS = 8 * 0.08 / 730 + 0.005


def usd(seconds: float, price: float = 0.03) -> float:
    return seconds / 3600 * price


def one(**options) -> tuple[World, str]:
    """Return a world with one machine that just began to run, and a job on it."""
    world, (name,) = working("a", options=options)
    return world, name


def test_extras_are_disk_and_address() -> None:
    world, _ = one()
    assert extras_per_hour(world.run) == pytest.approx(EXTRAS)


def test_nothing_is_billed_before_it_runs() -> None:
    world = World()
    world.prepare()
    world.submit("a")
    (name,) = world.answer()
    world.wait(100)
    assert cost_now(world.run) == 0
    assert cost_per_hour(world.run) == 0
    world.gone(name, EndReason.NO_CAPACITY)
    assert cost_now(world.run) == 0
    assert on_demand_cost(world.run) == 0


def test_the_first_minute_is_due_at_once() -> None:
    world, _ = one()
    assert cost_now(world.run) == pytest.approx(usd(60))
    world.wait(30)
    world.send(ev.Ticked)
    assert cost_now(world.run) == pytest.approx(usd(60) + usd(30, EXTRAS))


def test_seconds_count_after_that_until_shutting_down() -> None:
    world, name = one()
    world.wait(600)
    world.ending(name, EndReason.ITSELF)
    world.wait(600)
    world.gone(name)
    assert cost_now(world.run) == pytest.approx(usd(600, 0.03 + EXTRAS))
    assert cost_per_hour(world.run) == 0


def test_what_runs_now_costs_so_much_an_hour() -> None:
    world, _ = one()
    assert cost_per_hour(world.run) == pytest.approx(0.03 + EXTRAS)


def test_a_price_that_moves_counts_from_then_on() -> None:
    world, name = one()
    world.wait(600)
    world.send(ev.PricesSeen, spot_usd_per_hour={A: 0.06})
    world.wait(300)
    world.ending(name)
    world.send(ev.PricesSeen, spot_usd_per_hour={A: 0.6})
    assert cost_now(world.run) == pytest.approx(usd(600, 0.03) + usd(300, 0.06) + usd(900, EXTRAS))


def test_a_price_that_moves_before_the_machine_runs_is_its_price() -> None:
    world = World()
    world.prepare()
    world.submit("a")
    (name,) = world.answer()
    world.send(ev.PricesSeen, spot_usd_per_hour={A: 0.06})
    world.ran(name)
    assert cost_now(world.run) == pytest.approx(usd(60, 0.06))


def test_an_interruption_in_the_first_hour_makes_compute_free() -> None:
    world, name = one()
    world.wait(1800)
    world.gone(name, EndReason.INTERRUPTED)
    assert cost_now(world.run) == pytest.approx(usd(1800, EXTRAS))
    assert job_cost(world.run, "a") == pytest.approx(usd(1800, EXTRAS))


def test_the_reason_may_come_after_the_end() -> None:
    world, name = one()
    world.wait(1800)
    world.ending(name, EndReason.UNKNOWN)
    world.wait(30)
    world.gone(name, EndReason.INTERRUPTED)
    assert cost_now(world.run) == pytest.approx(usd(1800, EXTRAS))
    assert world.job("a").interruptions == 1


def test_an_interruption_after_the_first_hour_is_paid() -> None:
    world, name = one()
    world.wait(3600)
    world.gone(name, EndReason.INTERRUPTED)
    assert cost_now(world.run) == pytest.approx(usd(3600, 0.03 + EXTRAS))


def test_an_end_of_our_own_in_the_first_hour_is_paid() -> None:
    world, name = one()
    world.notice(name)
    world.wait(100)
    world.gone(name, EndReason.SOMEONE)
    assert cost_now(world.run) == pytest.approx(usd(100, 0.03 + EXTRAS))


def test_an_on_demand_machine_has_no_free_hour() -> None:
    world, name = one(market="on-demand")
    world.wait(100)
    world.gone(name, EndReason.INTERRUPTED)
    assert cost_now(world.run) == pytest.approx(usd(100, 0.0893 + EXTRAS))


def test_attempts_share_their_machines_cost() -> None:
    world, name = one()
    world.wait(300)
    world.complete(name)
    world.submit("b")
    world.wait(600)
    world.started(name)
    world.complete(name)
    assert job_cost(world.run, "a") == pytest.approx(usd(300, 0.03 + EXTRAS))
    assert job_cost(world.run, "b") == pytest.approx(usd(600, 0.03 + EXTRAS))
    assert cost_now(world.run) == pytest.approx(job_cost(world.run, "a") + job_cost(world.run, "b"))


def test_attempts_share_the_free_hour_too() -> None:
    world, name = one()
    world.wait(300)
    world.complete(name)
    world.submit("b")
    world.wait(300)
    world.gone(name, EndReason.INTERRUPTED)
    (row,) = attempt_rows(world.run, "a")
    assert row.cost_usd == pytest.approx(usd(300, EXTRAS))


def test_on_demand_would_have_cost() -> None:
    world, name = one()
    world.wait(600)
    world.gone(name, EndReason.INTERRUPTED)
    assert on_demand_cost(world.run) == pytest.approx(usd(600, 0.0893 + EXTRAS))


def test_on_demand_is_not_known_without_its_prices() -> None:
    world, _ = one()
    world.prepare(on_demand_usd_per_hour={})
    assert on_demand_cost(world.run) is None


def test_a_price_that_nobody_knows_is_nothing() -> None:
    world = World()
    world.prepare(spot_usd_per_hour={}, on_demand_usd_per_hour={})
    world.send(ev.InstanceFound, instance="i-x", request="", pool=A, market=Market.SPOT)
    assert world.run.instances["i-x"].price_usd_per_hour == 0


def test_a_machine_that_ec2_reports_out_of_order_is_not_billed() -> None:
    world = World()
    world.prepare()
    world.submit("a")
    (name,) = world.answer()
    world.ending(name, EndReason.NO_CAPACITY)
    world.ran(name)
    assert cost_now(world.run) == 0
