"""`SqliteJournal`: the write-ahead record of one run. One thread at a time writes; one process holds the lock."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread

from aspot.journal import codec, database
from aspot.journal.folders import RunFolder
from aspot.machine.events import Event
from aspot.machine.model import RunSpec
from aspot.ports import Journal

_T = TypeVar("_T")


class SqliteJournal(Journal):
    """The journal of one run, open and locked by this process. Made by `create` or `open`."""

    def __init__(self, folder: RunFolder, connection: sqlite3.Connection, lock: int) -> None:
        self.folder = folder
        self._connection = connection
        self._lock = lock
        self._one_at_a_time = anyio.CapacityLimiter(1)
        self._is_open = True
        self._rang = -1  # so that the first look finds what was asked before

    @classmethod
    def create(cls, spec: RunSpec, *, created: datetime, options: Mapping[str, Any] | None = None) -> Self:
        """Make the folder and the journal of a new run. Blocks for some milliseconds.

        Args:
            spec: The run.
            created: When it began, aware; `replay` starts from here.
            options: What a later process needs beside the specification, as JSON values (such as the results folder).

        Raises:
            AspotError: If the state folder cannot be used.
        """
        folder = RunFolder.of(spec.name, spec.id)
        folder.make()
        return cls._locked(folder, lambda: _new(folder, spec, created, options or {}))

    @classmethod
    def open(cls, folder: RunFolder) -> Self:
        """Open the journal of an earlier run, to go on with it. Blocks for some milliseconds.

        Raises:
            AspotError: If another process drives the run, or the journal is missing, damaged or from a newer aspot.
        """
        return cls._locked(folder, lambda: database.open_for_writing(folder.journal))

    @classmethod
    def _locked(cls, folder: RunFolder, connect: Callable[[], sqlite3.Connection]) -> Self:
        with database.explained(folder.journal):
            lock = folder.take()
        try:
            return cls(folder, connect(), lock)
        except BaseException:
            os.close(lock)
            raise

    async def append(self, events: Sequence[Event]) -> None:
        """Make the events durable, in order, in one transaction.

        Raises:
            AspotError: When the disk refuses; none of them is kept then.
        """
        if events:
            await self._in_thread(lambda: _append(self._connection, events))

    async def requests(self) -> Sequence[str]:
        """Return what other processes asked of this run since the last call, oldest first."""
        rang = self.folder.rang()
        if rang == self._rang:
            return []
        self._rang = rang
        return await self._in_thread(lambda: _take_requests(self._connection))

    async def finish(self, left: Sequence[str]) -> None:
        """Mark the run as ended; delete what it needs no more, its SSH keys only if nothing is left (THREATS T14).

        Args:
            left: What is still there, as text for people.
        """
        row = (datetime.now(UTC).isoformat(), json.dumps(list(left)))
        await self._in_thread(lambda: self._connection.execute("UPDATE meta SET ended = ?, leftover = ?", row))
        await self._in_thread(lambda: shutil.rmtree(self.folder.carried, ignore_errors=True))
        if not left:
            await self._in_thread(lambda: shutil.rmtree(self.folder.keys, ignore_errors=True))

    async def aclose(self) -> None:
        """Close the file and give the lock back. Harmless to repeat."""
        if self._is_open:
            self._is_open = False
            await self._in_thread(self._connection.close)
            os.close(self._lock)

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        def explained() -> _T:
            with database.explained(self.folder.journal):
                return work()

        return await anyio.to_thread.run_sync(explained, limiter=self._one_at_a_time)


def _new(folder: RunFolder, spec: RunSpec, created: datetime, options: Mapping[str, Any]) -> sqlite3.Connection:
    connection = database.create(folder.journal)
    row = (spec.id, spec.name, spec.region, codec.encode_spec(spec), json.dumps(options), created.isoformat())
    with database.explained(folder.journal):
        connection.execute(
            "INSERT INTO meta (one, run, name, region, spec, options, created) VALUES (1, ?, ?, ?, ?, ?, ?)", row
        )
    return connection


def _append(connection: sqlite3.Connection, events: Sequence[Event]) -> None:
    rows = [(event.at.isoformat(), *codec.encode(event)) for event in events]
    connection.execute("BEGIN IMMEDIATE")
    try:
        connection.executemany("INSERT INTO event (at, kind, body) VALUES (?, ?, ?)", rows)
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _take_requests(connection: sqlite3.Connection) -> list[str]:
    rows = connection.execute("SELECT id, text FROM request WHERE taken = 0 ORDER BY id").fetchall()
    if rows:
        connection.execute("UPDATE request SET taken = 1 WHERE taken = 0 AND id <= ?", (rows[-1][0],))
    return [text for _, text in rows]
