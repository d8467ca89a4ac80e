"""Who drives a run: of two clients, the one with the higher epoch."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Self

import attrs

_WORD = re.compile(r"@(\d{1,14})\.(\d{1,10})\.([A-Za-z0-9._-]{1,64})")
_STRANGE = re.compile(r"[^A-Za-z0-9._-]+")


@attrs.frozen(kw_only=True)
class Client:
    """A process that drives a run, or drove it.

    Args:
        epoch: Milliseconds since 1970 when it took the run up, or one more than the client's before it: the higher one
            counts, wherever journals went.
        pid: Its process id.
        host: The name of its computer.
    """

    epoch: int
    pid: int
    host: str

    @classmethod
    def taking(cls, *, at: datetime, after: int, pid: int, host: str) -> Self:
        """Return a client that takes a run up.

        Args:
            at: Now.
            after: The newest epoch known; 0 for none.
            pid: Its process id.
            host: The name of its computer.
        """
        return cls(epoch=max(after + 1, int(at.timestamp() * 1000)), pid=pid, host=host)

    @classmethod
    def read(cls, text: str) -> Self | None:
        """Return the client that a text names by its `word`; None if there is none in it."""
        found = _WORD.search(text)
        return cls(epoch=int(found[1]), pid=int(found[2]), host=found[3]) if found else None

    @property
    def since(self) -> datetime:
        """Return when it took the run up."""
        return datetime.fromtimestamp(self.epoch / 1000, UTC)

    @property
    def word(self) -> str:
        """Return it as one word that every shell takes as it is."""
        return f"@{self.epoch}.{self.pid}.{_STRANGE.sub('-', self.host)[:64] or 'unknown'}"

    def __str__(self) -> str:
        return f"process {self.pid} on {self.host}"
