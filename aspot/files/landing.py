"""Writes what an instance sends below one folder, whatever its names say.

Every folder is opened from its parent's descriptor without following links, every file is made new (O_EXCL), and
nothing but plain files and folders is ever made. May import: the standard library.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections import OrderedDict
from pathlib import Path
from types import TracebackType
from typing import Self

MOST_OPEN = 32
"""Folders kept open at once."""

FSYNC_EACH = 64
"""Up to this many files and folders are synced one by one; more are cheaper to sync together (on ext4, 2 ms each)."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

_ABOUT_NAMES = frozenset(
    {errno.EEXIST, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL, errno.EISDIR}
)


def is_about_name(error: OSError) -> bool:
    """Tell whether a disk refused a name (taken, too long, letters it does not know); others may still be taken."""
    return error.errno in _ABOUT_NAMES


class Landing:
    """A folder that files land in.

    Args:
        root: An existing folder of ours.
    """

    def __init__(self, root: Path) -> None:
        self._open: OrderedDict[tuple[str, ...], int] = OrderedDict()
        self._root = os.open(root, _FOLDER)
        self._room = os.fpathconf(self._root, "PC_PATH_MAX") - len(os.fsencode(os.path.realpath(root))) - 2
        self._files: list[tuple[str, ...]] = []
        self._folders: set[tuple[str, ...]] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open."""
        while self._open:
            os.close(self._open.popitem()[1])
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def folder(self, parts: tuple[str, ...]) -> int:
        """Return a descriptor of the folder, made where it is not there; it stays ours to close.

        Returns:
            -1 if the disk does not take its name (`is_about_name`): files in it are refused one by one.

        Raises:
            OSError: If it cannot be made for another reason.
        """
        try:
            return self._folder(parts)
        except OSError as error:
            if not is_about_name(error):
                raise
            return -1

    def _folder(self, parts: tuple[str, ...]) -> int:
        if not parts:
            return self._root
        if (known := self._open.get(parts)) is not None:
            self._open.move_to_end(parts)
            return known
        above = self._folder(parts[:-1])
        if parts not in self._folders:
            self._check_length(parts)
            with contextlib.suppress(FileExistsError):  # a folder of ours; anything else is refused below
                os.mkdir(parts[-1], 0o700, dir_fd=above)
        fd = os.open(parts[-1], _FOLDER, dir_fd=above)
        self._folders.add(parts)
        self._open[parts] = fd
        if len(self._open) > MOST_OPEN:
            os.close(self._open.popitem(last=False)[1])
        return fd

    def create(self, parts: tuple[str, ...], *, is_executable: bool) -> int:
        """Return a descriptor of a new file, 0600 or 0700; the caller closes it.

        Raises:
            FileExistsError: If there is anything of that name.
            OSError: If it or its folder cannot be made; see `is_about_name`.
        """
        above = self._folder(parts[:-1])
        self._check_length(parts)
        fd = os.open(parts[-1], _NEW_FILE, 0o700 if is_executable else 0o600, dir_fd=above)
        self._files.append(parts)
        return fd

    def place(self, name: str, parts: tuple[str, ...]) -> None:
        """Give a file that lies in this folder itself its place, over an older one of ours.

        Raises:
            OSError: If it or its folder cannot be made; see `is_about_name`.
        """
        self._check_length(parts)
        os.rename(name, parts[-1], src_dir_fd=self._root, dst_dir_fd=self._folder(parts[:-1]))

    def remove(self, name: str) -> None:
        """Remove a file that lies in this folder itself, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._root)

    def _check_length(self, parts: tuple[str, ...]) -> None:
        """Refuse what nobody could open by its whole path afterwards."""
        if len(os.fsencode("/".join(parts))) > self._room:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "/".join(parts))

    def sync(self) -> None:
        """Make everything durable: contents, and every name on the way. Blocks: call it from a worker thread.

        Raises:
            OSError: If the disk could not keep something.
        """
        if len(self._files) + len(self._folders) <= FSYNC_EACH or not _sync_disk(self._root):
            for parts in self._files:
                fd = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._folder(parts[:-1]))
                try:
                    os.fsync(fd)
                finally:
                    os.close(fd)
            for folder in (*self._folders, ()):
                os.fsync(self._folder(folder))
        _flush_drive(self._root)


def _sync_disk(fd: int) -> bool:
    """Write out the file system that a descriptor lies on (syncfs(2)); False if that call is not there (macOS).

    Python has only `sync`, which waits for every other disk, too, and keeps errors to itself.
    """
    import ctypes

    call = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if call is None:
        return False
    if call(fd) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return True


def _flush_drive(fd: int) -> None:
    """Empty the drive's own cache where `fsync` leaves that out (macOS: fcntl(2), F_FULLFSYNC)."""
    if sys.platform == "darwin":
        import fcntl

        with contextlib.suppress(OSError):  # network disks do not know it
            fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
