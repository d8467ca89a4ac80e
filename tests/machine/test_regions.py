"""One run in several regions: which one is asked, and what a region's refusal means for the others."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.model import JobStatus, LaunchState, RunPhase
from aspot.machine.money import cost_per_hour, on_demand_cost
from aspot.machine.pool import Market, Pool, Refusal, RefusalKind, region_of
from tests.machine.world import START, World, news, only

EAST, WEST = "us-east-1", "eu-west-1"
E1 = Pool("c7i.large", "us-east-1a")
E2 = Pool("m7i.large", "us-east-1b")
W1 = Pool("c7i.large", "eu-west-1a")
W2 = Pool("m7i.large", "eu-west-1b")
SPOT = {E1: 0.030, E2: 0.034, W1: 0.032, W2: 0.050}
ON_DEMAND = {
    "c7i.large us-east-1": 0.09,
    "m7i.large us-east-1": 0.10,
    "c7i.large eu-west-1": 0.12,
    "m7i.large eu-west-1": 0.13,
}


def asking(*jobs: str, pools=(E1, E2, W1, W2), **options) -> World:
    world = World(regions=(EAST, WEST), pools=pools, **options)
    world.prepare(spot_usd_per_hour=SPOT, on_demand_usd_per_hour=ON_DEMAND)
    world.submit(*(jobs or ("a",)))
    return world


def asked(world: World) -> list[tuple[Pool, ...]]:
    return [launch.spec.pools for launch in only(ef.Launch, world.log)]


def refusal(kind: RefusalKind, pool: Pool | None = None, **fields) -> Refusal:
    return Refusal(kind=kind, code=kind.name, pool=pool, **fields)


def refused(world: World, *refusals: Refusal) -> None:
    world.answer(launched=(), refusals=refusals)


@pytest.mark.parametrize(
    ("zone", "region"),
    [
        ("us-east-1a", "us-east-1"),
        ("us-gov-west-1b", "us-gov-west-1"),
        ("us-east-1-bos-1a", "us-east-1"),
        ("ap-southeast-12c", "ap-southeast-12"),
        ("elsewhere", ""),
    ],
)
def test_a_zone_names_its_region(zone: str, region: str) -> None:
    assert Pool("t3.micro", zone).region == region_of(zone) == region


def test_a_request_asks_the_region_of_the_cheapest_pool_alone() -> None:
    world = asking("a", "b")
    assert asked(world) == [(E1, E2)]
    assert world.run.spec.everywhere == (EAST, WEST)


def test_one_region_is_asked_as_ever() -> None:
    world = World()
    world.prepare()
    assert world.run.spec.everywhere == (EAST,)


def test_without_capacity_in_one_region_the_other_is_asked_at_once() -> None:
    world = asking()
    refused(world, refusal(RefusalKind.NO_CAPACITY, E1), refusal(RefusalKind.NO_CAPACITY, E2))
    assert asked(world) == [(E1, E2), (W1, W2)]


def test_the_region_with_fewer_refusals_comes_before_the_cheaper_one() -> None:
    world = asking()
    refused(world, refusal(RefusalKind.NO_CAPACITY, E1))
    assert asked(world)[-1] == (W1, W2), "eu-west-1a is cheaper than what is left of us-east-1"


def test_a_successor_may_start_in_the_other_region() -> None:
    world = asking(pools=(E1, W1))
    (first,) = world.answer()
    world.boot(first)
    world.started(first)
    world.notice(first)
    assert asked(world) == [(E1,), (W1,)]


def test_a_quota_is_one_region_s() -> None:
    world = asking("a", "b")
    refused(world, refusal(RefusalKind.QUOTA, E1))
    assert asked(world) == [(E1, E2), (W1, W2)]
    assert world.run.quota is None
    assert "trying other regions than us-east-1" in news(nw.LaunchRefused, world.log)[0].message


@pytest.mark.parametrize("kind", [RefusalKind.QUOTA, RefusalKind.UNREACHABLE, RefusalKind.FATAL])
def test_while_an_answer_is_lost_no_other_region_is_asked_in_its_place(kind) -> None:
    world = asking()
    world.send(ev.LaunchInDoubt, request="r1", reason="timed out")
    world.wait(2)
    world.answer("r1", launched=(), refusals=[refusal(kind)])
    world.wait(29)
    assert asked(world) == [(E1, E2)] * 2, "what the first try brought may still show up"
    world.wait(1)
    assert asked(world) == [(E1, E2), (E1, E2), (W1, W2)]


def test_quotas_that_are_used_up_everywhere_lose_the_jobs_at_the_third_time() -> None:
    world = asking()
    for _ in range(3):
        refused(world, refusal(RefusalKind.QUOTA, E1))
        assert world.job("a").verdict is None
        refused(world, refusal(RefusalKind.QUOTA, W1))
        world.wait(31)
    assert world.job("a").verdict is JobStatus.LOST


def test_a_region_that_refuses_for_good_is_left_out() -> None:
    world = asking("a", market="spot-first")
    refused(world, Refusal(kind=RefusalKind.FATAL, code="OptInRequired", message="not subscribed"))
    assert asked(world) == [(E1, E2), (W1, W2)]
    told = news(nw.LaunchRefused, world.log)[0].message
    assert told == "OptInRequired: not subscribed; us-east-1 is left out"
    refused(world, refusal(RefusalKind.NO_CAPACITY, W1), refusal(RefusalKind.NO_CAPACITY, W2))
    launch = only(ef.Launch, world.log)[-1]
    assert (launch.spec.market, launch.spec.pools) == (Market.ON_DEMAND, (W1, W2)), "not even on demand"


def test_when_every_region_refuses_for_good_the_run_stops() -> None:
    world = asking()
    refused(world, refusal(RefusalKind.FATAL))
    assert world.run.stop is None
    refused(world, refusal(RefusalKind.FATAL))
    assert world.job("a").verdict is JobStatus.LOST
    assert world.run.stop is not None
    assert news(nw.LaunchRefused, world.log)[-1].message == "FATAL; stopping"
    assert world.run.phase is RunPhase.STOPPING


def test_a_region_that_cannot_be_reached_is_left_alone_for_a_while() -> None:
    world = asking()
    refused(world, refusal(RefusalKind.UNREACHABLE))
    assert asked(world) == [(E1, E2), (W1, W2)]
    assert world.run.memory[E1].avoid_until == START + timedelta(seconds=60)
    assert "trying other regions than us-east-1" in news(nw.LaunchRefused, world.log)[0].message


def test_a_region_that_cannot_be_reached_is_asked_again_where_nothing_else_is_to_be_had() -> None:
    world = asking(pools=(E1, E2))
    refused(world, refusal(RefusalKind.UNREACHABLE))
    (request,) = world.run.requests.values()
    assert request.state is not LaunchState.ANSWERED
    assert request.retry_at is not None
    world.wait(5)
    assert asked(world) == [(E1, E2), (E1, E2)]
    assert news(nw.LaunchRefused, world.log)[0].message.endswith("trying again")


def test_a_launch_in_doubt_stays_so_when_its_region_falls_silent() -> None:
    world = asking()
    world.send(ev.LaunchInDoubt, request="r1", reason="cut")
    refused(world, refusal(RefusalKind.UNREACHABLE))
    assert world.run.requests["r1"].state is LaunchState.IN_DOUBT
    assert len(only(ef.Launch, world.log)) >= 1


def test_on_demand_prices_are_each_region_s_own() -> None:
    world = asking(market="on-demand")
    assert asked(world) == [(E1, E2)]
    refused(world, refusal(RefusalKind.NO_CAPACITY, E1), refusal(RefusalKind.NO_CAPACITY, E2))
    (name,) = world.answer(launched=[W1])
    world.ran(name)
    assert world.run.instances[name].price_usd_per_hour == 0.12
    world.wait(3600)
    assert cost_per_hour(world.run) == pytest.approx(0.12, abs=0.01)
    assert on_demand_cost(world.run) == pytest.approx(0.12, abs=0.01)
