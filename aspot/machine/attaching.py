"""Taking a run up again: patience that ran out while nobody was there to wait counts from now."""

from __future__ import annotations

from datetime import timedelta

import attrs

from aspot.machine import events as ev
from aspot.machine.change import Change
from aspot.machine.model import AttemptState, InstanceRecord, LaunchState
from aspot.machine.stopping import PATIENCE_S


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
    if instance.ready is not None and instance.ending is None:
        change.instance(instance.id, link_lost=instance.link_lost or change.now)
    if instance.idle_since is not None:
        change.instance(instance.id, idle_since=change.now)
    if instance.attempt is not None:
        job = instance.attempt[0]
        if change.run.jobs[job].attempts[-1].state is AttemptState.STOPPING:
            change.attempt(job, stop_asked=change.now)
