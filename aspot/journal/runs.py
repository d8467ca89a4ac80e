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
from aspot.journal import codec, database
from aspot.journal.folders import RunFolder
from aspot.machine.events import Event
from aspot.machine.model import Run, RunSpec


@attrs.frozen(kw_only=True)
class RunInfo:
    """What the state folder knows of a run.

    Args:
        folder: The run's folder.
        name: The fleet's name.
        id: The run's id.
        region: AWS region; "" if the journal cannot be read.
        created: When it began; None if the journal cannot be read.
        ended: When it ended; None while it has not.
        left: What was still there when it ended.
        options: What was kept beside the specification.
        is_live: Whether a process drives it now.
        trouble: Why the journal cannot be read, with the fix; "" if it can.
    """

    folder: RunFolder
    name: str
    id: str
    region: str = ""
    created: datetime | None = None
    ended: datetime | None = None
    left: tuple[str, ...] = ()
    options: Mapping[str, Any] = attrs.field(factory=dict)
    is_live: bool = False
    trouble: str = ""

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
        return attrs.evolve(known, trouble=f"{error.message} ({error.fix})")


def _described(known: RunInfo, connection: sqlite3.Connection) -> RunInfo:
    region, created, ended, left, options = _meta(connection, "region, created, ended, leftover, options")
    return attrs.evolve(
        known,
        region=region,
        created=datetime.fromisoformat(created),
        ended=datetime.fromisoformat(ended) if ended else None,
        left=tuple(json.loads(left)),
        options=json.loads(options),
    )


def _meta(connection: sqlite3.Connection, columns: str) -> Any:
    row = connection.execute(f"SELECT {columns} FROM meta").fetchone()  # noqa: S608 - names of ours
    if row is None:
        raise AspotError("the run was never begun", fix="its folder can be deleted")
    return row


def load_spec(folder: RunFolder) -> tuple[RunSpec, datetime]:
    """Return a run's specification and when it began.

    Raises:
        AspotError: If the journal cannot be read.
    """
    with database.reading(folder.journal) as connection:
        spec, created = _meta(connection, "spec, created")
    return codec.decode_spec(spec), datetime.fromisoformat(created)


def load_events(folder: RunFolder) -> list[Event]:
    """Return all of a run's events, in order.

    Raises:
        AspotError: If the journal cannot be read, or holds what this aspot does not know.
    """
    with database.reading(folder.journal) as connection:
        rows = connection.execute("SELECT kind, body FROM event ORDER BY seq").fetchall()
    return [codec.decode(kind, body) for kind, body in rows]


def replay(folder: RunFolder) -> Run:
    """Return the state that a run's journal leads to. Nothing is carried out.

    Raises:
        AspotError: If the journal cannot be read.
    """
    from aspot.machine.step import start_run, step

    spec, created = load_spec(folder)
    run = start_run(spec, created)
    for event in load_events(folder):
        run, _ = step(run, event)
    return run


def ask(folder: RunFolder, text: str) -> None:
    """Leave a request for the process that drives the run, such as `stop`; it is taken within a poll.

    Raises:
        AspotError: If no process drives the run, or the journal cannot be written to.
    """
    if not folder.is_live:
        raise AspotError(f"no process drives {folder.name} now", fix=f"aspot down {folder.name} ends its machines")
    with (
        database.explained(folder.journal),
        contextlib.closing(database.open_for_writing(folder.journal)) as connection,
    ):
        connection.execute("INSERT INTO request (text) VALUES (?)", (text,))
        folder.ring()
