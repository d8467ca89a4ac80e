"""One step's workspace: what `step` turns the old run into the new one with, and the effects it gathers.

Maps are copied at the first write, so the old run is never touched; `change.run` is always the run as it is so far, and
any pure question (`money`, `placement`, `demand`) can be asked of it. It keeps the indexes of `Run`, too.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeVar

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


_INDEXES: Mapping[InstanceState, str] = {
    InstanceState.REQUESTED: "starting",
    InstanceState.RUNNING: "starting",
    InstanceState.SSH_READY: "idle",
    InstanceState.INTERRUPTED: "leaving",
    InstanceState.KEPT: "kept",
}

T = TypeVar("T", Run, InstanceRecord, JobRecord, AttemptRecord, LaunchRecord)


def replace(record: T, values: dict[str, Any]) -> T:
    """Return the record with other values, as `attrs.evolve` does, in a tenth of its time (1 against 10 µs).

    Meant for the records that most steps change; they have no slots, validators or converters for that reason.
    """
    assert values.keys() <= record.__dict__.keys(), values
    new = object.__new__(type(record))
    new.__dict__.update(record.__dict__)
    new.__dict__.update(values)
    return new


def index_of(instance: InstanceRecord) -> str:
    """Return which of the run's indexes the instance stands in; "" for none."""
    if instance.state is InstanceState.TERMINATING:
        return "leaving" if instance.attempt is not None else ""
    return _INDEXES.get(instance.state, "")


def is_advised(instance: InstanceRecord) -> bool:
    """Tell whether EC2 recommended to leave the machine, and it is of use still."""
    return instance.rebalance is not None and instance.state in (InstanceState.SSH_READY, InstanceState.JOB)


def counts(instance: InstanceRecord) -> bool:
    """Tell whether the instance counts towards the limit: not if it goes away against our will, or stays."""
    if instance.state is InstanceState.TERMINATED or instance.notice is not None:
        return False
    if instance.protected or instance.keep is not None:
        return False
    return instance.state is not InstanceState.TERMINATING or instance.terminate_asked


class Change:
    """The next run in the making.

    Args:
        run: The run before this step.
        at: The event's time; a clock that went back is ignored.
    """

    def __init__(self, run: Run, at: datetime) -> None:
        self.before = run
        self.now = max(run.now, at)
        self.run = replace(run, {"now": self.now, "seen": run.seen + 1})
        self.effects: list[ef.Effect] = []
        self.is_plan_due = False
        self.is_budget_due = False
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
        self.run = replace(self.run, values)

    def own(self, field: str) -> dict[Any, Any]:
        """Return a map of the run as this step's own copy, to be written to."""
        if field not in self._owned:
            self._owned[field] = dict(getattr(self.run, field))
            self.set(**{field: self._owned[field]})
        return self._owned[field]

    def instance(self, name: str, **values: Any) -> InstanceRecord:
        """Return an instance, changed as told."""
        old: InstanceRecord = self.run.instances[name]
        new = replace(old, values)
        self.own("instances")[name] = new
        self._index(old, new)
        return new

    def add_instance(self, record: InstanceRecord) -> None:
        """Add an instance."""
        self.own("instances")[record.id] = record
        run = self.run
        self.set(live=(*run.live, record.id), starting=(*run.starting, record.id), counted=run.counted + 1)
        self.is_budget_due = True

    def job(self, name: str, **values: Any) -> JobRecord:
        """Return a job, changed as told."""
        old: JobRecord = self.run.jobs[name]
        new = replace(old, values)
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
        attempts[number - 1] = new = replace(attempts[number - 1], values)
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
            self._leave("queued", name)
        if name in self.run.starved:
            self._leave("starved", name)
            self.job(name, waiting_since=None)

    def request(self, name: str, **values: Any) -> LaunchRecord:
        """Return a launch request, changed as told."""
        old: LaunchRecord = self.run.requests[name]
        new = replace(old, values)
        self.own("requests")[name] = new
        if new.state is LaunchState.ANSWERED and old.state is not new.state:
            self._leave("asked", name)
        return new

    def add_request(self, record: LaunchRecord) -> None:
        """Add a launch request."""
        self.own("requests")[record.spec.id] = record
        self.set(asked=(*self.run.asked, record.spec.id))
        self.is_budget_due = True

    def tell(self, instance: str, text: str) -> None:
        """Add a line to an instance's story."""
        story = self.run.instances[instance].story
        self.instance(instance, story=(*story[1 - STORY_LENGTH :], f"{self.now:%H:%M:%S} {text}"))

    def look(self, when: datetime) -> None:
        """Make sure that the timers of attempts and waiting jobs are looked at by then."""
        if self.run.look_at is None or when < self.run.look_at:
            self.set(look_at=when)

    def _index(self, old: InstanceRecord, new: InstanceRecord) -> None:
        """Keep the indexes of instances."""
        was, now = index_of(old), index_of(new)
        if was != now:
            self.is_budget_due = self.is_budget_due or "kept" in (was, now)
            if was:
                self._leave(was, new.id)
            if now:
                self.set(**{now: (*getattr(self.run, now), new.id)})
        if old.state is not new.state and new.state is InstanceState.TERMINATED:
            self._leave("live", new.id)
        if is_advised(old) != is_advised(new):
            if is_advised(new):
                self.set(advised=(*self.run.advised, new.id))
            else:
                self._leave("advised", new.id)
        if counts(old) != counts(new):
            self.set(counted=self.run.counted + counts(new) - counts(old))

    def _leave(self, index: str, name: str) -> None:
        names: tuple[str, ...] = getattr(self.run, index)
        place = names.index(name)
        self.set(**{index: names[:place] + names[place + 1 :]})
