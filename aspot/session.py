"""One run of a fleet, wired: which adapter stands behind which port. Everything heavy is imported here, when needed."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from aspot.errors import AspotError, ConfigError
from aspot.intake.jobs import resolve_jobs
from aspot.intake.options import FleetOptions
from aspot.jobs import Job
from aspot.machine.model import JobSpec, Run, RunSpec
from aspot.machine.names import fleet_name
from aspot.machine.news import JobEnded, News
from aspot.ports import CloudPlan, Lease
from aspot.results import Result, Results

if TYPE_CHECKING:
    from aspot.archive import LocalArchive
    from aspot.journal import SqliteJournal
    from aspot.runtime.host import RunHost

LEASE_TERM_S = 600.0
"""A machine that hears nothing from us for this long begins to look for a reason to end itself (RUNNER.md D5)."""
