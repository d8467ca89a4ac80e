"""What comes home from an instance: its listing judged, its stream of contents written down and checked by hash.

The instance is taken for hostile (THREATS T3): sizes, names, kinds and order are its claims, and every one is checked
or bounded. May import: the standard library, `aspot.files`.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import stat
from collections.abc import Generator, Iterable, Sequence
from pathlib import Path

import attrs

from aspot.files.landing import Landing, is_about_name
from aspot.files.names import HostileName, components, shown
from aspot.files.patterns import Pattern

MOST_FILES = 200_000
MOST_FOLDERS = 200_000
MOST_BYTES = 256 << 30
MOST_LISTED = 1_000_000
MOST_MISSING = 1_000
"""Lines about what was not taken; a machine can make as many names as it likes."""

SPARE_BYTES = 64 << 20
"""Left free on the local disk."""

_KINDS = {
    "l": "a link, not brought home",
    "p": "a FIFO, not brought home",
    "s": "a socket, not brought home",
    "c": "a device, not brought home",
    "b": "a device, not brought home",
}


class Damaged(Exception):
    """What came does not agree with what was announced: nothing of it counts."""


@attrs.frozen(kw_only=True)
class Listed:
    """One line of the machine's listing, as claimed."""

    raw: bytes
    kind: str
    mode: int
    size: int
    is_readable: bool = True


@attrs.frozen(kw_only=True)
class Wanted:
    """A file that will be brought home."""

    raw: bytes
    parts: tuple[str, ...]
    size: int
    is_executable: bool


@attrs.frozen(kw_only=True)
class Choice:
    """What of a listing is wanted, and what is not taken."""

    files: tuple[Wanted, ...] = ()
    folders: tuple[tuple[str, ...], ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def size(self) -> int:
        """Return the bytes to come."""
        return sum(file.size for file in self.files)


def parse_listing(kind: str, names: bytes, lines: bytes = b"") -> tuple[Listed, ...]:
    """Return the entries of a listing.

    Args:
        kind: `G`: records `r|- kind mode size name`, by NUL; `B`: names by NUL, and lines `hexmode size` beside them.
        names: The records or names.
        lines: The lines of `B`.

    Raises:
        Damaged: If it makes no sense.
    """
    records = names.split(b"\0")[:-1] if names != b"\0" else []
    if len(records) > MOST_LISTED:
        raise Damaged(f"more than {MOST_LISTED:,} files are listed")
    try:
        if kind == "G":
            return tuple(map(_gnu, records))
        return tuple(_busybox(raw, line) for raw, line in zip(records, lines.splitlines(), strict=True))
    except (ValueError, IndexError) as error:
        raise Damaged(f"the listing makes no sense: {error}") from error


def _gnu(record: bytes) -> Listed:
    head, size, raw = record.split(b" ", 2)
    text = head.decode("ascii")
    return Listed(raw=raw, kind=text[1], mode=int(text[2:] or "0", 8), size=_size(size), is_readable=text[0] == "r")


def _busybox(raw: bytes, line: bytes) -> Listed:
    mode, size = line.split(b" ")
    number = int(mode, 16)
    kinds = {stat.S_IFREG: "f", stat.S_IFDIR: "d", stat.S_IFLNK: "l", stat.S_IFIFO: "p", stat.S_IFSOCK: "s"}
    return Listed(raw=raw, kind=kinds.get(stat.S_IFMT(number), "c"), mode=number & 0o7777, size=_size(size))


def _size(text: bytes) -> int:
    size = int(text)
    if size < 0:
        raise ValueError("a negative size")
    return size


def choose(listed: Iterable[Listed], patterns: Sequence[Pattern], *, room: int) -> Choice:
    """Return what of a listing is brought home.

    Args:
        listed: The machine's claims.
        patterns: What was asked for.
        room: Bytes that may be brought.
    """
    chooser = _Chooser(patterns=patterns, room=min(room, MOST_BYTES))
    for entry in listed:
        chooser.look_at(entry)
    return chooser.choice()


@attrs.define(kw_only=True)
class _Chooser:
    patterns: Sequence[Pattern]
    room: int
    files: dict[tuple[str, ...], Wanted] = attrs.field(factory=dict)
    folders: dict[tuple[str, ...], None] = attrs.field(factory=dict)
    missing: list[str] = attrs.field(factory=list)
    met: set[Pattern] = attrs.field(factory=set)
    made: set[tuple[str, ...]] = attrs.field(factory=set)

    def look_at(self, entry: Listed) -> None:
        if entry.raw in (b".", b"./"):
            self.met.update(pattern for pattern in self.patterns if not pattern.parts)
            return
        try:
            parts = components(entry.raw)
        except HostileName as error:
            self._refuse(entry, f"not taken: {error}")
            return
        hits = [pattern for pattern in self.patterns if pattern.matches(parts)]
        self.met.update(hits)
        if hits:
            self._take(entry, parts)

    def _take(self, entry: Listed, parts: tuple[str, ...]) -> None:
        if parts in self.files or parts in self.folders:
            return
        if entry.kind not in ("d", "f"):
            self._refuse(entry, _KINDS.get(entry.kind, "neither file nor folder, not brought home"))
        elif not self._claim(parts if entry.kind == "d" else parts[:-1]):
            self._refuse(entry, "more than may be brought home")
        elif entry.kind == "d":
            self.folders[parts] = None
        elif not entry.is_readable:
            self._refuse(entry, "not readable there")
        elif len(self.files) >= MOST_FILES or entry.size > self.room:
            self._refuse(entry, "more than may be brought home")
        else:
            self.room -= entry.size
            executable = bool(entry.mode & stat.S_IXUSR)
            self.files[parts] = Wanted(raw=entry.raw, parts=parts, size=entry.size, is_executable=executable)

    def _claim(self, folder: tuple[str, ...]) -> bool:
        """Count the folder, and those above it, among the folders to make; tell whether there may be so many."""
        while folder and folder not in self.made and len(self.made) < MOST_FOLDERS:
            self.made.add(folder)
            folder = folder[:-1]
        return not folder or folder in self.made

    def _refuse(self, entry: Listed, why: str) -> None:
        if len(self.missing) < MOST_MISSING:
            self.missing.append(f"{shown(entry.raw)} ({why})")

    def choice(self) -> Choice:
        absent = [pattern.text for pattern in self.patterns if pattern not in self.met]
        return Choice(
            files=tuple(self.files.values()), folders=tuple(self.folders), missing=tuple(absent + self.missing)
        )


def room_at(folder: Path) -> int:
    """Return how many bytes may land in a folder."""
    return max(0, shutil.disk_usage(folder).free - SPARE_BYTES)


class Unpacker:
    """Writes the stream of contents down as it comes: batches of a count, the contents, and a hash for each.

    Args:
        landing: Where files go.
        files: What was asked for, in that order.
    """

    def __init__(self, landing: Landing, files: Sequence[Wanted]) -> None:
        self.is_done = False
        self.refused: list[Wanted] = []
        self._landing = landing
        self._files = files
        self._held = bytearray()
        self._steps = self._run()
        next(self._steps)

    def feed(self, chunk: bytes) -> None:
        """Take the next bytes. Blocks on the disk.

        Raises:
            Damaged: If they do not agree with what was announced.
            OSError: If the disk here does not take them.
        """
        self._held += chunk
        try:
            next(self._steps)
        except StopIteration:
            self.is_done = True

    def _run(self) -> Generator[None, None, None]:
        yield
        done = 0
        while done < len(self._files):
            count = _count((yield from self._line()), len(self._files) - done)
            batch = self._files[done : done + count]
            hashes: list[str] = []
            for file in batch:
                found = yield from self._content(file)
                hashes.append(found)
            for file, found in zip(batch, hashes, strict=True):
                line = (yield from self._line()).lstrip(b"\\")
                if line[:65] != found.encode() + b" ":
                    raise Damaged(f"{shown(file.raw)} did not come through whole, or changed meanwhile")
            done += count
        if (yield from self._line()) != b"end":
            raise Damaged("more came than was announced")

    def _line(self) -> Generator[None, None, bytes]:
        while (at := self._held.find(b"\n")) < 0:
            if len(self._held) > 1 << 16:
                raise Damaged("what came makes no sense")
            yield
        line = bytes(self._held[:at])
        del self._held[: at + 1]
        return line

    def _content(self, file: Wanted) -> Generator[None, None, str]:
        found = hashlib.sha256()
        fd = self._create(file)
        try:
            left = file.size
            while left:
                if not self._held:
                    yield
                    continue
                piece = self._held[:left]
                del self._held[: len(piece)]
                left -= len(piece)
                found.update(piece)
                _write(fd, piece)
        finally:
            if fd >= 0:
                os.close(fd)
        return found.hexdigest()

    def _create(self, file: Wanted) -> int:
        """Return a new file's descriptor; -1 if this disk does not take the name (another differs only in case)."""
        try:
            return self._landing.create(file.parts, is_executable=file.is_executable)
        except OSError as error:
            if not is_about_name(error):
                raise
            self.refused.append(file)
            return -1


def _count(line: bytes, most: int) -> int:
    if not line.isdigit() or len(line) > 9 or not 0 < int(line) <= most:
        raise Damaged("what came makes no sense")
    return int(line)


def _write(fd: int, content: bytearray) -> None:
    done = 0
    while fd >= 0 and done < len(content):
        done += os.write(fd, memoryview(content)[done:])
