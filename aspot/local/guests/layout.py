"""A machine's folder on the host, and the world its processes see of it.

Owns which host paths are covered, which stay writable, and a guest process's environment. What it makes is entered by
`inside.world`. May import: `inside.world`'s types and the standard library.
"""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import stat
import sys
import time
import uuid
from pathlib import Path

import attrs

from aspot.local.guests.inside.world import World
from aspot.local.seam import MachineSpec

__all__ = ["SHIMS", "Layout", "Owner", "remove_tree"]

_POWER_SHIMS = ("halt", "poweroff", "reboot", "shutdown")
SHIMS = (*_POWER_SHIMS, "cloud-init", "loginctl", "service", "sudo", "systemctl", "systemd-run")
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SHIM_SCRIPT = Path(__file__).with_name("shim.sh")
_DMI = "/sys/class/dmi/id"
_SYSTEM_FOLDERS = {"usr", "bin", "sbin", "lib", "lib64", "etc", "dev", "proc", "sys", "boot", "run"}
_VOLATILE = ("tmp", "run", "shm")  # emptied by a reboot
_KEPT = ("home", "vartmp", "etc-ssh", "log")


@attrs.frozen
class Owner:
    """The unprivileged account guests run as when the daemon is root."""

    uid: int
    gid: int


@attrs.frozen(kw_only=True)
class Layout:
    """Where a machine's files are, seen from the host (`folder`) and from inside.

    Args:
        folder: the machine's own folder on the host.
        spec: the machine.
        namespaces: whether the machine has a mount namespace; without one it sees its folder as the host does.
        owner: who the guests are, None when they are who the daemon is.
        cookie: environment by which its processes are known for ours.
    """

    folder: Path
    spec: MachineSpec
    namespaces: bool
    owner: Owner | None
    cookie: dict[str, str]

    @property
    def user(self) -> str:
        """The login user."""
        return self.spec.user

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
        return os.path.join(_targets()[top], rest) if rest else _targets()[top]

    def create(self) -> None:
        """Make the folder of a machine that boots for the first time."""
        self.folder.mkdir(mode=0o755, parents=True)
        for name in (*_KEPT, "empty"):
            self._own(self._mkdir(name))
        home = self._mkdir(f"home/{self.user}")
        self._own(home)
        self._write("passwd", self._accounts())
        self._write("group", "root:x:0:\n" + "".join(f"{self.user}:x:{gid}:\n" for gid in [self._ids()[1]]))
        self._write("profile", "# Machines of the local cloud read no profile of the host.\n")
        self.renew()

    def renew(self) -> None:
        """Make what every boot starts with: empty volatile folders, shims and a new boot id."""
        for name in _VOLATILE:
            remove_tree(self.folder / name)
            self._own(self._mkdir(name))
        (self.folder / "tmp").chmod(0o1777)
        self._write("boot_id", f"{uuid.uuid4()}\n")
        base = self._mkdir("run/aspot")
        os.mkfifo(base / "control", 0o600)
        self._write("run/aspot/booted", f"{time.time():.0f}\n")
        shims = self._mkdir("run/aspot/bin")
        self._write("run/aspot/bin/shim", _shim_script(), mode=0o755)
        for name in SHIMS:
            (shims / name).symlink_to("shim")
        self._offer_python(shims)
        for path in (base, base / "control", shims):
            self._own(path)

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
            hostname="ip-" + self.spec.metadata.address.replace(".", "-"),
            owner=[self.owner.uid, self.owner.gid] if self.owner else None,
            binds=[list(bind) for bind in self._binds()] if self.namespaces else [],
            writable=[_targets()[name] for name in (*_KEPT, *_VOLATILE)] if self.namespaces else [],
            boot_id="boot_id",
        )

    def environment(self) -> dict[str, str]:
        """Return the environment every process of the machine starts with."""
        there = {
            **self.cookie,
            "ASPOT_MACHINE": self.spec.metadata.instance_id,
            "PATH": f"{self.seen('run/aspot/bin')}:{_SYSTEM_PATH}",
            "HOME": self.home,
            "USER": self.user,
            "LOGNAME": self.user,
            "SHELL": shell(),
            "LANG": "C.UTF-8",
            "ASPOT_LOCAL_GUEST": "1",
            "ASPOT_ETC_SSH": self.seen("etc-ssh"),
            "ASPOT_BOOT_ID_FILE": "/proc/sys/kernel/random/boot_id"
            if self.namespaces
            else str(self.folder / "boot_id"),
        }
        return there if self.namespaces else {**there, "TMPDIR": self.seen("tmp")}

    def _binds(self) -> list[tuple[str, str]]:
        binds = [(sys.base_prefix, "run/aspot/python")] if _lacks_python() else []
        binds += [(name, target) for name, target in _targets().items()]
        return binds + [("empty", path) for path in _hidden()] + _static_binds()

    def _offer_python(self, shims: Path) -> None:
        if not _lacks_python() or not self.namespaces:
            return
        self._mkdir("run/aspot/python")
        inside = os.path.join(self.seen("run/aspot/python"), "bin", os.path.basename(os.path.realpath(sys.executable)))
        (shims / "python3").symlink_to(inside)

    def _accounts(self) -> str:
        uid, gid = self._ids()
        return (
            f"{self.user}:x:{uid}:{gid}:{self.user}:{self.home}:{shell()}\n"
            "root:x:0:0:root:/root:/bin/sh\n"
            "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n"
        )

    def _ids(self) -> tuple[int, int]:
        return (self.owner.uid, self.owner.gid) if self.owner else (os.getuid(), os.getgid())

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
    if path.exists():
        shutil.rmtree(path, onerror=_make_writable)
        if path.exists():
            shutil.rmtree(path, ignore_errors=True)


def _make_writable(function: object, path: str, _error: object) -> None:
    """Open up what could not be removed, so that a second pass can (a machine may leave folders with mode 0)."""
    for name in (os.path.dirname(path), path):
        found = os.lstat(name) if os.path.lexists(name) else None
        if found and stat.S_ISDIR(found.st_mode):
            os.chmod(name, 0o700)
    if function is os.unlink or function is os.rmdir:
        return
    shutil.rmtree(path, ignore_errors=True)


@functools.cache
def shell() -> str:
    """Return the login shell: bash as on EC2's images, where the host has it."""
    return shutil.which("bash", path=_SYSTEM_PATH) or "/bin/sh"


@functools.cache
def _shim_script() -> str:
    return _SHIM_SCRIPT.read_text()


@functools.cache
def _targets() -> dict[str, str]:
    """Return where each folder of a machine is seen, as far as the host has such a place."""
    wanted = {"home": "/home", "tmp": "/tmp", "vartmp": "/var/tmp"}  # noqa: S108 - places to cover
    wanted |= {"run": "/run", "etc-ssh": "/etc/ssh", "log": "/var/log", "shm": "/dev/shm"}  # noqa: S108 - the same
    return {name: path if os.path.isdir(path) else f"/run/{name}" for name, path in wanted.items()}


@functools.cache
def _lacks_python() -> bool:
    return shutil.which("python3", path=_SYSTEM_PATH) is None


@functools.cache
def _hidden() -> list[str]:
    """Return what machines must not see of the host: homes outside /home, and which hardware this is."""
    homes = {"/root", os.path.realpath(pwd.getpwuid(os.getuid()).pw_dir), os.path.realpath(Path.home())}
    hidden = [home for home in sorted(homes) if os.path.isdir(home) and _is_home(home)]
    return [*hidden, os.path.realpath(_DMI)] if os.path.isdir(_DMI) else hidden


def _is_home(path: str) -> bool:
    parts = path.strip("/").split("/")
    covered = any(path == target or path.startswith(target + "/") for target in _targets().values())
    return not covered and parts[0] not in _SYSTEM_FOLDERS and (len(parts) > 1 or path == "/root")


@functools.cache
def _static_binds() -> list[tuple[str, str]]:
    """Return the files that cover the host's own: accounts, profiles, and the tools that have a shim."""
    files = [("passwd", "/etc/passwd"), ("group", "/etc/group"), ("profile", "/etc/profile")]
    tools = {os.path.realpath(os.path.join(folder, name)) for name in SHIMS for folder in _SYSTEM_PATH.split(":")}
    shims = [("run/aspot/bin/shim", tool) for tool in sorted(tools) if os.path.basename(tool).startswith(SHIMS)]
    return [(source, target) for source, target in files + shims if os.path.isfile(target)]
