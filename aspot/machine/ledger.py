"""Seconds and dollars of every attempt, as plain values for results and reports."""

from __future__ import annotations

from datetime import datetime

import attrs

from aspot.machine.model import AttemptRecord, JobRecord, Outcome, Run
from aspot.machine.money import charged_share
from aspot.machine.quantities import short_duration

_CUT_SHORT = (Outcome.INTERRUPTED, Outcome.LOST)


@attrs.frozen(kw_only=True)
class AttemptRow:
    """One try of a job, told.

    Args:
        number: From 1.
        instance_id: EC2 id.
        type: Instance type.
        zone: Availability zone.
        outcome: `succeeded`, `failed`, `timed_out`, `interrupted`, `lost`, `cancelled`, or `running`.
        reason: Why it ended so; "" for a success.
        started: When the script began; None if it never did.
        ended: When the attempt ended; None while it lives.
        cost_usd: What its machine cost from launch, or from the end of the attempt before, until the end of this one.
        redone_s: Seconds of its work that are in no checkpoint and have to be done again.
        saved: What of it was saved, as text; "" for nothing.
        lost: What of it was lost, as text; "" for nothing.
    """

    number: int
    instance_id: str
    type: str
    zone: str
    outcome: str
    reason: str
    started: datetime | None
    ended: datetime | None
    cost_usd: float
    redone_s: float
    saved: str
    lost: str


def attempt_rows(run: Run, job: str) -> tuple[AttemptRow, ...]:
    """Return every try of a job, oldest first."""
    return tuple(_row(run, attempt) for attempt in run.jobs[job].attempts)


def attempt_cost(run: Run, attempt: AttemptRecord) -> float:
    """Return what an ended attempt cost in US dollars; less than first thought once AWS does not charge its machine."""
    return attempt.cost_usd * charged_share(run, run.instances[attempt.instance])


def job_cost(run: Run, job: str) -> float:
    """Return what all ended attempts of a job cost, in US dollars."""
    return sum(attempt_cost(run, attempt) for attempt in run.jobs[job].attempts)


@attrs.frozen(kw_only=True)
class Seconds:
    """Where an attempt's share of its machine's time went; the four add up to that share.

    The share begins with the machine's launch, or with the end of the attempt before it there, and ends with its own.

    Args:
        boot_s: From the launch until the machine could be given work; 0 for a later attempt on the same machine.
        idle_s: It waited for work, for files on their way, or for results to be brought home.
        useful_s: The script worked, and the work is in the result or in a checkpoint that came home.
        redone_s: The script worked, and an interruption threw it away: it has to be done again.
    """

    boot_s: float
    idle_s: float
    useful_s: float
    redone_s: float


def seconds_of(attempt: AttemptRecord, now: datetime) -> Seconds:
    """Return where an attempt's time went, until now if it lives."""
    share_s = _seconds(attempt.since or attempt.ordered, attempt.ended or now)
    worked, redone = worked_s(attempt, now), redone_s(attempt)
    idle_s = max(0.0, share_s - attempt.boot_s - worked)
    return Seconds(boot_s=attempt.boot_s, idle_s=idle_s, useful_s=worked - redone, redone_s=redone)


def worked_s(attempt: AttemptRecord, now: datetime) -> float:
    """Return for how many seconds the script ran."""
    return _seconds(attempt.started, attempt.exited or attempt.ended or now) if attempt.started else 0.0


def redone_s(attempt: AttemptRecord) -> float:
    """Return the seconds of work after the newest checkpoint of an attempt that was cut short; 0 for any other."""
    kept, end = kept_until(attempt), attempt.exited or attempt.ended
    return _seconds(kept, end) if kept and end else 0.0


def kept_until(attempt: AttemptRecord) -> datetime | None:
    """Return until when the work of an attempt that was cut short counts; None for any other."""
    end = attempt.exited or attempt.ended
    if attempt.outcome not in _CUT_SHORT or attempt.started is None or end is None:
        return None
    return min(end, max(attempt.started, attempt.saved.taken)) if attempt.saved else attempt.started


def gap_s(job: JobRecord, attempt: AttemptRecord) -> float | None:
    """Return the recovery gap after an attempt that was cut short: from its last useful work until the job's next.

    What it did after its newest checkpoint is in the gap, since that was in vain.

    Args:
        job: The job.
        attempt: One of its attempts.

    Returns:
        Seconds; None if it was not cut short, or no later attempt has started.
    """
    kept = kept_until(attempt)
    starts = (later.started for later in job.attempts if later.number > attempt.number)
    again = next((start for start in starts if start is not None), None)
    return _seconds(kept, again) if kept and again else None


def longest_gap_s(job: JobRecord) -> float | None:
    """Return the longest recovery gap of a job in seconds; None if it had none."""
    gaps = [gap_s(job, attempt) for attempt in job.attempts]
    return max((gap for gap in gaps if gap is not None), default=None)


def useful_s(attempt: AttemptRecord, now: datetime) -> float:
    """Return the seconds of work that are in the result or in a checkpoint."""
    return worked_s(attempt, now) - redone_s(attempt)


def job_redone_s(job: JobRecord) -> float:
    """Return the seconds of work that interruptions and losses threw away."""
    return sum(redone_s(attempt) for attempt in job.attempts)


def job_duration_s(job: JobRecord, now: datetime) -> float:
    """Return the seconds from the first start to the end of the last attempt, or until now."""
    starts = [attempt.started for attempt in job.attempts if attempt.started is not None]
    if not starts:
        return 0.0
    end = now if job.live is not None else job.attempts[-1].exited or job.attempts[-1].ended or now
    return max(0.0, (end - starts[0]).total_seconds())


def _row(run: Run, attempt: AttemptRecord) -> AttemptRow:
    return AttemptRow(
        number=attempt.number,
        instance_id=attempt.instance,
        type=attempt.pool.type,
        zone=attempt.pool.zone,
        outcome=attempt.outcome.value if attempt.outcome else "running",
        reason=attempt.ended_by,
        started=attempt.started,
        ended=attempt.ended,
        cost_usd=attempt_cost(run, attempt),
        redone_s=redone_s(attempt),
        saved=_saved(attempt),
        lost=_lost(attempt),
    )


def _saved(attempt: AttemptRecord) -> str:
    if attempt.saved is None:
        return ""
    files = "1 file" if attempt.saved.files == 1 else f"{attempt.saved.files} files"
    return f"checkpoint {attempt.saved.serial}: {files}, {attempt.saved.size} bytes"


def _lost(attempt: AttemptRecord) -> str:
    if attempt.outcome not in _CUT_SHORT or attempt.started is None:
        return ""
    if attempt.saved is None:
        return f"all of its {short_duration(redone_s(attempt))} of work"
    seconds = redone_s(attempt)
    return f"{short_duration(seconds)} of work after the checkpoint" if seconds else ""


def _seconds(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds())
