"""What a crash leaves to do, for every kind of effect."""

from __future__ import annotations

from datetime import timedelta

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine.model import StopWhy
from aspot.machine.outstanding import outstanding
from tests.machine.world import World, working

CKPT = ("ckpt",)


def test_a_request_without_answer_is_sent_again() -> None:
    world = World()
    world.prepare()
    world.submit("a")
    spec = world.run.requests["r1"].spec
    assert outstanding(world.run) == (ef.Launch(spec=spec),)
    world.send(ev.LaunchInDoubt, request="r1", reason="lost")
    assert outstanding(world.run) == ()


def test_a_running_machine_is_connected_to_and_a_starting_attempt_started() -> None:
    world = World()
    world.prepare()
    world.submit("a")
    (name,) = world.answer()
    assert outstanding(world.run) == ()
    world.boot(name)
    connect = ef.Connect(instance=name, address="127.0.0.1", port=22)
    start = ef.StartAttempt(instance=name, job="a", attempt=1, checkpoint=None, is_repeat=True)
    assert outstanding(world.run) == (connect, start)
    world.started(name)
    follow = ef.FollowAttempt(instance=name, job="a", attempt=1)
    assert outstanding(world.run) == (connect, follow)


def test_a_stopping_attempt_is_stopped_and_a_checkpoint_brought_home() -> None:
    world, (name,) = working("a", checkpoint=CKPT)
    world.notice(name)
    world.send(ev.JobsCancelled, jobs=("a",))
    world.answer()
    _, stop, save = outstanding(world.run)
    assert stop == ef.StopAttempt(instance=name, job="a", attempt=1, why=StopWhy.CANCEL, grace_s=10.0)
    deadline = world.run.instances[name].notice.deadline
    assert save == ef.SaveCheckpoint(instance=name, job="a", attempt=1, serial=1, deadline=deadline)


def test_a_periodic_checkpoint_is_brought_home_without_hurry() -> None:
    world, (name,) = working("a", checkpoint=CKPT, checkpoint_every_s=10)
    world.wait(10)
    assert outstanding(world.run)[1:] == (
        ef.FollowAttempt(instance=name, job="a", attempt=1),
        ef.SaveCheckpoint(instance=name, job="a", attempt=1, serial=1, deadline=None),
    )


def test_a_result_is_collected_then_accepted_and_the_machine_ended() -> None:
    world, (name,) = working("a")
    world.send(ev.SubmissionClosed)
    world.exited(name)
    assert outstanding(world.run)[1:] == (ef.CollectResult(instance=name, job="a", attempt=1),)
    world.collected(name)
    assert outstanding(world.run) == (
        ef.Terminate(instance=name, why="aspot had asked for it"),
        ef.AcceptResult(job="a", attempt=1),
    )
    world.ending(name)
    world.gone(name)
    world.accepted("a")
    assert outstanding(world.run) == ()


def test_an_attempt_that_parts_waits_for_its_checkpoint_only() -> None:
    world, (name,) = working("a", checkpoint=CKPT)
    world.exited(name, 143, "term")
    assert [type(effect) for effect in outstanding(world.run)] == [ef.Connect, ef.SaveCheckpoint]


def test_a_machine_that_others_end_is_not_ended_again() -> None:
    world, (name,) = working("a")
    world.ending(name)
    world.answer("r2", launched=[])
    assert outstanding(world.run) == ()


def test_an_idle_machine_waits_anew_for_work_when_somebody_comes_back() -> None:
    world, (name,) = working("a", options={"idle_s": 60.0})
    world.complete(name)
    world.accepted("a")
    world.now += timedelta(seconds=1000)
    world.send(ev.RunAttached)
    assert world.run.instances[name].idle_since == world.now
    assert world.run.instances[name].link_lost == world.now
