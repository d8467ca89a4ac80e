"""What a job uploads: local files by API.md's rules, as entries below `work/`.

May import: the standard library, `aspot.files`.
"""

from __future__ import annotations

import glob
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from aspot.files.entries import Entry, Kind, Scan, file_entry, refused
from aspot.files.ignore import Ignore, is_below
from aspot.files.walk import NEITHER, SKIPPED, Filter, Walker, follow, matches
from aspot.ports import Undeliverable

__all__ = ["SKIPPED", "Entry", "Kind", "Scan", "scan_everything", "scan_folder", "scan_script", "scan_uploads"]


def scan_uploads(base: Path, uploads: Iterable[tuple[str, str]], *, skip: Sequence[Path] = ()) -> Scan:
    """Return what these uploads mean.

    Args:
        base: The local folder that relative paths are relative to.
        uploads: (path or pattern, name below `work/` or "" for the usual one).
        skip: Local folders that never travel as part of another (the results folder).

    Raises:
        Undeliverable: If one is not there, cannot be read, or cannot travel (`is_local`).
    """
    scan = Scan()
    finder = _Finder(os.path.realpath(base), scan, frozenset(_identities(skip)))
    found = [item for local, remote in uploads for item in finder.find(local, remote)]
    for item in sorted(found, key=_depth):  # so that a link is there before what is named below it
        _take(scan, item.path, item.name, finder.filter_for)
    return scan


def scan_folder(folder: Path) -> Scan:
    """Return everything in a folder of ours (a checkpoint), nothing left out."""
    scan = Scan()
    _take(scan, str(folder), "", lambda _: Filter())
    return scan


def scan_everything(items: Iterable[tuple[Path, str]]) -> Scan:
    """Return these files and folders with all that is in them, nothing left out.

    Args:
        items: Path here, and name there; "" for all that is in a folder.

    Raises:
        Undeliverable: If one is not there, cannot be read, or cannot travel (`is_local`).
    """
    scan = Scan()
    for path, name in items:
        _take(scan, os.path.realpath(path), name, lambda _: Filter())
    return scan


def scan_script(scan: Scan, source: Path, name: str) -> None:
    """Add a script under the name it will be run by, unless the uploads hold it already.

    Raises:
        Undeliverable: If it cannot be read, or the uploads hold something else of that name.
    """
    there = scan.entries.get(scan.place_of(name))
    if there is None or os.path.realpath(there.source) != os.path.realpath(source):
        scan.add(file_entry(str(source), name, follow(str(source))))


def _take(scan: Scan, path: str, name: str, filter_for: Callable[[str], Filter]) -> None:
    """Take one upload in: a file, or a folder with all that is in it."""
    found = follow(path)
    if stat.S_ISDIR(found.st_mode):
        Walker(scan, filter_for(path)).walk(path, name)
    elif stat.S_ISREG(found.st_mode):
        scan.add(file_entry(path, name, found))
    else:
        raise refused(path, f"is {NEITHER}")


def _identities(folders: Iterable[Path]) -> Iterator[tuple[int, int]]:
    for folder in folders:
        if os.path.isdir(folder):
            found = os.stat(folder)
            yield found.st_dev, found.st_ino


@attrs.frozen
class _Named:
    """A file or folder that an upload names.

    Args:
        path: Where it lies; no links above its last part.
        name: Where below `work/` it lands; "" is `work/` itself.
    """

    path: str
    name: str


def _depth(item: _Named) -> int:
    return item.name.count("/") + 1 if item.name else 0


@attrs.frozen
class _Finder:
    """Finds what uploads name.

    Args:
        base: Real path of the folder that relative paths are relative to.
        scan: Where it is said what a pattern matches but is left out.
        never: Device and inode of folders that never travel.
    """

    base: str
    scan: Scan
    never: frozenset[tuple[int, int]]

    def filter_for(self, root: str) -> Filter:
        """Return what is left out of a folder that the user named."""
        return Filter(ignore=Ignore(self.base, root), never=self.never)

    def find(self, local: str, remote: str) -> list[_Named]:
        """Return what an upload names: itself if it is there, else what its wildcards match."""
        given = os.path.expanduser(local)
        path = _plain(os.path.join(self.base, given))
        if local and os.path.lexists(path):
            return [_Named(path, _name(path, given, remote))]
        if not glob.has_magic(given):
            raise Undeliverable(f"the upload {local!r} is not there (in {self.base})", is_local=True)
        found = list(self._match(given))
        if not found:
            raise Undeliverable(f"the upload {local!r} matches nothing (in {self.base})", is_local=True)
        return [_Named(path, _name(path, match, remote, is_match=True)) for path, match in found]

    def _match(self, pattern: str) -> Iterator[tuple[str, str]]:
        """Yield what the wildcards match, but nothing that lies in a folder that they match, too."""
        parts = [part for part in pattern.split("/") if part not in ("", ".")]
        plain = next(at for at, part in enumerate(parts) if glob.has_magic(part))
        start = os.path.join("/" if os.path.isabs(pattern) else "", *parts[:plain])
        folder = os.path.realpath(os.path.join(self.base, start))
        filtered = self.filter_for(folder)
        taken: set[str] = set()
        for inside in sorted(set(matches(self.scan, filtered, folder, parts[plain:]))):
            path = _plain(os.path.join(folder, inside))
            if not any(above in taken for above in _above(path, folder)):
                if os.path.isdir(path):
                    taken.add(path)
                yield path, os.path.join(start, inside)


def _above(path: str, top: str) -> Iterator[str]:
    while path != top and is_below(path, top):
        path = os.path.dirname(path)
        yield path


def _plain(path: str) -> str:
    """Return the path without links above its last part, and without a slash at its end."""
    head, tail = os.path.split(path.rstrip("/"))
    return os.path.realpath(path) if tail in ("", ".", "..") else os.path.join(os.path.realpath(head), tail)


def _name(path: str, given: str, remote: str, *, is_match: bool = False) -> str:
    """Return where below `work/` it lands; "" is `work/` itself."""
    plain = os.path.normpath(remote or given)
    is_outside = os.path.isabs(plain) or plain.split("/")[0] == ".."
    if remote and is_outside:
        raise Undeliverable(f"the upload {given!r} cannot land at {remote!r}, outside work/", is_local=True)
    if is_outside:
        return os.path.basename(path)
    if remote and (is_match or (plain == "." and not os.path.isdir(path))):
        plain = os.path.normpath(os.path.join(plain, os.path.basename(path)))
    return "" if plain == "." else plain
