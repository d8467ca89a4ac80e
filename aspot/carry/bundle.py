"""The file that carries a run to another computer: a tar whose first member lists all others, with their hashes.

It is read as strictly as it is written: each header must be, byte for byte, the one that the list calls for. So nothing
but plain files can be in it, whatever a stranger put there, and `tar -tf` shows it all the same.
May import: the standard library, attrs, `aspot.files`.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self

import attrs

from aspot.errors import AspotError, ConfigError
from aspot.files import tar
from aspot.files.landing import Landing
from aspot.files.names import HostileName, components

VERSION = 1
LIST = b"aspot-bundle"
MOST_LIST = 256 << 20
MOST_FILES = 1_000_000
CHUNK = 1 << 20

AGAIN = "export it again where it came from (aspot export NAME), and copy the whole file"


class Changed(Exception):
    """A file changed between being listed and being copied: begin again."""


@attrs.frozen(kw_only=True)
class Item:
    """One file in a bundle.

    Args:
        name: With `/` between parts.
        size: Bytes.
        sha256: Of its content.
        is_executable: Whether its owner may run it.
    """

    name: str
    size: int
    sha256: str
    is_executable: bool = False

    @property
    def header(self) -> bytes:
        """Return its member's header."""
        return tar.header(self.name.encode(), size=self.size, mode=0o700 if self.is_executable else 0o600)

    @property
    def length(self) -> int:
        """Return the bytes of its whole member."""
        return len(self.header) + self.size + len(tar.padding(self.size))


@attrs.frozen(kw_only=True)
class Cover:
    """What a bundle says of itself.

    Args:
        run, name, region: Of the run.
        origin: Who made it, as `user@host`.
        results: Where the fleet's results are there.
        stayed: Jobs whose results are there and not in the bundle.
    """

    run: str
    name: str
    region: str
    origin: str
    results: str
    stayed: tuple[str, ...] = ()


Placer = Callable[[tuple[str, ...]], tuple[Landing, tuple[str, ...]]]
"""Returns where a file or folder of that name lands, and under what name there."""


def listed(name: str, source: Path) -> Item:
    """Return a file as it is now; of one that grows, what is there now.

    Raises:
        OSError: If it cannot be read.
        Changed: If it became shorter meanwhile.
    """
    with source.open("rb", buffering=0) as file:
        found = os.fstat(file.fileno())
        digest = hashlib.sha256()
        for piece in _pieces(file, found.st_size):
            digest.update(piece)
    executable = bool(found.st_mode & stat.S_IXUSR)
    return Item(name=name, size=found.st_size, sha256=digest.hexdigest(), is_executable=executable)


def write(path: Path, cover: Cover, files: Sequence[tuple[Item, Path]], folders: Sequence[str]) -> None:
    """Write a bundle, readable by this user only; nothing is left of one that could not be finished.

    Args:
        path: Must not exist.
        cover: What it says of itself.
        files: Each as listed, and where it lies.
        folders: Folders that have to be there, even empty.

    Raises:
        Changed: If a file is no longer as listed.
        OSError: If the disk refuses.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(path, flags, 0o600), "wb") as target:
        try:
            target.write(_list_member(cover, [item for item, _ in files], folders))
            for item, source in files:
                _copy_in(target, item, source)
            target.write(tar.END)
            target.flush()
            os.fsync(target.fileno())
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _list_member(cover: Cover, items: Sequence[Item], folders: Sequence[str]) -> bytes:
    rows = [[item.name, item.size, item.sha256, item.is_executable] for item in items]
    whole = {"version": VERSION, "cover": attrs.asdict(cover), "files": rows, "folders": list(folders)}
    text = json.dumps(whole).encode()
    content = hashlib.sha256(text).hexdigest().encode() + b"\n" + text
    return tar.header(LIST, size=len(content)) + content + tar.padding(len(content))


def _copy_in(target: BinaryIO, item: Item, source: Path) -> None:
    digest = hashlib.sha256()
    target.write(item.header)
    with source.open("rb", buffering=0) as file:
        for piece in _pieces(file, item.size):
            digest.update(piece)
            target.write(piece)
    if digest.hexdigest() != item.sha256:
        raise Changed(item.name)
    target.write(tar.padding(item.size))


def _pieces(file: Any, size: int) -> Iterator[bytes]:
    while size:
        piece = file.read(min(size, CHUNK))
        if not piece:
            raise Changed(file.name)
        size -= len(piece)
        yield piece


class Bundle:
    """A bundle that is open for reading. Its list is verified; contents are as they are unpacked.

    Args:
        path: The file.

    Raises:
        ConfigError: If it is not there, no bundle, or of a newer aspot.
        AspotError: If it is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            self._file = path.open("rb")
        except OSError as error:
            raise ConfigError(
                f"cannot read {path}: {error.strerror}", fix="name a file that aspot export made"
            ) from error
        try:
            self.cover, self.items, self.folders = self._read_list()
            self._check_length()
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def size(self) -> int:
        """Return the bytes of all contents."""
        return sum(item.size for item in self.items)

    def unpack(self, place: Placer) -> None:
        """Land every file and folder, each verified. Blocks.

        Raises:
            AspotError: If a content is not what the list says; what was landed is the caller's to remove.
            OSError: If the disk refuses.
        """
        self._file.seek(self._start)
        for item in self.items:
            landing, parts = place(components(item.name.encode()))
            if self._file.read(len(item.header)) != item.header:
                raise self._damaged(item.name)
            self._land(item, landing.create(parts, is_executable=item.is_executable))
            if self._file.read(len(tar.padding(item.size))) != tar.padding(item.size):
                raise self._damaged(item.name)
        for folder in self.folders:
            landing, parts = place(components(folder.encode()))
            landing.folder(parts)
        if self._file.read() != tar.END:
            raise self._damaged("its end")

    def _land(self, item: Item, fd: int) -> None:
        digest, left = hashlib.sha256(), item.size
        with os.fdopen(fd, "wb", buffering=0) as target:
            while left and (piece := self._file.read(min(left, CHUNK))):
                digest.update(piece)
                left -= len(piece)
                target.write(piece)
        if digest.hexdigest() != item.sha256:
            raise self._damaged(item.name)

    def _read_list(self) -> tuple[Cover, tuple[Item, ...], tuple[str, ...]]:
        head = self._file.read(tar.BLOCK)
        size = _octal(head[124:135])
        if size is None or size > MOST_LIST or head != tar.header(LIST, size=size):
            raise ConfigError(f"{self.path} is no bundle of aspot's", fix="name a file that aspot export made")
        content = self._file.read(size)
        digest, _, text = content.partition(b"\n")
        padding = self._file.read(len(tar.padding(size)))
        if hashlib.sha256(text).hexdigest().encode() != digest or padding != tar.padding(size):
            raise self._damaged("its list")
        self._start = self._file.tell()
        return self._parse(text)

    def _parse(self, text: bytes) -> tuple[Cover, tuple[Item, ...], tuple[str, ...]]:
        try:
            whole = json.loads(text)
            if whole["version"] > VERSION:
                raise ConfigError(
                    f"{self.path} was made by a newer aspot", fix="update aspot here; nothing was changed"
                )
            cover = _cover(whole["cover"])
            items = tuple(_item(*row) for row in whole["files"])
            folders = tuple(_name(name) for name in whole["folders"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise self._damaged(f"its list makes no sense: {error}") from error
        names = {item.name for item in items}
        if len(names) != len(items) or len(items) + len(folders) > MOST_FILES:
            raise self._damaged("its list makes no sense: too many files, or one twice")
        return cover, items, folders

    def _check_length(self) -> None:
        """Say at once that a file is cut short, before anything is written."""
        wanted = self._start + sum(item.length for item in self.items) + len(tar.END)
        found = os.fstat(self._file.fileno()).st_size
        if found != wanted:
            raise self._damaged(f"it has {found} bytes in place of {wanted}")

    def _damaged(self, what: str) -> AspotError:
        return AspotError(f"the bundle {self.path} is damaged ({what}); nothing was changed", fix=AGAIN)


def _octal(text: bytes) -> int | None:
    try:
        return int(text, 8)
    except ValueError:
        return None


def _cover(found: Mapping[str, Any]) -> Cover:
    texts = {key: str(found[key]) for key in ("run", "name", "region", "origin", "results")}
    return Cover(**texts, stayed=tuple(str(job) for job in found["stayed"]))


def _item(name: str, size: int, sha256: str, is_executable: bool) -> Item:
    if not isinstance(size, int) or size < 0:
        raise ValueError("a size is none")
    return Item(name=_name(name), size=size, sha256=str(sha256), is_executable=bool(is_executable))


def _name(name: str) -> str:
    try:
        return "/".join(components(name.encode()))
    except HostileName as error:
        raise ValueError(f"a name is {error}") from error
