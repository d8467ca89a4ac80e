"""A machine's folder on the host, and the world its processes see of it.

What it makes is entered by `inside.world`. May import: `inside.world`'s types, `shared`.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
import uuid
from pathlib import Path

import attrs

from aspot.local.guests.inside.world import World
from aspot.local.guests.shared import (
    SYSTEM_PATH,
    Owner,
    Shared,
    covers,
    host_names,
    lacks_python,
    resolver,
    shell,
    targets,
)
from aspot.local.seam import MachineSpec

__all__ = ["Layout", "remove_tree"]

_VOLATILE = ("tmp", "run", "shm")  # emptied by a reboot
_KEPT = ("home", "vartmp", "etc-ssh", "log", "mnt")


@attrs.frozen(kw_only=True)
class Layout:
    """Where a machine's files are, seen from the host (`folder`) and from inside.

    Args:
        folder: the machine's own folder on the host.
        spec: the machine.
        namespaces: whether the machine has a mount namespace; without one it sees its folder as the host does.
        owner: who the guests are, None when they are who the daemon is.
        cookie: environment by which its processes are known for ours.
        shared: what it shares with the park's other machines, beside its folder.
    """

    folder: Path
    spec: MachineSpec
    namespaces: bool
    owner: Owner | None
    cookie: dict[str, str]
    shared: Shared

    @property
    def user(self) -> str:
        """The login user."""
        return self.spec.user

    @property
    def shell(self) -> str:
        """The path of the login shell."""
        return self.spec.shell or shell()

    @property
    def home(self) -> str:
        """The login user's home, seen from inside."""
        return self.seen(f"home/{self.user}")

    @property
    def mark(self) -> str:
        """The one entry of its processes' environment that no other machine's have."""
        return f"ASPOT_MACHINE={self.spec.metadata.instance_id}"

    def seen(self, path: str) -> str:
        """Return how the machine sees a path of its folder ("run/aspot", "etc-ssh/…")."""
        if not self.namespaces:
            return str(self.folder / path)
        top, _, rest = path.partition("/")
        return os.path.join(targets()[top], rest) if rest else targets()[top]

    def create(self) -> None:
        """Make the folder of a machine that boots for the first time."""
        self.folder.mkdir(mode=0o755, parents=True)
        for name in _KEPT:
            self._own(self._mkdir(name))
        home = self._mkdir(f"home/{self.user}")
        home.chmod(0o700)
        self._own(home)
        self._write("hosts", f"{host_names()}\n{self.spec.metadata.address} {self._hostname}\n")
        self.renew()

    def put_aside(self) -> Path | None:
        """Move the folder out of the way, to be removed at leisure; return where, or None if there is none."""
        aside = self.folder.with_name(f".ended-{self.folder.name}")
        try:
            self.folder.rename(aside)
        except FileNotFoundError:
            return None
        return aside

    def renew(self) -> None:
        """Make what every boot starts with: empty volatile folders, and a new boot id."""
        for name in _VOLATILE:
            remove_tree(self.folder / name)
            self._own(self._mkdir(name))
        (self.folder / "tmp").chmod(0o1777)
        self._write("boot_id", f"{uuid.uuid4()}\n")
        base = self._mkdir("run/aspot")
        os.mkfifo(base / "control", 0o600)
        for path in (base, base / "control"):
            self._own(path)
        if not self.namespaces:
            (base / "bin").symlink_to("../../../shared/bin")
            (base / "disks").symlink_to("../../../shared/disks")
            return
        self._mkdir("run/aspot/bin")
        self._mkdir("run/aspot/disks")
        self._mkdir("run/aspot/python")
        if found := resolver():
            self.put(found[0].removeprefix("/"), found[1], mode=0o644)

    def put(self, path: str, text: str, *, mode: int) -> None:
        """Write a file of the machine before its first process runs."""
        target = self.folder / path
        missing = [folder for folder in target.parents if not folder.exists()]
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._write(path, text, mode=mode)
        for made in (*missing, target):
            self._own(made)

    def world(self) -> World:
        """Return what the machine's processes are to see."""
        return World(
            namespaces=self.namespaces,
            folder=str(self.folder),
            home=self.home,
            control=self.seen("run/aspot/control"),
            hostname=self._hostname,
            owner=[self.owner.uid, self.owner.gid] if self.owner else None,
            binds=[list(bind) for bind in self._binds()] if self.namespaces else [],
            writable=self._writable if self.namespaces else [],
            boot_id="boot_id",
        )

    def environment(self) -> dict[str, str]:
        """Return the environment every process of the machine starts with."""
        there = {
            **self.cookie,
            "ASPOT_MACHINE": self.spec.metadata.instance_id,
            "PATH": f"{self.seen('run/aspot/bin')}:{SYSTEM_PATH}",
            "HOME": self.home,
            "USER": self.user,
            "LOGNAME": self.user,
            "SHELL": self.shell,
            "LANG": "C.UTF-8",
            "ASPOT_LOCAL_GUEST": "1",
            "ASPOT_BOOTED": f"{time.time():.0f}",
            "ASPOT_ETC_SSH": self.seen("etc-ssh"),
            "ASPOT_MOUNTS": self.seen("log/mounts"),
            "ASPOT_FSTAB": self.seen("log/fstab"),
            "ASPOT_BOOT_ID_FILE": "/proc/sys/kernel/random/boot_id"
            if self.namespaces
            else str(self.folder / "boot_id"),
        }
        return there if self.namespaces else {**there, "TMPDIR": self.seen("tmp")}

    @property
    def _hostname(self) -> str:
        return "ip-" + self.spec.metadata.address.replace(".", "-")

    @property
    def _writable(self) -> list[str]:
        return [*(targets()[name] for name in (*_KEPT, *_VOLATILE)), self.seen("run/aspot/disks")]

    def _binds(self) -> list[tuple[str, str]]:
        """Return what covers what; first what lies in the machine's own folders, and what covers single files."""
        binds = [("../shared/bin", "run/aspot/bin"), ("../shared/disks", "run/aspot/disks"), ("hosts", "/etc/hosts")]
        if lacks_python():
            binds.append((sys.base_prefix, "run/aspot/python"))
        accounts = self.shared.accounts(self.user, home=self.home, shell=self.shell, owner=self.owner)
        binds += [(f"../shared/{source}", target) for source, target in accounts + covers()]
        return binds + list(targets().items())

    def _mkdir(self, name: str) -> Path:
        path = self.folder / name
        path.mkdir(mode=0o755)
        return path

    def _write(self, name: str, text: str, *, mode: int = 0o644) -> None:
        fd = os.open(self.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, mode)
        with os.fdopen(fd, "w") as target:
            os.fchmod(fd, mode)
            target.write(text)

    def _own(self, path: Path) -> None:
        if self.owner:
            os.chown(path, self.owner.uid, self.owner.gid)


def remove_tree(path: Path) -> None:
    """Remove a folder whatever permissions its folders were left with; symbolic links are not followed."""
    shutil.rmtree(path, ignore_errors=True)
    if path.exists():
        path.chmod(0o700)
        for folder, inner, _files in os.walk(path):  # opens each folder before it is entered
            for name in inner:
                if not os.path.islink(inside := os.path.join(folder, name)):
                    os.chmod(inside, 0o700)
        shutil.rmtree(path)
