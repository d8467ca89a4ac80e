"""How a job's result is published: its folder is made whole where nobody looks, then appears by one rename.

Every step may have been done already by a process that died: each looks before it acts. What came home was made durable
when it landed (`aspot.files.landing`); here, outputs, the result and the new names are.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from aspot.archive import disk
from aspot.archive.layout import EARLIER, EVACUATED, OURS, RESULT, STREAMS, Layout, stored


@attrs.frozen
class Acceptance:
    """One result on its way into its place.

    Args:
        layout: The fleet's results folder.
        run: The run's id: what an earlier run left under the job's name makes way.
        job: The job.
        attempt: The attempt whose files and logs count; 0 for none.
        result: What `result.json` will hold.
    """

    layout: Layout
    run: str
    job: str
    attempt: int
    result: Mapping[str, Any]

    def carry_out(self) -> Path:
        """Publish the folder and return it."""
        final = self.layout.job(self.job)
        if stored(final).get("run") != self.run:
            built = self._built()
            self._make_way(final)
            built.rename(final)
            disk.sync(final.parent)
        disk.remove(self.layout.staged(self.job))
        return final

    def _built(self) -> Path:
        """Return the whole folder, built in staging."""
        folder = self.layout.staged(self.job) / "result"
        folder.mkdir(parents=True, exist_ok=True)
        _move_in(folder, self.layout.files(self.job, self.attempt))
        attempt = self._move_logs(folder)
        self._move_evacuated(folder)
        self._move_checkpoint(folder)
        content = {**self.result, "files": _files(folder), "run": self.run, "attempt": attempt}
        text = json.dumps(content, indent=1, default=str)
        disk.write_durably(folder / RESULT, text.encode())
        _sync_names(folder)
        return folder

    def _move_logs(self, folder: Path) -> int:
        """Move every attempt's output in; return the number of the one that counts (the newest if none does)."""
        attempts = dict(self.layout.staged_logs(self.job))
        chosen = self.attempt or max(attempts, default=0)
        for number, source in attempts.items():
            _move_streams(source, folder if number == chosen else folder / EARLIER / f"a{number}")
        for stream in STREAMS:
            (folder / stream).touch()
        return chosen

    def _move_evacuated(self, folder: Path) -> None:
        """Keep what came of each attempt before its machine went, apart from the result: it may be of no use to it."""
        for number, source in self.layout.staged_logs(self.job):
            kept = folder / EARLIER / f"a{number}" / EVACUATED
            if (source / EVACUATED).is_dir() and not disk.is_empty(source / EVACUATED):
                kept.parent.mkdir(parents=True, exist_ok=True)
                (source / EVACUATED).rename(kept)

    def _move_checkpoint(self, folder: Path) -> None:
        """Keep the newest checkpoint of a job that did not succeed: the work in it is the user's."""
        found, kept = self.layout.checkpoints(self.job), folder / EARLIER / "checkpoint"
        serials = [int(item.name) for item in found.iterdir() if item.name.isdigit()] if found.is_dir() else []
        if serials and self.result.get("status") != "succeeded" and not kept.exists():
            kept.parent.mkdir(exist_ok=True)
            (found / str(max(serials))).rename(kept)

    def _make_way(self, final: Path) -> None:
        """Move what an earlier run left under this name out of the way; it goes with the rest of staging.

        What this run has published meanwhile stays: then this process slept, and another has taken the run over.
        """
        if os.path.lexists(final) and stored(final).get("run") != self.run:
            aside = disk.free_name(self.layout.staged(self.job) / "replaced")
            final.rename(aside)


def _move_in(folder: Path, files: Path) -> None:
    """Move what came home into the folder, under other names where they would hide ours or each other.

    Names that differ by case only count as equal: macOS makes no difference.
    """
    taken = {name.casefold() for name in (*OURS, *(item.name for item in folder.iterdir()))}
    for item in sorted(files.iterdir()) if files.is_dir() else ():
        name = item.name
        while name.casefold() in taken:
            name += ".job"
        taken.add(name.casefold())
        item.rename(folder / name)


def _files(folder: Path) -> list[str]:
    """Return the names of the job's own files in the folder, sorted, as they are called there."""
    found = (Path(here, name).relative_to(folder) for here, _, names in os.walk(folder) for name in names)
    return sorted(path.as_posix() for path in found if path.parts[0] not in OURS)


def _move_streams(source: Path, into: Path) -> None:
    into.mkdir(parents=True, exist_ok=True)
    for stream in STREAMS:
        if (source / stream).exists():
            if (source / stream).stat().st_size:
                disk.sync(source / stream)
            (source / stream).replace(into / stream)


def _sync_names(folder: Path) -> None:
    """Make durable which names are in the folders that were filled here."""
    for here in (*(folder / EARLIER).glob("a[0-9]*"), folder / EARLIER, folder):
        if here.is_dir():
            disk.sync(here)
