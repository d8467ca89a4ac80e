"""Token buckets shaped like AWS's own, one per region and action in the whole process."""

from __future__ import annotations

import functools
import threading
import time

import anyio

LIMITS: dict[str, tuple[float, float]] = {
    "RunInstances": (5.0, 2.0),
    "TerminateInstances": (100.0, 5.0),
    "CreateFleet": (50.0, 5.0),
}
"""Burst and refill a second ("Request throttling for the Amazon EC2 API", read 2026-11-23)."""


class TokenBucket:
    """Lets `burst` calls through at once, then `per_s` a second, in order of arrival.

    Args:
        burst: Calls that may go at once.
        per_s: Calls a second after that.
    """

    def __init__(self, *, burst: float, per_s: float) -> None:
        self._burst, self._per_s = burst, per_s
        self._tokens, self._at = burst, time.monotonic()
        self._lock = threading.Lock()

    def reserve(self, now: float) -> float:
        """Take a token, of the future if need be; return the seconds to wait for it."""
        with self._lock:
            self._fill(now)
            self._tokens -= 1.0
            return max(0.0, -self._tokens / self._per_s)

    def drain(self, now: float) -> None:
        """Forget saved tokens: AWS said that there are none."""
        with self._lock:
            self._fill(now)
            self._tokens = min(self._tokens, 0.0)

    def _fill(self, now: float) -> None:
        self._tokens = min(self._burst, self._tokens + (now - self._at) * self._per_s)
        self._at = now

    async def take(self) -> None:
        """Wait until a call may go."""
        await anyio.sleep(self.reserve(time.monotonic()))


@functools.cache
def bucket(endpoint: str, region: str, action: str) -> TokenBucket:
    """Return the process's one bucket for the action there."""
    del endpoint, region  # the key of the cache
    burst, per_s = LIMITS[action]
    return TokenBucket(burst=burst, per_s=per_s)
