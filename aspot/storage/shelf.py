"""Where files from a machine land here: taken up where a break left them, whole or not at all, following no link.

May import: `aspot.files`, `rules`, `partials`, `disk`.
"""

from __future__ import annotations

import hashlib
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

from aspot.files.landing import Landing
from aspot.storage import partials, rules
from aspot.storage.disk import NotCopied

if TYPE_CHECKING:
    from hashlib import _Hash

Parts = tuple[str, ...]
_PARTIAL = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class Shelf:
    """A folder here; every call blocks on the disk.

    Args:
        folder: Made where it is not there; a link that the user names is followed, others are not.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._landing = Landing(folder.resolve())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._landing.close()

    def part(self, parts: Parts, most: int) -> tuple[int, _Hash]:
        """Return how much of a file a break has left here, and its hash; nothing if that is more than `most` bytes."""
        digest, length = hashlib.sha256(), 0
        with self._open(parts) as source:
            if os.fstat(source.fileno()).st_size <= most:
                while piece := source.read(rules.MIB):
                    digest.update(piece)
                    length += len(piece)
        return length, digest

    def begin(self, parts: Parts, start: int) -> BinaryIO:
        """Return a file to write to, cut off at so many bytes; the caller closes it.

        Raises:
            NotCopied: If something else stands in its way.
        """
        target = self._open(parts)
        target.seek(start)
        target.truncate()
        return target

    def _open(self, parts: Parts) -> BinaryIO:
        fd = os.open(_partial(parts), _PARTIAL, 0o666, dir_fd=self._folder(parts))
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            os.close(fd)
            raise NotCopied("something else has the name of its beginning here")
        return os.fdopen(fd, "r+b")

    def _folder(self, parts: Parts) -> int:
        found = self._landing.folder(parts[:-1])
        if found < 0:
            raise NotCopied("its folder cannot be made here: something else of that name is there")
        return found

    def place(self, parts: Parts, *, modified: float, is_executable: bool) -> None:
        """Give a whole file its name, its time and whether it can be executed.

        Raises:
            NotCopied: If a folder of that name is here.
        """
        folder, beginning = self._folder(parts), _partial(parts)
        if is_executable:
            mode = os.stat(beginning, dir_fd=folder, follow_symlinks=False).st_mode
            os.chmod(beginning, stat.S_IMODE(mode) | (mode & 0o444) >> 2, dir_fd=folder)
        os.utime(beginning, (modified, modified), dir_fd=folder, follow_symlinks=False)
        try:
            os.rename(beginning, parts[-1], src_dir_fd=folder, dst_dir_fd=folder)
        except IsADirectoryError as error:
            self.drop(parts)
            raise NotCopied("a folder of that name is here") from error

    def drop(self, parts: Parts) -> None:
        """Forget the beginning of a file."""
        os.unlink(_partial(parts), dir_fd=self._folder(parts))

    def touch(self, parts: Parts, modified: float) -> None:
        """Give a file that is here the time of the one that it is like."""
        os.utime(parts[-1], (modified, modified), dir_fd=self._folder(parts), follow_symlinks=False)


def _partial(parts: Parts) -> str:
    return os.path.basename(partials.partial(parts[-1])[0])


def hashed(path: Path, most: int | None = None) -> Any:
    """Return the hash of a file here, or of so many bytes at its beginning."""
    digest, left = hashlib.sha256(), most
    with path.open("rb") as source:
        while piece := source.read(rules.MIB if left is None else min(rules.MIB, left)):
            digest.update(piece)
            left = None if left is None else left - len(piece)
    return digest
