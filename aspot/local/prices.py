"""Spot prices that are believable, differ by pool, move with time, and are the same for the same seed.

A pool's price is a fraction of the on-demand price that drifts in a slow wave with small steps; it changes about once
in two hours, as EC2's do since 2017. Pure: time comes in. Imports the standard library only.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from datetime import UTC, datetime

from aspot.local.records import Pool

__all__ = ["PriceBook", "share"]

_STEP_S = 7200.0
# Prices of other Regions relative to us-east-1 [approximate].
_REGION_FACTOR = {"us": 1.0, "eu": 1.1, "ca": 1.08, "ap": 1.2, "sa": 1.55, "af": 1.3, "me": 1.15, "il": 1.15}


def share(*parts: object) -> float:
    """Return a number in [0, 1) that depends on nothing but the parts: the local cloud's seeded dice."""
    digest = hashlib.blake2b("/".join(map(str, parts)).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") / 2**64


class PriceBook:
    """Spot prices of one seed.

    Args:
        seed: Same seed, same prices.
    """

    def __init__(self, seed: int) -> None:
        self._seed = seed

    def on_demand(self, region: str, *, base: float) -> float:
        """Return the on-demand price in a Region, dollars an hour, from the one in us-east-1."""
        return round(base * _REGION_FACTOR.get(region.partition("-")[0], 1.2), 4)

    def depth(self, pool: Pool) -> int:
        """Return how likely a pool has capacity: 1 (hardly) to 10 (surely), as placement scores have it."""
        return 1 + int(9.99 * math.sqrt(share(self._seed, "depth", *pool)))

    def spot(self, pool: Pool, *, on_demand: float, at: datetime) -> float:
        """Return the price of a pool at a time, dollars an hour."""
        return self._at_step(pool, on_demand, self._step(pool, at.timestamp()))

    def changes(
        self, pool: Pool, *, on_demand: float, start: datetime, end: datetime
    ) -> Iterator[tuple[datetime, float]]:
        """Yield price changes from the last before `start` to `end`, newest first."""
        first = self._step(pool, start.timestamp())
        for step in range(self._step(pool, end.timestamp()), first - 1, -1):
            yield self._began(pool, step), self._at_step(pool, on_demand, step)

    def _phase(self, pool: Pool) -> float:
        return share(self._seed, "phase", *pool)

    def _step(self, pool: Pool, timestamp: float) -> int:
        return math.floor(timestamp / _STEP_S - self._phase(pool))

    def _began(self, pool: Pool, step: int) -> datetime:
        return datetime.fromtimestamp(int((step + self._phase(pool)) * _STEP_S) + 1, tz=UTC)

    def _at_step(self, pool: Pool, on_demand: float, step: int) -> float:
        level = 0.28 + 0.32 * share(self._seed, "level", *pool)
        wave = 0.05 * math.sin(step / 19 + 6.28 * self._phase(pool))
        noise = 0.02 * (share(self._seed, "noise", *pool, step) - 0.5)
        return max(0.0001, round(on_demand * (level + wave + noise), 4))
