"""Names of runs and fleets, and who runs them."""

from __future__ import annotations

import getpass
import os
import socket
from datetime import UTC, datetime
from pathlib import Path

from aspot.intake.scripts import script_stem
from aspot.jobs import Job
from aspot.machine.names import ALPHABET, fleet_name, safe

_RANDOM_BYTES = 10


def new_run_id() -> str:
    """Return a new run id: 26 characters that sort by time (a ULID in lower case)."""
    return run_id(datetime.now(UTC), os.urandom(_RANDOM_BYTES))


def run_id(at: datetime, randomness: bytes) -> str:
    """Return the run id of a moment and 10 random bytes.

    >>> run_id(datetime(2026, 11, 23, tzinfo=UTC), bytes(10))
    '01m82v7m000000000000000000'
    """
    number = int(at.timestamp() * 1000) << 80 | int.from_bytes(randomness[:_RANDOM_BYTES])
    return "".join(ALPHABET[number >> shift & 31] for shift in range(125, -1, -5))


def default_fleet_name(first: str | Path | Job, now: datetime) -> str:
    """Return the name of a fleet that was given none, from its first job: `train-1123-1607`.

    Args:
        first: The first job, as given.
        now: The time to show, in the user's own zone.
    """
    job = first if isinstance(first, Job) else Job(first)
    return fleet_name(job.name or script_stem(job.script, job.command or ""), now)


def owner() -> str:
    """Return who runs this, as `user@host`, safe in tags and shells."""
    return f"{safe(_user())}@{safe(socket.gethostname() or 'localhost')}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # no environment, and no entry for the number: as in some containers
        return f"uid-{os.getuid()}"
