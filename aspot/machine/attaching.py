"""Taking a run up again: patience that ran out while nobody was there to wait counts from now.

And taking in what machines hold of a run whose journal is lost.
"""

from __future__ import annotations

from datetime import timedelta

import attrs

from aspot.machine import events as ev
from aspot.machine.change import Change
from aspot.machine.checkpoints import watch
from aspot.machine.model import AttemptRecord, AttemptState, InstanceRecord, JobRecord, JobStatus, LaunchState, Outcome
from aspot.machine.moves import assign
from aspot.machine.pool import Pool
from aspot.machine.stopping import PATIENCE_S

NOWHERE = Pool("", "")
"""Where an attempt was of which nothing is left."""


def attached(change: Change, _event: ev.RunAttached) -> None:
    """Let jobs, machines and a stop have the time again that they had when the last client left."""
    for name in change.run.asked:
        _doubt(change, name)
    for name in change.run.starved:
        change.job(name, waiting_since=change.now)
    if change.run.bare_since is not None:
        change.set(bare_since=change.now)
    for name in change.run.live:
        _greet(change, change.run.instances[name])
    stopped = change.run.stop
    if stopped is not None:
        force_at = max(stopped.force_at, change.now + timedelta(seconds=PATIENCE_S))
        change.set(stop=attrs.evolve(stopped, force_at=force_at))
    change.look(change.now)
    change.plan()


def _doubt(change: Change, name: str) -> None:
    """Take note that nobody heard the answer of a request under way, and looked for what one in doubt brought."""
    request = change.run.requests[name]
    if request.retry_at is None or request.state is LaunchState.IN_DOUBT:
        change.request(name, state=LaunchState.IN_DOUBT, sent=change.now)


def _greet(change: Change, instance: InstanceRecord) -> None:
    """Take note that nobody is connected to a machine, and that nobody waited for it."""
    if instance.keep is not None and not instance.is_kept:
        change.instance(instance.id, keep=attrs.evolve(instance.keep, since=change.now))
    elif instance.ready is not None and instance.ending is None and not instance.is_kept:
        change.instance(instance.id, link_lost=instance.link_lost or change.now)
    if instance.idle_since is not None:
        change.instance(instance.id, idle_since=change.now)
    if instance.attempt is not None:
        job = instance.attempt[0]
        if change.run.jobs[job].attempts[-1].state is AttemptState.STOPPING:
            change.attempt(job, stop_asked=change.now)


def attempt_found(change: Change, event: ev.AttemptFound) -> None:
    """Take in a job and its newest attempt; those before it were interrupted, as far as anybody can tell.

    What went on before is not known: its seconds count from now. What its machine cost since its launch is.
    """
    name, earlier = event.job.name, event.attempt - 1
    assert name not in change.run.jobs, name
    gone = [_gone(change, name, number) for number in range(1, event.attempt)]
    found = AttemptRecord(
        job=name,
        number=event.attempt,
        instance=event.instance,
        pool=change.run.instances[event.instance].pool,
        state=AttemptState.RUNNING,
        ordered=change.now,
        since=change.now,
        started=change.now,
    )
    record = JobRecord(
        spec=event.job,
        status=JobStatus.RUNNING,
        submitted=change.now,
        attempts=(*gone, found),
        interruptions=earlier,
        order=len(change.run.jobs),
    )
    change.add_job(record)
    assign(change, event.instance, name, event.attempt)
    watch(change, name)


def _gone(change: Change, name: str, number: int) -> AttemptRecord:
    return AttemptRecord(
        job=name,
        number=number,
        instance="",
        pool=NOWHERE,
        state=AttemptState.ENDED,
        ordered=change.now,
        since=change.now,
        ended=change.now,
        outcome=Outcome.INTERRUPTED,
        ended_by="its machine is gone, and with it what is known of this attempt",
    )
