"""What to do with results that are there already: refuse, resume or replace."""

from __future__ import annotations

import enum
import os
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from aspot.archive.disk import check_writable, explained, free_name, is_empty
from aspot.archive.layout import Layout, stored
from aspot.errors import ConfigError
from aspot.jobs import Job
from aspot.results import Attempt, Result


class Existing(enum.Enum):
    """What to do when the fleet's results folder is there already."""

    REFUSE = "refuse"
    RESUME = "resume"
    REPLACE = "replace"


def prepare(layout: Layout, existing: Existing) -> Path | None:
    """Make the fleet's results folder ready, and prove that it can be written to.

    Returns:
        Where earlier results were moved to; None if there were none.

    Raises:
        ConfigError: If there are results already and they are to stay, or the folder cannot be written to.
    """
    moved = None
    if existing is not Existing.RESUME and _is_used(layout):
        if existing is Existing.REFUSE:
            raise _refusal(layout)
        with explained(layout.root, ConfigError):
            moved = layout.root.rename(free_name(layout.root))
    if not is_empty(layout.staging):  # of a run that died: its logs and checkpoints stay, apart from this run's
        with explained(layout.root, ConfigError):
            layout.staging.rename(free_name(layout.staging))
    check_writable(layout.root)
    return moved


def _is_used(layout: Layout) -> bool:
    """Tell whether anything is there beside what a run leaves that was refused before it began."""
    if not os.path.lexists(layout.root):
        return False
    with explained(layout.root, ConfigError):
        return any(item.name != layout.staging.name for item in layout.root.iterdir()) or not is_empty(layout.staging)


def _refusal(layout: Layout) -> ConfigError:
    return ConfigError(
        f"results of an earlier {layout.root.name} are in {layout.root}",
        fix="choose another name (-n NAME), or --replace to move them aside, or in Python"
        ' existing="resume" to skip what succeeded with the same inputs',
    )


def reusable(layout: Layout, digests: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """Return what is stored of jobs that succeeded earlier with the same inputs, by name.

    Args:
        layout: The fleet's results folder.
        digests: Digest of each job's inputs, by name; an empty one equals no other.
    """
    found = {name: stored(layout.job(name)) for name, digest in digests.items() if digest}
    return {
        name: data
        for name, data in found.items()
        if data.get("status") == "succeeded" and data.get("inputs") == digests[name]
    }


def result_of(job: Job, folder: Path, data: Mapping[str, Any]) -> Result:
    """Return an earlier result from what is stored of it.

    Args:
        job: The job as given now.
        folder: Its folder.
        data: What `stored` returned for it.
    """
    attempts = tuple(_attempt(item) for item in data.get("attempts", ()))
    return Result(
        job=job,
        status=data["status"],
        exit_code=data.get("exit_code"),
        reason=data.get("reason", ""),
        dir=folder,
        files=tuple(data.get("files", ())),
        missing=tuple(data.get("missing", ())),
        attempts=attempts,
        cost=data.get("cost_usd", 0.0),
        duration=_duration_s(attempts),
        redone=data.get("redone_s", 0.0),
        recovery_gap=data.get("recovery_gap_s"),
    )


def _attempt(data: Mapping[str, Any]) -> Attempt:
    return Attempt(
        number=data["number"],
        instance_id=data["instance_id"],
        type=data["type"],
        zone=data["zone"],
        outcome=data["outcome"],
        started=_moment(data.get("started")),
        ended=_moment(data.get("ended")),
        cost=data.get("cost_usd", 0.0),
        boot=data.get("boot_s", 0.0),
        idle=data.get("idle_s", 0.0),
        useful=data.get("useful_s", 0.0),
        redone=data.get("redone_s", 0.0),
        gap=data.get("gap_s"),
        saved=data.get("saved", ""),
        lost=data.get("lost", ""),
    )


def _duration_s(attempts: Sequence[Attempt]) -> float:
    starts = [attempt.started for attempt in attempts if attempt.started is not None]
    ends = [attempt.ended for attempt in attempts if attempt.ended is not None]
    return (max(ends) - min(starts)).total_seconds() if starts and ends else 0.0


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
