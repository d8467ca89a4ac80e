"""What all machines of a park share, and which places of the host they cover.

Owns the stand-ins for system tools, the files that cover the host's own, and the facts about this host they follow
from. May import: the standard library.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import sys
from pathlib import Path

import attrs

__all__ = [
    "SHIMS",
    "SYSTEM_PATH",
    "Owner",
    "Shared",
    "covers",
    "find_tool",
    "host_names",
    "lacks_python",
    "resolver",
    "shell",
    "targets",
]

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_POWER_SHIMS = ("halt", "poweroff", "reboot", "shutdown")
_STORAGE_SHIMS = ("blkid", "lsblk", "mkfs.ext4", "mount", "mount.nfs4", "mountpoint", "umount")
SHIMS = (*_POWER_SHIMS, *_STORAGE_SHIMS, "cloud-init", "loginctl", "service", "sudo", "systemctl", "systemd-run")
_SHIM_SCRIPT = Path(__file__).with_name("shim.sh")
_PROFILE = "# Machines of the local cloud read no profile of the host.\n"
_PYTHON = """#!/bin/sh
# Machines have no python3 of the host's: this is the one the local cloud runs on, wherever that was installed.
export LD_LIBRARY_PATH=/run/aspot/python/lib
exec /run/aspot/python/bin/{name} "$@"
"""
_DMI = "/sys/class/dmi/id"
_SYSTEM_FOLDERS = {"usr", "bin", "sbin", "lib", "lib64", "etc", "dev", "proc", "sys", "boot", "run"}


@attrs.frozen
class Owner:
    """The unprivileged account guests run as when the daemon is root."""

    uid: int
    gid: int


@attrs.frozen
class Shared:
    """The folder of what machines share; none of them can write there, but to what they mount."""

    folder: Path

    def create(self) -> None:
        """Make the folder, with the stand-ins in `bin` and what covers the host's files."""
        shims = self.folder / "bin"
        shims.mkdir(parents=True)
        (self.folder / "empty").mkdir()
        self.disks.mkdir()
        (self.folder / "profile").write_text(_PROFILE)
        (shims / "shim").write_text(_SHIM_SCRIPT.read_text())
        (shims / "shim").chmod(0o755)
        for name in SHIMS:
            (shims / name).symlink_to("shim")
        if lacks_python():  # then the daemon's own is bound there
            (shims / "python3").write_text(_PYTHON.format(name=os.path.basename(os.path.realpath(sys.executable))))
            (shims / "python3").chmod(0o755)

    @property
    def disks(self) -> Path:
        """The folder of what machines mount, which outlives them: one folder for each file system or volume."""
        return self.folder / "disks"

    def make_disk(self, disk: str, owner: Owner | None) -> None:
        """Make the folder of a file system or volume, unless it is there."""
        folder = self.disks / disk
        if not folder.exists():
            folder.mkdir(mode=0o755)
            if owner:
                os.chown(folder, owner.uid, owner.gid)

    def put_disk_aside(self, disk: str) -> Path | None:
        """Move the folder of a file system or volume out of the way; return where, or None if there is none."""
        aside = self.folder / f".ended-{disk}"
        try:
            (self.disks / disk).rename(aside)
        except FileNotFoundError:
            return None
        return aside

    def accounts(self, user: str, *, home: str, shell: str, owner: Owner | None) -> list[tuple[str, str]]:
        """Return the files that make `user` the name of whom guests run as, and where they belong."""
        uid, gid = (owner.uid, owner.gid) if owner else (os.getuid(), os.getgid())
        who = f"{user}-{os.path.basename(shell)}"
        passwd, group = self.folder / f"passwd-{who}", self.folder / f"group-{who}"
        if not group.exists():
            passwd.write_text(
                f"{user}:x:{uid}:{gid}:{user}:{home}:{shell}\n"
                "root:x:0:0:root:/root:/bin/sh\n"
                "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
            )
            group.write_text(f"root:x:0:\n{user}:x:{gid}:\n")
        return [(passwd.name, "/etc/passwd"), (group.name, "/etc/group")]


@functools.cache
def shell() -> str:
    """Return the login shell: bash as on EC2's images, where the host has it."""
    return find_tool("bash") or "/bin/sh"


@functools.cache
def find_tool(name: str) -> str | None:
    """Return where machines find a program, None if the host lacks it."""
    return shutil.which(name, path=SYSTEM_PATH)


@functools.cache
def host_names() -> str:
    """Return the host's own table of names."""
    try:
        return Path("/etc/hosts").read_text()
    except OSError:
        return "127.0.0.1 localhost"


@functools.cache
def resolver() -> tuple[str, str] | None:
    """Return the resolver's configuration, if it lies below /run, which machines have to themselves."""
    path = os.path.realpath("/etc/resolv.conf")
    return (path, Path(path).read_text()) if path.startswith("/run/") and os.path.isfile(path) else None


@functools.cache
def targets() -> dict[str, str]:
    """Return where each folder of a machine is seen, as far as the host has such a place."""
    wanted = {"home": "/home", "tmp": "/tmp", "vartmp": "/var/tmp"}  # noqa: S108 - places to cover
    wanted |= {"run": "/run", "etc-ssh": "/etc/ssh", "log": "/var/log", "mnt": "/mnt", "shm": "/dev/shm"}  # noqa: S108 - the same
    return {name: path if os.path.isdir(path) else f"/run/{name}" for name, path in wanted.items()}


def lacks_python() -> bool:
    """Return whether machines would find no python3 of the host's."""
    return find_tool("python3") is None


@functools.cache
def _hidden() -> list[str]:
    """Return what machines must not see of the host: homes outside /home, and which hardware this is."""
    homes = {"/root", os.path.realpath(pwd.getpwuid(os.getuid()).pw_dir), os.path.realpath(Path.home())}
    hidden = [home for home in sorted(homes) if os.path.isdir(home) and _is_home(home)]
    return [*hidden, os.path.realpath(_DMI)] if os.path.isdir(_DMI) else hidden


def _is_home(path: str) -> bool:
    parts = path.strip("/").split("/")
    covered = any(path == target or path.startswith(target + "/") for target in targets().values())
    return not covered and parts[0] not in _SYSTEM_FOLDERS and (len(parts) > 1 or path == "/root")


@functools.cache
def covers() -> list[tuple[str, str]]:
    """Return what of the shared folder covers which path of the host: profiles, homes, and tools with a stand-in."""
    tools = {os.path.realpath(os.path.join(folder, name)) for name in SHIMS for folder in SYSTEM_PATH.split(":")}
    shims = [("bin/shim", tool) for tool in sorted(tools) if os.path.basename(tool).startswith(SHIMS)]
    files = [(source, target) for source, target in [("profile", "/etc/profile"), *shims] if os.path.isfile(target)]
    return files + [("empty", path) for path in _hidden()]
