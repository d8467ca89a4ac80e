"""N jobs with boto3 and paramiko, one after another. Words are N, the job's seconds and a folder."""

from __future__ import annotations

import sys

from benchmarks.meter import Meter
from benchmarks.usual import Usual, warm_up


def main(count: int, job_s: float, folder: str) -> None:
    """Run the jobs and report."""
    warm_up(folder)
    meter = Meter()
    usual = Usual(job_s, folder)
    for _ in range(count):
        instances = usual.launch(1)
        for instance, endpoint in usual.wait_running(instances).items():
            usual.run(instance, *endpoint)
        usual.end(instances)
    usual.clean()
    meter.report(ok=count)


main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3])
