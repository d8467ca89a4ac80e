"""The words for storage, `NAME` or `NAME:/path`, checked."""

from __future__ import annotations

import posixpath
from typing import Any

from aspot.errors import ConfigError
from aspot.machine.names import check_name
from aspot.ports import FileSystemWish

EFS_PATH = "~/efs"
"""Where the ancestor mounted an EFS, too."""
SYSTEM = "/ /bin /boot /dev /etc /home /lib /lib64 /media /mnt /opt /proc /root /run /sbin /srv /sys /tmp /usr /var"
"""Folders that a machine needs as they are: nothing is mounted over them."""
UNREAL = ("/dev/", "/proc/", "/sys/")


def file_system(value: Any, what: str = "filesystem") -> FileSystemWish:
    """Return an EFS file system to mount: `NAME` (in `~/efs`) or `NAME:/path`; the name may be an id, `fs-…`.

    Raises:
        ConfigError: If the words cannot work.
    """
    fix = 'filesystem="data" or "data:/mnt/data"'
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{what} must be the name of a file system, not {value!r}", fix=fix)
    name, sign, path = value.partition(":")
    if sign and not path:
        raise ConfigError(f"{what} {value!r} has no path after ':'", fix=fix)
    return FileSystemWish(name=check_name(name, "file system name"), path=mount_path(path or EFS_PATH, what))


def mount_path(path: str, what: str) -> str:
    """Return where to mount something: an absolute path, or one below the login user's home as `~/…`.

    Raises:
        ConfigError: If nothing can be mounted there.
    """
    plain = posixpath.normpath(path)
    plain = "/" + plain.lstrip("/") if plain.startswith("//") else plain
    if not plain.startswith(("/", "~/")) or ".." in path.split("/") or not path.isprintable() or ":" in path:
        raise ConfigError(
            f"{what}: nothing can be mounted at {path!r}", fix="give an absolute path such as /mnt/data, or ~/data"
        )
    if plain in SYSTEM.split() or plain.startswith(UNREAL):
        raise ConfigError(
            f"{what}: {plain} belongs to the system, nothing is mounted over it", fix="give a path such as /mnt/data"
        )
    return plain
