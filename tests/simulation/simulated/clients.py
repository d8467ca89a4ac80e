"""Simulated clients: several may believe that they drive the run; one that slept goes on as if nothing had happened.

A process sleeps where it waits: here that is before and after each call of a port. What the runtime does in between
without a wait happens at once: it looks at the fence right before the deed.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from aspot.machine.client import Client
from aspot.machine.events import Event
from aspot.ports import Journal, TakenOver

if TYPE_CHECKING:
    from simulated.disk import SimJournal
    from simulated.world import World

DEEDS = frozenset({"prepare", "launch", "terminate", "clean_up", "mark_kept", "keep_checkpoint", "accept", "finish"})
"""What only the client that drives the run may do."""


@attrs.define(eq=False)
class SimClient:
    """One process that drives the run, or did."""

    world: World
    epoch: int
    is_elsewhere: bool = False  # on another computer, where the journal knows nothing of later clients
    dozes_after: int | None = None  # so many times it writes to the journal, and falls asleep
    _awake: anyio.Event | None = None

    def freeze(self) -> None:
        self._awake = self._awake or anyio.Event()

    def wake(self) -> None:
        if self._awake is not None:
            self._awake.set()
            self._awake = None

    def has_written(self) -> None:
        if self.dozes_after is not None:
            self.dozes_after -= 1
            if self.dozes_after == 0:
                self.freeze()

    @property
    def is_asleep(self) -> bool:
        return self._awake is not None

    async def slept(self) -> bool:
        """Return when it is awake; tell whether it was not."""
        has_slept = False
        while self._awake is not None:
            has_slept = True
            await self._awake.wait()
        return has_slept

    @property
    def is_stale(self) -> bool:
        return self.epoch < self.world.journal.epoch

    def check(self) -> None:
        if self.is_stale and not self.is_elsewhere and not self.is_asleep:  # who sleeps looks at nothing
            raise TakenOver(Client(epoch=self.world.journal.epoch, pid=self.world.journal.epoch, host="sim"))


class _Around:
    """A port, with something done around each of its coroutine methods."""

    def __init__(self, port: Any, client: SimClient) -> None:
        self._port = port
        self._client = client

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        return self._around(name, found) if inspect.iscoroutinefunction(found) else found

    def _around(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        raise NotImplementedError


class Sleepy(_Around):
    """A port as the runtime of a client sees it that may fall asleep."""

    def _around(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any) -> Any:
            await self._client.slept()
            answer = await found(*args)
            await self._client.slept()
            return answer

        return call


class Witnessed(_Around):
    """A port as the world sees it: a deed of a client that was taken over is a violation."""

    def _around(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any) -> Any:
            is_wrong = self._client.is_stale and name in DEEDS
            self._client.world.oracle.check(not is_wrong, f"a client that was taken over did: {name}")
            return await found(*args)

        return call


@attrs.define
class ClientJournal(Journal):
    """The journal as one client writes to it."""

    store: SimJournal
    client: SimClient

    async def append(self, events: Sequence[Event]) -> None:
        await self.client.slept()
        await self.store.reach_disk()
        await self.client.slept()
        self.client.check()
        if not self.client.is_stale:  # else it has a copy of its own, which nobody reads
            self.store.keep(events)
        self.client.has_written()
        await self.client.slept()

    async def requests(self) -> Sequence[str]:
        await self.client.slept()
        return [] if self.client.is_stale else await self.store.requests()

    def check(self) -> None:
        self.client.check()

    async def finish(self, left: Sequence[str], kept: Sequence[Mapping[str, object]] = ()) -> None:
        await self.client.slept()
        self.client.check()
        await self.store.finish(left, kept)

    async def aclose(self) -> None:
        await self.store.aclose()
