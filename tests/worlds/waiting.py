"""Waiting for something that happens beside the test: no fixed sleeps, and an end."""

import inspect
import time
from collections.abc import Callable
from typing import Any

import anyio

WITHIN_S = 30.0
LATE = "it did not happen in time"


def until(condition: Callable[[], Any], *, within_s: float = WITHIN_S, what: str | Callable[[], str] = LATE) -> Any:
    """Poll until the condition gives something true, and return that; ever less often, since each look takes time."""
    begun = time.monotonic()
    while not (found := condition()):
        waited = time.monotonic() - begun
        assert waited < within_s, what() if callable(what) else what
        time.sleep(_pause_s(waited))
    return found


async def until_async(condition: Callable[[], Any], *, within_s: float = WITHIN_S) -> Any:
    """As `until`, in an event loop; the condition may be a coroutine function, too."""
    begun = time.monotonic()
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        waited = time.monotonic() - begun
        assert waited < within_s, LATE
        await anyio.sleep(_pause_s(waited))


def _pause_s(waited: float) -> float:
    return min(0.01 + waited / 10, 0.25)
