"""The one poller of a run: EC2's listings, prices, and what other processes ask, at the pace of what moves."""

from __future__ import annotations

from collections.abc import Callable

import anyio
import attrs

from aspot.errors import AspotError
from aspot.machine.client import Client
from aspot.machine.events import PricesSeen, RunStopped
from aspot.machine.model import InstanceRecord, InstanceState, LaunchState, Run
from aspot.ports import CloudUnavailable, CredentialsExpired
from aspot.runtime.changes import Changes
from aspot.runtime.pauses import Pauses
from aspot.runtime.wiring import Wiring

BUSY_S = 1.0
"""Between listings while something boots, ends, or is about to be taken."""

QUIET_S = 5.0
"""Between listings otherwise."""

DOUBT_S = 2.0
"""Longest wait after a failed listing while a launch is in doubt: what it brought has to be seen in time."""

PRICES_S = 60.0
"""Between looks at spot prices while machines run."""

_MOVING = (InstanceState.REQUESTED, InstanceState.TERMINATING, InstanceState.INTERRUPTED)


def has_machines(run: Run) -> bool:
    """Tell whether EC2 may show anything of the run that matters."""
    return bool(run.live) or _is_unsure(run)


def is_moving(run: Run) -> bool:
    """Tell whether EC2 is likely to have news within seconds."""
    return _is_unsure(run) or any(_is_in_transition(run.instances[name]) for name in run.live)


def _is_in_transition(record: InstanceRecord) -> bool:
    return record.state in _MOVING or record.link_lost is not None


def _is_unsure(run: Run) -> bool:
    return any(run.requests[name].state is LaunchState.IN_DOUBT for name in run.asked)


@attrs.define
class Poller:
    """Asks EC2 for the whole run at once and posts what changed.

    Args:
        wiring: The run's ports.
        leave: Called with a client that asks this one to leave the run to it.
    """

    wiring: Wiring
    leave: Callable[[Client], None]
    _changes: Changes = attrs.field(init=False, factory=Changes)
    _hurry: anyio.Event = attrs.field(init=False, factory=anyio.Event)
    _prices_at: float = attrs.field(init=False, default=0.0)
    _is_locked_out: bool = attrs.field(init=False, default=False)
    _pauses: Pauses = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pauses = Pauses(first_s=BUSY_S, most_s=15.0, chance=self.wiring.chance)

    def hurry(self) -> None:
        """Shorten the current wait: something began to move."""
        self._hurry.set()

    async def run(self) -> None:
        """Poll until cancelled."""
        while True:
            await self._hear_requests()
            pause_s = await self._look() if has_machines(self.wiring.run) else QUIET_S
            await self._rest(pause_s)

    async def _rest(self, pause_s: float) -> None:
        """Wait, at most for the pause; at least for the busy pause, however much anyone hurries."""
        self._hurry = anyio.Event()
        await anyio.sleep(min(pause_s, BUSY_S * self.wiring.chance.uniform(0.9, 1.1)))
        if pause_s > BUSY_S and not is_moving(self.wiring.run):
            with anyio.move_on_after(pause_s - BUSY_S):
                await self._hurry.wait()

    async def _hear_requests(self) -> None:
        self.wiring.journal.check()
        for request in await self.wiring.journal.requests():
            if request == "stop":
                self.wiring.post(RunStopped(at=self.wiring.now(), reason="stopped by another process (aspot down)"))
            elif (client := Client.read(request)) is not None:
                self.leave(client)

    async def _look(self) -> float:
        """Take one listing and return how long to rest."""
        try:
            sightings = await self.wiring.cloud.sightings()
        except CloudUnavailable:
            pause_s = self._pauses.next_s()
            await anyio.sleep(min(pause_s, DOUBT_S) if _is_unsure(self.wiring.run) else pause_s)
            return 0.0
        except CredentialsExpired as error:
            self._lock_out(error)
            await anyio.sleep(QUIET_S)
            return 0.0
        except AspotError as error:
            self.wiring.fail(error)
            return QUIET_S
        self._let_in()
        run, now = self.wiring.run, self.wiring.now()
        for event in self._changes.compare(sightings, run, at=now, elapsed_s=anyio.current_time()):
            self.wiring.post(event)
        await self._look_at_prices()
        return BUSY_S if is_moving(run) else QUIET_S

    async def _look_at_prices(self) -> None:
        """Post spot prices that moved; without them the run goes on with the last known ones."""
        if anyio.current_time() < self._prices_at:
            return
        is_first, self._prices_at = not self._prices_at, anyio.current_time() + PRICES_S
        if is_first:
            return
        try:
            prices = await self.wiring.cloud.spot_prices()
        except (CloudUnavailable, CredentialsExpired, AspotError):
            return
        if prices and dict(prices) != dict(self.wiring.run.spot_usd_per_hour):
            self.wiring.post(PricesSeen(at=self.wiring.now(), spot_usd_per_hour=prices))

    def _lock_out(self, error: CredentialsExpired) -> None:
        if not self._is_locked_out:
            self._is_locked_out = True
            self.wiring.warn(f"AWS no longer takes the credentials: renew them; jobs go on meanwhile ({error})")

    def _let_in(self) -> None:
        self._pauses.reset()
        if self._is_locked_out:
            self._is_locked_out = False
            self.wiring.warn("AWS takes the credentials again")
