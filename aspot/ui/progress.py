"""How far a copy is, on one line of a terminal that is written over."""

from __future__ import annotations

import sys
import time

import attrs

from aspot.ui.figures import size

EVERY_S = 0.2


@attrs.define
class CopyProgress:
    """Shows bytes done on stderr, if that is a terminal.

    Args:
        label: What is copied where.
        is_shown: Whether to show anything.
    """

    label: str
    is_shown: bool
    _began: float = attrs.field(init=False, factory=time.monotonic)
    _shown: float = attrs.field(init=False, default=0.0)

    def __call__(self, done: int, total: int) -> None:
        """Show how far it is, some times a second."""
        now = time.monotonic()
        if not self.is_shown or now - self._shown < EVERY_S:
            return
        self._shown = now
        _write(f"\r{progress_line(self.label, done, total, now - self._began)}\x1b[K")

    def clear(self) -> None:
        """Leave an empty line for what comes next."""
        if self._shown:
            _write("\r\x1b[K")


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()


def progress_line(label: str, done: int, total: int, seconds: float) -> str:
    """Return the line.

    >>> progress_line("to box_1", 3_000_000, 12_000_000, 1.5)
    'to box_1: 3 MB of 12 MB, 2 MB/s'
    """
    rate = f", {size(int(done / seconds))}/s" if seconds > 0 else ""
    return f"{label}: {size(done)} of {size(total)}{rate}"
