"""What the user named for a notice, brought home in order and against the clock: beside checkpoints and results."""

from __future__ import annotations

from typing import Any

import anyio
import attrs

from aspot.errors import AspotError
from aspot.machine.effects import Evacuate
from aspot.machine.events import Evacuated
from aspot.machine.haul import NO_TIME, Haul
from aspot.machine.news import FilesReceived
from aspot.ports import Link
from aspot.runtime.link_keeper import LinkKeeper
from aspot.runtime.wiring import Wiring


@attrs.define
class Evacuator:
    """Evacuates one attempt; an order that comes while it does so means one more look.

    Args:
        wiring: The run's ports.
        keeper: The instance's connection.
        instance: EC2 id.
        job: Name of the job.
        number: Number of the attempt.
    """

    wiring: Wiring
    keeper: LinkKeeper
    instance: str
    job: str
    number: int
    _haul: Haul = attrs.field(init=False, factory=lambda: Haul(limit_s=0.0))
    _serial: int = attrs.field(init=False, default=0)
    _scope: anyio.CancelScope | None = attrs.field(init=False, default=None)  # of what is under way
    _rest: anyio.Event = attrs.field(init=False, factory=anyio.Event)
    _is_over: bool = attrs.field(init=False, default=False)

    async def evacuate(self, effect: Evacuate) -> None:
        """Bring what there is, as often as it is ordered, until the deadline; then tell what came and what did not."""
        self._serial = effect.serial
        self._haul.limit_s = anyio.current_time() + self.wiring.seconds_until(effect.deadline)
        if self._scope is not None:
            return
        if self._is_over:
            self._tell()
            return
        with anyio.move_on_after(self.wiring.seconds_until(effect.deadline)) as limit:
            self._scope, self._rest = limit, anyio.Event()
            try:
                await self._look_until_all_is_here(limit)
            finally:
                self._scope = None
                self._tell()
                self._rest.set()

    async def end(self) -> bool:
        """Give up what is not here yet; tell whether anything was under way. Nothing is written here afterwards."""
        self._is_over = True
        if self._scope is None:
            return False
        self._scope.cancel()
        await self._rest.wait()
        return True

    async def _look_until_all_is_here(self, limit: anyio.CancelScope) -> None:
        done = 0
        try:
            while done != self._serial:
                done = self._serial
                try:
                    await self.keeper.on_link(self._look)
                except (AspotError, OSError) as error:
                    self._haul.lose("the rest", str(error))
        finally:
            if limit.cancel_called and not self._haul.lost:
                self._haul.lose("the rest", NO_TIME)

    async def _look(self, link: Link) -> None:
        into = self.wiring.archive.evacuation(self.job, self.number)
        await link.evacuate(self.wiring.job(self.job), self.number, into, self._haul)

    def _tell(self) -> None:
        found, label = self._haul.told(), self.wiring.label(self.instance)
        on: Any = {"instance": self.instance, "job": self.job, "attempt": self.number}
        self.wiring.post(Evacuated(at=self.wiring.now(), serial=self._serial, evacuation=found, **on))
        lost = f", {len(found.lost)} not" if found.lost else ""
        message = f"{self.job}: {found.files} files evacuated{lost}"
        self.wiring.tell(
            FilesReceived, job=self.job, instance=label, files=found.files, size=found.size, message=message
        )
