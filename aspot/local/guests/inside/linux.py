"""The few Linux calls the standard library has no name for in Python 3.11.

Constants are those of the kernel's uapi headers (sched.h, mount.h, prctl.h, unistd.h; 2026-01). May import: the
standard library only. Safe to import elsewhere than on Linux; the calls then raise OSError.
"""

from __future__ import annotations

import ctypes
import errno
import os
import sys

__all__ = [
    "CLONE_NEWNS",
    "CLONE_NEWPID",
    "CLONE_NEWUSER",
    "CLONE_NEWUTS",
    "MS_BIND",
    "MS_PRIVATE",
    "MS_REC",
    "become_subreaper",
    "forbid_new_privileges",
    "mount",
    "set_hostname",
    "set_read_only",
    "unshare",
]

CLONE_NEWNS = 0x00020000
CLONE_NEWUTS = 0x04000000
CLONE_NEWUSER = 0x10000000
CLONE_NEWPID = 0x20000000
MS_NOSUID, MS_NODEV, MS_NOEXEC = 0x2, 0x4, 0x8
MS_BIND, MS_REC, MS_PRIVATE = 0x1000, 0x4000, 0x40000
_PR_SET_CHILD_SUBREAPER, _PR_SET_NO_NEW_PRIVS = 36, 38
_SYS_MOUNT_SETATTR = 442  # the same number on every architecture; Linux 5.12
_AT_FDCWD, _AT_RECURSIVE, _MOUNT_ATTR_RDONLY = -100, 0x8000, 0x1

_libc = ctypes.CDLL(None, use_errno=True)


class _MountAttr(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("attr_set", "attr_clr", "propagation", "userns_fd")]


def _call(name: str, *arguments: object) -> None:
    if not sys.platform.startswith("linux"):
        raise OSError(errno.ENOSYS, f"{name} is a call of Linux")
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")


def unshare(flags: int) -> None:
    """Leave the namespaces of `flags` for new ones (a new pid namespace takes the next child)."""
    _call("unshare", ctypes.c_int(flags))


def mount(source: str, target: str, kind: str | None, flags: int) -> None:
    """Mount `source` on `target`; paths that are relative are taken from the working directory."""
    try:
        _call(
            "mount",
            os.fsencode(source),
            os.fsencode(target),
            kind.encode() if kind else None,
            ctypes.c_ulong(flags),
            None,
        )
    except OSError as error:
        raise OSError(error.errno, f"{error.strerror} ({source} on {target})") from None


def set_read_only(target: str, *, on: bool, recursive: bool = False) -> None:
    """Make the mount at `target` (and all below it, if recursive) read-only, or writable again."""
    attributes = _MountAttr(_MOUNT_ATTR_RDONLY if on else 0, 0 if on else _MOUNT_ATTR_RDONLY, 0, 0)
    _call(
        "syscall",
        ctypes.c_long(_SYS_MOUNT_SETATTR),
        ctypes.c_int(_AT_FDCWD),
        os.fsencode(target),
        ctypes.c_uint(_AT_RECURSIVE if recursive else 0),
        ctypes.byref(attributes),
        ctypes.c_size_t(ctypes.sizeof(attributes)),
    )


def _prctl(option: int) -> None:
    _call("prctl", ctypes.c_int(option), ctypes.c_ulong(1), ctypes.c_ulong(0), ctypes.c_ulong(0), ctypes.c_ulong(0))


def become_subreaper() -> None:
    """Adopt every orphan among the descendants, so that none leaves the tree."""
    _prctl(_PR_SET_CHILD_SUBREAPER)


def forbid_new_privileges() -> None:
    """Give up set-uid programs for good: the host's sudo, su and pkexec do nothing from here on."""
    _prctl(_PR_SET_NO_NEW_PRIVS)


def set_hostname(name: str) -> None:
    """Set the host name of the current uts namespace."""
    encoded = name.encode()
    _call("sethostname", encoded, ctypes.c_size_t(len(encoded)))
