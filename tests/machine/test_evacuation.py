"""What the user named for a notice comes home while there is time, and the machine is left alive for it."""

from __future__ import annotations

from datetime import timedelta

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine.model import AttemptState, EndReason, Evacuation, Outcome
from aspot.machine.outstanding import outstanding
from tests.machine.world import World, only, working

PATHS = ("model.pt", "logs")
SOME = Evacuation(files=2, size=30, lost=("logs/big (no time left for it)",))


def noticed(seconds: float = 120.0, **job) -> tuple[World, str, list[ef.Effect]]:
    world, (name,) = working("a", evacuate=PATHS, **job)
    world.wait(40)
    return world, name, world.notice(name, seconds)


def evacuated(world: World, name: str, serial: int, **on) -> list[ef.Effect]:
    return world.send(ev.Evacuated, **({"instance": name} | (on or world.on(name))), serial=serial, evacuation=SOME)


def test_a_notice_begins_it_with_a_margin_of_at_most_a_fifth() -> None:
    world, name, effects = noticed()
    assert only(ef.Evacuate, effects) == [
        ef.Evacuate(instance=name, job="a", attempt=1, serial=1, deadline=world.now + timedelta(seconds=110))
    ]
    world, _, effects = noticed(20)
    assert only(ef.Evacuate, effects)[0].deadline == world.now + timedelta(seconds=16)


def test_nothing_is_evacuated_unasked_or_too_late() -> None:
    world, (name,) = working("a")
    assert only(ef.Evacuate, world.notice(name)) == []
    world, _, effects = noticed(-5)
    assert only(ef.Evacuate, effects) == []


def test_a_second_notice_does_not_begin_it_again() -> None:
    world, name, _ = noticed()
    assert only(ef.Evacuate, world.notice(name, 60)) == []


def test_what_the_hook_and_the_last_moment_wrote_is_looked_for_too() -> None:
    world, name, _ = noticed(checkpoint=("ckpt",), on_notice="./save.sh")
    (hook,) = only(ef.Evacuate, world.send(ev.HookFinished, **world.on(name), code=0))
    (last,) = only(ef.Evacuate, world.exited(name, 143, "interrupt"))
    assert (hook.serial, last.serial) == (2, 3)
    evacuated(world, name, 1)
    assert world.job("a").attempts[0].evacuating == 3, "an older answer is not the last"
    evacuated(world, name, 3)
    assert world.job("a").attempts[0].evacuating == 0
    assert world.job("a").attempts[0].evacuated == SOME


def test_a_script_that_begins_on_a_noticed_machine_is_evacuated_then() -> None:
    world = World()
    world.prepare()
    world.submit("a", evacuate=PATHS)
    (name,) = world.answer()
    world.boot(name)
    assert only(ef.Evacuate, world.notice(name)) == [], "it has nothing yet"
    assert len(only(ef.Evacuate, world.started(name))) == 1


def test_a_machine_past_its_free_hour_is_left_alive_until_all_is_here() -> None:
    world, (name,) = working("a", evacuate=PATHS, checkpoint=("ckpt",))
    world.wait(4000)
    world.notice(name)
    world.missed(name, 1)
    on = world.on(name)
    world.exited(name, 143, "interrupt")
    world.saved(name, 2)
    assert world.job("a").attempts[0].state is AttemptState.ENDED
    assert only(ef.Terminate, world.wait(60)) == []
    assert [end.instance for end in only(ef.Terminate, evacuated(world, name, 2, **on))] == [name]


def test_it_is_not_waited_for_beyond_its_time() -> None:
    world, (name,) = working("a", evacuate=PATHS, checkpoint=("ckpt",))
    world.wait(4000)
    world.notice(name)
    world.missed(name, 1)
    world.exited(name, 143, "interrupt")
    world.saved(name, 2)
    assert only(ef.Terminate, world.wait(109)) == []
    assert [end.instance for end in only(ef.Terminate, world.wait(2))] == [name]


def test_a_run_that_stops_waits_for_nothing() -> None:
    world, (name,) = working("a", evacuate=PATHS)
    world.wait(4000)
    world.notice(name)
    world.send(ev.RunStopped, reason="enough")
    world.exited(name, 143, "cancel")
    effects = world.collected(name)
    assert [end.instance for end in only(ef.Terminate, effects)] == [name]


def test_nothing_is_evacuated_of_a_run_that_stops() -> None:
    world, (name,) = working("a", evacuate=PATHS)
    world.send(ev.RunStopped, reason="enough")
    assert only(ef.Evacuate, world.notice(name)) == []
    assert only(ef.Evacuate, world.send(ev.HookFinished, **world.on(name), code=0)) == []


def test_what_came_is_noted_after_its_machine_is_gone() -> None:
    world, name, _ = noticed()
    on = world.on(name)
    world.gone(name, EndReason.INTERRUPTED)
    evacuated(world, name, 1, **on)
    first = world.job("a").attempts[0]
    assert (first.outcome, first.evacuated, first.evacuating) == (Outcome.INTERRUPTED, SOME, 0)


def test_a_later_client_goes_on_with_it() -> None:
    world, name, _ = noticed()
    deadline = world.now + timedelta(seconds=110)
    order = ef.Evacuate(instance=name, job="a", attempt=1, serial=1, deadline=deadline)
    assert order in outstanding(world.run)
    evacuated(world, name, 1)
    assert order not in outstanding(world.run)
    world, name, _ = noticed()
    world.gone(name, EndReason.INTERRUPTED)
    assert only(ef.Evacuate, outstanding(world.run)) == []
