"""Calls side by side, whose first failure is raised as it is."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import anyio


async def together(*calls: Callable[[], Awaitable[Any]]) -> list[Any]:
    """Run the calls at once; return their results in order, or raise the first failure, not a group."""
    results: list[Any] = [None] * len(calls)

    async def run(place: int, call: Callable[[], Awaitable[Any]]) -> None:
        results[place] = await call()

    try:
        async with anyio.create_task_group() as group:
            for place, call in enumerate(calls):
                group.start_soon(run, place, call)
    except BaseExceptionGroup as failures:
        raise first(failures) from None
    return results


def first(failures: BaseExceptionGroup[BaseException]) -> BaseException:
    """Return the first failure in a group, however deep."""
    inner = failures.exceptions[0]
    return first(inner) if isinstance(inner, BaseExceptionGroup) else inner
