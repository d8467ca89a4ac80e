"""Taking a run over from the process that drives it: asked first, fenced off if it does not leave."""

from __future__ import annotations

import time

import anyio
import anyio.to_thread

from aspot.errors import AspotError
from aspot.journal import epochs, runs
from aspot.journal.folders import RunFolder
from aspot.journal.sqlite import SqliteJournal

HEARD_S = 10.0
"""A process that is well hears a request within its poll of 5 s; one that has not by then is asleep or hangs."""

LEAVE_S = 60.0
"""From hearing to having left: it finishes what it is asking of AWS, and closes its connections."""

LOOK_S = 0.1


async def take_over(folder: RunFolder) -> SqliteJournal:
    """Return the journal of a run, whoever drives it: the process that does is asked to leave.

    One that does not leave in time is shut out: the journal takes nothing more from it.

    Raises:
        AspotError: If the journal cannot be read or written, or that process is in the middle of writing to it.
    """
    if folder.is_live and not await _has_left(folder):
        return await anyio.to_thread.run_sync(SqliteJournal.wrest, folder)
    return SqliteJournal.open(folder)


async def _has_left(folder: RunFolder) -> bool:
    """Ask whoever drives the run to leave it; tell whether nobody does any more."""
    try:
        request = await anyio.to_thread.run_sync(runs.ask, folder, f"{epochs.LEAVE} {epochs.this_process().word}")
    except AspotError:
        return not folder.is_live  # it left meanwhile; or it holds the journal, which `wrest` says better
    began = time.monotonic()
    while folder.is_live:
        waited = time.monotonic() - began
        if waited > LEAVE_S or (waited > HEARD_S and not runs.is_heard(folder, request)):
            return False
        await anyio.sleep(LOOK_S)
    return True
