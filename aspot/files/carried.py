"""Uploads that came with a run from another computer: contents by hash, and what each job sends of them.

Names stand in a list only; what they stand for is made on the instance.
May import: the standard library, `aspot.files`.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import attrs

from aspot.errors import AspotError
from aspot.files.entries import Entry, Kind, Scan
from aspot.files.parcel import Parcel
from aspot.ports import Undeliverable

LIST = "uploads.json"
FILES = "files"
_HASH = re.compile(r"[0-9a-f]{64}")

Row = tuple[str, str, bool, str, int]
"""Name, kind, whether it is executable, hash or target, and when it was changed."""


@attrs.frozen(kw_only=True)
class Carried:
    """What was carried here.

    Args:
        folder: Where it lies: the list, and `files/` with the contents.
        jobs: Which set each job sends, by the job's name.
        sets: What is in each set.
        lost: Why the files of a job are not here.
    """

    folder: Path
    jobs: Mapping[str, str]
    sets: Mapping[str, tuple[Row, ...]]
    lost: Mapping[str, str]

    @classmethod
    def load(cls, folder: Path) -> Self | None:
        """Return what was carried into this folder; None if it is not there.

        Raises:
            AspotError: If it makes no sense.
        """
        try:
            found = json.loads((folder / LIST).read_text(encoding="utf-8"))
            return cls(
                folder=folder,
                jobs={str(job): str(key) for job, key in found["jobs"].items()},
                sets={str(key): tuple(_row(*row) for row in rows) for key, rows in found["sets"].items()},
                lost={str(job): str(why) for job, why in found["lost"].items()},
            )
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise AspotError(f"the uploads in {folder} cannot be used: {error}", fix="export the run again") from error

    def knows(self, job: str) -> bool:
        """Tell whether the job came from another computer: its files are to be looked for here, and nowhere else."""
        return job in self.jobs or job in self.lost

    def scan(self, job: str) -> Scan:
        """Return what the job sends.

        Raises:
            Undeliverable: If it is not here.
        """
        if job in self.lost:
            why = f"its files are not on this computer: {self.lost[job]} when the run was exported"
            raise Undeliverable(why, is_local=True)
        return Scan(entries={row[0]: self._entry(*row) for row in self.sets[self.jobs[job]]})

    def _entry(self, name: str, kind: str, is_executable: bool, what: str, changed_s: int) -> Entry:
        if Kind(kind) is not Kind.FILE:
            return Entry(name=name, kind=Kind(kind), source=name, target=what)
        path = self.folder / FILES / what
        try:
            found = path.stat()
        except OSError as error:
            raise Undeliverable(f"{name} is no longer in {self.folder}", is_local=True) from error
        stamp = (found.st_dev, found.st_ino, found.st_size, changed_s * 1_000_000_000, found.st_ctime_ns)
        return Entry(
            name=name,
            kind=Kind.FILE,
            source=str(path),
            size=found.st_size,
            is_executable=is_executable,
            stamp=stamp,
        )


def rows(parcel: Parcel) -> list[Row]:
    """Return a parcel as rows of the list."""
    return [
        (
            entry.name,
            entry.kind.value,
            entry.is_executable,
            parcel.hashes.get(name, entry.target),
            entry.changed_s,
        )
        for name, entry in parcel.entries.items()
    ]


def dump(jobs: Mapping[str, str], sets: Mapping[str, list[Row]], lost: Mapping[str, str]) -> bytes:
    """Return the list as it is written."""
    return json.dumps({"jobs": jobs, "sets": sets, "lost": lost}).encode()


def _row(name: Any, kind: Any, is_executable: Any, what: Any, changed_s: Any) -> Row:
    """Return a row after checking that it stays inside `work/`, here and there."""
    name, what = str(name), str(what)
    if not _is_inside(name) or any(part in ("", ".", "..") for part in name.split("/")):
        raise ValueError(f"{name!r} is not a plain relative name")
    if Kind(kind) is Kind.LINK and not _is_inside(what, os.path.dirname(name)):
        raise ValueError(f"{name!r} is a link that leads out of its folder")
    if Kind(kind) is Kind.FILE and not _HASH.fullmatch(what):
        raise ValueError(f"{name!r} has no hash")
    return name, str(kind), bool(is_executable), what, int(changed_s)


def _is_inside(path: str, folder: str = "") -> bool:
    """Tell whether a path that is relative to a folder below `work/` stays below `work/`."""
    led = os.path.normpath(os.path.join(folder, path)) if path else ".."
    return not (os.path.isabs(path) or "\0" in path or led.split("/")[0] == "..")
