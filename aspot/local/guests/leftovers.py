"""Ends processes that carry a mark in their environment: what a crash left, what a process tree lost.

May import: the standard library.
"""

from __future__ import annotations

import contextlib
import os
import signal
import time

__all__ = ["kill_marked"]

_ROUNDS = 200
_PAUSE_S = 0.01


def kill_marked(mark: str) -> int:
    """Kill every process whose environment holds the entry `mark` ("NAME=value"); wait until none is left.

    A process that cleared its environment is not found; where namespaces are allowed nothing is left to find.

    Returns:
        How many were found at first.
    """
    first = None
    for _round in range(_ROUNDS):
        found = _marked(os.fsencode(mark))
        first = len(found) if first is None else first
        if not found:
            break
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(_PAUSE_S)
    return first or 0


def _marked(entry: bytes) -> list[int]:
    try:
        names = os.listdir("/proc")
    except OSError:  # no /proc (macOS): nothing can be told by environment
        return []
    return [int(name) for name in names if name.isdigit() and int(name) != os.getpid() and _has(name, entry)]


def _has(pid: str, entry: bytes) -> bool:
    try:
        with open(f"/proc/{pid}/environ", "rb") as environ:
            return entry in environ.read().split(b"\0")
    except OSError:
        return False
