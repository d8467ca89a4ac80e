"""The talk with a machine that serves a folder: lines of JSON, frames of contents, what it says judged (THREATS T3)."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any

from aspot.files.haul import Damaged
from aspot.files.names import printable
from aspot.ssh.exchange import Exchange
from aspot.storage import rules
from aspot.storage.disk import NotCopied
from aspot.storage.program import refuse_failure
from aspot.storage.rules import Item

LONGEST = 8 * rules.MIB
"""Of a line."""
NO_SENSE = "the machine's answer makes no sense"


class Talk:
    """The talk with the program there: what is said to it, and what it says, in lines and in frames.

    Args:
        there: The program there.
        label: What users call the machine.
    """

    def __init__(self, there: Exchange, label: str) -> None:
        self._there, self._label = there, label
        self._held = bytearray()

    async def say(self, **words: object) -> None:
        """Say a line. Raises `LinkDropped`."""
        await self._there.send(json.dumps(words).encode() + b"\n")

    async def send(self, piece: bytes) -> None:
        """Send a frame; an empty one ends a file's content. Raises `LinkDropped`."""
        await self._there.send(b"%d\n" % len(piece))
        if piece:
            await self._there.send(piece)

    async def _more(self) -> None:
        chunk = await self._there.read()
        if not chunk:
            await self._there.ended()
            raise Damaged("it ended before it had said everything")
        self._held += chunk

    async def _line(self) -> bytes:
        start = 0
        while (at := self._held.find(b"\n", start)) < 0:
            if len(self._held) > LONGEST:
                raise Damaged(NO_SENSE)
            start = len(self._held)
            await self._more()
        line = bytes(self._held[:at])
        del self._held[: at + 1]
        return line if line != b"{}" else await self._line()

    async def line(self) -> dict[str, Any]:
        """Return the next line that says something.

        Raises:
            AspotError: If it says that all has failed.
        """
        try:
            found = json.loads(await self._line())
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Damaged(NO_SENSE)
        refuse_failure(found, self._label)
        return found

    async def frames(self, most: int) -> AsyncIterator[bytes]:
        """Yield a file's content, of so many bytes at most."""
        while True:
            line = await self._line()
            length = int(line) if line.isdigit() and len(line) < 16 else -1
            if length == 0:
                return
            most -= length
            if length < 0 or length > LONGEST or most < 0:
                raise Damaged(NO_SENSE)
            while len(self._held) < length:
                await self._more()
            piece = bytes(self._held[:length])
            del self._held[:length]
            yield piece


def unless_failed(line: dict[str, Any]) -> dict[str, Any]:
    """Return a line that tells of no failure of one file.

    Raises:
        NotCopied: If it does.
    """
    if "failed" in line:
        raise NotCopied(printable(str(line["failed"]))[:500])
    return line


def judged(row: Any) -> Item:
    """Return a file that a machine claims to have.

    Raises:
        Damaged: If it makes no sense.
    """
    if not isinstance(row, list) or len(row) != 3 or not isinstance(row[0], str):
        raise Damaged(NO_SENSE)
    return Item(row[0], number(row[1]), moment(row[2]))


def number(value: Any) -> int:
    """Return a length. Raises `Damaged`."""
    if not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise Damaged(NO_SENSE)
    return value


def moment(value: Any) -> float:
    """Return seconds since 1970. Raises `Damaged`."""
    if not isinstance(value, int | float) or not abs(value) < 1 << 40:
        raise Damaged(NO_SENSE)
    return float(value)
