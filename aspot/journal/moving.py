"""A run's journal on its way to another computer: a copy as one file, and a new journal made from one."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from aspot.errors import AspotError
from aspot.journal import codec, database, epochs
from aspot.journal.folders import RunFolder
from aspot.machine.client import Client
from aspot.machine.events import Event
from aspot.machine.model import RunSpec

BESIDE = ("", "-wal", "-shm")
"""What SQLite keeps beside a journal belongs to it."""


def snapshot(folder: RunFolder, into: Path) -> None:
    """Copy a run's journal as it is at one moment, also while its client writes to it. Blocks.

    Args:
        folder: The run's.
        into: The copy: a new file, readable by this user only, with nothing beside it.

    Raises:
        AspotError: If the journal cannot be read, or the copy not be written.
    """
    with database.reading(folder.journal) as source, database.explained(into):
        os.close(os.open(into, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        with contextlib.closing(sqlite3.connect(into)) as target:
            source.backup(target)
            target.execute("PRAGMA journal_mode = DELETE")


def adopt(copy: Path, folder: RunFolder, changes: Mapping[str, Any]) -> None:
    """Make a run's journal from the rows of a copy: nothing but rows of ours is taken from that file. Blocks.

    Args:
        copy: What `snapshot` made.
        folder: The run's new folder; it holds no journal yet.
        changes: Options that differ here (such as the results folder).

    Raises:
        AspotError: If the copy is damaged, of another run, ended or of a newer aspot.
    """
    with database.reading(copy) as source, database.explained(copy):
        found = source.execute("SELECT run, name, region, spec, options, created, ended FROM meta").fetchone()
        if found is None or (found[0], found[1]) != (folder.run, folder.name):
            raise AspotError("its journal is of another run")
        if found[6] is not None:
            raise AspotError("its run has ended")
        events = source.execute("SELECT at, kind, body FROM event ORDER BY seq").fetchall()
        driver = epochs.newest(source)
    run, name, region, spec, options, created, _ = found
    row = (run, name, region, spec, json.dumps({**json.loads(options), **changes}), created)
    _fill(folder.journal, row, events, driver)


def replace(
    folder: RunFolder, spec: RunSpec, *, created: datetime, options: Mapping[str, Any], events: Sequence[Event]
) -> Path | None:
    """Write the whole journal of a run in place of one that cannot be read; it is there whole or not at all. Blocks.

    Args:
        folder: The run's; nobody may drive it.
        spec: The run.
        created: When it began.
        options: As for `SqliteJournal.create`.
        events: All that is known of it, in order.

    Returns:
        Where the journal is now that was there before; None if there was none.

    Raises:
        AspotError: If a process drives the run, or the disk refuses.
    """
    with database.explained(folder.journal):
        lock = folder.take()
        try:
            new = folder.journal.with_name("journal.new")
            new.unlink(missing_ok=True)
            row = (spec.id, spec.name, spec.region, codec.encode_spec(spec), json.dumps(options), created.isoformat())
            _fill(new, row, [(event.at.isoformat(), *codec.encode(event)) for event in events])
            aside = set_aside(folder) if folder.journal.exists() else None
            new.rename(folder.journal)
            return aside
        finally:
            os.close(lock)


def _fill(
    path: Path, row: tuple[Any, ...], events: Sequence[tuple[str, str, str]], driver: Client | None = None
) -> None:
    with contextlib.closing(database.create(path)) as target, database.explained(path):
        target.execute("BEGIN IMMEDIATE")
        target.execute(
            "INSERT INTO meta (one, run, name, region, spec, options, created) VALUES (1, ?, ?, ?, ?, ?, ?)", row
        )
        target.executemany("INSERT INTO event (at, kind, body) VALUES (?, ?, ?)", events)
        if driver is not None:  # so that the next epoch is higher, whatever this computer's clock says
            epochs.add(target, driver)
        target.execute("COMMIT")


def set_aside(folder: RunFolder) -> Path:
    """Move a run's journal, with what SQLite keeps beside it, to `journal.db.damaged`, or the first free name like it.

    Returns:
        Where it is now.
    """
    number = 1
    while (aside := folder.journal.with_name(f"{folder.journal.name}.damaged-{number}")).exists():
        number += 1
    for end in BESIDE:
        with contextlib.suppress(FileNotFoundError):
            folder.journal.with_name(folder.journal.name + end).rename(aside.with_name(aside.name + end))
    return aside
