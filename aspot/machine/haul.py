"""What is brought home in a hurry: what has come, what has not, and whether more fits the time. It reads no clock."""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from aspot.machine.model import Evacuation

LEAST_BYTES = 256 << 10
"""Smaller files say nothing of the bandwidth: most of their time is the way there and back."""

LEAST_S = 1.0
"""A transfer is judged by its own speed after so long."""

MOST_LOST = 100
"""Lines about what did not come."""

NO_TIME = "no time left for it"


@attrs.define
class Haul:
    """One attempt's evacuation, over all its passes.

    Args:
        limit_s: When it has to be over, on the caller's monotonic clock.
    """

    limit_s: float
    saved: dict[str, tuple[str, int]] = attrs.field(init=False, factory=dict)  # name: hash, size
    lost: dict[str, str] = attrs.field(init=False, factory=dict)  # name: why
    bytes_per_s: float | None = attrs.field(init=False, default=None)

    def fits(self, size: int, now_s: float) -> bool:
        """Tell whether a file of that size would be here in time, as far as the bandwidth is known."""
        left_s = self.limit_s - now_s
        return left_s > 0 and (self.bytes_per_s is None or size <= self.bytes_per_s * left_s)

    def is_hopeless(self, *, done: int, size: int, since_s: float, now_s: float) -> bool:
        """Tell whether a transfer will not be over in time, by its own speed so far."""
        if now_s >= self.limit_s:
            return True
        spent_s = now_s - since_s
        return spent_s >= LEAST_S and (size - done) * spent_s > done * (self.limit_s - now_s)

    def moved(self, size: int, seconds: float) -> None:
        """Learn the bandwidth from a transfer."""
        if size >= LEAST_BYTES and seconds > 0:
            self.bytes_per_s = size / seconds

    def expect(self, names: Iterable[str]) -> None:
        """Begin a look: what is named and not here counts as lost for want of time until it comes."""
        self.lost = {name: NO_TIME for name in names if name not in self.saved}

    def keep(self, name: str, digest: str, size: int) -> None:
        """Note a file that is here, its hash acknowledged."""
        self.saved[name] = (digest, size)
        self.lost.pop(name, None)

    def lose(self, name: str, why: str) -> None:
        """Note what did not come; an older state of it that is here stays, and is said to be older."""
        self.lost[name] = why

    def told(self) -> Evacuation:
        """Return it as the machine takes it."""
        lost = [self._line(name, why) for name, why in self.lost.items()]
        more = [f"and {len(lost) - MOST_LOST} more"] if len(lost) > MOST_LOST else []
        size = sum(size for _, size in self.saved.values())
        return Evacuation(files=len(self.saved), size=size, lost=(*lost[:MOST_LOST], *more))

    def _line(self, name: str, why: str) -> str:
        older = ["an older state of it is here"] if name in self.saved else []
        reasons = "; ".join([*filter(None, [why]), *older])
        return f"{name} ({reasons})" if reasons else name
