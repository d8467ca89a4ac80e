"""The one place the park's own tasks live: a host task with a task group. May import: asyncio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

__all__ = ["Crew"]

_logger = logging.getLogger(__name__)


class Crew:
    """Runs tasks that outlive the call that started them; all of them end with `aclose`."""

    def __init__(self) -> None:
        self._group: asyncio.TaskGroup | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._stop = asyncio.Event()
        self._host: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the host task, which owns all others."""
        ready = asyncio.Event()
        self._host = asyncio.create_task(self._run(ready), name="park")  # noqa: TID251 - the host task itself
        await ready.wait()

    def start_soon(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """Run a task; an error in it is logged and ends nothing else."""
        if self._group is None:
            work.close()
            raise RuntimeError("the park is not running")
        task = self._group.create_task(_guarded(work, name), name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def aclose(self) -> None:
        """Cancel every task and wait for its end."""
        self._stop.set()
        if self._host:
            await self._host

    async def _run(self, ready: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            ready.set()
            await self._stop.wait()
            self._group = None
            for task in self._tasks:
                task.cancel()


async def _guarded(work: Coroutine[Any, Any, None], name: str) -> None:
    try:
        await work
    except Exception:
        _logger.exception("a task of the local cloud failed", extra={"task": name})
