"""Open files: how many a fleet needs, how many this process may have, and how many instances that makes."""

from __future__ import annotations

import os
import resource
import sys

import attrs

from aspot.errors import ConfigError

OWN = 40
"""What a run needs beside its instances: the journal, connections to AWS (about ten at once while it is made ready),
folders being read. Measured: 22 with two instances, all in all."""

PER_INSTANCE = 3
"""A connection, one that is being made or asked for its host key, and that of a successor beside an interrupted one."""

PER_TRANSFER = 8
"""A file and the folders above it, held while its content comes; one such a job, `TRANSFERS` at once."""

TRANSFERS = 32
"""As in `aspot.runtime.wiring`."""

MACOS_MOST = 10_240
"""macOS says "unlimited" and refuses more than this (OPEN_MAX, sys/syslimits.h)."""


@attrs.frozen(kw_only=True)
class Room:
    """How many instances there are open files for.

    Args:
        instances: So many.
        allowed: Files that this process may have open at most.
        needed: Files that would be needed for all that was asked for.
    """

    instances: int
    allowed: int
    needed: int


def needed_for(instances: int) -> int:
    """Return how many files a run opens at most."""
    return OWN + PER_INSTANCE * instances + PER_TRANSFER * min(instances, TRANSFERS)


def make_room(instances: int) -> Room:
    """Raise this process's limit as far as so many instances need it and the system allows it.

    Args:
        instances: As many as may be alive at once.

    Raises:
        ConfigError: If there is not even room for one.
    """
    others = _open_now()
    soft, hard = _limits()
    needed = others + needed_for(instances)
    if soft < needed:
        soft = _raise_to(min(needed, hard)) or soft
    fitting = next((n for n in range(instances, 0, -1) if others + needed_for(n) <= soft), 0)
    if not fitting:
        raise ConfigError(
            f"this process may have {soft} files open, and a run with one instance needs {others + needed_for(1)}",
            fix=f"ulimit -n {max(1024, needed)}, then repeat",
        )
    return Room(instances=fitting, allowed=soft, needed=needed)


def hold_open(fleet: str, instances: int) -> None:
    """Make room for instances that run already: with fewer links than machines, some would be taken for dead.

    Raises:
        ConfigError: If there is not enough.
    """
    room = make_room(max(1, instances))
    if room.instances < instances:
        raise ConfigError(
            f"fleet {fleet} has {instances} instances, which need up to {room.needed} open files, and this process may "
            f"have {room.allowed}",
            fix=f"ulimit -n {room.needed}, then repeat: its machines go on meanwhile",
        )


def too_few(room: Room, instances: int) -> str:
    """Return the warning that fewer instances are used than were asked for."""
    return (
        f"{instances} instances need up to {room.needed} open files, and this process may have {room.allowed}: "
        f"{room.instances} at once; `ulimit -n {room.needed}` before the start allows all"
    )


def _limits() -> tuple[int, int]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = MACOS_MOST if sys.platform == "darwin" else sys.maxsize
    return _number(soft, most), _number(hard, most)


def _number(limit: int, most: int) -> int:
    return most if limit == resource.RLIM_INFINITY else limit


def _raise_to(limit: int) -> int:
    """Raise the soft limit; return it, or 0 if the system refuses."""
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    except (OSError, ValueError):
        return 0
    return limit


def _open_now() -> int:
    """Return how many files this process has open (in a notebook, or a program that uses aspot, there are others)."""
    try:
        return len(os.listdir("/dev/fd")) - 1
    except OSError:
        return 3
