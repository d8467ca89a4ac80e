"""What EC2's listings say that is new: sightings in, events out. Pure: time comes in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

import attrs

from aspot.machine.events import (
    Event,
    InstanceEnded,
    InstanceEnding,
    InstanceFound,
    InstanceRan,
    InstanceUnusable,
    NoticeReceived,
)
from aspot.machine.model import EndReason, LaunchState, Run
from aspot.ports import Sighting

SETTLE_S = 120.0
"""EC2's listings may lag this far behind: an instance that they do not show is not gone before that (FAULTS 9, A11)."""

SETTLE_LISTINGS = 3
"""And it must be missing in at least so many listings in a row."""

PENDING_MOST_S = 600.0
"""EC2 starts a machine, or gives up, long before this; one that stays pending is replaced."""

_ORDER = {"": 0, "pending": 0, "running": 1, "shutting-down": 2, "stopping": 2, "terminated": 3, "stopped": 3}


@attrs.define
class _Seen:
    """What was already told about an instance."""

    told: int = 0  # the furthest of `_ORDER` that became an event
    is_noticed: bool = False
    missing_since: float | None = None
    missing: int = 0
    pending_since: float | None = None
    is_overdue: bool = False


@attrs.define
class Changes:
    """Remembers what was told, so that each change becomes one event."""

    _seen: dict[str, _Seen] = attrs.field(init=False, factory=dict)

    def compare(self, sightings: Sequence[Sighting], run: Run, *, at: datetime, elapsed_s: float) -> list[Event]:
        """Return the events that a listing brings.

        Args:
            sightings: The whole listing.
            run: The run as the main loop knows it.
            at: The time, for the events.
            elapsed_s: The same by a clock that only goes forward.
        """
        events = [event for sighting in sightings for event in self._of(sighting, run, at, elapsed_s)]
        shown = {sighting.instance for sighting in sightings}
        return [*events, *self._of_missing(shown, run, at, elapsed_s)]

    def _of(self, sighting: Sighting, run: Run, at: datetime, elapsed_s: float) -> Iterator[Event]:
        seen = self._seen.get(sighting.instance)
        if seen is None:
            if _answer_is_coming(sighting, run):
                return
            seen = self._seen[sighting.instance] = _Seen()
            if sighting.instance not in run.instances:
                yield InstanceFound(
                    at=at,
                    instance=sighting.instance,
                    request=sighting.request,
                    pool=sighting.pool,
                    market=sighting.market,
                )
        seen.missing_since, seen.missing = None, 0
        yield from _news_of(sighting, seen, at)
        if _is_overdue(sighting, seen, elapsed_s):
            seen.is_overdue = True
            reason = f"EC2 kept it pending for {PENDING_MOST_S:.0f} s"
            yield InstanceUnusable(at=at, instance=sighting.instance, reason=reason)

    def _of_missing(self, shown: set[str], run: Run, at: datetime, elapsed_s: float) -> Iterator[Event]:
        for instance in run.live:
            if instance in shown:
                continue
            seen = self._seen.setdefault(instance, _Seen())
            if seen.missing_since is None:
                seen.missing_since = elapsed_s
            seen.missing += 1
            is_settled = elapsed_s - seen.missing_since >= SETTLE_S and seen.missing >= SETTLE_LISTINGS
            if is_settled and seen.told < 3:
                seen.told = 3
                yield InstanceEnded(at=at, instance=instance, reason=EndReason.UNKNOWN)


def _is_overdue(sighting: Sighting, seen: _Seen, elapsed_s: float) -> bool:
    """Tell, once, that a machine has been pending for too long."""
    if sighting.state != "pending" or seen.is_overdue:
        return False
    if seen.pending_since is None:
        seen.pending_since = elapsed_s
    return elapsed_s - seen.pending_since >= PENDING_MOST_S


def _answer_is_coming(sighting: Sighting, run: Run) -> bool:
    """Tell whether the launch's own answer, still awaited, will name this instance."""
    request = run.requests.get(sighting.request)
    return sighting.instance not in run.instances and request is not None and request.state is LaunchState.SENT


def _news_of(sighting: Sighting, seen: _Seen, at: datetime) -> Iterator[Event]:
    stage = _ORDER[sighting.state]
    if stage == 1 and not sighting.address:
        return
    if sighting.notice is not None and not seen.is_noticed and stage < 2:
        seen.is_noticed = True
        yield NoticeReceived(at=at, instance=sighting.instance, deadline=sighting.notice, channel="spot-request")
    if stage > seen.told:
        seen.told = stage
        yield _stage_event(sighting, stage, at)


def _stage_event(sighting: Sighting, stage: int, at: datetime) -> Event:
    reason = sighting.end_reason or EndReason.UNKNOWN
    if stage == 3:
        return InstanceEnded(at=at, instance=sighting.instance, reason=reason)
    if stage == 2:
        return InstanceEnding(at=at, instance=sighting.instance, reason=reason)
    return InstanceRan(
        at=at,
        instance=sighting.instance,
        address=sighting.address,
        port=sighting.port,
        launched=sighting.launched,
    )
