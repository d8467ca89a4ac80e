"""`SqliteJournal`: the write-ahead record of one run. One thread at a time writes; one process, the newest client."""

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

from aspot.errors import AspotError
from aspot.journal import codec, database, epochs
from aspot.journal.folders import RunFolder
from aspot.machine.client import Client
from aspot.machine.events import Event
from aspot.machine.model import RunSpec
from aspot.ports import Journal, TakenOver

_T = TypeVar("_T")


class SqliteJournal(Journal):
    """The journal of one run, open and locked by this process. Made by `create`, `open` or `wrest`."""

    def __init__(self, folder: RunFolder, connection: sqlite3.Connection, lock: int, client: Client) -> None:
        self.folder = folder
        self.client = client
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
    def wrest(cls, folder: RunFolder) -> Self:
        """Open the journal of a run that another process drives, and shut that process out. Blocks for a while.

        Raises:
            AspotError: If that process is in the middle of writing, or the journal cannot be used.
        """
        with folder.wrested() as (lock, put_in_place):
            connection = database.open_for_writing(folder.journal)
            try:
                return cls(folder, connection, lock, _wrested(folder, connection, put_in_place))
            except BaseException:
                connection.close()
                raise

    @classmethod
    def _locked(cls, folder: RunFolder, connect: Callable[[], sqlite3.Connection]) -> Self:
        with database.explained(folder.journal):
            lock = folder.take()
        try:
            connection = connect()
            try:
                with database.explained(folder.journal):
                    client = epochs.claim(connection, lambda: _refuse_unheld(folder, lock))
                return cls(folder, connection, lock, client)
            except BaseException:
                connection.close()
                raise
        except BaseException:
            os.close(lock)
            raise

    async def append(self, events: Sequence[Event]) -> None:
        """Make the events durable, in order, in one transaction.

        Raises:
            AspotError: When the disk refuses; none of them is kept then.
            TakenOver: If another client has taken the run up; as above.
        """
        if events:
            await self._in_thread(lambda: _append(self._connection, self.client, events))

    async def requests(self) -> Sequence[str]:
        """Return what other processes asked of this run since the last call, oldest first.

        Raises:
            TakenOver: If another client has taken the run up; the requests are for that one.
        """
        rang = self.folder.rang()
        if rang == self._rang:
            return []
        self._rang = rang
        return await self._in_thread(lambda: _take_requests(self._connection, self.client))

    def check(self) -> None:
        """Look whether another client has taken the run up: the lock says that it may have, the journal that it has.

        Raises:
            TakenOver: If so.
        """
        if self.folder.holds(self._lock):
            return
        try:
            with database.reading(self.folder.journal) as connection:
                newest = epochs.newest(connection)
        except AspotError:
            return  # the folder is gone, or damaged: the next write says so
        if newest is not None and newest.epoch > self.client.epoch:
            raise TakenOver(newest)

    async def finish(self, left: Sequence[str], kept: Sequence[Mapping[str, object]] = ()) -> None:
        """Mark the run as ended; delete what it needs no more, its SSH keys only if nothing is left (THREATS T14).

        Args:
            left: What is still there, as text for people.
            kept: Machines that stay for a look on purpose, as JSON objects.

        Raises:
            TakenOver: If another client has taken the run up; nothing is changed then.
        """
        row = (datetime.now(UTC).isoformat(), json.dumps(list(left)), json.dumps(list(kept)))
        await self._in_thread(lambda: _end(self._connection, self.client, row))
        await self._in_thread(lambda: shutil.rmtree(self.folder.carried, ignore_errors=True))
        if not left and not kept:
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


def _refuse_unheld(folder: RunFolder, lock: int) -> None:
    if not folder.holds(lock):
        raise AspotError(f"{folder.name} was taken over just now", fix=f"aspot status {folder.name} shows by whom")


def _wrested(folder: RunFolder, connection: sqlite3.Connection, put_in_place: Callable[[], None]) -> Client:
    """Return this process as the newest client."""
    holder = epochs.newest(connection)
    try:
        with database.explained(folder.journal):
            return epochs.claim(connection, put_in_place)
    except AspotError as error:
        if not _is_busy(error):
            raise
        number = holder.pid if holder else "PID"
        raise AspotError(
            f"{holder or 'the process'} that drives {folder.name} stopped in the middle of writing to its journal",
            fix=f"kill -9 {number}, then aspot attach {folder.name}",
        ) from error


def _is_busy(error: AspotError) -> bool:
    return getattr(error.__cause__, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY


def _append(connection: sqlite3.Connection, client: Client, events: Sequence[Event]) -> None:
    rows = [(event.at.isoformat(), *codec.encode(event)) for event in events]
    with epochs.writing(connection, client):
        connection.executemany("INSERT INTO event (at, kind, body) VALUES (?, ?, ?)", rows)


def _end(connection: sqlite3.Connection, client: Client, row: tuple[str, str, str]) -> None:
    with epochs.writing(connection, client):
        connection.execute("UPDATE meta SET ended = ?, leftover = ?, kept = ?", row)


def _take_requests(connection: sqlite3.Connection, client: Client) -> list[str]:
    with epochs.writing(connection, client):
        rows = connection.execute("SELECT id, text FROM request WHERE taken = 0 ORDER BY id").fetchall()
        if rows:
            connection.execute("UPDATE request SET taken = 1 WHERE taken = 0 AND id <= ?", (rows[-1][0],))
    return [text for _, text in rows]
