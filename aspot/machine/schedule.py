"""Who works where: waiting jobs onto idle machines, attempts off machines that go away, machines nobody needs ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from aspot.machine import checkpoints
from aspot.machine import events as ev
from aspot.machine.attempts import ask_to_stop
from aspot.machine.change import Change
from aspot.machine.demand import Census, census
from aspot.machine.endings import finish
from aspot.machine.launches import ask
from aspot.machine.model import InstanceRecord, InstanceState, JobRecord, JobStatus, Run, RunPhase, StopWhy
from aspot.machine.money import FREE_S
from aspot.machine.moves import end_instance, start_attempt
from aspot.machine.stopping import watch_budget

CANCEL_GRACE_S = 10.0

RECLAIM_S = 120.0
"""A noticed machine that EC2 has not taken back so long after its deadline is ended by us."""


def plan(change: Change) -> None:
    """Look at who works where, and set right what should be otherwise."""
    if change.run.phase is RunPhase.PREPARING:
        return
    watch_budget(change)
    if change.run.stop is None:
        _assign(change)
        _hand_over(change)
        ask(change, census(change.run))
    _shed(change)


def submit(change: Change, event: ev.JobsSubmitted) -> None:
    """Let jobs wait for machines; once the run is stopping they get its verdict."""
    for spec in event.jobs:
        assert spec.name not in change.run.jobs, spec.name
        change.add_job(JobRecord(spec=spec, submitted=change.now, order=len(change.run.jobs)))
    if change.run.stop is None:
        change.set(queued=(*change.run.queued, *(spec.name for spec in event.jobs)))
        change.plan()
        return
    for spec in event.jobs:
        finish(change, spec.name, change.run.stop.verdict, change.run.stop.reason)


def cancel(change: Change, name: str) -> None:
    """Cancel a job: at once if it waits, by stopping its attempt if it runs; nothing if it is decided."""
    job = change.run.jobs[name]
    if job.verdict is not None or job.cancel_asked:
        return
    change.job(name, cancel_asked=True)
    if job.live is None:
        finish(change, name, JobStatus.CANCELLED, "cancelled")
    else:
        ask_to_stop(change, name, StopWhy.CANCEL, grace_s=CANCEL_GRACE_S)
    change.plan()


def accept(change: Change, event: ev.ResultAccepted) -> None:
    """A job's result is published: its verdict is final and never changes; harmless to repeat."""
    job = change.run.jobs[event.job]
    if job.status.is_final:
        return
    assert job.verdict is not None, event.job
    change.job(event.job, status=job.verdict, accepted=event.attempt)
    change.plan()


def leave_until(run: Run, instance: InstanceRecord) -> datetime:
    """Return until when an empty, noticed machine is left for EC2 to take: its first hour is free then (AWS.md 7)."""
    assert instance.notice is not None
    running = instance.running or instance.notice.deadline
    is_free = instance.notice.deadline - running < timedelta(seconds=FREE_S)
    is_wanted = run.stop is None and run.unfinished > 0
    return instance.notice.deadline + timedelta(seconds=RECLAIM_S) if is_free and is_wanted else run.now


def _assign(change: Change) -> None:
    if not change.run.queued:
        return
    seen = census(change.run)
    usable = [instance for instance in seen.idle if instance.link_lost is None]
    usable.sort(key=lambda instance: instance.rebalance is not None)
    for instance in usable[: len(usable) - seen.excess] if seen.excess else usable:
        if change.run.queued:
            start_attempt(change, change.run.queued[0], instance.id)


def _hand_over(change: Change) -> None:
    """Stop attempts on machines that go away, as many as there are idle machines for them."""
    seen = census(change.run)
    free = len(seen.idle) - len(change.run.queued)
    free -= sum(not checkpoints.can_hand_over(change.run.jobs[name]) for name in seen.moving)
    for name in change.run.live if free > 0 and seen.moving else ():
        instance = change.run.instances[name]
        if free > 0 and _is_leaving(instance) and checkpoints.can_hand_over(change.run.jobs[_job(instance)]):
            checkpoints.hand_over(change, instance)
            free -= 1


def _is_leaving(instance: InstanceRecord) -> bool:
    return instance.state is InstanceState.INTERRUPTED and instance.attempt is not None


def _job(instance: InstanceRecord) -> str:
    assert instance.attempt is not None
    return instance.attempt[0]


def _shed(change: Change) -> None:
    """End machines that nobody needs."""
    seen = census(change.run)
    for instance in (*seen.idle, *reversed(seen.starting))[: seen.excess]:
        end_instance(change, instance.id, "more machines than the limit")
    for instance in _spare(change.run, census(change.run)):
        end_instance(change, instance.id, "no work for it")
    for name in change.run.live:
        instance = change.run.instances[name]
        if is_left(instance) and leave_until(change.run, instance) <= change.now:
            end_instance(change, name, "EC2 announced to take it back, and nothing runs on it")


def is_left(instance: InstanceRecord) -> bool:
    """Tell whether the machine is noticed and empty."""
    return instance.state is InstanceState.INTERRUPTED and instance.attempt is None


def _spare(run: Run, seen: Census) -> tuple[InstanceRecord, ...]:
    if run.phase is not RunPhase.OPEN:
        return (*seen.idle, *reversed(seen.starting))[: seen.spare]
    return tuple(instance for instance in seen.idle if idle_until(run, instance) <= run.now)[: seen.spare]


def idle_until(run: Run, instance: InstanceRecord) -> datetime:
    """Return until when an idle machine may wait for work."""
    return (instance.idle_since or run.now) + timedelta(seconds=run.spec.idle_s)
