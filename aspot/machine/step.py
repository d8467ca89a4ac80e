"""The pure step: a run and an event in, the next run and what to do out.

It reads no clock, draws no random number and logs nothing, so the same events always make the same run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

import attrs

from aspot.errors import InternalError
from aspot.machine import events as ev
from aspot.machine import launches
from aspot.machine.attaching import attached
from aspot.machine.attempts import attempt_event
from aspot.machine.change import Change
from aspot.machine.effects import Effect
from aspot.machine.instances import found, instance_event
from aspot.machine.model import JobStatus, Run, RunPhase, RunSpec
from aspot.machine.money import budget_bound, reprice
from aspot.machine.schedule import accept, cancel, plan, submit
from aspot.machine.stopping import stop
from aspot.machine.timers import timers


def start_run(spec: RunSpec, at: datetime) -> Run:
    """Return a run at its beginning; launches begin with `RunPrepared`.

    Args:
        spec: What the user asked for.
        at: Now; aware UTC.
    """
    return Run(spec=spec, now=at, started=at)


def step(run: Run, event: ev.Event) -> tuple[Run, tuple[Effect, ...]]:
    """Return the run after the event, and the effects to carry out, in order.

    Args:
        run: The run so far; left as it is.
        event: What happened.

    Raises:
        InternalError: If the event cannot have happened (`IllegalTransition`, with the story of its instance).
    """
    change = Change(run, event.at)
    _take_in(change, event)
    rounds = 0
    while change.is_plan_due:
        change.is_plan_due = False
        plan(change)
        rounds += 1
        assert rounds < 10, "the plan does not settle"
    _close_books(change)
    return change.run, tuple(change.effects)


def wakeup(run: Run) -> datetime | None:
    """Return when the next `Ticked` is due; None if nothing falls due by itself. May lie in the past: then at once."""
    return min((when for when, _ in timers(run)), default=None)


def is_over(run: Run) -> bool:
    """Tell whether no more jobs come, all are final, and every machine is gone (or kept by EC2 against our will)."""
    if run.phase not in (RunPhase.CLOSED, RunPhase.STOPPING, RunPhase.ENDED) or run.unfinished or run.asked:
        return False
    return all(run.instances[name].kept for name in run.live)


def _take_in(change: Change, event: ev.Event) -> None:
    if isinstance(event, ev.InstanceEvent) and not isinstance(event, ev.InstanceFound):
        _know(change, event.instance)
        if isinstance(event, ev.AttemptEvent):
            attempt_event(change, event)
        else:
            instance_event(change, event)
    else:
        _HANDLERS.get(type(event), _unknown)(change, event)


def _unknown(_change: Change, event: ev.Event) -> None:
    raise InternalError(f"the machine does not know the event {type(event).__name__}")


def _know(change: Change, instance: str) -> None:
    if instance not in change.run.instances:
        raise InternalError(f"nobody told of instance {instance}")


def _tick(change: Change, _event: ev.Ticked) -> None:
    for when, act in list(timers(change.before)):
        if when <= change.now:
            act(change)


def _prepared(change: Change, event: ev.RunPrepared) -> None:
    change.set(
        pools=event.pools,
        spot_usd_per_hour=event.spot_usd_per_hour,
        on_demand_usd_per_hour=event.on_demand_usd_per_hour,
        user=event.user,
    )
    reprice(change)
    if change.run.phase is RunPhase.PREPARING:
        change.set(phase=RunPhase.CLOSED if change.run.is_submission_closed else RunPhase.OPEN)
    change.plan()


def _prices_seen(change: Change, event: ev.PricesSeen) -> None:
    change.set(spot_usd_per_hour={**change.run.spot_usd_per_hour, **event.spot_usd_per_hour})
    reprice(change)
    change.plan()


def _limit_changed(change: Change, event: ev.LimitChanged) -> None:
    change.set(spec=attrs.evolve(change.run.spec, limit=event.limit))
    change.plan()


def _cancelled(change: Change, event: ev.JobsCancelled) -> None:
    for name in event.jobs:
        cancel(change, name)


def _stopped(change: Change, event: ev.RunStopped) -> None:
    stop(change, event.reason, verdict=JobStatus.CANCELLED)


def _prepare_failed(change: Change, event: ev.PrepareFailed) -> None:
    stop(change, event.reason, verdict=JobStatus.LOST)


def _close_submission(change: Change, _event: ev.SubmissionClosed) -> None:
    change.set(is_submission_closed=True)
    if change.run.phase is RunPhase.OPEN:
        change.set(phase=RunPhase.CLOSED)
        change.plan()


_HANDLERS: Mapping[type[ev.Event], Callable[[Change, Any], None]] = {
    ev.RunPrepared: _prepared,
    ev.PrepareFailed: _prepare_failed,
    ev.JobsSubmitted: submit,
    ev.SubmissionClosed: _close_submission,
    ev.JobsCancelled: _cancelled,
    ev.RunStopped: _stopped,
    ev.LimitChanged: _limit_changed,
    ev.PricesSeen: _prices_seen,
    ev.RunAttached: attached,
    ev.Ticked: _tick,
    ev.LaunchAnswered: launches.answered,
    ev.LaunchInDoubt: launches.in_doubt,
    ev.InstanceFound: found,
    ev.ResultAccepted: accept,
}


def _close_books(change: Change) -> None:
    """See how long the budget lasts; end the run, or open it again for a machine that shows up late."""
    if change.is_budget_due and change.run.stop is None:
        change.set(budget_at=budget_bound(change.run))
    over = is_over(change.run)
    if over and change.run.phase is not RunPhase.ENDED:
        change.set(phase=RunPhase.ENDED)
    elif not over and change.run.phase is RunPhase.ENDED:
        change.set(phase=RunPhase.CLOSED if change.run.stop is None else RunPhase.STOPPING)
        change.plan()
