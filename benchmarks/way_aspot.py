"""N jobs with `Fleet.run_many`. Run by benchmarks.fleet: words are N, the job's seconds and a folder."""

from __future__ import annotations

import asyncio
import sys

import aiobotocore.session  # noqa: F401 - imports are not what is measured
import asyncssh  # noqa: F401

import aspot.archive
import aspot.aws
import aspot.journal
import aspot.runtime.host
import aspot.session
import aspot.ssh  # noqa: F401
from aspot import Fleet, Job
from benchmarks.meter import Meter


async def main(count: int, job_s: float, folder: str) -> None:
    """Run the jobs and report."""
    text = f"#!/bin/sh\nsleep {job_s}\necho done > out/done\n"
    jobs = [Job(text, name=f"job-{number}") for number in range(count)]
    await Fleet.run_many(Job(command="true"), "warm", profile="c7i.large", results=f"{folder}/results", show=False)
    meter = Meter()
    results = await Fleet.run_many(
        jobs, "bench", profile="c7i.large", instances=count, results=f"{folder}/results", show=False
    )
    meter.report(ok=sum(result.ok for result in results), left=results.left)


asyncio.run(main(int(sys.argv[1]), float(sys.argv[2]), sys.argv[3]))
