"""Notices: make before break, and what happens when a machine goes without one."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.checkpoints import MOVES
from aspot.machine.model import AttemptState, EndReason, InstanceState, JobStatus, Outcome, RunPhase, StopWhy
from aspot.machine.placement import INTERRUPTED_S
from tests.machine.world import A, B, C, World, news, only, working

CKPT = ("ckpt",)


def noticed(seconds: float = 120.0, *, options=None, **job) -> tuple[World, str, list[ef.Effect]]:
    """Return a world in which job `a` runs on a machine that was just noticed, and the notice's effects."""
    world, (name,) = working("a", options=options, **job)
    world.wait(40)
    return world, name, world.notice(name, seconds)


def test_a_notice_launches_the_successor_in_another_pool_and_saves_at_once() -> None:
    world, name, effects = noticed(checkpoint=CKPT)
    (save,) = only(ef.SaveCheckpoint, effects)
    (launch,) = only(ef.Launch, effects)
    assert (save.serial, save.deadline) == (1, world.now + timedelta(seconds=110))
    assert (launch.spec.count, launch.spec.pools) == (1, (B, C))
    assert world.state(name) is InstanceState.INTERRUPTED
    (told,) = news(nw.NoticeReceived, effects)
    assert (told.job, told.instance, told.seconds, told.channel) == ("a", "f_1", 120.0, "runner")


def test_the_first_notice_wins_and_an_earlier_deadline_moves_it() -> None:
    world, name, _ = noticed()
    first = world.run.instances[name].notice
    assert world.send(ev.NoticeReceived, instance=name, deadline=first.deadline, channel="spot-request") == []
    assert world.run.instances[name].notice == first
    earlier = first.deadline - timedelta(seconds=60)
    world.send(ev.NoticeReceived, instance=name, deadline=earlier, channel="spot-request")
    assert world.run.instances[name].notice.deadline == earlier
    assert world.run.instances[name].notice.channel == "runner"
    assert len(news(nw.NoticeReceived, world.log)) == 1


def test_a_notice_makes_neighbours_save_but_not_each_minute_anew() -> None:
    world, names = working("a", "b", "c", checkpoint=CKPT)
    assert [save.job for save in only(ef.SaveCheckpoint, world.notice(names[0]))] == ["a", "b", "c"]
    for name in names:
        world.saved(name, 1)
    assert [save.job for save in only(ef.SaveCheckpoint, world.notice(names[1]))] == ["b"]


def test_neighbours_in_other_pools_do_not_save() -> None:
    world = World()
    world.prepare()
    world.submit("a", "b", checkpoint=CKPT)
    names = world.answer(launched=[A, B])
    world.boot(*names)
    for name in names:
        world.started(name)
    assert [save.job for save in only(ef.SaveCheckpoint, world.notice(names[0]))] == ["a"]


def test_a_rebalance_recommendation_makes_the_job_save_once() -> None:
    world, (name,) = working("a", checkpoint=CKPT)
    assert len(only(ef.SaveCheckpoint, world.send(ev.RebalanceAdvised, instance=name))) == 1
    world.saved(name, 1)
    assert world.send(ev.RebalanceAdvised, instance=name) == []


def test_a_rebalanced_idle_machine_is_used_last() -> None:
    world, names = working("a", "b")
    for name in names:
        world.complete(name)
    assert world.send(ev.RebalanceAdvised, instance=names[0]) == []
    (start,) = only(ef.StartAttempt, world.submit("c"))
    assert start.instance == names[1]


MOVE = {"moves_when_advised": True}


def advised(*names: str, options=MOVE, **job) -> tuple[World, tuple[str, ...], list[ef.Effect]]:
    """Return a world whose first machine EC2 recommended to leave, and what followed from that."""
    world, machines = working(*names, options=options, **job)
    world.wait(40)
    return world, machines, world.send(ev.RebalanceAdvised, instance=machines[0])


def test_by_policy_an_advised_job_moves_to_another_pool_when_the_machine_there_is_ready() -> None:
    world, (old,), effects = advised("a", options={**MOVE, "limit": 1}, checkpoint=CKPT)
    (launch,) = only(ef.Launch, effects)
    assert launch.spec.pools == (B, C)
    world.saved(old, 1)
    (new,) = world.answer(launched=[B])
    (stop,) = only(ef.StopAttempt, world.boot(new))
    assert (stop.instance, stop.why, stop.grace_s) == (old, StopWhy.INTERRUPT, 10.0)
    assert only(ef.Terminate, world.wait(1)) == []  # the successor may overlap it, although the limit is 1
    (last,) = only(ef.SaveCheckpoint, world.exited(old, 143, "interrupt"))
    assert last.deadline is None
    effects = world.saved(old, 2)
    (start,) = only(ef.StartAttempt, effects)
    assert (start.instance, start.attempt, start.checkpoint.serial) == (new, 2, 2)
    assert [end.instance for end in only(ef.Terminate, effects)] == [old]
    job = world.job("a")
    assert (job.attempts[0].outcome, job.interruptions, job.moves) == (Outcome.INTERRUPTED, 0, 1)
    assert job.attempts[0].ended_by == "moved: EC2 recommended to leave its machine"


def test_a_job_that_ends_while_it_is_moved_has_succeeded() -> None:
    world, (old,), _ = advised("a", checkpoint=CKPT)
    world.saved(old, 1)
    (new,) = world.answer(launched=[B])
    world.boot(new)
    effects = world.complete(old)
    assert world.job("a").verdict is JobStatus.SUCCEEDED
    assert world.job("a").moves == 0
    assert {end.instance for end in only(ef.Terminate, effects)} >= {old}


@pytest.mark.parametrize("job", [{}, {"checkpoint": CKPT, "on_notice": "./save"}])
def test_a_job_that_would_lose_by_it_stays_on_an_advised_machine(job) -> None:
    world, (old,), effects = advised("a", **job)
    assert only(ef.Launch, effects) == []
    assert only(ef.Launch, world.wait(600)) == []
    assert world.state(old) is InstanceState.JOB


def test_a_job_does_not_move_for_ever() -> None:
    world, (machine,), _ = advised("a", checkpoint=CKPT)
    for move in range(1, MOVES + 1):
        world.wait(INTERRUPTED_S)
        world.saved(machine, world.job("a").checkpoint_serial)
        (new,) = world.answer()
        world.boot(new)
        world.exited(machine, 143, "interrupt")
        world.saved(machine, world.job("a").checkpoint_serial)
        assert world.job("a").moves == move
        world.send(ev.InstanceEnded, instance=machine, reason=EndReason.OURS)
        world.started(new)
        effects = world.send(ev.RebalanceAdvised, instance=new)
        machine = new
    assert only(ef.Launch, effects) == []
    world.saved(machine, world.job("a").checkpoint_serial)
    world.notice(machine)
    world.saved(machine, world.job("a").checkpoint_serial)
    (new,) = world.answer()
    world.boot(new)
    world.exited(machine, 143, "interrupt")
    world.saved(machine, world.job("a").checkpoint_serial)
    assert (world.job("a").interruptions, world.job("a").moves) == (1, MOVES)  # a notice moves it all the same


def test_by_policy_an_advised_machine_without_work_is_ended() -> None:
    world, (first, second), _ = advised("a", "b")
    effects = world.complete(first)
    assert [end.instance for end in only(ef.Terminate, effects)] == [first]
    world.complete(second)
    assert world.state(second) is InstanceState.SSH_READY
    assert [end.instance for end in only(ef.Terminate, world.send(ev.RebalanceAdvised, instance=second))] == [second]


def test_the_attempt_works_on_until_the_successor_is_ready_and_then_moves() -> None:
    world, name, _ = noticed(checkpoint=CKPT)
    world.saved(name, 1)
    (new,) = world.answer()
    world.wait(25)
    (stop,) = only(ef.StopAttempt, world.boot(new))
    assert (stop.instance, stop.why, stop.grace_s) == (name, StopWhy.INTERRUPT, 10.0)
    (last,) = only(ef.SaveCheckpoint, world.exited(name, 143, "interrupt"))
    assert (last.serial, last.deadline) == (2, world.run.instances[name].notice.deadline)
    assert world.job("a").live.state is AttemptState.COLLECTING
    (start,) = only(ef.StartAttempt, world.saved(name, 2))
    assert (start.instance, start.attempt, start.checkpoint.serial) == (new, 2, 2)
    assert world.job("a").attempts[0].outcome is Outcome.INTERRUPTED
    assert (world.job("a").interruptions, world.job("a").failures) == (1, 0)
    assert world.job("a").attempts[1].resumed_from == 2


def test_without_a_successor_the_attempt_is_stopped_before_the_deadline() -> None:
    world, name, _ = noticed(checkpoint=CKPT)
    world.saved(name, 1)
    assert only(ef.StopAttempt, world.wait(109)) == []
    (stop,) = only(ef.StopAttempt, world.wait(1))
    assert stop.grace_s == pytest.approx(4.0)


def test_the_margin_of_a_short_notice_is_a_fifth_of_it() -> None:
    world, _, _ = noticed(10, checkpoint=CKPT)
    assert only(ef.StopAttempt, world.wait(7.9)) == []
    (stop,) = only(ef.StopAttempt, world.wait(0.2))
    assert stop.grace_s == pytest.approx(0.8)


def test_a_notice_that_comes_too_late_stops_at_once() -> None:
    world, _, _ = noticed(-5, checkpoint=CKPT)
    (stop,) = only(ef.StopAttempt, world.wait(0))
    assert stop.grace_s == 0


def test_an_idle_machine_takes_the_job_over_at_once() -> None:
    world, names = working("a", "b", checkpoint=CKPT)
    world.complete(names[1])
    effects = world.notice(names[0])
    assert [stop.job for stop in only(ef.StopAttempt, effects)] == ["a"]
    assert only(ef.Launch, effects) == []


def test_a_machine_that_cannot_be_reached_is_no_successor() -> None:
    world, names = working("a", "b", checkpoint=CKPT)
    world.complete(names[1])
    world.send(ev.LinkLost, instance=names[1], reason="reset")
    assert only(ef.StopAttempt, world.notice(names[0])) == []
    assert [
        stop.job for stop in only(ef.StopAttempt, world.send(ev.LinkRestored, instance=names[1], boot_id="b1"))
    ] == ["a"]


def test_one_idle_machine_takes_one_job() -> None:
    world, names = working("a", "b", "c", checkpoint=CKPT)
    world.complete(names[2])
    world.notice(names[0])
    effects = world.notice(names[1])
    assert only(ef.StopAttempt, effects) == []
    assert len(only(ef.Launch, effects)) == 1


def test_the_handover_waits_for_the_users_hook() -> None:
    world, names = working("a", "b", checkpoint=CKPT, on_notice="./save.sh")
    world.complete(names[1])
    assert only(ef.StopAttempt, world.notice(names[0])) == []
    world.saved(names[0], 1)
    effects = world.send(ev.HookFinished, **world.on(names[0]), code=0)
    assert [save.serial for save in only(ef.SaveCheckpoint, effects)] == [2]
    assert [stop.job for stop in only(ef.StopAttempt, effects)] == ["a"]


def test_a_hook_on_a_machine_without_notice_only_saves() -> None:
    world, (name,) = working("a", checkpoint=CKPT)
    (save,) = only(ef.SaveCheckpoint, world.send(ev.HookFinished, **world.on(name), code=0))
    assert save.deadline is None


def test_a_job_without_checkpoint_has_the_whole_notice_and_its_successor_waits() -> None:
    world, name, effects = noticed()
    assert only(ef.SaveCheckpoint, effects) == []
    (new,) = world.answer()
    world.wait(25)
    assert only(ef.StopAttempt, world.boot(new)) == []
    assert [e for e in world.wait(100) if not isinstance(e, ef.Announce)] == []
    assert only(ef.StartAttempt, world.ending(name, EndReason.INTERRUPTED)) == []
    (start,) = only(ef.StartAttempt, world.gone(name, EndReason.INTERRUPTED))
    assert (start.instance, start.attempt) == (new, 2)


def test_a_job_that_ends_within_the_notice_is_accepted() -> None:
    world, name, _ = noticed(checkpoint=CKPT)
    world.saved(name, 1)
    world.complete(name)
    assert world.job("a").verdict is JobStatus.SUCCEEDED
    assert world.state(name) is InstanceState.INTERRUPTED


def test_a_script_killed_on_a_noticed_machine_was_interrupted() -> None:
    world, name, _ = noticed()
    world.exited(name, 143)
    assert world.job("a").attempts[0].outcome is Outcome.INTERRUPTED
    assert world.job("a").failures == 0


def test_a_script_that_fails_on_a_noticed_machine_failed() -> None:
    world, name, _ = noticed()
    world.complete(name, 3)
    assert (world.job("a").verdict, world.job("a").reason) == (JobStatus.FAILED, "exit code 3")


def test_a_shutdown_on_a_noticed_machine_is_an_interruption() -> None:
    world, name, _ = noticed()
    world.exited(name, 143, "term")
    assert world.job("a").attempts[0].outcome is Outcome.INTERRUPTED


def test_a_checkpoint_under_way_is_followed_by_the_last_one() -> None:
    world, name, _ = noticed(checkpoint=CKPT)
    world.wait(110)
    assert only(ef.SaveCheckpoint, world.exited(name, 143, "interrupt")) == []
    (last,) = only(ef.SaveCheckpoint, world.missed(name, 1))
    assert last.serial == 2
    world.missed(name, 2)
    assert world.job("a").attempts[0].outcome is Outcome.INTERRUPTED
    assert world.job("a").checkpoint is None


def test_a_checkpoint_that_comes_after_its_attempt_ended_is_kept() -> None:
    world, name, _ = noticed(checkpoint=CKPT)
    on = world.on(name)
    world.gone(name, EndReason.INTERRUPTED)
    world.saved(name, 1, **on)
    assert world.job("a").checkpoint.serial == 1
    assert world.job("a").attempts[0].saved.serial == 1
    (new,) = world.answer()
    (start,) = only(ef.StartAttempt, world.boot(new))
    assert start.checkpoint.serial == 1


def test_an_older_checkpoint_does_not_replace_a_newer_one() -> None:
    world, (name,) = working("a", checkpoint=CKPT, checkpoint_every_s=10)
    on = world.on(name)
    world.wait(10)
    world.saved(name, 1)
    world.wait(10)
    world.saved(name, 2)
    world.saved(name, 1, **on)
    assert world.job("a").checkpoint.serial == 2


def test_an_attempt_that_vanishes_on_a_noticed_machine_was_interrupted() -> None:
    world, name, _ = noticed()
    world.send(ev.AttemptVanished, **world.on(name), reason="its supervisor is gone")
    assert world.job("a").attempts[0].outcome is Outcome.INTERRUPTED


def test_an_attempt_that_is_starting_is_moved_too() -> None:
    world = World()
    world.prepare()
    world.submit("a", checkpoint=CKPT)
    (name,) = world.answer()
    world.boot(name)
    effects = world.notice(name)
    assert only(ef.SaveCheckpoint, effects) == []
    (new,) = world.answer()
    (stop,) = only(ef.StopAttempt, world.boot(new))
    assert stop.instance == name
    world.started(name)
    assert world.job("a").live.state is AttemptState.STOPPING
    world.send(ev.AttemptVanished, **world.on(name), reason="never started")
    assert world.job("a").attempts[1].instance == new


def test_an_attempt_that_starts_on_a_noticed_machine_with_a_successor_is_moved() -> None:
    world, names = working("a", "b", checkpoint=CKPT, on_notice="x")
    world.complete(names[1])
    world.submit("c", checkpoint=CKPT)
    world.notice(names[1])
    world.started(names[1])
    assert world.job("c").live.state is AttemptState.RUNNING


def test_refused_on_a_noticed_machine_is_an_interruption_and_the_machine_is_left() -> None:
    world = World()
    world.prepare()
    world.submit("a")
    (name,) = world.answer()
    world.boot(name)
    world.notice(name)
    effects = world.send(ev.AttemptRefused, **world.on(name), reason="disk full")
    assert only(ef.Terminate, effects) == []
    assert world.job("a").attempts[0].outcome is Outcome.INTERRUPTED


def test_a_result_that_cannot_come_home_from_a_noticed_machine_is_an_interruption() -> None:
    world, name, _ = noticed()
    world.exited(name)
    world.send(ev.CollectFailed, **world.on(name), reason="reset")
    assert world.job("a").live is not None
    world.send(ev.CollectFailed, **world.on(name), reason="gone", is_final=True)
    assert world.job("a").attempts[0].outcome is Outcome.INTERRUPTED


def test_a_successor_may_overlap_the_machine_it_replaces() -> None:
    _, _, effects = noticed(options={"limit": 1}, checkpoint=CKPT)
    assert len(only(ef.Launch, effects)) == 1


def test_too_many_interruptions_lose_the_job() -> None:
    world, name, effects = noticed(interruptions=2)
    world.gone(name, EndReason.INTERRUPTED)
    (new,) = world.answer()
    world.boot(new)
    effects = world.notice(new)
    assert only(ef.Launch, effects) == []
    world.gone(new, EndReason.INTERRUPTED)
    assert (world.job("a").verdict, world.job("a").reason) == (JobStatus.LOST, "interrupted twice")


def test_a_cancelled_job_wants_no_successor() -> None:
    world, (name,) = working("a")
    world.send(ev.JobsCancelled, jobs=("a",))
    assert only(ef.Launch, world.notice(name)) == []
    world.gone(name, EndReason.INTERRUPTED)
    assert world.job("a").verdict is JobStatus.CANCELLED


def test_a_job_whose_result_comes_home_wants_no_successor() -> None:
    world, (name,) = working("a")
    world.exited(name)
    assert only(ef.Launch, world.notice(name)) == []


def test_an_attempt_that_parts_still_wants_its_successor() -> None:
    world, name, _ = noticed(checkpoint=CKPT, options={"limit": 1})
    world.saved(name, 1)
    world.wait(110)
    world.exited(name, 143, "interrupt")
    assert world.run.asked == ("r2",)
    assert len(only(ef.Launch, world.log)) == 2


def test_an_interruption_without_notice_launches_at_once_and_starts_when_the_machine_is_gone() -> None:
    world, (name,) = working("a", checkpoint=CKPT, checkpoint_every_s=30)
    world.wait(30)
    world.saved(name, 1)
    (launch,) = only(ef.Launch, world.ending(name, EndReason.INTERRUPTED))
    assert launch.spec.pools == (B, C)
    (new,) = world.answer()
    assert only(ef.StartAttempt, world.boot(new)) == []
    (start,) = only(ef.StartAttempt, world.gone(name, EndReason.UNKNOWN))
    assert (start.instance, start.checkpoint.serial) == (new, 1)
    assert world.job("a").interruptions == 1


def test_a_shutdown_that_nobody_announced_ends_the_machine_and_ec2_says_why() -> None:
    world, (name,) = working("a")
    (end,) = only(ef.Terminate, world.exited(name, 143, "term"))
    assert end.instance == name
    assert world.job("a").live is not None
    world.gone(name, EndReason.INTERRUPTED)
    assert (world.job("a").interruptions, world.job("a").losses) == (1, 0)


def test_a_shutdown_that_nobody_announced_saves_before_the_machine_is_ended() -> None:
    world, (name,) = working("a", checkpoint=CKPT)
    effects = world.exited(name, 143, "term")
    assert only(ef.Terminate, effects) == []
    (save,) = only(ef.SaveCheckpoint, effects)
    assert save.deadline is None
    assert len(only(ef.Terminate, world.saved(name, 1))) == 1
    world.gone(name, EndReason.SOMEONE)
    assert (world.job("a").interruptions, world.job("a").losses) == (0, 1)
    assert world.job("a").attempts[0].ended_by == "its machine was shut down while it ran"


def test_a_pending_machine_that_is_taken_is_replaced() -> None:
    world = World()
    world.prepare()
    world.submit("a")
    (name,) = world.answer()
    effects = world.notice(name)
    assert len(only(ef.Launch, effects)) == 1
    assert world.ran(name) == []
    assert world.run.instances[name].running == world.now
    assert news(nw.InstanceReady, world.ready(name)) != []
    assert world.state(name) is InstanceState.INTERRUPTED
    assert world.job("a").attempts == ()


def test_a_pool_that_interrupted_is_avoided_for_a_quarter_of_an_hour() -> None:
    world, name, _ = noticed()
    world.gone(name, EndReason.INTERRUPTED)
    world.answer()
    world.wait(890)
    (launch,) = only(ef.Launch, world.submit("b"))
    assert launch.spec.pools == (B, C)
    world.wait(20)
    (launch,) = only(ef.Launch, world.submit("c"))
    assert launch.spec.pools == (B, C, A)


def test_the_only_pool_is_used_again_once_the_machine_is_gone() -> None:
    world, name, effects = noticed(options={"pools": (A,)})
    assert only(ef.Launch, effects) == []
    assert only(ef.Launch, world.ending(name, EndReason.INTERRUPTED)) == []
    (launch,) = only(ef.Launch, world.gone(name, EndReason.INTERRUPTED))
    assert launch.spec.pools == (A,)


def test_an_on_demand_pool_is_not_avoided_for_an_interruption() -> None:
    world, name, effects = noticed(options={"pools": (A,), "market": "spot-first"})
    (launch,) = only(ef.Launch, effects)
    assert launch.spec.market.value == "on-demand"
    assert world.state(name) is InstanceState.INTERRUPTED


def test_an_empty_noticed_machine_is_left_for_ec2_in_its_first_hour() -> None:
    world, names = working("a", "b")
    world.complete(names[0])
    assert only(ef.Terminate, world.notice(names[0])) == []
    assert only(ef.Terminate, world.wait(120 + 119)) == []
    assert [end.instance for end in only(ef.Terminate, world.wait(2))] == [names[0]]


def test_an_empty_noticed_machine_after_its_first_hour_is_ended() -> None:
    world, names = working("a", "b", options={"idle_s": 9999})
    world.wait(3600)
    world.complete(names[0])
    assert [end.instance for end in only(ef.Terminate, world.notice(names[0]))] == [names[0]]


def test_an_empty_noticed_machine_is_ended_with_the_run() -> None:
    world, name, _ = noticed()
    world.complete(name)
    (new,) = world.answer()
    effects = world.send(ev.SubmissionClosed)
    assert [end.instance for end in only(ef.Terminate, effects)] == [new]
    effects = world.accepted("a")
    assert [end.instance for end in only(ef.Terminate, effects)] == [name]
    world.gone(name)
    world.gone(new)
    assert world.run.phase is RunPhase.ENDED


def test_an_unusable_machine_that_is_noticed_is_left() -> None:
    world, names = working("a", "b")
    world.complete(names[0])
    world.notice(names[0])
    assert only(ef.Terminate, world.send(ev.InstanceUnusable, instance=names[0], reason="wrong host key")) == []


def test_a_noticed_machine_takes_no_work() -> None:
    world, names = working("a", "b")
    world.complete(names[0])
    world.notice(names[0])
    effects = world.submit("c")
    assert only(ef.StartAttempt, effects) == []
    assert len(only(ef.Launch, effects)) == 1


def test_checkpoints_come_home_by_the_users_interval_one_at_a_time() -> None:
    world, (name,) = working("a", checkpoint=CKPT, checkpoint_every_s=30)
    assert only(ef.SaveCheckpoint, world.wait(29)) == []
    assert [save.serial for save in only(ef.SaveCheckpoint, world.wait(1))] == [1]
    assert only(ef.SaveCheckpoint, world.wait(120)) == []
    world.saved(name, 1)
    assert [save.serial for save in only(ef.SaveCheckpoint, world.wait(0))] == [2]
    world.missed(name, 2)
    assert [save.serial for save in only(ef.SaveCheckpoint, world.wait(30))] == [3]
    (told,) = news(nw.CheckpointSaved, world.log)
    assert (told.job, told.attempt, told.files, told.size) == ("a", 1, 1, 10)


def test_a_notice_during_a_save_does_not_start_another() -> None:
    world, (name,) = working("a", checkpoint=CKPT, checkpoint_every_s=30)
    world.wait(30)
    assert only(ef.SaveCheckpoint, world.notice(name)) == []


def test_an_interval_without_checkpoint_paths_saves_nothing() -> None:
    world, _ = working("a", checkpoint_every_s=30)
    assert only(ef.SaveCheckpoint, world.wait(120)) == []


def test_nothing_is_saved_once_the_script_has_ended() -> None:
    world, (name,) = working("a", checkpoint=CKPT, checkpoint_every_s=30)
    world.exited(name)
    assert only(ef.SaveCheckpoint, world.wait(120)) == []


def test_a_checkpoint_under_way_does_not_disturb_a_script_that_ended() -> None:
    world, (name,) = working("a", checkpoint=CKPT, checkpoint_every_s=30)
    world.wait(30)
    world.exited(name)
    world.saved(name, 1)
    world.collected(name)
    assert world.job("a").verdict is JobStatus.SUCCEEDED
