"""File operations done in a machine's own world, for its SFTP server and its boot.

Each answers plain data; paths are text with surrogates, as `os.fsdecode` makes them, relative ones from the home.
Nothing here follows a path with more rights than the machine's own processes have. May import: the standard library.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from typing import Any

__all__ = ["OPERATIONS", "open_file"]

Stat = list[int]
_SMALL_FILE = 1 << 20


def _fields(found: os.stat_result) -> Stat:
    return [
        found.st_mode,
        found.st_size,
        found.st_uid,
        found.st_gid,
        found.st_nlink,
        found.st_atime_ns,
        found.st_mtime_ns,
    ]


def open_file(path: str, flags: int, mode: int) -> int:
    """Open a regular file and return its descriptor; a FIFO or device is refused instead of waited for."""
    fd = os.open(path, flags | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC, mode)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise PermissionError(errno.EACCES, "not a regular file")
    return fd


def _scan(path: str) -> list[list[Any]]:
    rows: list[list[Any]] = [[name, _fields(os.lstat(os.path.join(path, name)))] for name in (".", "..")]
    with os.scandir(path) as entries:
        rows.extend([entry.name, _fields(entry.stat(follow_symlinks=False))] for entry in entries)
    return rows


def _read(path: str) -> str:
    fd = open_file(path, os.O_RDONLY, 0)
    with os.fdopen(fd, "rb") as source:
        return source.read(_SMALL_FILE).decode("utf-8", "surrogateescape")


def _write(path: str, text: str, mode: int, append: bool) -> None:
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    fd = open_file(path, os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC), mode)
    with os.fdopen(fd, "wb") as target:
        os.fchmod(fd, mode)
        target.write(text.encode("utf-8", "surrogateescape"))


def _set(path: str, changes: dict[str, Any], follow: bool) -> None:
    """Apply size, mode, owner and times where given; a link's own mode can't be changed on Linux."""
    if "size" in changes:
        os.truncate(path, changes["size"])
    if "owner" in changes:
        os.chown(path, *changes["owner"], follow_symlinks=follow)
    if "mode" in changes and follow:
        os.chmod(path, changes["mode"])
    if "times_ns" in changes:
        os.utime(path, ns=tuple(changes["times_ns"]), follow_symlinks=follow)


def _rename_new(old: str, new: str) -> None:
    if os.path.lexists(new):
        raise FileExistsError(errno.EEXIST, "File already exists")
    os.rename(old, new)


def _space(path: str) -> list[int]:
    found = os.statvfs(path)
    blocks = [found.f_bsize, found.f_frsize, found.f_blocks, found.f_bfree, found.f_bavail]
    return [*blocks, found.f_files, found.f_ffree, found.f_favail, found.f_flag, found.f_namemax]


OPERATIONS: dict[str, Callable[..., Any]] = {
    "stat": lambda path: _fields(os.stat(path)),
    "lstat": lambda path: _fields(os.lstat(path)),
    "scan": _scan,
    "read": _read,
    "write": _write,
    "set": _set,
    "remove": os.remove,
    "mkdir": os.mkdir,
    "rmdir": os.rmdir,
    "realpath": os.path.realpath,
    "rename_new": _rename_new,
    "replace": os.replace,
    "readlink": os.readlink,
    "symlink": os.symlink,
    "link": os.link,
    "space": _space,
}
