"""`Beside`: the boxes that a fleet has launched beside its own machines: no part of its run, they outlive it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import nullcontext
from typing import Any

import anyio

from aspot.errors import AspotError
from aspot.instance import AT_ONCE, Instance
from aspot.machine.model import InstanceState
from aspot.profiles import Profile

CLOSE_S = 5.0
"""For connections to be closed, whatever is cancelled meanwhile; what has to be ended takes its own time."""


class Beside:
    """The boxes of one fleet, by name: open here until `aclose`."""

    def __init__(self) -> None:
        self._boxes: dict[str, Instance] = {}
        self._room = asyncio.Semaphore(AT_ONCE)
        self._locks: dict[str, asyncio.Lock] = {}

    @property
    def by_name(self) -> Mapping[str, Instance]:
        """Return the boxes that are open or were, as they were last seen."""
        return self._boxes

    async def launch(self, name: str | None, profile: str | Profile, options: Mapping[str, Any]) -> Instance:
        """Return the box of this name, open; made where there is none. Arguments and errors as of `Fleet.launch`."""
        wanted = profile if isinstance(profile, Profile) else Profile(profile)  # so that a lost one is replaced
        box = Instance(name, profile=wanted, **{"keep": True, **options})
        async with self._locks.setdefault(name, asyncio.Lock()) if name else nullcontext():
            known = self._boxes.get(name or "")
            if known is not None and await _is_alive(known):
                return await known.start()
            async with self._room:
                await box.start()
            self._boxes[box.name] = box
        return box

    async def aclose(self) -> None:
        """Close the connections; boxes that are not kept end.

        Raises:
            AspotError: If one of those could not be ended; all others are then, too.
        """
        troubles: list[AspotError] = []

        async def close(box: Instance) -> None:
            try:
                await box.aclose()
            except AspotError as error:
                troubles.append(error)

        with anyio.move_on_after(CLOSE_S, shield=True):
            async with anyio.create_task_group() as group:
                for box in self._boxes.values():
                    group.start_soon(close, box)
        if troubles:
            raise troubles[0]


async def _is_alive(box: Instance) -> bool:
    """Tell whether a box that was opened here is still there; one that is not is closed."""
    try:
        if (await box.refresh()).state != InstanceState.TERMINATED.value:
            return True
    except AspotError:
        pass  # it ended: whoever makes the new one is told what else is wrong
    await box.aclose()
    return False
