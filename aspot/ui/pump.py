"""How viewers run beside a fleet: news are taken as they come, drawing has its own pace and never stalls the loop."""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import UTC, datetime
from typing import Protocol, TextIO

import anyio
import anyio.to_thread

from aspot.machine.model import Run
from aspot.machine.news import News

GetRun = Callable[[], Run]
_AT_ONCE = 4096
"""POSIX: a pipe that polls as writable takes this many bytes (PIPE_BUF) without blocking; pipe(7), 2025-11."""
_LAST_WORDS_S = 2.0


class Viewer(Protocol):
    """Whatever shows a fleet to somebody: it takes all news until there are no more.

    `wants_logs` tells whether lines of output are of any use to it: where nobody wants them, they need not be cut.
    """

    @property
    def wants_logs(self) -> bool:
        """Tell whether it can show `LogLine`."""

    async def watch(self, news: AsyncIterator[News], get_run: GetRun) -> None:
        """Show the run until its news end; cancellation leaves the terminal as it was found."""


def utc_now() -> datetime:
    """Return the time: what viewers use unless a test gives them another clock."""
    return datetime.now(UTC)


async def pump(
    news: AsyncIterator[News],
    *,
    take: Callable[[News], object],
    draw: Callable[[], Awaitable[object]],
    every_s: float,
) -> None:
    """Hand each piece of news to `take`, and call `draw` again and again, until the news end.

    Args:
        news: What happens.
        take: Called in the loop: must be quick.
        draw: Awaited every `every_s` seconds; when it raises OSError (the terminal is gone) it is not called again.
        every_s: Seconds between two calls.
    """
    async with anyio.create_task_group() as group:
        group.start_soon(_draw_for_ever, draw, every_s)
        async for item in news:
            take(item)
        group.cancel_scope.cancel()


async def _draw_for_ever(draw: Callable[[], Awaitable[object]], every_s: float) -> None:
    while True:
        try:
            await draw()
        except OSError:
            return
        await anyio.sleep(every_s)


async def in_thread(work: Callable[[], object]) -> None:
    """Do blocking work in a thread: a terminal stopped with Ctrl-S stops its view, not the fleet."""
    await anyio.to_thread.run_sync(work, abandon_on_cancel=True)


async def last_words(work: Callable[[], Awaitable[object]]) -> None:
    """Do a viewer's closing work even when it was cancelled, for at most 2 s."""
    with anyio.move_on_after(_LAST_WORDS_S, shield=True), contextlib.suppress(OSError):
        await work()


class Out:
    """A text stream that neither stalls the loop nor raises: it goes silent when its reader is gone.

    Args:
        stream: Where lines go, such as `sys.stdout`.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_open = True

    async def line(self, text: str) -> None:
        """Write one line, as soon as the reader takes it."""
        if not self._is_open:
            return
        encoding = self._stream.encoding or "utf-8"
        block = f"{text}\n".encode(encoding, "backslashreplace").decode(encoding)
        try:
            if len(block) * 4 <= _AT_ONCE and _takes_now(self._stream):
                self._put(block)
            else:
                await in_thread(lambda: self._put(block))
        except OSError:
            self._go_silent()

    def _put(self, block: str) -> None:
        self._stream.write(block)
        self._stream.flush()

    def _go_silent(self) -> None:
        """Point the stream at nothing, or the interpreter complains about the broken pipe once more at its end."""
        self._is_open = False
        nothing = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nothing, self._stream.fileno())
        os.close(nothing)


def _takes_now(stream: TextIO) -> bool:
    try:
        return bool(select.select([], [stream.fileno()], [], 0)[1])
    except ValueError:
        return True  # a buffer in memory: it never blocks
