"""Output on its way to the local files, split into lines for those who listen."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from aspot.ports import LogSink

LONGEST_LINE = 8192
"""Bytes of a line that listeners get (FAULTS S18); the file has all of it."""


@attrs.define
class LineSplitter:
    """Cuts a byte stream into lines of text; undecodable bytes are replaced, long lines cut."""

    _rest: bytes = b""

    def feed(self, chunk: bytes) -> list[str]:
        """Return the lines that the chunk completes."""
        *whole, rest = (self._rest + chunk).split(b"\n")
        if len(rest) > LONGEST_LINE:
            whole.append(rest)
            rest = b""
        self._rest = rest
        return [_text(line) for line in whole]

    def flush(self) -> list[str]:
        """Return the last line, if it lacks its newline."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []


def _text(line: bytes) -> str:
    return line[:LONGEST_LINE].removesuffix(b"\r").decode("utf-8", "replace")


@attrs.define
class ListeningSink:
    """A `LogSink` that also tells lines to listeners, and does no work for that while there are none.

    Args:
        inner: Where the bytes go.
        wanted: Tells whether anyone listens.
        tell: Takes (stream, line).
    """

    inner: LogSink
    wanted: Callable[[], bool]
    tell: Callable[[str, str], None]
    _splitters: dict[str, LineSplitter] = attrs.field(init=False, factory=dict)

    def offsets(self) -> tuple[int, int]:
        """Return how many bytes of stdout and stderr are here."""
        return self.inner.offsets()

    def write(self, stream: str, chunk: bytes) -> None:
        """Append bytes of `stdout` or `stderr`."""
        self.inner.write(stream, chunk)
        if self.wanted():
            self._tell_all(stream, self._splitters.setdefault(stream, LineSplitter()).feed(chunk))

    def restart(self, stream: str) -> None:
        """Begin the stream again: the job truncated its log."""
        self.inner.restart(stream)
        self._splitters.pop(stream, None)

    def flush(self) -> None:
        """Tell the last lines, which lack their newline."""
        for stream, splitter in self._splitters.items():
            self._tell_all(stream, splitter.flush())

    def _tell_all(self, stream: str, lines: list[str]) -> None:
        for line in lines:
            self.tell(stream, line)
