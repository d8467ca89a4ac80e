"""The world a machine's processes live in: what they see of the host's files, and who they are.

A world is plain data made by the daemon (`aspot.local.guests.layout`); here it is entered, by a process that has
just been forked. May import: the standard library and this package.
"""

from __future__ import annotations

import contextlib
import os
from typing import TypedDict

from aspot.local.guests.inside import linux

__all__ = ["World", "enter", "settle"]


class World(TypedDict):
    """What to enter; relative bind sources are taken from `folder`."""

    namespaces: bool
    folder: str
    home: str
    control: str
    hostname: str
    owner: list[int] | None  # [uid, gid] to become, when the daemon is root
    binds: list[list[str]]  # [source, target]
    writable: list[str]  # the targets above that stay writable; all else becomes read-only
    boot_id: str


def enter(world: World) -> None:
    """Leave the host's world, as far as the process itself can; its next child is the machine's first process."""
    os.chdir(world["folder"])
    os.setsid()
    if not world["namespaces"]:
        return
    _unshare()
    linux.mount("none", "/", None, linux.MS_REC | linux.MS_PRIVATE)
    for source, target in world["binds"]:
        linux.mount(source, target, None, linux.MS_BIND | linux.MS_REC)
    linux.set_hostname(world["hostname"])
    _protect(world["writable"])


def settle(world: World) -> None:
    """Finish entering, as the machine's first process: its own /proc and boot id, and no way back to privileges."""
    if world["namespaces"]:
        linux.mount("proc", "/proc", "proc", linux.MS_NOSUID | linux.MS_NODEV | linux.MS_NOEXEC)
        linux.mount(world["boot_id"], "/proc/sys/kernel/random/boot_id", None, linux.MS_BIND)
    if world["owner"]:
        uid, gid = world["owner"]
        os.setgroups([])
        os.setresgid(gid, gid, gid)
        os.setresuid(uid, uid, uid)
    with contextlib.suppress(OSError):
        linux.forbid_new_privileges()
    os.umask(0o022)
    os.chdir(world["home"])


def _unshare() -> None:
    spaces = linux.CLONE_NEWNS | linux.CLONE_NEWPID | linux.CLONE_NEWUTS
    uid, gid = os.geteuid(), os.getegid()
    if uid == 0:
        linux.unshare(spaces)
        return
    linux.unshare(spaces | linux.CLONE_NEWUSER)
    for name, line in (("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1")):
        with open(f"/proc/self/{name}", "w") as entry:
            entry.write(line)


def _protect(writable: list[str]) -> None:
    """Make every file of the host read-only; before Linux 5.12 the permissions of files must do."""
    try:
        linux.set_read_only("/", on=True, recursive=True)
    except OSError:
        return
    for target in writable:
        linux.set_read_only(target, on=False)
