"""Descriptors of guest processes in the event loop: nothing lost, nothing buffered without bound.

May import: asyncio and the standard library.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

__all__ = ["Drain", "Feed"]

_CHUNK = 1 << 16


class Drain:
    """Reads a descriptor to its end and hands over what it reads, as fast as the channel takes it."""

    def __init__(self, fd: int, *, write: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        self._fd, self._write, self._on_end = fd, write, on_end
        self._loop = asyncio.get_running_loop()
        self._last_call = False
        self.ended = False
        self._paused = False
        os.set_blocking(fd, False)
        self._loop.add_reader(fd, self._read)

    def pause(self) -> None:
        """Stop reading until `resume`."""
        if not self.ended and not self._paused:
            self._paused = True
            self._loop.remove_reader(self._fd)

    def resume(self) -> None:
        """Read on."""
        if not self.ended and self._paused:
            self._paused = False
            self._loop.add_reader(self._fd, self._read)
            if self._last_call:
                self._loop.call_soon(self._read)

    def finish(self) -> None:
        """End once nothing is left to read: a terminal may be held open by others, for ever."""
        self._last_call = True
        self._loop.call_soon(self._read)

    def close(self) -> None:
        """Stop reading."""
        if not self.ended:
            self.ended = True
            self._loop.remove_reader(self._fd)
            os.close(self._fd)

    def _read(self) -> None:
        if self.ended or self._paused:
            return
        found: bytes | None
        try:
            found = os.read(self._fd, _CHUNK)
        except BlockingIOError:
            found = None
        except OSError:  # EIO: nobody holds the terminal's other side
            found = b""
        if found:
            self._write(found)
            if self._last_call:
                self._loop.call_soon(self._read)
        elif found == b"" or self._last_call:
            self.close()
            self._on_end()


class Feed:
    """Writes to a descriptor what a channel receives; holds the channel back while the reader is slow."""

    def __init__(self, fd: int, *, hold: Callable[[], None], go_on: Callable[[], None]) -> None:
        self._fd, self._hold, self._go_on = fd, hold, go_on
        self._loop = asyncio.get_running_loop()
        self._waiting = bytearray()
        self._eof = False
        self._closed = False
        os.set_blocking(fd, False)

    def write(self, received: bytes) -> None:
        """Write, now or as soon as the reader is ready; a reader that left is not an error."""
        if self._closed:
            return
        held = bool(self._waiting)
        self._waiting += received
        if not held:
            self._flush()

    def write_eof(self) -> None:
        """Close after what is still to be written."""
        self._eof = True
        if not self._waiting:
            self.close()

    def close(self) -> None:
        """Close now."""
        if not self._closed:
            self._closed = True
            self._loop.remove_writer(self._fd)
            os.close(self._fd)

    def _flush(self) -> None:
        try:
            while self._waiting:
                del self._waiting[: os.write(self._fd, self._waiting)]
        except BlockingIOError:
            self._hold()
            self._loop.add_writer(self._fd, self._flush)
            return
        except OSError:
            self._waiting.clear()
            self._eof = True
        self._loop.remove_writer(self._fd)
        self._go_on()  # which may bring more input, and its end, before it returns
        if self._eof and not self._waiting:
            self.close()
