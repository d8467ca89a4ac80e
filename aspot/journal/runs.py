"""What other processes see and ask of runs: which there are, a run's state by replay, requests to its client."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import attrs

from aspot.errors import AspotError, ConfigError
from aspot.journal import codec, database, epochs
from aspot.journal.folders import RunFolder
from aspot.machine.client import Client
from aspot.machine.events import Event
from aspot.machine.model import Run, RunSpec
from aspot.results import Kept


@attrs.frozen(kw_only=True)
class RunInfo:
    """What the state folder knows of a run.

    Args:
        folder: The run's folder.
        name: The fleet's name.
        id: The run's id.
        region: AWS region, of several the first; "" if the journal cannot be read.
        created: When it began; None if the journal cannot be read.
        ended: When it ended; None while it has not.
        left: What was still there when it ended.
        kept: Machines that stay, or stayed, for a look at a job that failed.
        options: What was kept beside the specification.
        is_live: Whether a process drives it now.
        driver: Who took it up last; None if the journal cannot be read.
        trouble: Why the journal cannot be read, with the fix; "" if it can.
        is_lost: Whether that is for good: it is gone or damaged.
    """

    folder: RunFolder
    name: str
    id: str
    region: str = ""
    created: datetime | None = None
    ended: datetime | None = None
    left: tuple[str, ...] = ()
    kept: tuple[Kept, ...] = ()
    options: Mapping[str, Any] = attrs.field(factory=dict)
    is_live: bool = False
    driver: Client | None = None
    trouble: str = ""
    is_lost: bool = False

    def kept_at(self, now: datetime) -> tuple[Kept, ...]:
        """Return the machines that stay for a look then."""
        return tuple(item for item in self.kept if item.until > now)

    @property
    def regions(self) -> tuple[str, ...]:
        """Return every AWS region that the run may use; none if the journal cannot be read."""
        several = tuple(map(str, self.options.get("regions", ())))
        return several or ((self.region,) if self.region else ())

    @property
    def kind(self) -> str:
        """Return `fleet` or `box`."""
        return "box" if self.is_box else "fleet"

    @property
    def is_box(self) -> bool:
        """Tell whether it is one machine by name, without jobs."""
        return self.options.get("kind") == "box"


def runs(*, state: Path | None = None) -> list[RunInfo]:
    """Return every run known here, oldest first. One whose journal cannot be read is listed with its trouble.

    Args:
        state: The state folder; None for the user's.
    """
    return [info(folder) for folder in RunFolder.all(state=state)]


def newest(name: str, *, state: Path | None = None) -> RunInfo:
    """Return the newest run of a fleet's name.

    Raises:
        ConfigError: If none is known here.
    """
    found = [item for item in RunFolder.all(state=state) if item.name == name]
    if not found:
        raise ConfigError(f"no fleet {name!r} is known here", fix="aspot ls shows what there is")
    return info(found[-1])


def info(folder: RunFolder) -> RunInfo:
    """Return what the state folder knows of one run."""
    known = RunInfo(folder=folder, name=folder.name, id=folder.run, is_live=folder.is_live)
    try:
        with database.reading(folder.journal) as connection:
            return _described(known, connection)
    except AspotError as error:
        is_lost = isinstance(error, database.JournalLost)
        return attrs.evolve(known, trouble=f"{error.message} ({error.fix})", is_lost=is_lost)


def _described(known: RunInfo, connection: sqlite3.Connection) -> RunInfo:
    region, created, ended, left, kept, options = _meta(connection, "region, created, ended, leftover, kept, options")
    return attrs.evolve(
        known,
        region=region,
        created=datetime.fromisoformat(created),
        ended=datetime.fromisoformat(ended) if ended else None,
        left=tuple(json.loads(left)),
        kept=tuple(map(Kept.from_json, json.loads(kept))),
        options=json.loads(options),
        driver=epochs.newest(connection),
    )


def _meta(connection: sqlite3.Connection, columns: str) -> Any:
    row = connection.execute(f"SELECT {columns} FROM meta").fetchone()  # noqa: S608 - names of ours
    if row is None:
        raise database.JournalLost("the run was never begun", fix="its folder can be deleted")
    return row


def load_spec(folder: RunFolder) -> tuple[RunSpec, datetime]:
    """Return a run's specification and when it began.

    Raises:
        AspotError: If the journal cannot be read.
    """
    return _spec_in(folder.journal)


def load_events(folder: RunFolder) -> list[Event]:
    """Return all of a run's events, in order.

    Raises:
        AspotError: If the journal cannot be read, or holds what this aspot does not know.
    """
    return _events_in(folder.journal)


def replay(folder: RunFolder) -> Run:
    """Return the state that a run's journal leads to. Nothing is carried out.

    Raises:
        AspotError: If the journal cannot be read.
    """
    return replay_file(folder.journal)


def replay_file(journal: Path) -> Run:
    """Return the state that a journal leads to, wherever it lies; raises as `replay`."""
    from aspot.machine.step import start_run, step

    spec, created = _spec_in(journal)
    run = start_run(spec, created)
    for event in _events_in(journal):
        run, _ = step(run, event)
    return run


def who_drives(known: RunInfo) -> str:
    """Return who drives a run and since when, as the end of a sentence; "" if nobody knows."""
    client = known.driver
    return f": {client}, since {client.since.astimezone():%Y-%m-%d %H:%M:%S}" if client else ""


def _spec_in(journal: Path) -> tuple[RunSpec, datetime]:
    with database.reading(journal) as connection:
        spec, created = _meta(connection, "spec, created")
    return codec.decode_spec(spec), datetime.fromisoformat(created)


def _events_in(journal: Path) -> list[Event]:
    with database.reading(journal) as connection:
        rows = connection.execute("SELECT kind, body FROM event ORDER BY seq").fetchall()
    return [codec.decode(kind, body) for kind, body in rows]


def ask(folder: RunFolder, text: str) -> int:
    """Leave a request for the process that drives the run, such as `stop`; it is taken within a poll.

    Returns:
        Its number, for `is_heard`.

    Raises:
        AspotError: If no process drives the run, or the journal cannot be written to.
    """
    if not folder.is_live:
        raise AspotError(f"no process drives {folder.name} now", fix=f"aspot down {folder.name} ends its machines")
    with (
        database.explained(folder.journal),
        contextlib.closing(database.open_for_writing(folder.journal)) as connection,
    ):
        number = connection.execute("INSERT INTO request (text) VALUES (?)", (text,)).lastrowid
        folder.ring()
    assert number is not None
    return number


def is_heard(folder: RunFolder, request: int) -> bool:
    """Tell whether the process that drives the run has taken a request.

    Raises:
        AspotError: If the journal cannot be read.
    """
    with database.reading(folder.journal) as connection:
        return bool(connection.execute("SELECT taken FROM request WHERE id = ?", (request,)).fetchone()[0])
