"""An asyncio loop whose time jumps to the next timer, and which runs ready callbacks in an order drawn from a seed."""

import asyncio
import collections
import contextlib
import random
import selectors
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeVar

from anyio._backends import _asyncio as anyio_module

anyio_loop: Any = anyio_module

T = TypeVar("T")

TURNS_MOST = 3_000_000
"""A run that needs more turns of the loop spins."""


class Stuck(AssertionError):
    """Nothing is ready and nothing is scheduled, or the loop spins: whoever waits will wait for ever."""


class _NoSelector(selectors.BaseSelector):
    """Watches nothing: waiting for a time is jumping to it."""

    def __init__(self) -> None:
        self.now = 0.0
        self._keys: dict[int, selectors.SelectorKey] = {}

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        number = fileobj if isinstance(fileobj, int) else fileobj.fileno()
        self._keys[number] = selectors.SelectorKey(fileobj, number, events, data)
        return self._keys[number]

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._keys.pop(fileobj if isinstance(fileobj, int) else fileobj.fileno())

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            raise Stuck("nothing is ready and nothing is scheduled")
        self.now += max(0.0, timeout)
        return []

    def get_map(self) -> dict[int, selectors.SelectorKey]:
        return self._keys

    def close(self) -> None:
        self._keys.clear()


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop of virtual time; equal seeds run equal callbacks in equal order."""

    def __init__(self, seed: int) -> None:
        self.order = random.Random(f"order {seed}")
        self.turns = 0
        self.clock = _NoSelector()
        super().__init__(self.clock)

    def time(self) -> float:
        return self.clock.now

    def _run_once(self) -> None:
        self.turns += 1
        if self.turns > TURNS_MOST:
            raise Stuck(f"more than {TURNS_MOST} turns by {self.time():.0f} s: something spins")
        if len(self._ready) > 1:
            shuffled = list(self._ready)
            self.order.shuffle(shuffled)
            self._ready = collections.deque(shuffled)
        super()._run_once()


class _Ordered(dict[Any, None]):
    """A set that is walked in order of entry; a built-in set's order depends on memory addresses."""

    def add(self, item: Any) -> None:
        self[item] = None

    def discard(self, item: Any) -> None:
        self.pop(item, None)

    def remove(self, item: Any) -> None:
        del self[item]


@contextlib.contextmanager
def _repeatable() -> Iterator[None]:
    """Have anyio keep tasks and scopes in order while a seed is played, so that the seed decides everything."""
    anyio_loop.set = _Ordered
    try:
        yield
    finally:
        del anyio_loop.set


def play(seed: int, main: Callable[[VirtualLoop], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function on a fresh virtual loop and return what it returns."""
    loop = VirtualLoop(seed)
    asyncio.set_event_loop(loop)
    try:
        with _repeatable():
            return loop.run_until_complete(main(loop))
    finally:
        loop.close()
        asyncio.set_event_loop(None)
