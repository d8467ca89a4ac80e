"""What a way reports of itself: seconds, CPU and memory; imports and first use apart (one instance is run before)."""

from __future__ import annotations

import gc
import json
import resource
import sys
import time


class Meter:
    """Measures from construction, after the warm-up, to `report`."""

    def __init__(self) -> None:
        gc.collect()  # what imports and first use left is not looked through in the measurement
        print("warm", flush=True)
        sys.stdin.readline()  # the harness counts API calls from here on
        self.rss_start_mb = _rss_mb()
        self.cpu_start_s = _cpu_s()
        self.begun = time.perf_counter()

    def report(self, **more: object) -> None:
        """Print one JSON line: makespan and CPU in seconds, peak memory in MB."""
        measured = {
            "makespan_s": time.perf_counter() - self.begun,
            "cpu_s": _cpu_s() - self.cpu_start_s,
            "rss_mb": _rss_mb(),
            "rss_start_mb": self.rss_start_mb,
        }
        print(json.dumps({**measured, **more}))


def _cpu_s() -> float:
    own = resource.getrusage(resource.RUSAGE_SELF)
    return own.ru_utime + own.ru_stime


def _rss_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
