"""Waiting for something that happens beside the test: no fixed sleeps, and an end."""

import inspect
import time
from collections.abc import Callable
from typing import Any

import anyio

WITHIN_S = 60.0
"""Much, since it only says when a test has failed: computers are busy, and now and then they pause."""
LATE = "it did not happen in time"


def until(
    condition: Callable[[], Any],
    *,
    within_s: float = WITHIN_S,
    every_s: float | None = None,
    what: str | Callable[[], str] = LATE,
) -> Any:
    """Poll until the condition gives something true, and return that; ever less often, since each look takes time.

    Args:
        condition: What is waited for.
        within_s: For so long at most.
        every_s: How often it is looked at, for what soon passes; None: ever less often.
        what: What is said when it did not happen.
    """
    watch = _Watch()
    while not (found := condition()):
        waited = watch.waited_s()
        assert waited < within_s, what() if callable(what) else what
        time.sleep(_pause_s(waited) if every_s is None else every_s)
    return found


async def until_async(condition: Callable[[], Any], *, within_s: float = WITHIN_S) -> Any:
    """As `until`, in an event loop; the condition may be a coroutine function, too."""
    watch = _Watch()
    while True:
        found = condition()
        if inspect.isawaitable(found):
            found = await found
        if found:
            return found
        waited = watch.waited_s()
        assert waited < within_s, LATE
        await anyio.sleep(_pause_s(waited))


class _Watch:
    """Counts the time between looks; a computer that is paused for a minute meanwhile has not waited for one."""

    MOST_S = 2.0

    def __init__(self) -> None:
        self._looked, self._waited_s = time.monotonic(), 0.0

    def waited_s(self) -> float:
        before, self._looked = self._looked, time.monotonic()
        self._waited_s += min(self._looked - before, self.MOST_S)
        return self._waited_s


def _pause_s(waited: float) -> float:
    return min(0.01 + waited / 10, 0.25)
