"""Signals: the first asks for an orderly end, the second leaves at once."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")
ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def run_interruptible(main: Coroutine[Any, Any, T], *, abandon: Callable[[], None]) -> T:
    """Run a coroutine: the first Ctrl-C (or TERM, HUP) cancels it, the second calls `abandon`.

    Raises:
        KeyboardInterrupt: If it was cancelled by a signal.
    """
    with asyncio.Runner() as runner:
        loop = runner.get_loop()
        try:
            return runner.run(_guarded(main, loop, abandon))
        except asyncio.CancelledError as error:
            raise KeyboardInterrupt from error


async def _guarded(main: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop, abandon: Callable[[], None]) -> T:
    task = asyncio.current_task()
    assert task is not None
    received = 0

    def on_signal() -> None:
        nonlocal received
        received += 1
        if received == 1:
            task.cancel()
        else:
            abandon()

    for number in ENDING:
        loop.add_signal_handler(number, on_signal)
    try:
        return await main
    finally:
        for number in ENDING:
            loop.remove_signal_handler(number)
