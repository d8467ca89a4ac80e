"""Who drives a run, in its journal: each client that takes it up gets a row, and only the newest may write.

The lock of the run's folder keeps apart clients that behave; this keeps out one that slept, whatever it was doing.
"""

from __future__ import annotations

import contextlib
import os
import socket
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime

from aspot.machine.client import Client
from aspot.ports import TakenOver

LEAVE = "leave"
"""The request of a client that wants to take over; its word follows."""

_TABLE = "CREATE TABLE IF NOT EXISTS client (epoch INTEGER PRIMARY KEY, pid INTEGER NOT NULL, host TEXT NOT NULL)"


def this_process(*, after: int = 0) -> Client:
    """Return this process as the client that takes a run up now.

    Args:
        after: The newest epoch known.
    """
    return Client.taking(at=datetime.now(UTC), after=after, pid=os.getpid(), host=socket.gethostname())


def newest(connection: sqlite3.Connection) -> Client | None:
    """Return the client that may write; None if the journal was never taken up with an epoch."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'client'").fetchone() is None:
        return None
    return _newest(connection)


def _newest(connection: sqlite3.Connection) -> Client | None:
    row = connection.execute("SELECT epoch, pid, host FROM client ORDER BY epoch DESC LIMIT 1").fetchone()
    return Client(epoch=row[0], pid=row[1], host=row[2]) if row else None


def claim(connection: sqlite3.Connection, lock: Callable[[], None]) -> Client:
    """Make this process the run's client: from the commit on, what an older one writes is refused.

    Args:
        connection: To the journal.
        lock: Sees that the lock is this process's, within the same transaction, so that lock and epoch agree.
    """
    with _transaction(connection):
        last = newest(connection)
        client = this_process(after=last.epoch if last else 0)
        add(connection, client)
        connection.execute("UPDATE request SET taken = 1 WHERE taken = 0 AND text LIKE ?", (f"{LEAVE} %",))
        lock()
    return client


def add(connection: sqlite3.Connection, client: Client) -> None:
    """Write a client into a journal; the caller's transaction makes it durable."""
    connection.execute(_TABLE)
    connection.execute("INSERT INTO client VALUES (?, ?, ?)", (client.epoch, client.pid, client.host))


@contextlib.contextmanager
def writing(connection: sqlite3.Connection, client: Client) -> Iterator[None]:
    """Write in one transaction as this client; all of it or nothing.

    Raises:
        TakenOver: If it is not the newest: nothing is written then.
    """
    with _transaction(connection):
        last = _newest(connection)
        if last is not None and last.epoch > client.epoch:
            raise TakenOver(last)
        yield


@contextlib.contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise
