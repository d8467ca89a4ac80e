"""A mailbox: many put, one takes all that waits. Putting never blocks and needs no task."""

from __future__ import annotations

from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Items on their way to one reader, in order. Its size is bounded by what its few senders have under way."""

    def __init__(self) -> None:
        self._items: list[T] = []
        self._filled = anyio.Event()

    def put(self, item: T) -> None:
        """Leave an item; call it from the event loop's thread only."""
        self._items.append(item)
        self._filled.set()

    async def wait(self) -> None:
        """Return when something waits."""
        await self._filled.wait()

    def take(self) -> list[T]:
        """Return everything that waits, oldest first, and empty the box."""
        items, self._items = self._items, []
        self._filled = anyio.Event()
        return items
