"""Who works where: waiting jobs onto idle machines, attempts off machines that go away, machines nobody needs ended."""

from __future__ import annotations

from datetime import datetime, timedelta

from aspot.errors import InternalError
from aspot.machine import checkpoints
from aspot.machine import events as ev
from aspot.machine.attempts import STOP_GRACE_S, ask_to_stop
from aspot.machine.change import Change
from aspot.machine.demand import Census, census, excess
from aspot.machine.endings import finish
from aspot.machine.launches import ask
from aspot.machine.model import InstanceRecord, InstanceState, JobRecord, JobStatus, Run, RunPhase, StopWhy
from aspot.machine.money import FREE_S
from aspot.machine.moves import end_instance, start_attempt

RECLAIM_S = 120.0
"""A noticed machine that EC2 has not taken back so long after its deadline is ended by us."""


def plan(change: Change) -> None:
    """Look at who works where, and set right what should be otherwise."""
    if change.run.phase is RunPhase.PREPARING:
        return
    if change.run.stop is None:
        _assign(change)
        _retire(change)
        _hand_over(change)
        ask(change, census(change.run))
    _shed(change)


def submit(change: Change, event: ev.JobsSubmitted) -> None:
    """Let jobs wait for machines; once the run is stopping they get its verdict."""
    for spec in event.jobs:
        if spec.name in change.run.jobs:
            raise InternalError(f"job {spec.name} was submitted twice")
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
        ask_to_stop(change, name, StopWhy.CANCEL, grace_s=STOP_GRACE_S)
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
    """Return until when an empty, noticed machine is left for EC2 to take: its first hour is free then (AWS.md 7).

    One whose files are still on their way home is left for that.
    """
    assert instance.notice is not None
    if run.spec.is_box and run.stop is None:  # whoever uses it has all the time there is
        return instance.notice.deadline + timedelta(seconds=RECLAIM_S)
    running = instance.running or instance.notice.deadline
    is_free = instance.notice.deadline - running < timedelta(seconds=FREE_S)
    is_wanted = run.stop is None and run.unfinished > 0
    if is_free and is_wanted:
        return instance.notice.deadline + timedelta(seconds=RECLAIM_S)
    return instance.evacuating_until if is_wanted and instance.evacuating_until else run.now


def _assign(change: Change) -> None:
    run = change.run
    if not run.queued or not run.idle:
        return
    linked = [run.instances[name] for name in run.idle if run.instances[name].link_lost is None]
    linked.sort(key=lambda instance: instance.rebalance is not None)
    usable = len(linked) - excess(run)
    for instance, job in list(zip(linked[: max(0, usable)], run.queued, strict=False)):
        start_attempt(change, job, instance.id)


def _hand_over(change: Change) -> None:
    """Stop attempts on machines that go away, as many as there are idle machines for them."""
    if not change.run.idle or not (change.run.leaving or change.run.advised):
        return
    seen = census(change.run)
    free = sum(change.run.instances[name].link_lost is None for name in seen.idle) - seen.queued
    free -= sum(not checkpoints.can_hand_over(change.run, name) for name in seen.moving)
    for name in seen.moving:
        instance = change.run.instances[change.run.jobs[name].attempts[-1].instance]
        is_there = instance.state in (InstanceState.INTERRUPTED, InstanceState.JOB)
        if free > 0 and is_there and checkpoints.can_hand_over(change.run, name):
            checkpoints.hand_over(change, instance)
            free -= 1


def _retire(change: Change) -> None:
    """By policy, end machines that EC2 recommended to leave, once nothing runs or waits for them."""
    if change.run.spec.moves_when_advised:
        for name in change.run.advised:
            if change.run.instances[name].attempt is None:
                end_instance(change, name, "EC2 recommended to leave it, and nothing runs on it")


def _shed(change: Change) -> None:
    """End machines that nobody needs."""
    seen = census(change.run)
    for name in (*seen.idle, *reversed(seen.starting))[: seen.excess]:
        end_instance(change, name, "more machines than the limit")
    for name in _spare(change.run, census(change.run) if seen.excess else seen):
        end_instance(change, name, "no work for it")
    for name in change.run.leaving:
        instance = change.run.instances[name]
        if is_left(instance) and leave_until(change.run, instance) <= change.now:
            end_instance(change, name, "EC2 announced to take it back, and nothing runs on it")


def is_left(instance: InstanceRecord) -> bool:
    """Tell whether the machine is noticed and empty."""
    return instance.state is InstanceState.INTERRUPTED and instance.attempt is None


def _spare(run: Run, seen: Census) -> tuple[str, ...]:
    if run.phase is not RunPhase.OPEN:
        return (*seen.idle, *reversed(seen.starting))[: seen.spare]
    return tuple(name for name in seen.idle if idle_until(run, run.instances[name]) <= run.now)[: seen.spare]


def idle_until(run: Run, instance: InstanceRecord) -> datetime:
    """Return until when an idle machine may wait for work."""
    return (instance.idle_since or run.now) + timedelta(seconds=run.spec.idle_s)
