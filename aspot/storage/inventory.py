"""What the machine of a run has mounted, as far as that was told here: the run's plan, and what was added to a box.

Kept beside the run's journal, since a box is driven by nobody. May import: `aspot.journal`, `aspot.ports`.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import attrs

from aspot.errors import AspotError
from aspot.journal.codec import decode_plan
from aspot.journal.runs import RunInfo
from aspot.ports import FileSystemWish, VolumeWish

FILE, LOCK = "mounts.json", "mounts.lock"
EVERY_S = 0.1


@attrs.frozen(kw_only=True)
class Entry:
    """Something that is mounted.

    Args:
        kind: `file system` or `volume`.
        name, path: As they were given.
        size_gb: Of a volume, as it was given.
        goes: Whether the volume goes with the run, if the run made it.
        boot: In which boot of the machine it was last known to be mounted; "" for not yet.
    """

    kind: str
    name: str
    path: str
    size_gb: int = 0
    goes: bool = False
    boot: str = attrs.field(default="", eq=False)

    def is_same(self, other: Entry) -> bool:
        """Tell whether it is the same thing in the same place."""
        return (self.kind, self.name, self.path) == (other.kind, other.name, other.path)


def entries(
    filesystem: FileSystemWish | None, volumes: Iterable[VolumeWish], *, goes: bool = False
) -> tuple[Entry, ...]:
    """Return what these words ask for."""
    found = [Entry(kind="volume", name=one.name, path=one.path, size_gb=one.size_gb, goes=goes) for one in volumes]
    if filesystem is not None:
        found.append(Entry(kind="file system", name=filesystem.name, path=filesystem.path))
    return tuple(found)


def of(info: RunInfo) -> tuple[Entry, ...]:
    """Return what the run's machines have mounted.

    Raises:
        AspotError: If what was noted cannot be read.
    """
    path = _file(info)
    try:
        return tuple(Entry(**item) for item in json.loads(path.read_text("utf-8")))
    except FileNotFoundError:
        return _planned(info)
    except (OSError, ValueError, TypeError) as error:
        raise AspotError(f"{path} cannot be read: {error}", fix=f"aspot down {info.name} ends the box") from error


def _planned(info: RunInfo) -> tuple[Entry, ...]:
    if "plan" not in info.options:
        return ()
    plan = decode_plan(info.options["plan"])
    return entries(plan.filesystem, plan.volumes, goes=plan.deletes_volumes)


def write(info: RunInfo, found: Sequence[Entry]) -> None:
    """Note what is mounted.

    Raises:
        AspotError: If it cannot be written.
    """
    path = _file(info)
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(json.dumps([attrs.asdict(item) for item in found], indent=1), "utf-8")
        fresh.replace(path)
    except OSError as error:
        raise AspotError(f"{path} cannot be written: {error.strerror}", fix="make room there, then repeat") from error


@asynccontextmanager
async def alone(info: RunInfo) -> AsyncIterator[None]:
    """Let no other process of this user mount anything on the run's machine in this block."""
    descriptor = os.open(_file(info).with_name(LOCK), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not _is_locked(descriptor):  # noqa: ASYNC110 - another process; it tells nobody
            await anyio.sleep(EVERY_S)
        yield
    finally:
        os.close(descriptor)


def _is_locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _file(info: RunInfo) -> Path:
    return info.folder.path / FILE
