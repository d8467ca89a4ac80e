"""The output of a running attempt, straight from the channel into the sink: no line is looked at. Pure."""

from __future__ import annotations

import attrs

from aspot.ports import LogSink

GREETING = b"@aspot\n"

MOST_NOISE = 1 << 16
"""Bytes that a start-up file may say before the runner does."""


class Full(ValueError):
    """There is all that is kept of the beginning of an output: what else is kept of it comes with the result."""


@attrs.define
class _Stream:
    """One of the two files: greeting, where it starts and how many bytes of it are to be followed, then the bytes."""

    name: str
    sink: LogSink
    most: int = 0
    head: bytearray = attrs.field(factory=bytearray)
    is_open: bool = False

    def take(self, chunk: bytes) -> None:
        if self.is_open:
            self._write(chunk)
            return
        self.head += chunk
        greeting = self.head.find(GREETING)
        end = self.head.find(b"\n", greeting + len(GREETING)) if greeting >= 0 else -1
        if end >= 0:
            start, most = self.head[greeting + len(GREETING) : end].split(b" ")
            self.most = int(most)
            self._begin(int(start), bytes(self.head[end + 1 :]))
        elif len(self.head) > MOST_NOISE:
            raise ValueError("the machine's answer makes no sense")

    @property
    def _here(self) -> int:
        return self.sink.offsets()[self.name == "stderr"]

    def _write(self, chunk: bytes) -> None:
        """Keep a piece, but nothing past the limit: what is there has no lasting place in the file."""
        room = max(0, self.most - self._here) if self.most else len(chunk)
        if chunk[:room]:
            self.sink.write(self.name, chunk[:room])
        if self.most and len(chunk) >= room:
            raise Full(self.name)

    def _begin(self, start: int, rest: bytes) -> None:
        here = self._here
        if start != here:
            if start != 0:
                raise ValueError(f"{self.name} starts at {start} in place of {here}")
            self.sink.restart(self.name)
        self.is_open = True
        if rest:
            self._write(rest)


class Following:
    """Takes a command's output for the job's: its stdout and stderr begin with a greeting and where the bytes start.

    Args:
        sink: Where they go.
    """

    def __init__(self, sink: LogSink) -> None:
        self._streams = (_Stream("stdout", sink), _Stream("stderr", sink))

    def __call__(self, chunk: bytes, is_error: bool) -> None:
        """Take a piece.

        Raises:
            Full: If an output has reached its limit: follow again, from there.
            ValueError: If it makes no sense.
            OSError: If the sink cannot keep it.
        """
        self._streams[is_error].take(chunk)
