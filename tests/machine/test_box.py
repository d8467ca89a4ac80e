"""A box: one machine without any job, which stays, and is never replaced once it was of use."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine.model import EndReason, InstanceState, RunPhase
from aspot.machine.outstanding import outstanding
from aspot.machine.pool import Refusal, RefusalKind
from aspot.machine.schedule import RECLAIM_S
from tests.machine.world import World, only


def box(**options) -> World:
    world = World(is_box=True, limit=1, idle_s=60, **options)
    world.prepare()
    return world


def ready(**options) -> tuple[World, str]:
    world = box(**options)
    (name,) = world.answer()
    world.boot(name)
    return world, name


def refused(*pools) -> tuple[Refusal, ...]:
    return tuple(
        Refusal(kind=RefusalKind.NO_CAPACITY, code="InsufficientInstanceCapacity", pool=pool) for pool in pools
    )


def test_it_launches_one_machine_under_its_own_name() -> None:
    world = box()
    (launch,) = only(ef.Launch, world.log)
    assert launch.spec.count == 1
    (name,) = world.answer()
    assert world.run.instances[name].label == "f"


def test_it_stays_without_work_and_without_a_connection() -> None:
    world, name = ready()
    assert only(ef.Terminate, world.wait(90_000)) == []
    world.send(ev.LinkLost, instance=name, reason="away")
    assert only(ef.Terminate, world.wait(90_000)) == []
    assert world.state(name) is InstanceState.SSH_READY
    assert world.run.phase is RunPhase.OPEN


def test_it_ends_when_it_is_told_to() -> None:
    world, name = ready()
    assert [effect.instance for effect in only(ef.Terminate, world.send(ev.RunStopped, reason="x"))] == [name]
    world.gone(name)
    assert world.run.phase is RunPhase.ENDED


@pytest.mark.parametrize("reason", [EndReason.INTERRUPTED, EndReason.ITSELF, EndReason.SOMEONE])
def test_it_is_over_when_its_machine_is_gone_and_says_why(reason: EndReason) -> None:
    world, name = ready()
    effects = world.ending(name, reason) + world.gone(name, reason)
    assert only(ef.Launch, effects) == []
    assert world.run.phase is RunPhase.ENDED
    assert world.run.stop_reason == reason.value


def test_a_noticed_one_is_left_to_ec2_and_has_no_successor() -> None:
    world, name = ready()
    world.now += timedelta(hours=2)  # past the hour in which EC2 charges nothing
    assert only(ef.Launch, world.notice(name)) == []
    assert only(ef.Terminate, world.wait(120 + RECLAIM_S - 1)) == []
    assert [effect.instance for effect in only(ef.Terminate, world.wait(2))] == [name]


def test_a_machine_that_never_was_ready_is_replaced_and_three_are_enough() -> None:
    world = box()
    for number in range(3):
        (name,) = world.answer()
        world.ran(name)
        world.send(ev.InstanceUnusable, instance=name, reason="no port")
        effects = world.gone(name)
        assert len(only(ef.Launch, effects)) == (number < 2)
    assert "never became ready" in world.run.stop_reason
    assert world.run.phase is RunPhase.ENDED


def test_it_gives_up_when_there_is_no_capacity_for_too_long() -> None:
    world = box(capacity_timeout_s=300)
    for _ in range(40):
        if world.run.asked:
            world.answer(launched=[], refusals=refused(*world.pools))
        world.wait(10)
    assert world.run.stop_reason.startswith("no capacity for 5 min")
    assert world.run.phase is RunPhase.ENDED


def test_who_comes_back_to_one_that_waits_for_capacity_gives_it_its_time_again() -> None:
    world = box(capacity_timeout_s=300)
    world.answer(launched=[], refusals=refused(*world.pools))
    world.now += timedelta(hours=1)
    world.send(ev.RunAttached)
    world.wait(290)
    assert world.run.stop is None


def test_who_comes_back_to_one_that_has_gone_does_not_launch_another() -> None:
    world, name = ready()
    world.now += timedelta(hours=5)
    world.send(ev.RunAttached)
    assert [type(effect) for effect in outstanding(world.run)] == [ef.Connect]
    assert only(ef.Launch, world.gone(name, EndReason.UNKNOWN)) == []
    assert world.run.phase is RunPhase.ENDED


def test_a_quota_or_a_type_that_ec2_never_gives_ends_it() -> None:
    world = box()
    barred = [Refusal(kind=RefusalKind.UNSUPPORTED, code="Unsupported", pool=pool) for pool in world.pools]
    world.answer(launched=[], refusals=barred)
    assert world.run.stop_reason.startswith("no pool can be used")
