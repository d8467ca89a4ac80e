"""`aspot` with numbered moments: before and after each journal write, API call and note of a host key.

`python -m tests.killpoints K FILE WORDS...` is `aspot WORDS...` that kills itself (SIGKILL) at the K-th moment, or at
the first that is described by the words K; each moment that it passes is a line in FILE. With K = 0 it lives, and FILE
tells how many there are. Nothing of this is in aspot itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal
import sys
import threading
from collections.abc import Iterator
from typing import Any


class Moments:
    """Counts moments, from whatever thread, and kills the process at one of them."""

    def __init__(self, last: str, path: str) -> None:
        self._last = last
        self._count = 0
        self._lock = threading.Lock()
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)

    def reach(self, what: str) -> None:
        """Take note of a moment, in the file; at the last one, die."""
        with self._lock:
            self._count += 1
            os.write(self._file, f"{what}\n".encode())
            if str(self._count) == self._last or (not self._last.isdigit() and self._is_last(what)):
                os.kill(os.getpid(), signal.SIGKILL)

    def _is_last(self, what: str) -> bool:
        return set(self._last.split()) <= set(what.split())

    @contextlib.contextmanager
    def around(self, what: str) -> Iterator[None]:
        """Take note of the moments before something and after it, whether it succeeds or not."""
        self.reach(f"before {what}")
        try:
            yield
        finally:
            self.reach(f"after {what}")


def instrument(moments: Moments) -> None:
    """Have aspot's journal, its gateway to AWS and its keys tell their moments."""
    from aspot.aws.clients import Aws
    from aspot.journal.sqlite import SqliteJournal
    from aspot.ssh.keys import RunKeys

    once, append, finish, create = Aws.once, SqliteJournal.append, SqliteJournal.finish, SqliteJournal.create

    @functools.wraps(once)
    async def counted_once(self: Any, operation: str, **words: Any) -> Any:
        with moments.around(operation):
            return await once(self, operation, **words)

    @functools.wraps(append)
    async def counted_append(self: Any, events: Any) -> None:
        with moments.around("journal: " + " ".join(dict.fromkeys(type(event).__name__ for event in events))):
            await append(self, events)

    @functools.wraps(finish)
    async def counted_finish(self: Any, *words: Any) -> None:
        with moments.around("journal: the end"):
            await finish(self, *words)

    def counted_create(_: Any, *args: Any, **words: Any) -> Any:
        with moments.around("journal: the beginning"):
            return create(*args, **words)

    Aws.once, SqliteJournal.append, SqliteJournal.finish = counted_once, counted_append, counted_finish
    SqliteJournal.create = classmethod(counted_create)
    for name in ("propose", "pin"):
        setattr(RunKeys, name, _noted(moments, getattr(RunKeys, name), f"host-key {name}"))


def _noted(moments: Moments, call: Any, what: str) -> Any:
    @functools.wraps(call)
    def noted(*args: Any, **words: Any) -> Any:
        with moments.around(what):
            return call(*args, **words)

    return noted


if __name__ == "__main__":
    from aspot.cli.main import main

    instrument(Moments(sys.argv[1], sys.argv[2]))
    sys.exit(main(sys.argv[3:]))
