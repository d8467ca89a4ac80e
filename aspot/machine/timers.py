"""Everything that falls due by itself: one list says both when to wake up and what to do then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from aspot.machine import checkpoints
from aspot.machine.change import Change
from aspot.machine.demand import Census, census
from aspot.machine.launches import repeat, starve
from aspot.machine.model import AttemptState, InstanceRecord, InstanceState, Run, RunPhase, StopWhy
from aspot.machine.moves import end_instance
from aspot.machine.placement import next_chance
from aspot.machine.schedule import idle_until, is_left, leave_until
from aspot.machine.stopping import budget_time, force, pass_deadline, run_deadline, watch_budget

Timer = tuple[datetime, Callable[[Change], None]]

CANCEL_PATIENCE_S = 60.0
"""A machine whose attempt was told to stop and says nothing for so long is ended."""


def timers(run: Run) -> Iterator[Timer]:
    """Yield when something falls due, and what is to be done then."""
    if run.phase in (RunPhase.PREPARING, RunPhase.ENDED):
        return
    yield from _run_timers(run)
    yield from _request_timers(run)
    seen = census(run)
    yield from _capacity_timers(run, seen)
    for name in run.live:
        yield from _instance_timers(run, run.instances[name], seen)


def _run_timers(run: Run) -> Iterator[Timer]:
    if run.stop is not None and any(run.instances[name].attempt for name in run.live):
        yield run.stop.force_at, force
    for when, act in ((run_deadline(run), pass_deadline), (budget_time(run), watch_budget)):
        if when is not None:
            yield when, act


def _request_timers(run: Run) -> Iterator[Timer]:
    for name in run.asked:
        when = run.requests[name].retry_at
        if when is not None:
            yield when, partial(repeat, name=name)


def _capacity_timers(run: Run, seen: Census) -> Iterator[Timer]:
    for name in run.starved:
        since = run.jobs[name].waiting_since
        if since is not None:
            yield since + timedelta(seconds=run.spec.capacity_timeout_s), partial(starve, name=name)
    if run.stop is None and seen.unmet > seen.pending:
        for when in (run.launch_after, next_chance(run)):
            if when is not None and when > run.now:
                yield when, Change.plan


def _instance_timers(run: Run, instance: InstanceRecord, seen: Census) -> Iterator[Timer]:
    if instance.state is InstanceState.SSH_READY and (seen.spare or instance.link_lost):
        yield idle_until(run, instance), partial(_end_idle, name=instance.id)
    elif is_left(instance):
        yield leave_until(run, instance), Change.plan
    elif instance.attempt is not None and instance.state is not InstanceState.TERMINATING:
        yield from _attempt_timers(run, instance, instance.attempt[0])


def _attempt_timers(run: Run, instance: InstanceRecord, job_name: str) -> Iterator[Timer]:
    job = run.jobs[job_name]
    attempt = job.attempts[-1]
    due = checkpoints.next_sync(job, attempt)
    if due is not None and run.stop is None:
        yield due, partial(checkpoints.sync, job_name=job_name, deadline=None)
    is_working = attempt.state in (AttemptState.STARTING, AttemptState.RUNNING)
    if instance.notice is not None and is_working and job.spec.checkpoint:
        yield checkpoints.stop_time(instance.notice), partial(checkpoints.hand_over, instance=instance)
    if attempt.stop_why is StopWhy.CANCEL and attempt.state is AttemptState.STOPPING and attempt.stop_asked:
        why = "its attempt was told to stop and does not answer"
        when = attempt.stop_asked + timedelta(seconds=CANCEL_PATIENCE_S)
        yield when, partial(end_instance, name=instance.id, why=why)


def _end_idle(change: Change, name: str) -> None:
    if change.run.instances[name].link_lost is not None:
        end_instance(change, name, "idle, and not reachable")
    change.plan()
