"""What a job uploads: local files by API.md's rules, as entries below `work/`.

May import: the standard library, `aspot.files`, `aspot.ports` for the exception that means "the user's files".
"""

from __future__ import annotations

import enum
import errno
import glob
import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from aspot.files.ignore import Ignore
from aspot.ports import Undeliverable

SKIPPED = frozenset({".git", ".venv", "__pycache__", "node_modules"})
"""Never uploaded from within a folder (API.md); naming one as the upload itself is a wish, and honoured."""


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
        stamp: Device, inode, size and time of a file: while it is the same, so is the content.
    """

    name: str
    kind: Kind
    source: str
    size: int = 0
    is_executable: bool = False
    target: str = ""
    stamp: tuple[int, int, int, int] = (0, 0, 0, 0)

    @property
    def changed_s(self) -> int:
        """Return when a file was changed, epoch seconds."""
        return self.stamp[3] // 1_000_000_000


@attrs.define
class Scan:
    """Entries by name, and what was left out."""

    entries: dict[str, Entry] = attrs.field(factory=dict)
    left_out: list[str] = attrs.field(factory=list)

    def add(self, entry: Entry) -> None:
        """Take an entry in, with the folders above it.

        Raises:
            Undeliverable: If its name cannot travel, or another thing of that name is there.
        """
        if not entry.name.isprintable() and any(
            ord(character) < 32 or ord(character) == 127 for character in entry.name
        ):
            raise Undeliverable(f"{entry.source!r} has a control character in its name", is_local=True)
        for above in _above(entry.name):
            self._put(Entry(name=above, kind=Kind.FOLDER, source=os.path.dirname(entry.source)))
        self._put(entry)

    def _put(self, entry: Entry) -> None:
        there = self.entries.get(entry.name)
        if there is None:
            self.entries[entry.name] = entry
        elif (there.kind, entry.kind) != (Kind.FOLDER, Kind.FOLDER) and there.source != entry.source:
            raise Undeliverable(f"both {there.source} and {entry.source} would be work/{entry.name}", is_local=True)

    def notes(self) -> tuple[str, ...]:
        """Return what was left out, as a sentence; empty if nothing was."""
        if not self.left_out:
            return ()
        shown = sorted(self.left_out)[:5]
        more = len(self.left_out) - len(shown)
        return (f"not uploaded: {', '.join(shown)}{f' and {more} more' if more else ''}",)


def scan_uploads(base: Path, uploads: Iterable[tuple[str, str]], *, skip: Sequence[Path] = ()) -> Scan:
    """Return what these uploads mean.

    Args:
        base: The local folder that relative paths are relative to.
        uploads: (path or pattern, name below `work/` or "" for the usual one).
        skip: Local folders that never travel (the results folder).

    Raises:
        Undeliverable: If one is not there, cannot be read, or cannot travel (`is_local`).
    """
    scan = Scan()
    base = Path(os.path.realpath(base))
    walker = _Walker(scan, str(base), frozenset(os.path.realpath(folder) for folder in skip))
    for local, remote in uploads:
        for path in _expand(base, local):
            walker.take(path, _name(base, path, local, remote))
    return scan


def scan_folder(folder: Path) -> Scan:
    """Return everything in a folder of ours (a checkpoint), nothing left out."""
    scan = Scan()
    _Walker(scan, os.path.realpath(folder), frozenset(), everything=True).take(str(folder), "")
    return scan


def scan_script(scan: Scan, source: Path, name: str) -> None:
    """Add a script under the name it will be run by, unless the uploads hold it already."""
    there = scan.entries.get(name)
    if there is None or os.path.realpath(there.source) != os.path.realpath(source):
        with _readable(str(source)):
            scan.add(_file(str(source), name, os.stat(source)))


def _expand(base: Path, local: str) -> list[str]:
    """Return the paths that an upload names: itself if it is there, else what its wildcards match."""
    path = os.path.normpath(os.path.join(base, os.path.expanduser(local)))
    if os.path.lexists(path):
        return [path]
    found = sorted(glob.glob(path, recursive=True)) if glob.has_magic(local) else []
    if not found:
        what = "matches nothing" if glob.has_magic(local) else "is not there"
        raise Undeliverable(f"the upload {local!r} {what} (in {base})", is_local=True)
    return found


def _name(base: Path, path: str, local: str, remote: str) -> str:
    """Return where below `work/` it lands; "" is `work/` itself."""
    if remote:
        name = os.path.normpath(remote)
        if name.startswith(("/", "..")):
            raise Undeliverable(f"the upload {local!r} cannot land at {remote!r}, outside work/", is_local=True)
        if name == "." and not os.path.isdir(path):
            return os.path.basename(path)
        return "" if name == "." else name
    inside = os.path.relpath(path, os.path.normpath(base))
    if os.path.isabs(os.path.expanduser(local)) or inside.startswith(".."):
        return os.path.basename(os.path.realpath(path) if os.path.basename(path) in ("", "..") else path)
    return "" if inside == "." else inside


def _above(name: str) -> Iterator[str]:
    at = name.find("/")
    while at >= 0:
        yield name[:at]
        at = name.find("/", at + 1)


@attrs.define
class _Walker:
    """Walks what is uploaded.

    Args:
        scan: Where entries go.
        base: Real path of the folder whose `.aspotignore` holds for everything below it.
        skip: Real paths that never travel.
        everything: Leave nothing out.
    """

    scan: Scan
    base: str
    skip: frozenset[str]
    everything: bool = False
    _root: str = ""
    _root_name: str = ""
    _ignore: Ignore = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._ignore = Ignore(self.base, is_off=self.everything)

    def take(self, path: str, name: str) -> None:
        """Take one upload in: a file, or a folder with all that is in it."""
        with _readable(path):
            found = os.stat(path)
            if stat.S_ISDIR(found.st_mode):
                self._root, self._root_name = os.path.realpath(path), name
                if name:
                    self.scan.add(Entry(name=name, kind=Kind.FOLDER, source=path))
                self._walk(path, name, (self._root,))
            elif stat.S_ISREG(found.st_mode):
                self.scan.add(_file(path, name, found))
            else:
                raise Undeliverable(f"{path} is neither a file nor a folder", is_local=True)

    def _walk(self, folder: str, name: str, inside: tuple[str, ...]) -> None:
        self._ignore.enter(folder)
        with os.scandir(folder) as found:
            children = sorted(found, key=lambda child: child.name)
        for child in children:
            below = f"{name}/{child.name}" if name else child.name
            if self._is_left_out(child):
                self.scan.left_out.append(below)
            else:
                self._child(child, below, inside)

    def _is_left_out(self, child: os.DirEntry[str]) -> bool:
        if self.everything:
            return False
        is_folder = child.is_dir(follow_symlinks=False)
        if child.name in SKIPPED or self._ignore.holds(child.path, is_folder=is_folder):
            return True
        return is_folder and bool(self.skip) and os.path.realpath(child.path) in self.skip

    def _child(self, child: os.DirEntry[str], name: str, inside: tuple[str, ...]) -> None:
        with _readable(child.path):
            if child.is_symlink():
                self._link(child, name, inside)
            elif child.is_dir():
                self.scan.add(Entry(name=name, kind=Kind.FOLDER, source=child.path))
                self._walk(child.path, name, inside)
            elif child.is_file():
                self.scan.add(_file(child.path, name, child.stat()))
            else:
                self.scan.left_out.append(f"{name} (neither a file nor a folder)")

    def _link(self, child: os.DirEntry[str], name: str, inside: tuple[str, ...]) -> None:
        """A link within the upload travels as a link, one that leaves it as what it leads to."""
        real = os.path.realpath(child.path)
        if not os.path.exists(real):
            raise Undeliverable(
                f"{child.path} is a link to {os.readlink(child.path)!r}, which is not there", is_local=True
            )
        if target := self._inner_target(child.path, real):
            self.scan.add(Entry(name=name, kind=Kind.LINK, source=child.path, target=target))
        elif not os.path.isdir(real):
            self.scan.add(_file(child.path, name, os.stat(real)))
        elif any(real == folder or folder.startswith(real + os.sep) for folder in inside):
            raise Undeliverable(f"{child.path} is a link to a folder that it lies in", is_local=True)
        else:
            self.scan.add(Entry(name=name, kind=Kind.FOLDER, source=child.path))
            self._walk(child.path, name, (*inside, real))

    def _inner_target(self, path: str, real: str) -> str:
        """Return the relative target of a link whose target travels, too; "" for others."""
        here = os.path.realpath(os.path.dirname(path))
        if not (_is_below(here, self._root) and _is_below(real, self._root) and real != self._root):
            return ""
        inside = os.path.relpath(real, self._root)
        if not self.everything and (set(inside.split(os.sep)) & SKIPPED or self._ignore.holds_any(self._root, inside)):
            return ""
        return os.path.relpath(real, here)


def _is_below(path: str, root: str) -> bool:
    return path == root or path.startswith(root.rstrip(os.sep) + os.sep)


def _file(path: str, name: str, found: os.stat_result) -> Entry:
    return Entry(
        name=name,
        kind=Kind.FILE,
        source=path,
        size=found.st_size,
        is_executable=bool(found.st_mode & stat.S_IXUSR),
        stamp=(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns),
    )


@attrs.frozen
class _readable:  # noqa: N801 - reads as a verb
    """Turns what the system refuses into a sentence about the user's file."""

    path: str

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, OSError):
            reason = "too many links" if error.errno == errno.ELOOP else error.strerror
            raise Undeliverable(f"{self.path} cannot be read: {reason}", is_local=True) from error
