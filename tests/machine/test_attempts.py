"""How attempts end, and what becomes of their jobs."""

from __future__ import annotations

import pytest

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.endings import times
from aspot.machine.model import AttemptState, EndReason, InstanceState, JobStatus, Outcome
from tests.machine.world import news, only, working


def test_a_started_attempt_is_told() -> None:
    world, (name,) = working("a")
    (told,) = news(nw.JobStarted, world.log)
    assert (told.job, told.instance, told.attempt, told.instance_id) == ("a", "f_1", 1, name)
    assert world.job("a").live.started == world.now


def test_success_is_collected_then_accepted_then_final() -> None:
    world, (name,) = working("a")
    assert only(ef.CollectResult, world.exited(name)) == [ef.CollectResult(instance=name, job="a", attempt=1)]
    effects = world.collected(name, "out/m.json")
    assert only(ef.AcceptResult, effects) == [ef.AcceptResult(job="a", attempt=1)]
    assert world.state(name) is InstanceState.SSH_READY
    assert world.job("a").status is JobStatus.RUNNING
    world.accepted("a")
    job = world.job("a")
    assert (job.status, job.accepted, job.reason, job.collected.files) == (JobStatus.SUCCEEDED, 1, "", ("out/m.json",))
    for attempt in (1, 0):
        world.send(ev.ResultAccepted, job="a", attempt=attempt)
        assert world.job("a") == job


def test_a_failure_is_final_without_attempts_to_spare() -> None:
    world, (name,) = working("a")
    world.complete(name, 7)
    job = world.job("a")
    assert (job.verdict, job.reason, job.failures) == (JobStatus.FAILED, "exit code 7", 1)


def test_a_failure_with_attempts_to_spare_is_tried_again_on_the_same_machine() -> None:
    world, (name,) = working("a", attempts=2)
    (start,) = only(ef.StartAttempt, world.complete(name, 1))
    assert (start.instance, start.attempt) == (name, 2)
    assert world.job("a").collected is None
    world.complete(name, 1)
    assert (world.job("a").verdict, world.job("a").failures) == (JobStatus.FAILED, 2)


@pytest.mark.parametrize(
    ("code", "why", "status", "reason"),
    [
        (143, "timeout", JobStatus.TIMED_OUT, "timed out after 1 min 0 s"),
        (137, "exit", JobStatus.FAILED, "killed by signal 9 (out of memory?)"),
        (139, "exit", JobStatus.FAILED, "killed by signal 11"),
        (0, "something new", JobStatus.SUCCEEDED, ""),
    ],
)
def test_exits_and_their_reasons(code, why, status, reason) -> None:
    world, (name,) = working("a", timeout_s=60)
    world.complete(name, code, why)
    assert (world.job("a").verdict, world.job("a").reason) == (status, reason)


def test_a_full_disk_is_a_failure_and_ends_the_machine() -> None:
    world, (name,) = working("a", attempts=2)
    effects = world.complete(name, 1, "disk_full")
    assert [end.instance for end in only(ef.Terminate, effects)] == [name]
    assert only(ef.StartAttempt, effects) == []
    assert "ask for a larger one" in world.job("a").attempts[0].ended_by
    assert world.job("a").failures == 1


def test_an_interrupt_status_on_a_machine_that_nobody_takes_is_an_interruption() -> None:
    world, (name,) = working("a")
    (start,) = only(ef.StartAttempt, world.exited(name, 143, "interrupt"))
    assert (start.instance, start.attempt) == (name, 2)
    assert world.job("a").interruptions == 1


def test_a_local_refusal_fails_the_job_without_charging_it() -> None:
    world, (name,) = working("a")
    world.complete(name)
    world.submit("b", attempts=3)
    effects = world.send(ev.AttemptRefused, **world.on(name), reason="data.csv vanished", is_local=True)
    job = world.job("b")
    assert (job.verdict, job.reason, job.failures) == (JobStatus.FAILED, "data.csv vanished", 0)
    assert only(ef.AcceptResult, effects) == [ef.AcceptResult(job="b", attempt=1)]
    assert world.state(name) is InstanceState.SSH_READY


def test_another_refusal_ends_the_machine_and_is_tried_elsewhere_three_times() -> None:
    world, (name,) = working("a")
    world.complete(name)
    world.submit("b")
    for number in range(3):
        effects = world.send(ev.AttemptRefused, **world.on(name), reason="the disk is full")
        assert [end.instance for end in only(ef.Terminate, effects)] == [name]
        world.gone(name)
        if number < 2:
            (name,) = world.answer()
            world.boot(name)
    job = world.job("b")
    assert (job.verdict, job.reason, job.losses) == (JobStatus.LOST, "the disk is full", 3)


def test_an_attempt_that_vanished_is_tried_again() -> None:
    world, (name,) = working("a")
    (start,) = only(ef.StartAttempt, world.send(ev.AttemptVanished, **world.on(name), reason="rebooted"))
    assert start.attempt == 2
    assert world.job("a").attempts[0].ended_by == "rebooted"
    assert world.job("a").losses == 1


@pytest.mark.parametrize(
    ("reason", "text"),
    [
        (EndReason.SOMEONE, "terminated by someone"),
        (EndReason.ITSELF, "max_life, or the script ran shutdown"),
        (EndReason.HARDWARE, "failed in EC2"),
        (EndReason.UNKNOWN, "ended for an unknown reason"),
    ],
)
def test_a_machine_that_goes_takes_its_attempt_along(reason, text) -> None:
    world, (name,) = working("a")
    assert len(only(ef.Launch, world.ending(name, reason))) == 1
    assert world.job("a").live is not None
    world.gone(name, reason)
    assert text in world.job("a").attempts[0].ended_by
    assert world.job("a").losses == 1
    assert world.job("a").status is JobStatus.QUEUED


def test_a_machine_that_goes_before_the_result_is_home_loses_the_attempt() -> None:
    world, (name,) = working("a")
    world.exited(name)
    world.gone(name, EndReason.SOMEONE)
    assert world.job("a").attempts[0].ended_by == "its machine was terminated by someone before its result was home"
    assert world.job("a").status is JobStatus.QUEUED


def test_a_result_that_cannot_come_home_is_tried_again() -> None:
    world, (name,) = working("a")
    world.exited(name)
    world.send(ev.CollectFailed, **world.on(name), reason="hostile names", is_final=True)
    assert world.job("a").attempts[0].outcome is Outcome.LOST
    assert "hostile names" in world.job("a").attempts[0].ended_by
    assert world.job("a").live.number == 2


def test_max_life_without_a_checkpoint_is_not_tried_again() -> None:
    world, (name,) = working("a")
    world.exited(name, 143, "ttl")
    world.gone(name, EndReason.ITSELF)
    job = world.job("a")
    assert (job.verdict, job.reason, job.losses) == (JobStatus.LOST, "its machine reached max_life", 1)


def test_max_life_with_a_checkpoint_goes_on_from_it() -> None:
    world, (name,) = working("a", checkpoint=("ckpt",))
    world.exited(name, 143, "ttl")
    world.saved(name, 1)
    world.gone(name, EndReason.ITSELF)
    assert world.job("a").status is JobStatus.QUEUED


def test_events_of_an_attempt_that_ended_mean_nothing() -> None:
    world, (name,) = working("a", attempts=2)
    old = world.on(name)
    world.complete(name, 1)
    run = world.run
    for kind, fields in (
        (ev.AttemptStarted, {}),
        (ev.AttemptVanished, {"reason": "late"}),
        (ev.CheckpointMissed, {"serial": 1, "reason": "late"}),
        (ev.HookFinished, {"code": 0}),
        (ev.CollectFailed, {"reason": "late", "is_final": True}),
    ):
        assert world.send(kind, **old, **fields) == []
    assert world.run.jobs == run.jobs
    assert world.run.instances == run.instances


def test_events_of_a_machine_without_attempt_mean_nothing() -> None:
    world, (name,) = working("a")
    old = world.on(name)
    world.complete(name)
    jobs = world.run.jobs
    assert world.send(ev.AttemptVanished, **old, reason="late") == []
    assert world.run.jobs == jobs


def test_a_repeated_exit_means_nothing() -> None:
    world, (name,) = working("a")
    world.exited(name)
    assert world.exited(name, 1) == []
    assert world.job("a").live.state is AttemptState.COLLECTING
    assert world.job("a").live.exit.code == 0


@pytest.mark.parametrize(("number", "text"), [(1, "once"), (2, "twice"), (3, "3 times")])
def test_times(number, text) -> None:
    assert times(number) == text


def test_a_refusal_from_a_machine_that_is_ending_ends_it_once() -> None:
    world, (name,) = working("a")
    world.complete(name)
    world.submit("b")
    world.ending(name, EndReason.ITSELF)
    assert only(ef.Terminate, world.send(ev.AttemptRefused, **world.on(name), reason="no disk")) == []
    assert world.job("b").losses == 1
