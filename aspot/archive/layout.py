"""Where the files of a fleet lie below its results folder, while it runs and after; used by whoever shows logs, too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import attrs

STREAMS = ("stdout", "stderr")
RESULT = "result.json"
RESULTS = "results.json"
STAGING = ".staging"
EARLIER = "attempts"
EVACUATED = "evacuated"
OURS = frozenset({*STREAMS, RESULT, EARLIER})
"""Names in a job's folder that are aspot's own; a file of the job with such a name gets `.job` added."""


@attrs.frozen
class Layout:
    """The folder of one fleet's results.

    Args:
        root: `<results>/<fleet>`.
    """

    root: Path

    @property
    def staging(self) -> Path:
        """Return the folder of what is not accepted yet: on the same file system, so that a rename publishes it."""
        return self.root / STAGING

    @property
    def summary(self) -> Path:
        """Return where `results.json` is written when the run has ended."""
        return self.root / RESULTS

    def job(self, job: str) -> Path:
        """Return a job's folder; it exists when its result was accepted."""
        return self.root / job

    def staged(self, job: str) -> Path:
        """Return the folder of a job's logs, files and checkpoints while it runs."""
        return self.staging / job

    def attempt(self, job: str, attempt: int) -> Path:
        """Return the folder of an attempt's output while the job runs."""
        return self.staged(job) / f"a{attempt}"

    def files(self, job: str, attempt: int) -> Path:
        """Return where an attempt's files are brought to."""
        return self.attempt(job, attempt) / "files"

    def evacuated(self, job: str, attempt: int) -> Path:
        """Return where an attempt's evacuated files are brought to."""
        return self.attempt(job, attempt) / EVACUATED

    def checkpoints(self, job: str) -> Path:
        """Return the folder of a job's checkpoints."""
        return self.staged(job) / "checkpoints"

    def logs(self, job: str) -> list[tuple[int, Path]]:
        """Return (attempt, folder with stdout and stderr) for each attempt whose output is here, oldest first.

        The accepted attempt of a finished job counts as the last; while the job runs, the files grow.
        """
        staged, final = self.staged_logs(job), self.job(job)
        if staged or not final.is_dir():
            return staged
        return [*_numbered(final / EARLIER), (stored(final).get("attempt") or 1, final)]

    def staged_logs(self, job: str) -> list[tuple[int, Path]]:
        """Return the same of a job that has no result yet."""
        return _numbered(self.staged(job))


def stored(folder: Path) -> dict[str, Any]:
    """Return what a job's folder says of itself; empty if it says nothing."""
    try:
        data = json.loads((folder / RESULT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _numbered(folder: Path) -> list[tuple[int, Path]]:
    found = folder.glob("a[0-9]*") if folder.is_dir() else ()
    return sorted((int(item.name[1:]), item) for item in found if item.name[1:].isdigit())
