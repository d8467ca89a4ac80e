"""Keeps one verified connection to one instance: connects, arms, renews the lease, connects again while it lives."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

import anyio
import attrs

from aspot.errors import AspotError
from aspot.machine.events import InstanceEvent, InstanceReady, InstanceUnusable, LinkLost, LinkRestored
from aspot.ports import (
    Armed,
    CloudUnavailable,
    CredentialsExpired,
    HostKeyMismatch,
    Link,
    LinkDropped,
    Mounting,
    NobodyListens,
    NotReady,
    Target,
    Undeliverable,
)
from aspot.runtime.pauses import Pauses
from aspot.runtime.wiring import Wiring

T = TypeVar("T")
log = logging.getLogger(__name__)

READY_S = 300.0
"""From EC2's "running" to a verified connection; a machine that takes longer is replaced (FAULTS I4)."""

MISMATCH_S = 30.0
"""Cloud-init may replace host keys during boot (FAULTS I2); who shows a foreign key for longer is somebody else."""

KNOCK_S = 1.0
"""Between tries of a port that nobody serves yet: each second spent waiting here is paid for (a try costs 0.3 ms)."""

KNOCKS_S = 60.0
"""Machines boot in less; what takes longer is tried at growing pauses."""

CLOSE_S = 2.0
"""To close a connection, alive or dead."""


CONSOLE_S = 10.0
"""To ask EC2 what a machine that could not be reached wrote to its console; it is paid for meanwhile."""


class _Unusable(Exception):
    """The machine will never do."""


class _Unreachable(_Unusable):
    """It never let us in, so only its console can say why."""


@attrs.define
class LinkKeeper:
    """One instance's connection. Whoever needs it asks by `on_link`, which outlasts every drop.

    Args:
        wiring: The run's ports.
        target: Whom to connect to.
        watch: Run on every fresh link, beside everything else, until it drops.
    """

    wiring: Wiring
    target: Target
    watch: Callable[[Link], Awaitable[None]]
    _link: Link | None = attrs.field(init=False, default=None)
    _up: anyio.Event = attrs.field(init=False, factory=anyio.Event)
    _session: anyio.CancelScope = attrs.field(init=False, factory=anyio.CancelScope)
    _users: dict[anyio.CancelScope, None] = attrs.field(init=False, factory=dict)
    _why: str = attrs.field(init=False, default="")
    _pauses: Pauses = attrs.field(init=False)
    _mismatch_at: float | None = attrs.field(init=False, default=None)
    _equipped_boot: str | None = attrs.field(init=False, default=None)  # what is mounted does not outlast a boot

    def __attrs_post_init__(self) -> None:
        self._pauses = Pauses(first_s=0.25, most_s=2.0, chance=self.wiring.chance)

    async def keep(self) -> None:
        """Connect, and stay connected until cancelled; returns only if the machine is unusable."""
        try:
            link, armed = await self._first()
            is_known = self.wiring.run.instances[self.target.instance].ready is not None  # to an earlier client
            self._tell(LinkRestored if is_known else InstanceReady, boot_id=armed.boot_id)
            while True:
                await self._hold(link)
                self._tell(LinkLost, reason=self._why)
                link, armed = await self._equipped(*await self._connect())
                self._tell(LinkRestored, boot_id=armed.boot_id)
        except _Unreachable as error:
            self._tell(InstanceUnusable, reason=f"{error}{await self._witness()}")
        except _Unusable as error:
            self._tell(InstanceUnusable, reason=str(error))

    async def _witness(self) -> str:
        """Return what the machine's console says, as the rest of a sentence; "" if EC2 does not tell."""
        said = ""
        with anyio.move_on_after(CONSOLE_S):
            try:
                said = await self.wiring.cloud.console(self.target.instance)
            except (CloudUnavailable, CredentialsExpired, AspotError) as error:
                log.info("console output not had", extra={"instance": self.target.instance, "why": str(error)})
                return ""
        return f"; its console ends: {said}" if said else ""

    def _tell(self, kind: Callable[..., InstanceEvent], **fields: str) -> None:
        self.wiring.post(kind(at=self.wiring.now(), instance=self.target.instance, **fields))

    async def on_link(self, act: Callable[[Link], Awaitable[T]]) -> T:
        """Do something over the link; when it drops meanwhile, do it again over the next one.

        Args:
            act: What to do; safe to repeat.
        """
        while True:
            link = await self._current()
            with anyio.CancelScope() as scope:
                self._users[scope] = None
                try:
                    return await act(link)
                except LinkDropped as error:
                    self._drop(link, str(error))
                finally:
                    del self._users[scope]

    async def _current(self) -> Link:
        while self._link is None:
            await self._up.wait()
        return self._link

    def _drop(self, link: Link, why: str) -> None:
        """Give a link up, once: what uses it is freed and asks again."""
        if self._link is not link:
            return
        self._link, self._up, self._why = None, anyio.Event(), why
        self._session.cancel()
        for scope in tuple(self._users):
            scope.cancel()

    async def _first(self) -> tuple[Link, Armed]:
        with anyio.move_on_after(READY_S) as limit:
            link, armed = await self._connect()
        if limit.cancelled_caught:
            raise _Unreachable(f"no connection within {READY_S:.0f} s of running: {self._why or 'nothing answered'}")
        return await self._equipped(link, armed)

    async def _equipped(self, link: Link, armed: Armed) -> tuple[Link, Armed]:
        """Mount what the run mounts and set the machine up, unless that was done in this boot; return the link."""
        while armed.boot_id != self._equipped_boot:
            try:
                await self._equip(link, armed.boot_id)
                self._equipped_boot = armed.boot_id
            except LinkDropped:
                link, armed = await self._connect()
        return link, armed

    async def _equip(self, link: Link, boot_id: str) -> None:
        try:
            for mounting in await self._furnished():
                await self._set_up(link, f"{mounting.script}\n# boot {boot_id}\n", mounting.what, mounting.fix)
            if self.wiring.setup:
                await self._set_up(link, self.wiring.setup, "the profile's set-up failed")
        except BaseException:
            await _close(link)
            raise

    async def _furnished(self) -> Sequence[Mounting]:
        """Return what is to be mounted, once the cloud has made it ready."""
        zone = self.wiring.run.instances[self.target.instance].pool.zone
        while True:
            try:
                return await self.wiring.cloud.furnish(self.target.instance, zone)
            except (CloudUnavailable, CredentialsExpired):
                await anyio.sleep(self._pauses.next_s())
            except AspotError as error:
                raise _Unusable(f"{error.message}; {error.fix}" if error.fix else error.message) from error

    async def _set_up(self, link: Link, script: str, failure: str, fix: str = "") -> None:
        try:
            await link.set_up(script)
        except Undeliverable as error:
            advice = f"; {fix}" if fix else ""
            raise _Unusable(f"{failure}: {error.reason}{advice}") from error

    async def _connect(self) -> tuple[Link, Armed]:
        """Connect and arm, as often as it takes."""
        self._pauses.reset()
        self._mismatch_at = None
        knocking_until = anyio.current_time() + KNOCKS_S
        while True:
            try:
                return await self._try_once()
            except NobodyListens as error:
                self._why = str(error)
                if anyio.current_time() < knocking_until:
                    await anyio.sleep(KNOCK_S - anyio.current_time() % KNOCK_S)  # with all others: one wake-up for all
                    continue
            except (NotReady, LinkDropped) as error:
                self._why = str(error)
            except HostKeyMismatch as error:
                self._note_mismatch(error)
            await anyio.sleep(self._pauses.next_s())

    async def _try_once(self) -> tuple[Link, Armed]:
        link = await self.wiring.remote.connect(self.target)
        try:
            return link, _checked(await link.arm(self.wiring.lease))
        except BaseException:
            await _close(link)
            raise

    def _note_mismatch(self, error: HostKeyMismatch) -> None:
        self._why = str(error)
        now = anyio.current_time()
        self._mismatch_at = now if self._mismatch_at is None else self._mismatch_at
        if now - self._mismatch_at >= MISMATCH_S:
            raise _Unreachable(f"it could not prove who it is: {error}") from error

    async def _hold(self, link: Link) -> None:
        """Serve a link until it drops."""
        self._link = link
        self._up.set()
        try:
            async with anyio.create_task_group() as group:
                self._session = group.cancel_scope
                group.start_soon(self._watch, link)
                group.start_soon(self._renew, link)
        finally:
            self._drop(link, self._why)
            await _close(link)

    async def _watch(self, link: Link) -> None:
        try:
            while True:
                await self.watch(link)
                await anyio.sleep(1.0)
        except LinkDropped as error:
            self._drop(link, str(error))

    async def _renew(self, link: Link) -> None:
        try:
            while True:
                await anyio.sleep(self.wiring.lease.term_s / 4)
                await link.renew()
        except LinkDropped as error:
            self._drop(link, str(error))


def _checked(armed: Armed) -> Armed:
    if not armed.powers_off:
        raise _Unusable("it cannot power itself off, so its lease would not hold")
    return armed


async def _close(link: Link) -> None:
    with anyio.move_on_after(CLOSE_S, shield=True):
        try:
            await link.aclose()
        except LinkDropped:
            return
