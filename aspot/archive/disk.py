"""Small, safe steps on the local disk: durable writes, fresh folders, moves aside."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from aspot.errors import AspotError, ConfigError


@contextlib.contextmanager
def explained(path: Path, kind: type[AspotError] = AspotError) -> Iterator[None]:
    """Turn the system's errors into one that names the place and the fix."""
    try:
        yield
    except OSError as error:
        raise kind(f"cannot write to {error.filename or path}: {error.strerror}", fix=_fix(error, path)) from error


def _fix(error: OSError, path: Path) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"make room on the disk of {path}, or choose another results folder (--results)"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"make {path} writable, or choose another results folder (--results)"
    return "choose another results folder (--results)"


def check_writable(folder: Path) -> None:
    """Write a file into the folder and remove it, before anything is launched that would have to be stored there.

    Raises:
        ConfigError: If that is impossible.
    """
    probe = folder / f".write-test-{os.getpid()}"
    with explained(folder, ConfigError):
        folder.mkdir(parents=True, exist_ok=True)
        try:
            write_durably(probe, b"\0" * 4096)
        finally:
            probe.unlink(missing_ok=True)


def write_durably(path: Path, data: bytes) -> None:
    """Write a file and wait until it is on the disk."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def replace_durably(path: Path, data: bytes) -> None:
    """Put a file in its place by rename: readers see the old one or the whole new one."""
    beside = path.with_name(f".{path.name}.part")
    write_durably(beside, data)
    beside.replace(path)
    sync(path.parent)


def sync(path: Path) -> None:
    """Wait until a file's data, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def fresh(folder: Path) -> Path:
    """Return the folder, empty."""
    with explained(folder):
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    return folder


def remove(folder: Path) -> None:
    """Remove a folder and all in it; what cannot be removed stays."""
    shutil.rmtree(folder, ignore_errors=True)


def remove_if_empty(folder: Path) -> None:
    """Remove a folder unless something is in it."""
    with contextlib.suppress(OSError):
        folder.rmdir()


def is_made(folder: Path) -> bool:
    """Make a folder; return False if something is there already."""
    try:
        folder.mkdir()
    except FileExistsError:
        return False
    return True


def is_empty(folder: Path) -> bool:
    """Tell whether nothing but empty folders is in the folder, or it isn't there."""
    return not any(names for _, _, names in os.walk(folder))


def free_name(folder: Path) -> Path:
    """Return `NAME.1`, or the first of `.2`, `.3`, … that does not exist."""
    number = 1
    while (found := folder.with_name(f"{folder.name}.{number}")).exists():
        number += 1
    return found
