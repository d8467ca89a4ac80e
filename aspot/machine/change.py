"""One step's workspace: what `step` turns the old run into the new one with, and the effects it gathers.

Maps are copied at the first write, so the old run is never touched; after that `change.run` is always the run as
it is so far, and any pure question (`money`, `placement`, `demand`) can be asked of it. It keeps the indexes of `Run`, too.
"""

from __future__ import annotations

from bisect import bisect_left
from datetime import datetime
from typing import Any

import attrs

from aspot.machine import effects as ef
from aspot.machine import news as nw
from aspot.machine.model import (
    AttemptRecord,
    InstanceRecord,
    InstanceState,
    JobRecord,
    JobStatus,
    LaunchRecord,
    LaunchState,
    Run,
)

STORY_LENGTH = 20
"""How many of an instance's last happenings are kept, for error messages."""


class Change:
    """The next run in the making.

    Args:
        run: The run before this step.
        at: The event's time; a clock that went back is ignored.
    """

    def __init__(self, run: Run, at: datetime) -> None:
        self.now = max(run.now, at)
        self.run = attrs.evolve(run, now=self.now, seen=run.seen + 1)
        self.effects: list[ef.Effect] = []
        self.is_plan_due = False
        self._owned: dict[str, dict[Any, Any]] = {}

    def emit(self, effect: ef.Effect) -> None:
        """Add an effect."""
        self.effects.append(effect)

    def announce(self, news: nw.News) -> None:
        """Tell whoever listens."""
        self.effects.append(ef.Announce(news=news))

    def plan(self) -> None:
        """Ask for a look at who works where once the event is taken in."""
        self.is_plan_due = True

    def set(self, **values: Any) -> None:
        """Change plain fields of the run."""
        self.run = attrs.evolve(self.run, **values)

    def own(self, field: str) -> dict[Any, Any]:
        """Return a map of the run as this step's own copy, to be written to."""
        if field not in self._owned:
            self._owned[field] = dict(getattr(self.run, field))
            self.set(**{field: self._owned[field]})
        return self._owned[field]

    def instance(self, name: str, **values: Any) -> InstanceRecord:
        """Return an instance, changed as told."""
        old: InstanceRecord = self.run.instances[name]
        if not values:
            return old
        new = attrs.evolve(old, **values)
        self.own("instances")[name] = new
        if new.state is InstanceState.TERMINATED and old.state is not new.state:
            self.set(live=tuple(other for other in self.run.live if other != name))
        return new

    def add_instance(self, record: InstanceRecord) -> None:
        """Add an instance."""
        self.own("instances")[record.id] = record
        self.set(live=(*self.run.live, record.id))

    def job(self, name: str, **values: Any) -> JobRecord:
        """Return a job, changed as told."""
        old: JobRecord = self.run.jobs[name]
        if not values:
            return old
        new = attrs.evolve(old, **values)
        self.own("jobs")[name] = new
        if new.status.is_final and not old.status.is_final:
            self.set(unfinished=self.run.unfinished - 1)
        return new

    def add_job(self, record: JobRecord) -> None:
        """Add a job."""
        self.own("jobs")[record.spec.name] = record
        self.set(unfinished=self.run.unfinished + 1)

    def attempt(self, name: str, number: int = 0, **values: Any) -> AttemptRecord:
        """Return an attempt of a job (the last one unless told), changed as told."""
        attempts = list(self.run.jobs[name].attempts)
        attempts[number - 1] = new = attrs.evolve(attempts[number - 1], **values)
        self.job(name, attempts=tuple(attempts))
        return new

    def enqueue(self, name: str) -> None:
        """Let a job wait for a machine, at its place in the order of submission."""
        jobs, queued = self.run.jobs, self.run.queued
        place = bisect_left(queued, jobs[name].order, key=lambda other: jobs[other].order)
        self.set(queued=(*queued[:place], name, *queued[place:]))
        self.job(name, status=JobStatus.QUEUED)

    def dequeue(self, name: str) -> None:
        """Take a job out of the queue; harmless if it is not in it."""
        if name in self.run.queued:
            self.set(queued=tuple(other for other in self.run.queued if other != name))
        if name in self.run.starved:
            self.set(starved=tuple(other for other in self.run.starved if other != name))
            self.job(name, waiting_since=None)

    def request(self, name: str, **values: Any) -> LaunchRecord:
        """Return a launch request, changed as told."""
        old: LaunchRecord = self.run.requests[name]
        new = attrs.evolve(old, **values)
        self.own("requests")[name] = new
        if new.state is LaunchState.ANSWERED and old.state is not new.state:
            self.set(asked=tuple(other for other in self.run.asked if other != name))
        return new

    def add_request(self, record: LaunchRecord) -> None:
        """Add a launch request."""
        self.own("requests")[record.spec.id] = record
        self.set(asked=(*self.run.asked, record.spec.id))

    def tell(self, instance: str, text: str) -> None:
        """Add a line to an instance's story."""
        story = self.run.instances[instance].story
        self.instance(instance, story=(*story[1 - STORY_LENGTH :], f"{self.now:%H:%M:%S} {text}"))
