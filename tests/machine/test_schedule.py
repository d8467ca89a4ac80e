"""Who works where, what ends when nobody needs it, cancelling, and the end of a run."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.model import EndReason, InstanceState, JobStatus, RunPhase, StopWhy
from aspot.machine.pool import Market
from aspot.machine.step import is_over, wakeup
from tests.machine.world import START, World, news, only, working


def ended(effects) -> list[str]:
    return [end.instance for end in only(ef.Terminate, effects)]


def test_jobs_start_in_the_order_of_submission() -> None:
    world, names = working("a", "b", "c", "d", options={"limit": 2})
    (start,) = only(ef.StartAttempt, world.complete(names[1]))
    assert (start.job, start.instance) == ("c", names[1])


def test_a_job_that_is_tried_again_goes_before_later_ones() -> None:
    world, names = working("a", "b", options={"limit": 1})
    world.send(ev.AttemptVanished, **world.on(names[0]), reason="rebooted")
    assert world.run.queued == ("b",)
    assert world.job("a").live.number == 2


def test_a_job_comes_back_to_its_own_place_in_the_queue() -> None:
    world, names = working("a", "b", "c", "d", options={"limit": 2})
    world.gone(names[1], EndReason.SOMEONE)
    world.gone(names[0], EndReason.SOMEONE)
    assert world.run.queued == ("a", "b", "c", "d")


def test_a_ready_machine_is_told_with_its_boot_time() -> None:
    world, (name,) = working("a")
    (told,) = news(nw.InstanceReady, world.log)
    assert (told.instance, told.instance_id, told.boot_s, told.message) == ("f_1", name, 20.0, "f_1: ready after 20 s")


def test_a_running_machine_is_connected_to_once() -> None:
    world, (name,) = working("a")
    assert only(ef.Connect, world.log) == [ef.Connect(instance=name, address="127.0.0.1", port=22)]
    assert world.ran(name) == []


def test_a_machine_that_cannot_be_reached_gets_no_work_until_it_can() -> None:
    world, (name,) = working("a")
    world.complete(name)
    world.send(ev.LinkLost, instance=name, reason="reset")
    world.send(ev.LinkLost, instance=name, reason="reset again")
    assert only(ef.StartAttempt, world.submit("b")) == []
    (start,) = only(ef.StartAttempt, world.send(ev.LinkRestored, instance=name, boot_id="b1"))
    assert start.job == "b"


def test_a_machine_that_cannot_be_reached_is_replaced_after_its_idle_time() -> None:
    world, (name,) = working("a")
    world.complete(name)
    world.send(ev.LinkLost, instance=name, reason="reset")
    world.submit("b")
    effects = world.wait(60)
    assert ended(effects) == [name]
    assert len(only(ef.Launch, effects)) == 1


def test_a_lost_link_under_a_running_script_changes_nothing() -> None:
    world, (name,) = working("a")
    assert world.send(ev.LinkLost, instance=name, reason="reset") == []
    assert world.wait(3600) == []
    assert world.job("a").live is not None


def test_an_idle_machine_ends_after_its_time() -> None:
    world, (name,) = working("a")
    world.complete(name)
    assert ended(world.wait(59)) == []
    assert ended(world.wait(1)) == [name]


def test_an_idle_machine_ends_at_once_when_no_job_can_come() -> None:
    world, names = working("a", "b")
    world.complete(names[0])
    assert ended(world.send(ev.SubmissionClosed)) == [names[0]]
    assert ended(world.complete(names[1])) == [names[1]]


def test_machines_that_are_starting_end_when_their_jobs_were_cancelled_and_none_can_come() -> None:
    world = World()
    world.prepare()
    world.submit("a", "b")
    names = world.answer()
    world.send(ev.SubmissionClosed)
    assert ended(world.send(ev.JobsCancelled, jobs=("a",))) == [names[1]]


def test_a_successor_that_waits_is_not_idle() -> None:
    world, (name,) = working("a")
    world.notice(name, 300)
    (new,) = world.answer()
    world.boot(new)
    assert ended(world.wait(200)) == []
    assert new in ended(world.complete(name))


def test_only_as_many_idle_machines_end_as_nobody_needs() -> None:
    world, names = working("a", "b", "c")
    world.complete(names[0])
    world.complete(names[1])
    world.notice(names[2], 600)
    assert ended(world.wait(60)) == [names[0]]
    assert ended(world.wait(100)) == []


def test_a_lower_limit_ends_idle_machines_first_and_busy_ones_after_their_job() -> None:
    world, names = working("a", "b", "c", "d", options={"limit": 3})
    world.send(ev.JobsCancelled, jobs=("d",))
    world.complete(names[0])
    assert ended(world.send(ev.LimitChanged, limit=1)) == [names[0]]
    world.submit("e")
    effects = world.complete(names[1])
    assert ended(effects) == [names[1]]
    assert only(ef.StartAttempt, effects) == []
    assert world.run.jobs["e"].attempts == ()
    world.gone(names[0])
    world.gone(names[1])
    (start,) = only(ef.StartAttempt, world.complete(names[2]))
    assert start.job == "e"


def test_a_lower_limit_ends_machines_that_are_starting() -> None:
    world = World()
    world.prepare()
    world.submit("a", "b")
    names = world.answer()
    assert ended(world.send(ev.LimitChanged, limit=1)) == [names[1]]


def test_a_higher_limit_launches_more() -> None:
    world, _ = working("a", "b", options={"limit": 1})
    (launch,) = only(ef.Launch, world.send(ev.LimitChanged, limit=2))
    assert launch.spec.count == 1


def test_a_machine_that_we_end_counts_until_it_is_gone() -> None:
    world, (name,) = working("a", options={"limit": 1})
    world.complete(name, 1, "disk_full")
    assert only(ef.Launch, world.submit("b")) == []
    assert only(ef.Launch, world.ending(name)) == []
    assert len(only(ef.Launch, world.gone(name))) == 1


def test_a_machine_that_ec2_will_not_end_is_kept_and_does_not_count() -> None:
    world, (name,) = working("a", options={"limit": 1})
    world.complete(name, 1, "disk_full")
    world.submit("b")
    effects = world.send(ev.TerminateFailed, instance=name, reason="termination protection")
    assert len(only(ef.Launch, effects)) == 1
    assert world.run.instances[name].protected == "termination protection"
    world.send(ev.RunStopped, reason="ctrl-c")
    world.answer("r2", launched=[])
    for job in "ab":
        world.accepted(job)
    assert is_over(world.run)


def test_a_waiting_job_is_cancelled_at_once() -> None:
    world, _ = working("a", "b", options={"limit": 1})
    effects = world.send(ev.JobsCancelled, jobs=("b",))
    assert only(ef.AcceptResult, effects) == [ef.AcceptResult(job="b", attempt=0)]
    world.accepted("b")
    assert (world.job("b").status, world.job("b").accepted) == (JobStatus.CANCELLED, 0)


def test_a_running_job_is_stopped_and_its_files_come_home() -> None:
    world, (name,) = working("a", attempts=3)
    (stop,) = only(ef.StopAttempt, world.send(ev.JobsCancelled, jobs=("a", "a")))
    assert (stop.why, stop.grace_s) == (StopWhy.CANCEL, 10.0)
    world.complete(name, 143, "cancel")
    assert (world.job("a").verdict, world.job("a").reason) == (JobStatus.CANCELLED, "cancelled")
    assert world.send(ev.JobsCancelled, jobs=("a",)) == []


def test_a_job_that_ends_by_itself_while_it_is_cancelled_keeps_its_own_end() -> None:
    world, (name,) = working("a")
    world.send(ev.JobsCancelled, jobs=("a",))
    world.complete(name)
    assert world.job("a").verdict is JobStatus.SUCCEEDED


def test_a_failure_of_a_cancelled_job_is_not_tried_again() -> None:
    world, (name,) = working("a", attempts=3)
    world.exited(name, 1)
    world.send(ev.JobsCancelled, jobs=("a",))
    world.collected(name)
    assert world.job("a").verdict is JobStatus.FAILED


def test_a_cancelled_attempt_that_vanishes_is_cancelled() -> None:
    world, (name,) = working("a")
    world.send(ev.JobsCancelled, jobs=("a",))
    world.send(ev.AttemptVanished, **world.on(name), reason="gone")
    assert world.job("a").verdict is JobStatus.CANCELLED


def test_a_shutdown_of_a_cancelled_attempt_is_collected() -> None:
    world, (name,) = working("a")
    world.send(ev.JobsCancelled, jobs=("a",))
    assert len(only(ef.CollectResult, world.exited(name, 143, "term"))) == 1
    world.collected(name)
    assert world.job("a").verdict is JobStatus.CANCELLED


def test_a_machine_that_does_not_answer_a_cancellation_is_ended() -> None:
    world, (name,) = working("a")
    world.send(ev.JobsCancelled, jobs=("a",))
    assert ended(world.wait(59)) == []
    assert ended(world.wait(1)) == [name]
    world.gone(name)
    assert world.job("a").verdict is JobStatus.CANCELLED


def test_a_job_cancelled_before_the_cloud_is_ready_launches_nothing() -> None:
    world = World()
    world.submit("a")
    world.send(ev.JobsCancelled, jobs=("a",))
    assert only(ef.Launch, world.prepare()) == []


def test_a_cancel_status_that_nobody_asked_for_is_a_cancellation() -> None:
    world, (name,) = working("a")
    world.complete(name, 143, "cancel")
    assert world.job("a").verdict is JobStatus.CANCELLED


def test_a_run_is_over_when_all_is_final_and_gone_and_no_job_can_come() -> None:
    world, (name,) = working("a")
    world.complete(name)
    world.accepted("a")
    world.wait(60)
    world.ending(name)
    world.gone(name)
    assert not is_over(world.run)
    world.send(ev.SubmissionClosed)
    assert is_over(world.run)
    assert world.run.phase is RunPhase.ENDED
    assert wakeup(world.run) is None
    world.send(ev.SubmissionClosed)
    assert world.run.phase is RunPhase.ENDED


def test_an_ended_machine_is_told_with_its_cost() -> None:
    world, (name,) = working("a")
    world.complete(name)
    (told,) = news(nw.InstanceEnded, world.gone(name, EndReason.SOMEONE))
    assert (told.instance, told.reason) == ("f_1", "terminated by someone")
    assert told.cost_usd > 0


def test_a_closed_run_may_be_prepared_later() -> None:
    world = World()
    world.submit("a")
    world.send(ev.SubmissionClosed)
    world.prepare()
    assert world.run.phase is RunPhase.CLOSED


def test_a_run_without_jobs_is_over_when_it_is_closed() -> None:
    world = World()
    world.prepare()
    world.send(ev.SubmissionClosed)
    assert world.run.phase is RunPhase.ENDED


@pytest.mark.parametrize("is_stopped", [True, False])
def test_a_machine_that_shows_up_after_the_end_is_ended(is_stopped) -> None:
    world = World()
    world.prepare()
    if is_stopped:
        world.send(ev.RunStopped, reason="ctrl-c")
    world.send(ev.SubmissionClosed)
    assert world.run.phase is RunPhase.ENDED
    effects = world.send(ev.InstanceFound, instance="i-x", request="r9", pool=world.pools[0], market=Market.SPOT)
    assert ended(effects) == ["i-x"]
    assert world.run.phase is (RunPhase.STOPPING if is_stopped else RunPhase.CLOSED)
    world.gone("i-x")
    assert world.run.phase is RunPhase.ENDED


def test_a_clock_that_goes_back_is_ignored() -> None:
    world, _ = working("a")
    now = world.now
    world.now = START - timedelta(hours=1)
    world.send(ev.Ticked)
    assert world.run.now == now
    world.now = now


def test_our_own_ends_are_told_from_someone_elses() -> None:
    world, names = working("a", "b")
    world.complete(names[0])
    world.wait(60)
    world.gone(names[0], EndReason.SOMEONE)
    world.gone(names[1], EndReason.OURS)
    assert world.run.instances[names[0]].end_reason is EndReason.OURS
    assert world.run.instances[names[1]].end_reason is EndReason.SOMEONE


def test_a_repeated_end_means_nothing() -> None:
    world, (name,) = working("a")
    world.ending(name, EndReason.ITSELF)
    world.ending(name, EndReason.SOMEONE)
    world.gone(name, EndReason.SOMEONE)
    assert world.run.instances[name].end_reason is EndReason.ITSELF
    assert world.gone(name) == []
    assert world.ran(name) == []
    assert world.state(name) is InstanceState.TERMINATED
