"""The folder of a local cloud: who runs in it, how to reach it, and how to start and end it.

One daemon per folder, held by a lock; the folder is 0700 because what is in it opens the cloud. May import: handle,
aspot.errors, platformdirs.
"""

from __future__ import annotations

import fcntl
import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import attrs

from aspot.errors import ConfigError, InternalError
from aspot.local.handle import Control

__all__ = ["Home", "Settings", "default_folder"]

_START_S = 30.0
_STOP_S = 10.0
_PAUSE_S = 0.02
_LOOK_S = 0.3


def default_folder() -> Path:
    """Return the folder of the user's local cloud: ASPOT_LOCAL_DIR, or one in the user's state folder."""
    named = os.environ.get("ASPOT_LOCAL_DIR")
    if named:
        return Path(named).absolute()
    import platformdirs

    return Path(platformdirs.user_state_dir("aspot")) / "local"


@attrs.frozen(kw_only=True)
class Settings:
    """How to start a local cloud.

    Args:
        seed: Seed of prices, boot times and everything else that would be chance.
        boot_s: Shortest and longest time from launch to an open SSH port, seconds.
        port: Port of the AWS endpoint on 127.0.0.1; 0 for any free one.
        ssh_port: Port of the machines; None for 22 where possible.
        isolation: `sessions` to do without namespaces; None for the best the system allows.
    """

    seed: int = 0
    boot_s: tuple[float, float] = (0.5, 2.0)
    port: int = 0
    ssh_port: int | None = None
    isolation: str | None = None


class Home:
    """A local cloud's folder.

    Args:
        folder: Where it is; made when a cloud starts.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @property
    def log(self) -> Path:
        """What the daemon says."""
        return self.folder / "daemon.log"

    @property
    def control_file(self) -> Path:
        """Where the daemon writes how to reach it, once it answers."""
        return self.folder / "daemon.json"

    def make(self) -> None:
        """Make the folder, private.

        Raises:
            ConfigError: it can't be made, or belongs to somebody else.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.folder.chmod(0o700)
        except OSError as error:
            raise ConfigError(
                f"can't use {self.folder} for the local cloud: {error.strerror}", fix="set ASPOT_LOCAL_DIR"
            ) from error

    def lock(self) -> int | None:
        """Take the folder for this process; return the lock's descriptor, or None if a daemon has it."""
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        return descriptor

    def lock_soon(self) -> int | None:
        """Take the folder, waiting a moment for those who only look whether it is taken."""
        deadline = time.monotonic() + _LOOK_S
        while (held := self.lock()) is None and time.monotonic() < deadline:
            time.sleep(_PAUSE_S)
        return held

    def running(self) -> Control | None:
        """Return how to reach the daemon that runs here, or None."""
        if not self.folder.is_dir():
            return None
        held = self.lock()
        if held is not None:
            os.close(held)
            return None
        return self._control()

    def _control(self) -> Control | None:
        try:
            said = json.loads(self.control_file.read_text())
            os.kill(said["pid"], 0)  # a crash leaves the file
            return Control(**said, folder=self.folder)
        except (OSError, ValueError, TypeError, KeyError):
            return None

    def write_control(self, *, port: int, token: str, isolation: str) -> None:
        """Write how to reach this process, which is the daemon."""
        said = {"pid": os.getpid(), "port": port, "token": token, "isolation": isolation}
        part = self.control_file.with_suffix(".part")
        part.touch(mode=0o600)
        part.write_text(json.dumps(said))
        part.replace(self.control_file)

    def start(self, settings: Settings, *, leashed: bool = False) -> tuple[Control, subprocess.Popen[bytes] | None]:
        """Start a daemon in a session of its own, unless one runs; return how to reach it, and the process if new.

        A leashed daemon ends when the caller closes the process's `stdin`, or dies; any other outlives the caller.

        Raises:
            ConfigError: the extra is not installed, or the folder can't be used.
            InternalError: the daemon ended at once or did not answer in time.
        """
        _check_installed()
        self.make()
        found = self._settled()
        if found is not None:
            return found, None
        daemon = self._spawn(settings, leashed=leashed)
        control = self._wait(daemon)
        if control.pid != daemon.pid:  # another `up` was faster; ours sees that and ends
            daemon.wait()
            return control, None
        if not leashed:
            daemon.returncode = 0  # it is meant to outlive us: no warning from subprocess
        return control, daemon

    def _spawn(self, settings: Settings, *, leashed: bool) -> subprocess.Popen[bytes]:
        words = [json.dumps(attrs.asdict(settings)), str(self.folder), *(["leashed"] if leashed else [])]
        with self.log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "aspot.local.daemon", *words],
                stdin=subprocess.PIPE if leashed else subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                cwd="/",
                env=_clean_environment(),
            )

    def _is_locked(self) -> bool:
        held = self.lock()
        if held is not None:
            os.close(held)
        return held is None

    def _wait(self, daemon: subprocess.Popen[bytes]) -> Control:
        """Wait until a daemon has written how to reach it: the given one, or another that was faster."""
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline:
            found = self.running()
            if found is not None:
                return found
            if daemon.poll() is not None and not self._is_locked():
                raise InternalError(
                    f"the local cloud did not start (exit {daemon.returncode})", story=self._last_words()
                )
            time.sleep(_PAUSE_S)
        daemon.kill()
        daemon.wait()
        raise InternalError(f"the local cloud did not start within {_START_S:.0f} s", story=self._last_words())

    def _last_words(self) -> list[str]:
        try:
            return self.log.read_text(errors="replace").splitlines()[-15:]
        except OSError:
            return []

    def _settled(self) -> Control | None:
        """Return how to reach the daemon that has the folder, after it has come up or gone; None if none has it."""
        deadline = time.monotonic() + _START_S
        while self._is_locked() and time.monotonic() < deadline:
            found = self._control()
            if found is not None:
                return found
            time.sleep(_PAUSE_S)
        return None

    def stop(self) -> bool:
        """End the daemon and everything in it; return whether one ran. Kills it if it does not end in seconds."""
        found = self._settled() if self.folder.is_dir() else None
        if found is None:
            return False
        self._signal(found.pid, signal.SIGTERM)
        deadline = time.monotonic() + _STOP_S
        while time.monotonic() < deadline:
            if not self._is_locked():
                return True
            time.sleep(_PAUSE_S)
        self._signal(found.pid, signal.SIGKILL)
        return True

    def wait_for_end(self) -> None:
        """Wait until the daemon has ended by itself."""
        while self._is_locked():
            time.sleep(_LOOK_S)

    def _signal(self, pid: int, number: signal.Signals) -> None:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return


def _check_installed() -> None:
    for name in ("moto", "flask", "aiohttp"):
        if importlib.util.find_spec(name) is None:
            raise ConfigError(f"the local cloud is not installed (no {name})", fix="pip install 'aspot[local]'")


def _clean_environment() -> dict[str, str]:
    """Return our environment without what would send the daemon's own AWS libraries elsewhere."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
