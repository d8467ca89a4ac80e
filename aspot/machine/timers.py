"""Everything that falls due by itself: one list says both when to wake up and what to do then."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from functools import partial

from aspot.machine import checkpoints
from aspot.machine.attempts import STOP_PATIENCE_S
from aspot.machine.change import Change
from aspot.machine.demand import census
from aspot.machine.keeping import due, give_up
from aspot.machine.launches import repeat
from aspot.machine.model import AttemptState, InstanceRecord, InstanceState, Run, RunPhase
from aspot.machine.moves import end_instance
from aspot.machine.placement import next_chance
from aspot.machine.refusals import starve, starve_box
from aspot.machine.schedule import idle_until, is_left, leave_until
from aspot.machine.stopping import force, pass_deadline, run_deadline, watch_budget

Timer = tuple[datetime, Callable[[Change], None]]


def timers(run: Run) -> Iterator[Timer]:
    """Yield when something falls due, and what is to be done then."""
    if run.phase in (RunPhase.PREPARING, RunPhase.ENDED):
        return
    yield from _run_timers(run)
    yield from _request_timers(run)
    seen = census(run)
    if run.stop is None and seen.unmet > seen.pending:
        yield from ((when, Change.plan) for when in (run.launch_after, next_chance(run)) if when and when > run.now)
    spare = seen.spare
    for name in run.idle:
        instance = run.instances[name]
        if spare or (instance.link_lost and not run.spec.is_box):
            yield idle_until(run, instance), partial(_end_idle, name=name)
    for name in run.kept:
        yield due(run.instances[name]), partial(give_up, name=name)
    for name in run.leaving:
        yield from _leaving_timers(run, run.instances[name])


def _run_timers(run: Run) -> Iterator[Timer]:
    if run.stop is not None and any(run.instances[name].attempt for name in run.live):
        yield run.stop.force_at, force
    if run.spec.is_box and run.bare_since is not None and run.stop is None:
        yield run.bare_since + timedelta(seconds=run.spec.capacity_timeout_s), starve_box
    named = ((run.look_at, _look), (run_deadline(run), pass_deadline), (run.budget_at, watch_budget))
    yield from ((when, act) for when, act in named if when is not None)


def _request_timers(run: Run) -> Iterator[Timer]:
    for name in run.asked:
        when = run.requests[name].retry_at
        if when is not None:
            yield when, partial(repeat, name=name)


def _leaving_timers(run: Run, instance: InstanceRecord) -> Iterator[Timer]:
    if is_left(instance):
        yield leave_until(run, instance), Change.plan
    elif instance.state is InstanceState.INTERRUPTED and instance.notice and instance.attempt:
        name = instance.attempt[0]
        if run.jobs[name].spec.checkpoint and checkpoints.is_working(run, name):
            yield checkpoints.stop_time(instance.notice), partial(checkpoints.hand_over, instance=instance)


def _look(change: Change) -> None:
    """Do what is due for attempts and waiting jobs, and note when the next of them may be."""
    due = list(_looked_at(change.run))
    for when, act in due:
        if when <= change.now:
            act(change)
    change.set(look_at=min((when for when, _ in _looked_at(change.run)), default=None))


def _looked_at(run: Run) -> Iterator[Timer]:
    for name in run.starved:
        since = run.jobs[name].waiting_since
        assert since is not None
        yield since + timedelta(seconds=run.spec.capacity_timeout_s), partial(starve, name=name)
    for name in run.live:
        instance = run.instances[name]
        if instance.attempt is not None and instance.state is not InstanceState.TERMINATING:
            yield from _attempt_timers(run, instance, instance.attempt[0])


def _attempt_timers(run: Run, instance: InstanceRecord, job_name: str) -> Iterator[Timer]:
    if run.stop is not None:
        return
    job = run.jobs[job_name]
    attempt = job.attempts[-1]
    due = checkpoints.next_sync(job, attempt)
    if due is not None:
        yield due, partial(checkpoints.sync, job_name=job_name, deadline=None)
    if attempt.stop_asked is not None and attempt.state is AttemptState.STOPPING and instance.notice is None:
        when = attempt.stop_asked + timedelta(seconds=STOP_PATIENCE_S)
        yield when, partial(end_instance, name=instance.id, why="its attempt was told to stop and does not answer")


def _end_idle(change: Change, name: str) -> None:
    if change.run.instances[name].link_lost is not None:
        end_instance(change, name, "idle, and not reachable")
    change.plan()
