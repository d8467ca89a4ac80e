"""What every part of the runtime is given: the ports, and how to speak to the main loop."""

from __future__ import annotations

import contextlib
import logging
import random
import traceback
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

import anyio
import attrs

from aspot.errors import AspotError, InternalError
from aspot.machine.events import Event, RunStopped
from aspot.machine.model import JobSpec, Run, RunSpec
from aspot.machine.news import News, Warned
from aspot.machine.step import start_run
from aspot.ports import Archive, Clock, Cloud, Journal, Lease, Remote, TakenOver
from aspot.runtime.fence import FencedArchive, FencedCloud
from aspot.runtime.hub import NewsHub
from aspot.runtime.mailbox import Mailbox

logger = logging.getLogger(__name__)

TRANSFERS = 32
"""Uploads and downloads under way at once; rescues of checkpoints are not counted."""


@attrs.define(kw_only=True)
class Wiring:
    """The ports of one run, and the way to its main loop.

    Args:
        spec: The run.
        cloud, remote, journal, archive, clock: The ports.
        lease: The machines' dead-man's switch.
        setup: The profile's set-up script, or "".
        secrets: Values of a job's secrets, by the job's name.
        chance: Jitter; seeded in the simulation.
        earlier: The run as its journal tells it, when a client takes it up again.
    """

    spec: RunSpec
    cloud: Cloud
    remote: Remote
    journal: Journal
    archive: Archive
    clock: Clock
    lease: Lease
    setup: str
    secrets: Callable[[str], Mapping[str, str]]
    chance: random.Random
    earlier: Run | None = None
    hub: NewsHub = attrs.field(init=False, factory=NewsHub)
    inbox: Mailbox[Event] = attrs.field(init=False, factory=Mailbox)
    uncut: dict[anyio.CancelScope, None] = attrs.field(init=False, factory=dict)
    run: Run = attrs.field(init=False)
    error: AspotError | None = attrs.field(init=False, default=None)
    user: str = attrs.field(init=False, default="")
    taken: TakenOver | None = attrs.field(init=False, default=None)
    give_way: Callable[[], None] = attrs.field(init=False, default=lambda: None)
    _warned: set[str] = attrs.field(init=False, factory=set)
    transfers: anyio.CapacityLimiter = attrs.field(init=False, factory=lambda: anyio.CapacityLimiter(TRANSFERS))

    def __attrs_post_init__(self) -> None:
        self.run = self.earlier or start_run(self.spec, self.clock.now())
        self.cloud = FencedCloud(self.cloud, self.journal.check)
        self.archive = FencedArchive(self.archive, self.journal.check)

    def post(self, event: Event) -> None:
        """Hand an event to the main loop."""
        self.inbox.put(event)

    def fail(self, error: AspotError) -> None:
        """Note what makes the run as a whole fail, and stop it in order. The first failure counts."""
        if self.error is None:
            self.error = error
            self.post(RunStopped(at=self.now(), reason=error.message))

    def resign(self, taken: TakenOver) -> None:
        """Leave the run to the client that took it over, at once: whatever is under way here is cut. Once is enough."""
        if self.taken is None:
            self.taken = taken
            self.give_way()

    def bug(self, error: Exception) -> None:
        """Report an exception that nobody expected: the run is stopped in order. `TakenOver` ends it here instead."""
        if (taken := _taken(error)) is not None:
            self.resign(taken)
            return
        logger.error("unexpected exception", exc_info=error, extra={"run": self.spec.id})
        first: BaseException = error
        while isinstance(first, BaseExceptionGroup):
            first = first.exceptions[0]
        story = (*getattr(first, "story", ()), *traceback.format_exception(first))
        found = InternalError(f"a bug of aspot: {type(first).__name__}: {first}", fix="please report it", story=story)
        found.__cause__ = first
        self.fail(found)

    @contextlib.contextmanager
    def shielded(self) -> Iterator[None]:
        """Let nothing cut what happens within, short of leaving at once (`abandon`)."""
        with anyio.CancelScope(shield=True) as scope:
            self.uncut[scope] = None
            try:
                yield
            finally:
                del self.uncut[scope]

    def now(self) -> datetime:
        """Return the time by the client's clock."""
        return self.clock.now()

    def seconds_until(self, moment: datetime) -> float:
        """Return the seconds left until a moment; 0 when it is past."""
        return max(0.0, (moment - self.clock.now()).total_seconds())

    def job(self, name: str) -> JobSpec:
        """Return a job's specification."""
        return self.run.jobs[name].spec

    def label(self, instance: str) -> str:
        """Return what users call an instance."""
        record = self.run.instances.get(instance)
        return record.label if record is not None else instance

    def tell(self, kind: type[News], **fields: Any) -> None:
        """Publish a piece of news of this run, stamped with the time."""
        self.hub.publish(kind(time=self.now(), fleet=self.spec.name, **fields))

    def warn(self, message: str, *, job: str = "", instance: str = "") -> None:
        """Publish a warning."""
        self.tell(Warned, message=message, job=job, instance=instance)

    def warn_once(self, message: str) -> None:
        """Publish a warning that concerns every job alike, the first time only."""
        if message not in self._warned:
            self._warned.add(message)
            self.warn(message)


def _taken(error: BaseException) -> TakenOver | None:
    """Return what says that the run was taken over, if that is what went wrong, alone or among others."""
    if isinstance(error, BaseExceptionGroup):
        return next((found for one in error.exceptions if (found := _taken(one)) is not None), None)
    return error if isinstance(error, TakenOver) else None
