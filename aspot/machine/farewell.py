"""Leaving a run to its machines: when that loses nothing, how long each may live, and what they may cost."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import attrs

from aspot.machine.client import Client
from aspot.machine.keeping import life_end
from aspot.machine.model import AttemptState, InstanceRecord, Run
from aspot.machine.money import cost_now, instance_rate
from aspot.machine.quantities import price, short_duration

_BUSY = (AttemptState.RUNNING, AttemptState.COLLECTING)


@attrs.frozen(kw_only=True)
class Farewell:
    """What is left to itself.

    Args:
        machines: How many instances go on.
        waiting: How many jobs wait for a client to start them.
        usd_per_hour: What the machines cost while they run.
        until: When the last machine ends itself at the latest; None without machines.
        most_usd: What the run can have cost by then, at the newest prices.
    """

    machines: int
    waiting: int
    usd_per_hour: float
    until: datetime | None
    most_usd: float


def farewell(run: Run) -> Farewell:
    """Return what is left to itself when the client leaves now."""
    alive = [run.instances[name] for name in run.live if run.instances[name].ending is None]
    rates = {item.id: instance_rate(run, item) for item in alive}
    more_usd = sum(rates[item.id] * _life_left(run, item).total_seconds() / 3600 for item in alive)
    return Farewell(
        machines=len(alive),
        waiting=len(run.queued),
        usd_per_hour=sum(rates.values()),
        until=max((run.now + _life_left(run, item) for item in alive), default=None),
        most_usd=cost_now(run) + more_usd,
    )


def _life_left(run: Run, instance: InstanceRecord) -> timedelta:
    """Return how long the machine may still live: its lease ends it `max_life` after its boot, whatever happens."""
    end = instance.keep.until if instance.keep is not None else life_end(run, instance)
    return max(timedelta(0), end - run.now)


def farewell_lines(run: Run) -> Iterator[str]:
    """Yield what a user reads who leaves a run: what goes on, until when and at what cost at most, and the way back."""
    seen, name = farewell(run), run.spec.name
    machines = f"{seen.machines} {'machine' if seen.machines == 1 else 'machines'}"
    yield f"{name} goes on without this process: {machines}, {price(seen.usd_per_hour)}/h."
    if seen.until is not None:
        ends = f"{seen.until.astimezone():%Y-%m-%d %H:%M}"
        yield (
            f"Each ends itself when nobody comes back: by {ends} at the latest, with {price(seen.most_usd)} "
            f"spent at most; results wait on their machine for {short_duration(run.spec.hold_s)}."
        )
    if seen.waiting:
        jobs = f"{seen.waiting} {'job waits' if seen.waiting == 1 else 'jobs wait'}"
        yield f"{jobs} for a free machine, and for somebody to come back: no new one starts until then."
    yield f"Take it up again: aspot attach {name}    End it: aspot down {name}"


def taken_lines(name: str, client: Client) -> Iterator[str]:
    """Yield what a user reads whose run another client has taken over.

    Args:
        name: The fleet's name.
        client: Who has.
    """
    since = f"{client.since.astimezone():%Y-%m-%d %H:%M:%S}"
    yield f"{name} was taken over by {client} at {since}: nothing more is done here."
    yield f"See how it goes: aspot status {name}    Take it back: aspot attach {name} --take-over"


def is_settled(run: Run) -> bool:
    """Tell whether leaving now delays nothing: what can run does, and what cannot waits for machines that are busy."""
    if run.asked or run.starting or run.idle or run.stop is not None:
        return False
    attempts = (job.live for job in run.jobs.values())
    if any(attempt is not None and attempt.state not in _BUSY for attempt in attempts):
        return False
    return not run.queued or run.counted >= run.spec.limit
