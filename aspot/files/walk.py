"""Walks what is uploaded. A folder is copied as it is: links that stay in it as links, others as what they lead to.

May import: the standard library, `aspot.files`.
"""

from __future__ import annotations

import errno
import fnmatch
import glob
import os
import stat
from collections.abc import Iterator, Sequence

import attrs

from aspot.files.entries import Entry, Kind, Scan, file_entry, refused, unreadable
from aspot.files.ignore import Ignore, is_below

SKIPPED = frozenset({".git", ".venv", "__pycache__", "node_modules"})
"""Never uploaded from within a folder (API.md); naming one as the upload itself is a wish, and honoured."""

NEITHER = "neither a file nor a folder"

_NOWHERE = (errno.ENOENT, errno.ENOTDIR)


@attrs.frozen(kw_only=True)
class Filter:
    """What of a folder stays here.

    Args:
        ignore: Ignore files; None: everything travels.
        never: Device and inode of folders that never travel.
    """

    ignore: Ignore | None = None
    never: frozenset[tuple[int, int]] = frozenset()

    def enter(self, folder: str) -> None:
        """Take the folder's ignore file into account."""
        if self.ignore is not None:
            self.ignore.enter(folder)

    def leaves_out(self, child: os.DirEntry[str]) -> bool:
        """Tell whether something in a folder that was entered stays here."""
        if self.ignore is None:
            return False
        if child.name in SKIPPED or self.ignore.holds(child.path, is_folder=os.path.isdir(child.path)):
            return True
        is_folder = child.is_dir(follow_symlinks=False)
        return is_folder and bool(self.never) and self.is_never(child.stat(follow_symlinks=False))

    def is_never(self, found: os.stat_result) -> bool:
        """Tell whether it is a folder that never travels."""
        return (found.st_dev, found.st_ino) in self.never

    def leaves_out_below(self, folder: str, inside: str) -> bool:
        """Tell whether something below the folder, or a folder on the way to it, stays here (no links on the way)."""
        if self.ignore is None:
            return False
        path = folder
        for part in inside.split(os.sep):
            self.enter(path)
            path = os.path.join(path, part)
            found = os.lstat(path)
            is_ignored = self.ignore.holds(path, is_folder=stat.S_ISDIR(found.st_mode))
            if part in SKIPPED or is_ignored or self.is_never(found):
                return True
        return False


@attrs.frozen
class _Tree:
    """A folder that is copied: the upload, or what a link leads to.

    Args:
        path: As it was reached.
        real: The same, without links.
        outer: The one that its link lies in.
    """

    path: str
    real: str
    outer: _Tree | None = None

    def lies_in(self, folder: str) -> bool:
        """Tell whether this, or one around it, lies in the folder."""
        return is_below(self.real, folder) or (self.outer is not None and self.outer.lies_in(folder))


@attrs.frozen
class _Folder:
    path: str
    name: str
    tree: _Tree


@attrs.frozen
class Walker:
    """Walks one upload.

    Args:
        scan: Where entries go.
        filter: What is left out.
    """

    scan: Scan
    filter: Filter

    def walk(self, path: str, name: str) -> None:
        """Take in all that is in a folder.

        Raises:
            Undeliverable: If something cannot travel.
        """
        pending = [_Folder(path, name, _Tree(path, os.path.realpath(path)))]
        while pending:
            folder = pending.pop()
            try:
                pending.extend(self._below(folder))
            except OSError as error:
                raise unreadable(error.filename or folder.path, error) from error

    def _below(self, folder: _Folder) -> Iterator[_Folder]:
        """Take in what is in a folder; yield the folders in it."""
        if folder.name:
            self.scan.add(Entry(name=folder.name, kind=Kind.FOLDER, source=folder.path))
        for child in _children(self.filter, folder.path):
            name = f"{folder.name}/{child.name}" if folder.name else child.name
            if self.filter.leaves_out(child):
                self.scan.left_out.append(name)
            elif child.is_symlink():
                yield from self._link(child.path, name, folder)
            elif child.is_dir():
                yield _Folder(child.path, name, folder.tree)
            elif child.is_file():
                self.scan.add(file_entry(child.path, name, child.stat()))
            else:
                self.scan.left_out.append(f"{name} ({NEITHER})")

    def _link(self, path: str, name: str, folder: _Folder) -> Iterator[_Folder]:
        found, real = follow(path), os.path.realpath(path)
        if self.filter.is_never(found):
            self.scan.left_out.append(name)
        elif not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
            self.scan.left_out.append(f"{name} ({NEITHER})")
        elif target := self._target(real, folder):
            self.scan.add(Entry(name=name, kind=Kind.LINK, source=path, target=target))
        elif stat.S_ISREG(found.st_mode):
            self.scan.add(file_entry(path, name, found))
        elif folder.tree.lies_in(real):
            raise refused(path, "is a link to a folder that it lies in")
        else:
            yield _Folder(path, name, _Tree(path, real, folder.tree))

    def _target(self, real: str, folder: _Folder) -> str:
        """Return the relative target of a link in the folder if what it leads to is copied with it, else ""."""
        tree = folder.tree
        inside = os.path.relpath(real, tree.real)
        if not is_below(real, tree.real) or (inside != "." and self.filter.leaves_out_below(tree.path, inside)):
            return ""
        return os.path.relpath(real, tree.real + folder.path[len(tree.path) :])


def follow(path: str) -> os.stat_result:
    """Return what lies at a path, or where it leads.

    Raises:
        Undeliverable: If it is a link that leads nowhere, or cannot be followed.
    """
    try:
        return os.stat(path)
    except OSError as error:
        if error.errno in _NOWHERE and os.path.islink(path):
            raise refused(path, f"is a link to {os.readlink(path)!r}, which is not there") from error
        if error.errno == errno.ELOOP:
            raise refused(path, "is a link that leads back to itself") from error
        raise unreadable(path, error) from error


def matches(scan: Scan, filtered: Filter, folder: str, parts: Sequence[str], name: str = "") -> Iterator[str]:
    """Yield what a pattern names below a folder, as paths relative to it, as a shell would; `**` follows no links.

    Args:
        scan: Where it is said what would match but is left out.
        filtered: What is left out.
        folder: Where to look.
        parts: The pattern's parts.
        name: What has matched so far.

    Raises:
        Undeliverable: If a folder on the way cannot be read.
    """
    here = os.path.join(folder, name) if name else folder
    if not parts:
        yield name
    elif not glob.has_magic(parts[0]):
        if os.path.lexists(os.path.join(here, parts[0])):
            yield from matches(scan, filtered, folder, parts[1:], os.path.join(name, parts[0]))
    elif os.path.isdir(here):
        rest = parts[1:]
        if parts[0] == "**":
            yield from matches(scan, filtered, folder, rest, name)
        for child in _matching(scan, filtered, here, parts[0], name):
            deeper = parts if parts[0] == "**" else rest
            yield from matches(scan, filtered, folder, deeper, os.path.join(name, child))


def _matching(scan: Scan, filtered: Filter, here: str, part: str, name: str) -> Iterator[str]:
    try:
        for child in _children(filtered, here):
            if not _fits(child, part):
                continue
            if filtered.leaves_out(child):
                scan.left_out.append(os.path.join(name, child.name))
            else:
                yield child.name
    except OSError as error:
        raise unreadable(error.filename or here, error) from error


def _fits(child: os.DirEntry[str], part: str) -> bool:
    if child.name.startswith(".") and not part.startswith("."):
        return False
    if part == "**":
        return child.is_dir(follow_symlinks=False)
    return fnmatch.fnmatchcase(child.name, part)


def _children(filtered: Filter, folder: str) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as found:
        children = sorted(found, key=lambda child: child.name)
    filtered.enter(folder)
    return children
