"""What travels to an instance: entries by name below `work/`, each in one place once.

May import: the standard library, `aspot.files.names`, `aspot.ports` for the exception that means "the user's files".
"""

from __future__ import annotations

import enum
import os
import stat
from collections.abc import Iterator

import attrs

from aspot.files.names import MOST_COMPONENT, MOST_PATH, printable
from aspot.ports import Undeliverable

Stamp = tuple[int, ...]

NAMED_IN_A_NOTE = 5


class Kind(enum.Enum):
    """What an entry is."""

    FILE = "f"
    FOLDER = "d"
    LINK = "l"


@attrs.frozen(kw_only=True)
class Entry:
    """One file, folder or link that travels.

    Args:
        name: Below `work/`, with `/` between parts.
        kind: What it is.
        source: Where it lies here.
        size: Bytes, of a file.
        is_executable: Whether a file is executable for its owner.
        target: Of a link, relative.
        stamp: Device, inode, size, time of the content and of the inode: while it is the same, so is the content.
    """

    name: str
    kind: Kind
    source: str
    size: int = 0
    is_executable: bool = False
    target: str = ""
    stamp: Stamp = (0, 0, 0, 0, 0)

    @property
    def changed_s(self) -> int:
        """Return when a file was changed, epoch seconds."""
        return self.stamp[3] // 1_000_000_000


def file_entry(path: str, name: str, found: os.stat_result) -> Entry:
    """Return the entry of a regular file."""
    return Entry(
        name=name,
        kind=Kind.FILE,
        source=path,
        size=found.st_size,
        is_executable=bool(found.st_mode & stat.S_IXUSR),
        stamp=(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns),
    )


@attrs.define
class Scan:
    """Entries by name, and what was left out."""

    entries: dict[str, Entry] = attrs.field(factory=dict)
    left_out: list[str] = attrs.field(factory=list)

    def add(self, entry: Entry) -> None:
        """Take an entry in, with the folders above it; below a link it goes where the link leads.

        Raises:
            Undeliverable: If its name cannot travel, or another thing of that name is there.
        """
        _check_name(entry)
        above = self.entries.get(entry.name.rpartition("/")[0])
        if above is None or above.kind is not Kind.FOLDER:
            entry = attrs.evolve(entry, name=self.place_of(entry.name))
            for folder in _above(entry.name):
                self._put(Entry(name=folder, kind=Kind.FOLDER, source=entry.source))
        self._put(entry)

    def place_of(self, name: str) -> str:
        """Return the name under which a path is reached when the links above it are followed."""
        for above in _above(name):
            there = self.entries.get(above)
            if there is not None and there.kind is Kind.LINK:
                led = os.path.join(os.path.dirname(above), there.target, name[len(above) + 1 :])
                return self.place_of(os.path.normpath(led))
        return name

    def _put(self, entry: Entry) -> None:
        there = self.entries.get(entry.name)
        if there is None or (there.kind is Kind.LINK and there.source == entry.source):
            self.entries[entry.name] = entry  # a link that is named itself travels as what it leads to
        elif there.kind is not Kind.FOLDER or entry.kind is not Kind.FOLDER:
            _check_same(there, entry)

    def notes(self) -> tuple[str, ...]:
        """Return what was left out, as a sentence; empty if nothing was."""
        names = sorted({printable(name) for name in self.left_out})
        if not names:
            return ()
        more = len(names) - NAMED_IN_A_NOTE
        return (f"not uploaded: {', '.join(names[:NAMED_IN_A_NOTE])}{f' and {more} more' if more > 0 else ''}",)


def refused(path: str, why: str) -> Undeliverable:
    """Return the exception that says what is wrong with the user's file."""
    return Undeliverable(f"{printable(path)} {why}", is_local=True)


def unreadable(path: str, error: OSError) -> Undeliverable:
    """Return the exception for what the system says about the user's file."""
    return refused(path, f"cannot be read: {error.strerror or error}")


def _above(name: str) -> Iterator[str]:
    at = name.find("/")
    while at >= 0:
        yield name[:at]
        at = name.find("/", at + 1)


def _check_name(entry: Entry) -> None:
    name = entry.name
    if not name.isprintable() and any(ord(character) < 32 or ord(character) == 127 for character in name):
        raise refused(entry.source, "has a control character in its name")
    if 4 * len(name) > MOST_COMPONENT:
        raw = os.fsencode(name)
        if len(raw) > MOST_PATH or max(map(len, raw.split(b"/"))) > MOST_COMPONENT:
            raise refused(entry.source, "has a name too long for the instance's disk")


def _check_same(there: Entry, entry: Entry) -> None:
    is_same_file = there.kind is entry.kind is Kind.FILE and there.stamp == entry.stamp
    if there.source != entry.source and not is_same_file:
        both = f"{printable(there.source)} and {printable(entry.source)}"
        raise Undeliverable(f"both {both} would be work/{printable(entry.name)}", is_local=True)
