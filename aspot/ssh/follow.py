"""The output of a running attempt, straight from the channel into the sink: no line is looked at. Pure."""

from __future__ import annotations

import attrs

from aspot.ports import LogSink

GREETING = b"@aspot\n"

MOST_NOISE = 1 << 16
"""Bytes that a start-up file may say before the runner does."""


@attrs.define
class _Stream:
    """One of the two files: greeting, where it starts, then the bytes."""

    name: str
    sink: LogSink
    head: bytearray = attrs.field(factory=bytearray)
    is_open: bool = False

    def take(self, chunk: bytes) -> None:
        if self.is_open:
            self.sink.write(self.name, chunk)
            return
        self.head += chunk
        greeting = self.head.find(GREETING)
        end = self.head.find(b"\n", greeting + len(GREETING)) if greeting >= 0 else -1
        if end >= 0:
            self._begin(int(self.head[greeting + len(GREETING) : end]), bytes(self.head[end + 1 :]))
        elif len(self.head) > MOST_NOISE:
            raise ValueError("the machine's answer makes no sense")

    def _begin(self, start: int, rest: bytes) -> None:
        here = self.sink.offsets()[self.name == "stderr"]
        if start != here:
            if start != 0:
                raise ValueError(f"{self.name} starts at {start} in place of {here}")
            self.sink.restart(self.name)
        self.is_open = True
        if rest:
            self.sink.write(self.name, rest)


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
            ValueError: If it makes no sense.
            OSError: If the sink cannot keep it.
        """
        self._streams[is_error].take(chunk)
