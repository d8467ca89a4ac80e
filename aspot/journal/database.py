"""The journal's file: its schema, how it is made and opened safely, and what SQLite's errors mean for people."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

from aspot.errors import AspotError
from aspot.journal.folders import STATE_VARIABLE
from aspot.journal.mounts import refuse_network

VERSION = 1
"""Goes into SQLite's `user_version`; a journal with a higher one was written by a newer aspot."""

BUSY_S = 10.0
"""How long to wait for another process that is writing to the same journal."""

SCHEMA = f"""
BEGIN;
CREATE TABLE meta (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    run TEXT NOT NULL, name TEXT NOT NULL, region TEXT NOT NULL,
    spec TEXT NOT NULL, options TEXT NOT NULL,
    created TEXT NOT NULL, ended TEXT, leftover TEXT NOT NULL DEFAULT '[]',
    kept TEXT NOT NULL DEFAULT '[]'
);
CREATE TABLE event (seq INTEGER PRIMARY KEY, at TEXT NOT NULL, kind TEXT NOT NULL, body TEXT NOT NULL);
CREATE TRIGGER event_stays BEFORE UPDATE ON event BEGIN SELECT RAISE(ABORT, 'events are never changed'); END;
CREATE TRIGGER event_remains BEFORE DELETE ON event BEGIN SELECT RAISE(ABORT, 'events are never removed'); END;
CREATE TABLE request (id INTEGER PRIMARY KEY, text TEXT NOT NULL, taken INTEGER NOT NULL DEFAULT 0);
PRAGMA user_version = {VERSION};
COMMIT;
"""


class JournalLost(AspotError):
    """The journal is not there, or damaged: it will not be read again."""


def create(path: Path) -> sqlite3.Connection:
    """Make a new, private journal and return its connection.

    Raises:
        AspotError: If it is there already or cannot be made.
    """
    with explained(path):
        refuse_network(path.parent)
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        return _connected(path, _make_durable, lambda connection: connection.executescript(SCHEMA))


def open_for_writing(path: Path) -> sqlite3.Connection:
    """Open an existing journal after checking that it is whole; one that is not is not touched.

    Raises:
        AspotError: If it is missing, damaged, or from a newer aspot.
    """
    with explained(path):
        refuse_network(path.parent)
        return _connected(_existing(path), lambda connection: _check(connection, path), _make_durable)


@contextlib.contextmanager
def reading(path: Path) -> Iterator[sqlite3.Connection]:
    """Open an existing journal for a while, to read only: it may be in use by its client.

    Raises:
        AspotError: If it is missing, damaged, or from a newer aspot.
    """
    with explained(path):
        address = f"{_existing(path).absolute().as_uri()}?mode=ro"
        with contextlib.closing(sqlite3.connect(address, uri=True, timeout=BUSY_S)) as connection:
            _refuse_newer(connection, path)
            yield connection


def _existing(path: Path) -> Path:
    if not path.is_file():
        raise JournalLost(
            f"there is no journal at {path}", fix="aspot ls shows what is known here and what runs in EC2"
        )
    return path


def _connected(path: Path, *steps: Callable[[sqlite3.Connection], object]) -> sqlite3.Connection:
    """Return a connection, used by one thread at a time, after these steps; none is left open if one fails."""
    address = f"{path.absolute().as_uri()}?mode=rw"
    connection = sqlite3.connect(address, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        for step in steps:
            step(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _make_durable(connection: sqlite3.Connection) -> None:
    """Make commits survive a power cut."""
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise AspotError(
            "the state folder is on a file system that cannot hold a write-ahead log",
            fix=f"set {STATE_VARIABLE} to a folder on a local disk",
        )
    connection.execute("PRAGMA synchronous = FULL")  # NORMAL may lose committed events when power fails
    connection.execute("PRAGMA fullfsync = 1")  # macOS: to the disk, not to its cache
    connection.execute("PRAGMA checkpoint_fullfsync = 1")


def _check(connection: sqlite3.Connection, path: Path) -> None:
    _refuse_newer(connection, path)
    found = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if found != "ok":
        raise _damaged(path, found)


def _refuse_newer(connection: sqlite3.Connection, path: Path) -> None:
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if version > VERSION:
        raise AspotError(
            f"{path} was written by a newer aspot (journal version {version}, this one reads {VERSION})",
            fix="update aspot; nothing was changed",
        )
    if version < 1:
        raise _damaged(path, "it holds no journal (or its run is only just being begun: look again)")


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's and the system's errors into one that names the file and the fix."""
    try:
        yield
    except sqlite3.Error as error:
        raise _explanation(path, error) from error
    except OSError as error:
        raise AspotError(
            f"cannot use the journal {path}: {error.strerror}", fix=f"set {STATE_VARIABLE} to a folder with room"
        ) from error


def _explanation(path: Path, error: sqlite3.Error) -> AspotError:
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code; bits above say more
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return _damaged(path, str(error))
    known = {
        sqlite3.SQLITE_FULL: ("the disk is full", "make room; nothing new is launched meanwhile"),
        sqlite3.SQLITE_READONLY: ("it cannot be written to", f"check its permissions, or set {STATE_VARIABLE}"),
        sqlite3.SQLITE_CANTOPEN: ("it cannot be opened", f"check its permissions, or set {STATE_VARIABLE}"),
        sqlite3.SQLITE_IOERR: ("the disk failed", "check the disk and its room; nothing new is launched meanwhile"),
        sqlite3.SQLITE_BUSY: ("another process holds it", "wait for that process, or end it"),
    }
    why, fix = known.get(code, (str(error), f"look at {path}"))
    return AspotError(f"cannot use the journal {path}: {why}", fix=fix)


def _damaged(path: Path, why: str) -> AspotError:
    return JournalLost(
        f"the journal {path} is damaged: {why}",
        fix=f"move {path.parent} aside; aspot ls and aspot down still find its machines by their tags",
    )
