"""`LocalArchive`: logs, checkpoints and results of one run on the local disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread

from aspot.archive import disk, earlier
from aspot.archive.accept import Acceptance
from aspot.archive.earlier import Existing
from aspot.archive.layout import Layout, stored
from aspot.archive.sink import FileSink
from aspot.errors import ConfigError
from aspot.jobs import Job
from aspot.machine.model import Checkpoint
from aspot.ports import Archive, LogSink
from aspot.results import Result

CHECKPOINTS_KEPT = 2
"""The newest, and the one before it: an attempt may be reading that one when a newer arrives."""

AT_ONCE = 4
"""Threads that write results at the same time."""

_T = TypeVar("_T")


class LocalArchive(Archive):
    """The local files of one run of a fleet.

    Args:
        results: The folder of all fleets' results.
        fleet: The fleet's name.
        run: The run's id.
    """

    def __init__(self, results: Path | str, fleet: str, *, run: str) -> None:
        self.name = fleet
        self.layout = Layout(Path(results).absolute() / fleet)
        self._run = run
        self._inputs: dict[str, str] = {}
        self._reused: dict[str, Result] = {}
        self._moved: Path | None = None
        self._made: Path | None = None
        self._is_ours = False
        self._threads = anyio.CapacityLimiter(AT_ONCE)

    @classmethod
    def claim(cls, results: Path | str, names: Iterable[str], *, run: str) -> Self:
        """Return the files of a run whose fleet takes the first of these names that has no results yet.

        The folder is made at once: of two runs that start together, only one gets a name.

        Args:
            results: The folder of all fleets' results.
            names: Names to try, without an end.
            run: The run's id.

        Raises:
            ConfigError: If the folder cannot be made.
        """
        parent = Path(results).absolute()
        is_new = not parent.exists()
        with disk.explained(parent, ConfigError):
            parent.mkdir(parents=True, exist_ok=True)
            name = next(name for name in names if disk.is_made(parent / name))
        archive = cls(parent, name, run=run)
        archive._made, archive._is_ours = parent if is_new else None, True
        return archive

    def prepare(self, existing: str = "refuse") -> None:
        """Make the results folder ready before anything is launched.

        Args:
            existing: `refuse`, `resume` or `replace` (the old folder moves to `NAME.1`).

        Raises:
            ConfigError: If results are there and are to stay, or the folder cannot be written to.
        """
        try:
            wanted = Existing(existing)
        except ValueError:
            raise ConfigError(f"existing must be refuse, resume or replace, not {existing!r}") from None
        self._moved = earlier.prepare(self.layout, wanted)
        self._is_ours = True

    def expect(self, inputs: Mapping[str, str]) -> None:
        """Take note of the jobs' input digests, by name: they go into `result.json`, for a later `resume`."""
        self._inputs.update(inputs)

    def earlier(self, jobs: Mapping[str, Job]) -> dict[str, Result]:
        """Return the results of jobs that succeeded earlier with the same inputs, by name (for `resume`).

        Args:
            jobs: Jobs by final name, all told to `expect` before.
        """
        wanted = {name: self._inputs.get(name, "") for name in jobs}
        found = earlier.reusable(self.layout, wanted)
        results = {name: earlier.result_of(jobs[name], self.layout.job(name), data) for name, data in found.items()}
        self._reused.update(results)
        return results

    def home(self) -> dict[str, Result]:
        """Return the results of this run that are in their place, by job name; they go into `results.json`, too."""
        found = {}
        for folder in sorted(self.layout.root.iterdir()) if self.layout.root.is_dir() else ():
            data = stored(folder)
            if data.get("run") == self._run and "status" in data:
                job = Job(str(data.get("script") or folder.name), name=folder.name)
                found[folder.name] = earlier.result_of(job, folder, data)
        self._reused.update(found)
        return found

    def sink(self, job: str, attempt: int) -> LogSink:
        """Return where the attempt's output goes."""
        return FileSink(self.layout.attempt(job, attempt))

    def staging(self, job: str, attempt: int) -> Path:
        """Return a fresh, empty folder for what an attempt brings home.

        Raises:
            AspotError: If the disk refuses.
        """
        return disk.fresh(self.layout.files(job, attempt))

    def checkpoint_staging(self, job: str, serial: int) -> Path:
        """Return a fresh, empty folder for a checkpoint.

        Raises:
            AspotError: If the disk refuses.
        """
        return disk.fresh(self.layout.checkpoints(job) / f"{serial}.part")

    def evacuation(self, job: str, attempt: int) -> Path:
        """Return the folder of an attempt's evacuated files, with what is in it.

        Raises:
            AspotError: If the disk refuses.
        """
        folder = self.layout.evacuated(job, attempt)
        with disk.explained(self.layout.root):
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    async def keep_checkpoint(self, job: str, serial: int) -> None:
        """Make the staged checkpoint the job's newest; all but the newest two go. Re-entrant.

        Raises:
            AspotError: If the disk refuses.
        """
        await self._in_thread(lambda: _keep(self.layout.checkpoints(job), serial))

    def checkpoint(self, checkpoint: Checkpoint) -> Path:
        """Return the folder of a checkpoint that was kept."""
        return self.layout.checkpoints(checkpoint.job) / str(checkpoint.serial)

    async def accept(self, job: str, attempt: int, result: Mapping[str, object]) -> Path:
        """Publish the job's folder by one rename, with `result.json` in it; return it. Re-entrant.

        Raises:
            AspotError: If the disk refuses; nothing is published then.
        """
        stored = {**result, "inputs": self._inputs.get(job, "")}
        return await self._in_thread(Acceptance(self.layout, self._run, job, attempt, stored).carry_out)

    def published(self, job: str) -> Path:
        """Return the folder of a job whose result was accepted."""
        return self.layout.job(job)

    async def finish(self, summary: Mapping[str, Any]) -> None:
        """Write `results.json`, reused results among the new ones, and remove what was staged.

        Raises:
            AspotError: If the disk refuses.
        """
        known = {name: result.to_json() for name, result in self._reused.items()}
        known |= {item["job"]: item for item in summary.get("results", ())}
        results = [known[name] for name in {**self._inputs, **known} if name in known]
        text = json.dumps({**summary, "results": results}, indent=1, default=str)
        await self._in_thread(lambda: self._finish(text))

    def _finish(self, text: str) -> None:
        disk.replace_durably(self.layout.summary, text.encode())
        disk.remove(self.layout.staging)

    def abandon(self) -> None:
        """Undo `prepare` and `claim` if nothing came into the folder: the run was refused before it began."""
        if not self._is_ours or not disk.is_empty(self.layout.root):
            return
        disk.remove(self.layout.root)
        if self._made is not None:
            disk.remove_if_empty(self._made)
        if self._moved is not None:
            self._moved.rename(self.layout.root)
            self._moved = None

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        def explained() -> _T:
            with disk.explained(self.layout.root):
                return work()

        return await anyio.to_thread.run_sync(explained, limiter=self._threads)


def _keep(folder: Path, serial: int) -> None:
    staged, kept = folder / f"{serial}.part", folder / str(serial)
    if staged.exists():
        if kept.exists():
            disk.remove(kept)
        staged.rename(kept)
        disk.sync(folder)
    for number in sorted(int(item.name) for item in folder.iterdir() if item.name.isdigit())[:-CHECKPOINTS_KEPT]:
        disk.remove(folder / str(number))


def log_folders(results: Path | str, fleet: str, job: str) -> list[tuple[int, Path]]:
    """Return (attempt, folder with `stdout` and `stderr`) for each attempt whose output is here, oldest first.

    Args:
        results: The folder of all fleets' results.
        fleet: The fleet's name.
        job: The job's name.
    """
    return Layout(Path(results).absolute() / fleet).logs(job)
