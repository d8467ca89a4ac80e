"""What users hear: the public events of API.md (`Fleet.events()`, `on_event=`, `--json` in snake case)."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import attrs


@attrs.frozen(kw_only=True)
class News:
    """Base of the public events.

    Args:
        time: When; aware UTC.
        fleet: Name of the fleet.
        job: Name of the job, or "".
        instance: Label of the instance (`NAME_1`), or "".
        message: One line for people, without markup.
    """

    time: datetime
    fleet: str
    job: str = ""
    instance: str = ""
    message: str = ""

    @property
    def name(self) -> str:
        """Return the event's name in snake case, as `--json` prints it."""
        return re.sub(r"(?<!^)(?=[A-Z])", "_", type(self).__name__).lower()


@attrs.frozen(kw_only=True)
class InstanceLaunched(News):
    """An instance was launched."""

    instance_id: str
    type: str
    zone: str
    price_usd_per_hour: float


@attrs.frozen(kw_only=True)
class InstanceReady(News):
    """An instance can take work; `boot_s` is seconds since its launch."""

    instance_id: str
    boot_s: float


@attrs.frozen(kw_only=True)
class InstanceEnded(News):
    """An instance is gone."""

    instance_id: str
    reason: str
    cost_usd: float


@attrs.frozen(kw_only=True)
class InstanceKept(News):
    """A failed job's instance stays for a look until then, and ends itself; it can cost this much more by then.

    `ssh` is the command that opens it; "" if it could not be made ready.
    """

    instance_id: str
    until: datetime
    price_usd_per_hour: float
    most_usd: float
    ssh: str


@attrs.frozen(kw_only=True)
class LaunchRefused(News):
    """AWS refused a launch; what happens next stands in the message."""

    code: str
    pool: str


@attrs.frozen(kw_only=True)
class JobStarted(News):
    """An attempt began to run."""

    attempt: int
    instance_id: str


@attrs.frozen(kw_only=True)
class JobEnded(News):
    """A job is final; `result` is its `aspot.Result`."""

    status: str
    result: Any = None


@attrs.frozen(kw_only=True)
class NoticeReceived(News):
    """EC2 will take an instance back in `seconds`."""

    instance_id: str
    seconds: float
    channel: str


@attrs.frozen(kw_only=True)
class CheckpointSaved(News):
    """A checkpoint came home."""

    attempt: int
    size: int
    files: int


@attrs.frozen(kw_only=True)
class FilesSent(News):
    """A job's files are on its instance; `skipped` were there already."""

    files: int
    size: int
    skipped: int


@attrs.frozen(kw_only=True)
class FilesReceived(News):
    """A job's files are here."""

    files: int
    size: int


@attrs.frozen(kw_only=True)
class LogLine(News):
    """A line of a job's output (text as the job wrote it: renderers make it safe)."""

    attempt: int
    stream: str
    line: str


@attrs.frozen(kw_only=True)
class BudgetReached(News):
    """The budget is spent: nothing more is launched, what runs is brought home."""

    cost_usd: float


@attrs.frozen(kw_only=True)
class FleetFinished(News):
    """The run is over; `left` says what is still there, `kept` what was left on purpose (`aspot.results.Kept`)."""

    cost_usd: float
    left: tuple[str, ...]
    kept: tuple[Any, ...] = ()


@attrs.frozen(kw_only=True)
class FleetDetached(News):
    """The client leaves the run to its machines; each ends itself by `until` at the latest, if nobody comes back."""

    machines: int
    until: datetime | None
    most_usd: float


@attrs.frozen(kw_only=True)
class FleetTakenOver(News):
    """Another client drives the run now; nothing more is done here."""

    by: str
    since: datetime


@attrs.frozen(kw_only=True)
class Warned(News):
    """Something the user should know: a hook that raised, a skipped file, credentials that expired."""
