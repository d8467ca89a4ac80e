"""Taking a run up again: patience starts anew, and nobody is connected; and what is left when a client leaves."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine.farewell import farewell, farewell_lines, is_settled
from aspot.machine.model import AttemptState, Collected, EndReason, ExitStatus, JobSpec, JobStatus, Outcome
from aspot.machine.outstanding import outstanding
from aspot.machine.pool import Market, Refusal, RefusalKind
from tests.machine.world import PRICES, START, A, World, only, working


def later(world: World, **time: float) -> list[ef.Effect]:
    """Let time pass without anybody there, then attach."""
    world.now += timedelta(**time)
    return world.send(ev.RunAttached)


def test_a_job_that_waits_for_capacity_waits_its_whole_time_again() -> None:
    world = World(capacity_timeout_s=600)
    world.prepare()
    world.submit("a")
    refusals = tuple(Refusal(kind=RefusalKind.NO_CAPACITY, code="x", pool=pool) for pool in world.pools)
    world.answer("r1", launched=[], refusals=refusals)
    assert world.run.starved == ("a",)
    later(world, hours=3)
    assert world.run.jobs["a"].waiting_since == world.now
    world.wait(500)
    assert world.run.jobs["a"].verdict is None
    world.wait(200)
    assert world.run.jobs["a"].verdict is JobStatus.LOST


def test_nobody_is_connected_until_the_connection_is_back() -> None:
    world, (name,) = working("a")
    later(world, minutes=5)
    assert world.run.instances[name].link_lost == world.now
    world.send(ev.LinkRestored, instance=name, boot_id="b")
    assert world.run.instances[name].link_lost is None


def test_a_machine_that_was_idle_may_be_idle_again() -> None:
    world, (name,) = working("a", options={"idle_s": 60})
    world.complete(name)
    assert world.run.instances[name].idle_since is not None
    effects = later(world, hours=1)
    assert world.run.instances[name].idle_since == world.now
    assert only(ef.Terminate, effects) == []


def test_an_attempt_that_was_told_to_stop_has_its_time_again() -> None:
    world, (name,) = working("a")
    world.send(ev.JobsCancelled, jobs=("a",))
    effects = later(world, hours=1)
    assert only(ef.Terminate, effects) == []
    assert world.run.jobs["a"].attempts[-1].stop_asked == world.now
    assert [type(effect) for effect in outstanding(world.run)] == [ef.Connect, ef.StopAttempt]
    assert name in world.run.live


def test_a_run_that_was_being_stopped_has_its_time_again() -> None:
    world, _ = working("a")
    world.send(ev.RunStopped, reason="ctrl-c")
    later(world, hours=1)
    assert world.run.stop.force_at == world.now + timedelta(seconds=20)
    assert world.run.jobs["a"].attempts[-1].state is AttemptState.STOPPING


def test_machines_on_their_way_or_ending_are_left_as_they_are() -> None:
    world, (name,) = working("a")
    world.ending(name)
    before = world.run.instances[name]
    later(world, minutes=1)
    assert world.run.instances[name].link_lost == before.link_lost is None


def test_a_farewell_names_machines_time_and_money() -> None:
    world, (name,) = working("a", options={"max_life_s": 7200, "hold_s": 1800})
    running = world.run.instances[name].running
    seen = farewell(world.run)
    assert (seen.machines, seen.waiting) == (1, 0)
    assert seen.until == running + timedelta(hours=2)
    assert seen.usd_per_hour == pytest.approx(PRICES[A], rel=0.3)
    assert seen.most_usd == pytest.approx(2 * seen.usd_per_hour, rel=0.05)
    text = "\n".join(farewell_lines(world.run))
    assert "1 machine, $" in text
    assert "for 30 min" in text
    assert "aspot attach f " in text
    assert "waits" not in text


def test_a_farewell_says_who_waits() -> None:
    world, _ = working("a", "b", "c", options={"limit": 1})
    assert "2 jobs wait for a free machine" in "\n".join(farewell_lines(world.run))
    world, _ = working("a", "b", options={"limit": 1})
    assert "1 job waits" in "\n".join(farewell_lines(world.run))


def test_a_farewell_to_nothing() -> None:
    world = World()
    seen = farewell(world.run)
    assert (seen.machines, seen.until, seen.most_usd) == (0, None, 0.0)
    assert "0 machines" in next(farewell_lines(world.run))


def test_leaving_delays_nothing_once_all_run_or_all_machines_are_busy() -> None:
    world = World(limit=1)
    world.prepare()
    assert is_settled(world.run)  # nothing to do
    assert "Each ends itself" not in "\n".join(farewell_lines(world.run))
    world.submit("a", "b")
    assert not is_settled(world.run)  # a launch is under way
    (name,) = world.answer()
    assert not is_settled(world.run)  # it boots
    world.boot(name)
    assert not is_settled(world.run)  # the start is not confirmed
    world.started(name)
    assert is_settled(world.run)  # b waits for a machine, and there may be no more
    world.send(ev.LimitChanged, limit=2)
    assert not is_settled(world.run)
    world.send(ev.RunStopped, reason="x")
    assert not is_settled(world.run)
    assert world.now >= START


# --- a run whose journal is lost ---


def rebuilt(attempt: int = 1, **job: object) -> tuple[World, str]:
    """A run that is what a machine told of it: one job, its newest attempt there."""
    world = World(is_rebuilt=True)
    world.prepare()
    world.send(ev.InstanceFound, instance="i-1", request="r9", pool=A, market=Market.SPOT)
    world.send(ev.InstanceRan, instance="i-1", address="127.0.0.1", port=22, launched=world.now)
    world.send(ev.InstanceReady, instance="i-1", boot_id="b")
    spec = JobSpec(name="a", script="a", interruptions=attempt, **job)
    world.send(ev.AttemptFound, instance="i-1", job=spec, attempt=attempt)
    world.send(ev.SubmissionClosed)
    return world, "i-1"


def test_an_attempt_that_was_found_goes_on_and_counts_those_before_it() -> None:
    world, name = rebuilt(3)
    job = world.run.jobs["a"]
    assert [item.outcome for item in job.attempts] == [Outcome.INTERRUPTED, Outcome.INTERRUPTED, None]
    assert job.live is not None
    assert job.live.state is AttemptState.RUNNING
    assert outstanding(world.run)[1:] == (ef.FollowAttempt(instance=name, job="a", attempt=3),)
    world.complete(name)
    assert world.run.jobs["a"].verdict is JobStatus.SUCCEEDED


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (
            lambda world, name: world.send(ev.AttemptVanished, instance=name, job="a", attempt=1, reason="rebooted"),
            "rebooted",
        ),
        (
            lambda world, name: world.send(ev.InstanceEnded, instance=name, reason=EndReason.INTERRUPTED),
            "interrupted once",
        ),
    ],
)
def test_what_was_found_cannot_start_again(end, said) -> None:
    world, name = rebuilt()
    end(world, name)
    job = world.run.jobs["a"]
    assert job.verdict is JobStatus.LOST
    assert job.reason == f"{said}; it cannot start again, for its files are not known any more"
    assert world.run.requests == {}


def test_a_notice_launches_nothing_for_what_was_found() -> None:
    world, name = rebuilt(2, checkpoint=("ckpt",))
    effects = world.send(
        ev.NoticeReceived, instance=name, deadline=world.now + timedelta(seconds=120), channel="runner"
    )
    assert only(ef.Launch, effects) == []
    assert len(only(ef.SaveCheckpoint, effects)) == 1
    assert world.run.requests == {}


def test_what_an_earlier_client_cancelled_stays_cancelled() -> None:
    world, name = rebuilt()
    status = ExitStatus(code=143, why="cancel", ended=world.now, out=0, err=0, boot_id="b")
    world.send(ev.AttemptExited, instance=name, job="a", attempt=1, exit=status)
    world.send(ev.ResultCollected, instance=name, job="a", attempt=1, collected=Collected())
    assert world.run.jobs["a"].verdict is JobStatus.CANCELLED
