"""Single files between here and a machine that serves a folder: asked for ahead, heard in turn, checked by hash.

May import: `frames`, `shelf`, `copying`, `rules`.
"""

from __future__ import annotations

import hashlib
import os
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import anyio.to_thread

from aspot.storage import rules
from aspot.storage.copying import Watch, refuse_full
from aspot.storage.disk import NotCopied
from aspot.storage.frames import Talk, moment, number, unless_failed
from aspot.storage.rules import Item
from aspot.storage.shelf import Shelf, hashed

CHANGED = "it changed while it was copied; the same command copies it anew"
in_thread = anyio.to_thread.run_sync


class Sender:
    """Sends files.

    Args:
        talk: With the machine.
        here: The folder that they are in.
        watch: Is told how it goes.
    """

    def __init__(self, talk: Talk, here: Path, watch: Watch) -> None:
        self._talk, self._here, self._watch = talk, here, watch
        self._dropped: dict[str, str] = {}

    async def ask(self, item: Item) -> bool:
        """Send a file; an answer comes.

        Raises:
            NotCopied: If what is there of it cannot be looked at.
            OSError: If it cannot be read here.
        """
        path = self._here / item.name
        source = await in_thread(open, path, "rb")
        try:
            before = os.fstat(source.fileno())
            start, digest = await self._start(item, path)
            await self._talk.say(do="put", name=item.name, start=start)
            self._watch.moved(start)
            trouble = await self._content(source, start, digest)
            after = os.fstat(source.fileno())
        finally:
            source.close()
        if trouble or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            self._dropped[item.name] = trouble or CHANGED
            await self._talk.say(drop=True)
        else:
            is_executable = bool(before.st_mode & 0o100)
            await self._talk.say(sha256=digest.hexdigest(), mtime=before.st_mtime, x=is_executable)
        return True

    async def _start(self, item: Item, path: Path) -> tuple[int, Any]:
        """Return how much of a file is there already, and the hash of that."""
        if item.size > rules.PART:
            await self._talk.say(do="part", name=item.name)
            said = unless_failed(await self._talk.line())
            length = number(said.get("length"))
            if 0 < length <= item.size:
                digest = await in_thread(hashed, path, length)
                if digest.hexdigest() == said.get("sha256"):
                    return length, digest
        return 0, hashlib.sha256()

    async def _content(self, source: BinaryIO, start: int, digest: Any) -> str:
        """Send a file from here on; return what went wrong, if it did."""
        trouble = ""
        try:
            await in_thread(source.seek, start)
            while piece := await in_thread(_read, source, digest):
                await self._talk.send(piece)
                self._watch.moved(len(piece))
        except OSError as error:
            trouble = error.strerror or str(error)
        await self._talk.send(b"")
        return trouble

    async def answer(self, item: Item) -> None:
        """Hear whether a file arrived.

        Raises:
            NotCopied: If it did not.
        """
        said = await self._talk.line()
        if why := self._dropped.pop(item.name, ""):
            raise NotCopied(why)
        unless_failed(said)


class Fetcher:
    """Fetches files.

    Args:
        talk: With the machine.
        shelf: Where they land.
        watch: Is told how it goes.
    """

    def __init__(self, talk: Talk, shelf: Shelf, watch: Watch) -> None:
        self._talk, self._shelf, self._watch = talk, shelf, watch
        self._started: dict[str, tuple[int, Any]] = {}

    async def ask(self, item: Item) -> bool:
        """Ask for a file, or what lacks of it; an answer comes.

        Raises:
            NotCopied: If what is here of it cannot be looked at.
            OSError: Likewise.
        """
        start, digest = 0, hashlib.sha256()
        if item.size > rules.PART:
            length, ours = await in_thread(self._shelf.part, _parts(item), item.size)
            if length:
                await self._talk.say(do="hash", name=item.name, length=length)
                if unless_failed(await self._talk.line()).get("sha256") == ours.hexdigest():
                    start, digest = length, ours
        self._started[item.name] = start, digest
        await self._talk.say(do="get", name=item.name, start=start, size=item.size)
        return True

    async def answer(self, item: Item) -> None:
        """Take a file; it gets its place once it is whole and its hash is right.

        Raises:
            NotCopied: If it does not.
            OSError: If its place cannot be had.
        """
        start, digest = self._started.pop(item.name)
        unless_failed(await self._talk.line())
        self._watch.moved(start)
        came, trouble = await self._content(item, start, digest)
        said = unless_failed(await self._talk.line())
        if trouble is not None:
            raise trouble
        if came != item.size:
            raise NotCopied(CHANGED)
        if said.get("sha256") != digest.hexdigest():
            await in_thread(self._shelf.drop, _parts(item))
            raise NotCopied("what came is not what was sent (checksum); the same command copies it anew")
        modified, is_executable = moment(said.get("mtime")), said.get("x") is True
        place = partial(self._shelf.place, _parts(item), modified=modified, is_executable=is_executable)
        await in_thread(place)

    async def _content(self, item: Item, start: int, digest: Any) -> tuple[int, Exception | None]:
        """Write what comes; return the length that is here then, and what went wrong here: all that comes is read."""
        length = start
        target, trouble = await self._begun(item, start)
        try:
            async for piece in self._talk.frames(item.size - start):
                self._watch.moved(len(piece))
                length += len(piece)
                if target is not None and trouble is None:
                    try:
                        await in_thread(_write, target, digest, piece)
                    except OSError as error:
                        refuse_full(error, self._shelf.folder)
                        trouble = error
        finally:
            if target is not None:
                await in_thread(target.close)
        return length, trouble

    async def _begun(self, item: Item, start: int) -> tuple[BinaryIO | None, Exception | None]:
        try:
            return await in_thread(self._shelf.begin, _parts(item), start), None
        except (NotCopied, OSError) as error:
            return None, error


def _parts(item: Item) -> tuple[str, ...]:
    return tuple(item.name.split("/"))


def _read(source: BinaryIO, digest: Any) -> bytes:
    piece = source.read(rules.MIB)
    digest.update(piece)
    return piece


def _write(target: BinaryIO, digest: Any, piece: bytes) -> None:
    target.write(piece)
    digest.update(piece)
