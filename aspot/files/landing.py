"""Writes what an instance sends below one folder, whatever its names say.

Every folder is opened from its parent's descriptor without following links, every file is made new (O_EXCL), and
nothing but plain files and folders is ever made. May import: the standard library, `aspot.files.names`.
"""

from __future__ import annotations

import contextlib
import os
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Self

MOST_OPEN = 32
"""Folders kept open at once."""

FSYNC_EACH = 64
"""Up to this many files are synced one by one; more are cheaper to sync together."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class Landing:
    """A folder that files land in.

    Args:
        root: An existing folder of ours.
    """

    def __init__(self, root: Path) -> None:
        self._open: OrderedDict[tuple[str, ...], int] = OrderedDict()
        self._root = os.open(root, _FOLDER)
        self._files: list[tuple[str, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open."""
        for fd in (*self._open.values(), self._root):
            os.close(fd)
        self._open.clear()
        self._root = -1

    def folder(self, parts: tuple[str, ...]) -> int:
        """Return a descriptor of the folder, made where it is not there; it stays ours to close.

        Raises:
            OSError: If something else is in its place.
        """
        if not parts:
            return self._root
        if (known := self._open.get(parts)) is not None:
            self._open.move_to_end(parts)
            return known
        above = self.folder(parts[:-1])
        with contextlib.suppress(FileExistsError):  # a folder of ours; anything else is refused by the next line
            os.mkdir(parts[-1], 0o700, dir_fd=above)
        fd = os.open(parts[-1], _FOLDER, dir_fd=above)
        self._open[parts] = fd
        if len(self._open) > MOST_OPEN:
            os.close(self._open.popitem(last=False)[1])
        return fd

    def create(self, parts: tuple[str, ...], *, is_executable: bool) -> int:
        """Return a descriptor of a new file, 0600 or 0700; the caller closes it.

        Raises:
            FileExistsError: If there is anything of that name.
            OSError: If its folder cannot be made.
        """
        fd = os.open(parts[-1], _NEW_FILE, 0o700 if is_executable else 0o600, dir_fd=self.folder(parts[:-1]))
        self._files.append(parts)
        return fd

    def sync(self) -> None:
        """Make everything durable. Blocks: call it from a worker thread."""
        if len(self._files) > FSYNC_EACH:
            os.sync()
            return
        for parts in self._files:
            fd = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self.folder(parts[:-1]))
            try:
                os.fsync(fd)
            finally:
                os.close(fd)
        for folder in {parts[:-1] for parts in self._files}:
            os.fsync(self.folder(folder))
