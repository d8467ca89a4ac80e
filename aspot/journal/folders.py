"""Where aspot keeps what must outlive the process: a folder for each run, private, locked while the run is driven."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs

from aspot.errors import AspotError, ConfigError

STATE_VARIABLE = "ASPOT_STATE_DIR"
RUN_ID_LENGTH = 26
BEGINNING = "beginning.lock"
LOCK_TRIES = 5
"""A probe holds the lock for microseconds: one that wants it tries a few times before it calls the run taken."""
LOCK_PAUSE_S = 0.02


def state_dir() -> Path:
    """Return the user's state folder, made if it is not there: `ASPOT_STATE_DIR`, else the platform's usual place.

    Raises:
        ConfigError: If it cannot be made, or others could write to it.
    """
    folder = _wanted()
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        _refuse_shared(folder)
        if stat.S_IMODE(folder.stat().st_mode) & 0o077:
            folder.chmod(0o700)
    except OSError as error:
        raise ConfigError(
            f"cannot keep state in {folder}: {error.strerror}", fix=f"set {STATE_VARIABLE} to a folder of yours"
        ) from error
    return folder


def _wanted() -> Path:
    given = os.environ.get(STATE_VARIABLE)
    if given:
        return Path(given).expanduser().absolute()
    import platformdirs

    return Path(platformdirs.user_state_dir("aspot", appauthor=False))


def _refuse_shared(folder: Path) -> None:
    """Refuse a folder that others own, or could swap for one of theirs (THREATS T2)."""
    if folder.stat().st_uid != os.geteuid():
        raise ConfigError(f"{folder} belongs to someone else", fix=f"set {STATE_VARIABLE} to a folder of yours")
    parent = folder.resolve().parent
    found = parent.stat()
    if _is_private_group(found) or found.st_mode & stat.S_ISVTX:  # sticky: others cannot rename what is ours
        return
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        raise ConfigError(
            f"others can write to {parent}, where aspot would keep keys and its journal",
            fix=f"chmod go-w {parent}, or set {STATE_VARIABLE} to a folder below your home",
        )


def _is_private_group(found: os.stat_result) -> bool:
    """Tell whether only a group may write that has the user's own number, as most Linux systems give each user."""
    return not found.st_mode & stat.S_IWOTH and found.st_uid == os.geteuid() == found.st_gid


@attrs.frozen
class RunFolder:
    """The folder of one run, `runs/<name>-<run id>/`.

    Args:
        path: Where it is.
    """

    path: Path

    @classmethod
    def of(cls, name: str, run: str, *, state: Path | None = None) -> RunFolder:
        """Return the folder of a run, whether or not it exists.

        Args:
            name: The fleet's name.
            run: The run's id.
            state: The state folder; None for the user's.
        """
        return cls((state or state_dir()) / "runs" / f"{name}-{run}")

    @classmethod
    def all(cls, *, state: Path | None = None) -> list[RunFolder]:
        """Return the folders of every run known here, oldest first."""
        parent = (state or state_dir()) / "runs"
        found = [cls(item) for item in parent.iterdir()] if parent.is_dir() else []
        begun = [item for item in found if item.journal.exists() or item.lock.exists()]
        return sorted(begun, key=lambda item: item.run)

    @property
    def name(self) -> str:
        """Return the fleet's name, as the folder tells it."""
        return self.path.name[: -RUN_ID_LENGTH - 1]

    @property
    def run(self) -> str:
        """Return the run's id, as the folder tells it."""
        return self.path.name[-RUN_ID_LENGTH:]

    @property
    def journal(self) -> Path:
        """Return where the journal is."""
        return self.path / "journal.db"

    @property
    def keys(self) -> Path:
        """Return the folder of the run's SSH keys."""
        return self.path / "keys"

    @property
    def scripts(self) -> Path:
        """Return the folder of scripts that were given as text."""
        return self.path / "scripts"

    @property
    def carried(self) -> Path:
        """Return the folder of uploads that came with the run from another computer."""
        return self.path / "carried"

    @property
    def bell(self) -> Path:
        """Return the file that grows with each request left in the journal: its size is had for nothing."""
        return self.path / "bell"

    def ring(self) -> None:
        """Say that a request was left in the journal."""
        with self.bell.open("ab") as bell:
            bell.write(b".")

    def rang(self) -> int:
        """Return how often the bell was rung."""
        try:
            return self.bell.stat().st_size
        except OSError:
            return 0

    @property
    def lock(self) -> Path:
        """Return the file that the process which drives the run keeps locked."""
        return self.path / "lock"

    def make(self) -> None:
        """Make the folder and what is in it, private to the user.

        Raises:
            AspotError: If it cannot be made.
        """
        try:
            for folder in (self.path.parent, self.path, self.keys, self.scripts):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                folder.chmod(0o700)
            for folder in (self.path.parent.parent, self.path.parent, self.path):
                _sync_names(folder)
        except OSError as error:
            raise AspotError(
                f"cannot make {self.path}: {error.strerror}", fix=f"set {STATE_VARIABLE} to a folder with room"
            ) from error

    def take(self) -> int:
        """Take the run's lock and return its descriptor: closing it, or dying, gives the lock back.

        Raises:
            AspotError: If another process drives the run.
        """
        descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if _lock_soon(descriptor) and self.holds(descriptor):
            _sign(descriptor)
            return descriptor
        holder = os.pread(descriptor, 20, 0).decode(errors="replace").strip()
        os.close(descriptor)
        raise AspotError(
            f"{self.name} is being driven by another aspot (process {holder or 'unknown'})",
            fix=f"aspot status {self.name} shows it; aspot down {self.name} ends it",
        )

    @contextlib.contextmanager
    def wrested(self) -> Iterator[tuple[int, Callable[[], None]]]:
        """Yield a lock that is not in force yet, and what puts it in the place of the one that another process holds.

        The other keeps a lock that means nothing any more (`holds`). A lock that was not put in place is gone after.
        """
        fresh = self.lock.with_name(f"lock.{os.getpid()}")
        descriptor = os.open(fresh, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            _lock(descriptor)
            _sign(descriptor)
            yield descriptor, lambda: _rename(fresh, self.lock)
        except BaseException:
            fresh.unlink(missing_ok=True)
            os.close(descriptor)
            raise

    def holds(self, descriptor: int) -> bool:
        """Tell whether a lock that was taken is the one in force; costs a microsecond."""
        try:
            there = self.lock.stat()
        except OSError:
            return False
        return os.path.samestat(there, os.fstat(descriptor))

    @property
    def is_live(self) -> bool:
        """Tell whether a process drives the run now."""
        with self._opened() as descriptor:
            return descriptor is not None and not _lock(descriptor)

    @contextlib.contextmanager
    def _opened(self) -> Iterator[int | None]:
        try:
            descriptor = os.open(self.lock, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            yield None
            return
        try:
            yield descriptor
        finally:
            os.close(descriptor)


@contextlib.contextmanager
def one_at_a_time() -> Iterator[None]:
    """Let no other process of this user begin a run in this block: who looks for a free name then gets it. Blocks.

    Raises:
        ConfigError: If the state folder cannot be used.
    """
    descriptor = os.open(state_dir() / BEGINNING, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _sync_names(folder: Path) -> None:
    """Have the disk keep which names are in a folder: SQLite sees to the journal's own, and to no folder above it."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems sync no folders
            raise
    finally:
        os.close(descriptor)


def _lock_soon(descriptor: int) -> bool:
    for _ in range(LOCK_TRIES):
        if _lock(descriptor):
            return True
        time.sleep(LOCK_PAUSE_S)
    return False


def _rename(fresh: Path, lock: Path) -> None:
    fresh.replace(lock)


def _sign(descriptor: int) -> None:
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
