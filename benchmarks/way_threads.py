"""N jobs with boto3 and paramiko, a thread each. Words are N, the job's seconds and a folder."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from benchmarks.meter import Meter
from benchmarks.usual import Usual, warm_up


def main(count: int, job_s: float, folder: str) -> None:
    """Run the jobs and report."""
    warm_up(folder)
    meter = Meter()
    usual = Usual(job_s, folder)
    instances = usual.launch(count)
    found = usual.wait_running(instances)
    with ThreadPoolExecutor(count) as pool:
        list(pool.map(lambda item: usual.run(item[0], *item[1]), found.items()))
    usual.end(instances)
    usual.clean()
    meter.report(ok=count)


main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
