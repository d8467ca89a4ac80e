"""The client's side of `evacuate`: a listing, then one file after the other, each acknowledged by its hash.

The machine is taken for hostile, as in `aspot.files.haul`. May import: anyio, `aspot.files`, `aspot.ssh`.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import anyio
import anyio.to_thread
import attrs

from aspot.files.haul import MOST_BYTES, Damaged, Wanted, choose, room_at
from aspot.files.landing import Landing, is_about_name
from aspot.files.names import shown
from aspot.files.patterns import Pattern
from aspot.machine.haul import NO_TIME, Haul
from aspot.ssh.collect import ask, listing
from aspot.ssh.exchange import Exchange

DRAFT = ".aspot-evacuated"
"""A file on its way; what the machine calls so is not taken."""


NO_ROOM = "no room for it here"


class TooSlow(Exception):
    """The file under way will not be here in time: the channel is to be closed, and another opened for the next."""


@attrs.define
class Carrier:
    """Brings files over one channel after another, until all have come or been given up.

    Args:
        patterns: What was asked for, the most important first.
        into: Where files go.
        haul: Notes what has come.
    """

    patterns: Sequence[Pattern]
    into: Path
    haul: Haul
    _is_begun: bool = attrs.field(init=False, default=False)
    _tried: set[tuple[str, ...]] = attrs.field(init=False, factory=set)

    async def carry(self, there: Exchange) -> None:
        """Bring what has not been tried yet.

        Raises:
            TooSlow: If a file was given up half-way.
            Damaged: If the machine's answers make no sense.
        """
        await ask(there, self.patterns)
        choice = choose(
            await listing(there), self.patterns, room=MOST_BYTES
        )  # what fits here is seen one by one, in the user's order
        files = [file for file in choice.files if file.parts[0] != DRAFT]
        if not self._is_begun:
            self._is_begun = True
            self._expect(files, choice.missing)
        with Landing(self.into) as landing:
            for file in sorted(files, key=self._rank):
                if file.parts not in self._tried:
                    self._tried.add(file.parts)
                    await self._carry_one(there, landing, file)

    def _expect(self, files: Sequence[Wanted], missing: Sequence[str]) -> None:
        texts = {pattern.text for pattern in self.patterns}
        self.haul.expect("/".join(file.parts) for file in sorted(files, key=self._rank))
        for name in missing:
            self.haul.lose(name, "not there" if name in texts else "")

    def _rank(self, file: Wanted) -> int:
        """Return the place of the first pattern that names the file."""
        return next(place for place, pattern in enumerate(self.patterns) if pattern.matches(file.parts))

    async def _carry_one(self, there: Exchange, landing: Landing, file: Wanted) -> None:
        name = "/".join(file.parts)
        if not self.haul.fits(file.size, anyio.current_time()):
            self.haul.lose(name, NO_TIME)
            return
        if file.size > room_at(self.into):
            self.haul.lose(name, NO_ROOM)
            return
        known, _ = self.haul.saved.get(name, ("-", 0))
        await there.send(f"{known} ".encode() + file.raw + b"\n")
        answer = await there.line()
        if answer == "same":
            self.haul.lost.pop(name, None)
        elif answer == "gone":
            self.haul.lose(name, "it went away, or cannot be read")
        elif answer.isdigit() and len(answer) < 16:
            await self._receive(there, landing, file, int(answer))
        else:
            raise Damaged(f"{shown(file.raw)}: the answer makes no sense")

    async def _receive(self, there: Exchange, landing: Landing, file: Wanted, size: int) -> None:
        name = "/".join(file.parts)
        if size > room_at(self.into):
            self.haul.lose(name, NO_ROOM)
            raise TooSlow
        landing.remove(DRAFT)
        fd = landing.create((DRAFT,), is_executable=file.is_executable)
        try:
            digest = await self._content(there, fd, size, name)
            claimed, _, word = (await there.line()).partition(" ")
            if digest != claimed or word != "whole":
                self.haul.lose(name, "it changed while it was copied")
                return
            await anyio.to_thread.run_sync(os.fsync, fd)
        finally:
            os.close(fd)
        try:
            landing.place(DRAFT, file.parts)
        except OSError as error:
            if not is_about_name(error):
                raise
            self.haul.lose(name, "its name is taken by another file here")
        else:
            self.haul.keep(name, digest, size)

    async def _content(self, there: Exchange, fd: int, size: int, name: str) -> str:
        found, left, since_s = hashlib.sha256(), size, anyio.current_time()
        while left:
            chunk = await there.read()
            if not chunk:
                raise Damaged("it was cut short")
            there.put_back(chunk[left:])
            piece = chunk[:left]
            left -= len(piece)
            await anyio.to_thread.run_sync(_take, fd, piece, found)
            if left and self.haul.is_hopeless(done=size - left, size=size, since_s=since_s, now_s=anyio.current_time()):
                self.haul.moved(size - left, anyio.current_time() - since_s)
                self.haul.lose(name, NO_TIME)
                raise TooSlow
        self.haul.moved(size, anyio.current_time() - since_s)
        return found.hexdigest()


def _take(fd: int, piece: bytes, found: hashlib._Hash) -> None:
    found.update(piece)
    done = 0
    while done < len(piece):
        done += os.write(fd, memoryview(piece)[done:])


def clean(into: Path) -> None:
    """Remove what a transfer left that was cut off."""
    with contextlib.suppress(OSError):
        (into / DRAFT).unlink()
