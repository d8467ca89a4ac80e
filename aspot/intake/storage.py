"""The words for storage, `NAME` or `NAME:/path`, checked."""

from __future__ import annotations

import posixpath
from collections.abc import Iterable
from typing import Any

from aspot.errors import ConfigError
from aspot.machine.names import check_name
from aspot.machine.quantities import gigabytes
from aspot.ports import FileSystemWish, VolumeWish

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


POLICIES = ("keep", "delete")
MOST_VOLUMES = 11
"""As many device names AWS recommends for volumes: /dev/sd[f-p]."""


def volumes(value: Any, what: str = "volumes") -> tuple[VolumeWish, ...]:
    """Return EBS volumes to attach and mount: `NAME:SIZE:/path`; without a path in `~/NAME`, without a size an old one.

    Raises:
        ConfigError: If the words cannot work.
    """
    given = [value] if isinstance(value, str) else value
    if not isinstance(given, Iterable):
        raise ConfigError(f"{what} must be a list of volumes, not {value!r}", fix='volumes=["data:20GB:/mnt/data"]')
    found = tuple(_volume(item, what) for item in given)
    for kind in ("name", "path"):
        seen = [getattr(one, kind) for one in found]
        if twice := next((one for one in seen if seen.count(one) > 1), ""):
            raise ConfigError(f"{what}: {twice} is given twice", fix=f"give each {kind} once")
    if len(found) > MOST_VOLUMES:
        raise ConfigError(f"{what}: {len(found)} are too many for a machine", fix=f"at most {MOST_VOLUMES}")
    return found


def _volume(value: Any, what: str) -> VolumeWish:
    fix = "NAME:SIZE:/PATH, such as data:20GB:/mnt/data"
    if not isinstance(value, str) or not value:
        raise ConfigError(f"{what}: {value!r} is not a volume", fix=fix)
    name, *rest = value.split(":")
    path = rest.pop() if rest and rest[-1].startswith(("/", "~")) else f"~/{name}"
    size = rest.pop() if rest else ""
    if rest:
        raise ConfigError(f"{what}: {value!r} is not a volume", fix=fix)
    check_name(name, "volume name")
    return VolumeWish(
        name=name, size_gb=gigabytes(size, f"the size of volume {name}") if size else 0, path=mount_path(path, what)
    )


def deletes_volumes(value: Any, what: str = "volume_policy") -> bool:
    """Return whether the volumes that a run makes go with it.

    Raises:
        ConfigError: If the word is not known.
    """
    if value not in POLICIES:
        raise ConfigError(f"{what} must be keep or delete, not {value!r}", fix=f"leave {what} out for keep")
    return bool(value == "delete")


def check_volumes(options: dict[str, Any]) -> None:
    """See to it that a fleet with volumes has one machine.

    Raises:
        ConfigError: If it has more, or the policy has no volume to go by.
    """
    if not options.get("volumes"):
        if options.get("deletes_volumes"):
            raise ConfigError("volume_policy says what becomes of volumes, and there is none", fix="add --volume")
        return
    if options.setdefault("instances", 1) != 1:
        raise ConfigError(
            f"a volume can be attached to one machine at a time, not to {options['instances']}",
            fix="instances=1, or share a file system: --filesystem NAME",
        )
    paths = [one.path for one in options["volumes"]]
    shared = options.get("filesystem")
    if shared is not None and shared.path in paths:
        raise ConfigError(f"two things cannot be mounted at {shared.path}", fix="give each a path of its own")
