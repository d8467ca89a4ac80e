"""The reaper: ends machines in batches, and asks again until EC2 says that they are gone."""

from __future__ import annotations

import anyio
import attrs

from aspot.errors import AspotError
from aspot.machine.events import TerminateFailed
from aspot.ports import CloudUnavailable, CredentialsExpired
from aspot.runtime.pauses import Pauses
from aspot.runtime.wiring import Wiring

GATHER_S = 0.05
"""Machines told to end within this time share a call."""

SPACING_S = 2.0
"""Calls are so far apart while jobs go on: fewer calls than machines, for seconds of a machine's price."""

REPEAT_S = 10.0
"""A machine that EC2 still shows as alive after this long is ended again."""


@attrs.define
class _Doomed:
    """A machine on its way out, and when to ask for it (again), by the loop's clock."""

    due: float = 0.0
    is_refused: bool = False


@attrs.define
class Reaper:
    """Ends machines; repeating is harmless."""

    wiring: Wiring
    _doomed: dict[str, _Doomed] = attrs.field(init=False, factory=dict)
    _more: anyio.Event = attrs.field(init=False, factory=anyio.Event)
    _not_before: float = attrs.field(init=False, default=0.0)
    _pauses: Pauses = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pauses = Pauses(first_s=1.0, most_s=15.0, chance=self.wiring.chance)

    def end(self, instance: str) -> None:
        """Have a machine ended."""
        self._doomed.setdefault(instance, _Doomed()).due = 0.0
        self._more.set()

    def forget(self, instance: str) -> None:
        """Ask no more for a machine: EC2 says that it is ending or gone."""
        self._doomed.pop(instance, None)

    async def run(self) -> None:
        """End machines until cancelled."""
        while True:
            await self._wait()
            await self._gather()
            await self._end_due()

    async def _wait(self) -> None:
        self._more = anyio.Event()
        if self._doomed:
            with anyio.CancelScope(deadline=min(doomed.due for doomed in self._doomed.values())):
                await self._more.wait()
        else:
            await self._more.wait()

    async def _gather(self) -> None:
        """Let more machines join the next call; not for long once the run is ending."""
        await anyio.sleep(GATHER_S)
        while self._may_wait() and anyio.current_time() < self._not_before:
            self._more = anyio.Event()
            with anyio.CancelScope(deadline=self._not_before):
                await self._more.wait()
        self._not_before = anyio.current_time() + SPACING_S

    def _may_wait(self) -> bool:
        return bool(self.wiring.run.unfinished) and self.wiring.run.stop is None

    async def _end_due(self) -> None:
        now = anyio.current_time()
        due = [instance for instance, doomed in self._doomed.items() if doomed.due <= now]
        if not due:
            return
        self._postpone(due, now + REPEAT_S)
        try:
            refused = await self.wiring.cloud.terminate(due)
        except (CloudUnavailable, CredentialsExpired):
            self._postpone(due, anyio.current_time() + self._pauses.next_s())
            return
        except AspotError as error:
            self.wiring.fail(error)
            return
        self._pauses.reset()
        for instance, reason in refused.items():
            self._refused(instance, reason)

    def _postpone(self, instances: list[str], due: float) -> None:
        for instance in instances:
            if instance in self._doomed:
                self._doomed[instance].due = due

    def _refused(self, instance: str, reason: str) -> None:
        doomed = self._doomed.get(instance)
        if doomed is not None and not doomed.is_refused:
            doomed.is_refused = True
            self.wiring.post(TerminateFailed(at=self.wiring.now(), instance=instance, reason=reason))
