"""Numbers that screens show, computed from a run at a moment: money, what is left to do."""

from __future__ import annotations

from datetime import datetime

import attrs

from aspot.machine.model import JobRecord, JobStatus, Run
from aspot.machine.money import instance_cost
from aspot.machine.pool import Pool

_KILO = 1000


def size(count: int) -> str:
    """Return bytes as people read them: `812 B`, `4 kB`, `4 MB`, `1.2 GB`."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if value < _KILO:
            break
        value, unit = value / _KILO, larger
    return f"{value:.1f} {unit}" if unit in ("GB", "TB") and value < 10 else f"{round(value)} {unit}"


def short_zone(zone: str) -> str:
    """Return the end of a zone's name: `1b` for `us-east-1b`."""
    return zone.rsplit("-", 1)[-1]


def short_pool(pool: Pool) -> str:
    """Return a pool as narrow columns show it: `c7g.large 1b`."""
    return f"{pool.type} {short_zone(pool.zone)}"


def at_moment(run: Run, now: datetime) -> Run:
    """Return the run with its clock at the moment shown: money and waiting go on between two events."""
    return attrs.evolve(run, now=max(run.now, now))


def job_usd(job: JobRecord, run: Run) -> float:
    """Return what a job cost so far: its ended attempts, and what its machine cost since the last one ended there."""
    total = sum(attempt.cost_usd for attempt in job.attempts if attempt.ended is not None)
    instance = run.instances.get(job.live.instance) if job.live is not None else None
    if instance is None:
        return total
    return total + max(0.0, instance_cost(run, instance) + instance.refund_usd - instance.attributed_usd)


def job_s(job: JobRecord, run: Run) -> float | None:
    """Return seconds from a job's first start to its end, or to now; None if it never started."""
    first = next((attempt.started for attempt in job.attempts if attempt.started is not None), None)
    if first is None:
        return None
    last = job.attempts[-1]
    end = last.ended if job.live is None and last.ended is not None and job.status.is_final else run.now
    return max(0.0, (end - first).total_seconds())


def left_s(run: Run) -> float | None:
    """Return a rough guess of the seconds until the last job ends; None until a job has succeeded."""
    done = [job_s(job, run) or 0.0 for job in run.jobs.values() if job.status is JobStatus.SUCCEEDED]
    open_jobs = [job for job in run.jobs.values() if not job.status.is_final]
    if not done or not open_jobs:
        return None
    usual = sum(done) / len(done)
    lefts = [max(0.0, usual - (job_s(job, run) or 0.0)) for job in open_jobs]
    lanes = max(1, min(run.spec.limit, len(open_jobs)))
    return max(*lefts, sum(lefts) / lanes)


def about(seconds: float) -> str:
    """Return a guess in words that promise no precision: `about 40 s`, `about 4 min`, `about 2 h`."""
    if seconds < 10:
        return "a few seconds"
    if seconds < 55:
        return f"about {round(seconds, -1):.0f} s"
    if seconds < 90 * 60:
        return f"about {max(1, round(seconds / 60))} min"
    return f"about {round(seconds / 3600)} h"
