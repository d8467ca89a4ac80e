"""How long to wait before the next try: doubling, capped, jittered."""

from __future__ import annotations

import random

import attrs


@attrs.define(kw_only=True)
class Pauses:
    """Growing pauses between tries.

    Args:
        first_s: The first pause.
        most_s: No pause is longer, jitter apart.
        chance: Where the jitter (a quarter up or down) comes from.
    """

    first_s: float
    most_s: float
    chance: random.Random
    _next_s: float = attrs.field(init=False, default=0.0)

    def next_s(self) -> float:
        """Return the next pause in seconds."""
        pause = self._next_s or self.first_s
        self._next_s = min(self.most_s, 2 * pause)
        return pause * self.chance.uniform(0.75, 1.25)

    def reset(self) -> None:
        """Begin again with the shortest pause."""
        self._next_s = 0.0
