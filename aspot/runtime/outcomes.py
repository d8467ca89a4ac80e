"""From a job's record to what the caller gets. Pure, but for the folder, which the archive knows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from aspot.jobs import Job
from aspot.machine.ledger import gap_s, longest_gap_s, redone_s, seconds_of
from aspot.machine.model import AttemptRecord, InstanceRecord, JobRecord, JobSpec, Keep, Run
from aspot.machine.money import instance_rate, kept_cost
from aspot.results import Attempt, Kept, Result

_OWN_ENDS = ("exit", "disk_full")

_LEAST_LOST_S = 0.5

_DIGITS = 3
"""Milliseconds are all that a client's clock is good for."""


def result_of(record: JobRecord, job: Job, folder: Path) -> Result:
    """Return a job's result.

    Args:
        record: What became of the job.
        job: The job as given, with its final name.
        folder: Its local folder.
    """
    return Result(
        job=job,
        status=(record.verdict or record.status).value,
        exit_code=_exit_code(record),
        reason=record.reason,
        dir=folder,
        files=record.collected.files if record.collected else (),
        missing=record.collected.missing if record.collected else (),
        attempts=tuple(attempt_of(record, attempt) for attempt in record.attempts),
        cost=sum(attempt.cost_usd for attempt in record.attempts),
        duration=_duration_s(record),
        redone=round(sum(redone_s(attempt) for attempt in record.attempts[:-1]), _DIGITS),
        recovery_gap=_rounded(longest_gap_s(record)),
    )


def attempt_of(job: JobRecord, record: AttemptRecord) -> Attempt:
    """Return an attempt of a job as callers see it."""
    seconds = seconds_of(record, record.ended or record.ordered)
    return Attempt(
        number=record.number,
        instance_id=record.instance,
        type=record.pool.type,
        zone=record.pool.zone,
        outcome=record.outcome.value if record.outcome else "",
        started=record.started,
        ended=record.ended,
        cost=record.cost_usd,
        saved="; ".join(_saved(record)),
        lost="; ".join(_lost(record, seconds.redone_s)),
        boot=round(seconds.boot_s, _DIGITS),
        idle=round(seconds.idle_s, _DIGITS),
        useful=round(seconds.useful_s, _DIGITS),
        redone=round(seconds.redone_s, _DIGITS),
        gap=_rounded(gap_s(job, record)),
    )


def _saved(record: AttemptRecord) -> Iterator[str]:
    for what, saved in (("checkpoint", record.saved), ("evacuated", record.evacuated)):
        if saved is not None and saved.files:
            yield f"{what}: {saved.files} files, {saved.size} bytes"


def _lost(record: AttemptRecord, redone_s: float) -> Iterator[str]:
    if redone_s >= _LEAST_LOST_S:
        yield f"{redone_s:.0f} s of work"
    if record.evacuated is not None:
        yield from record.evacuated.lost


def kept_machines(run: Run) -> tuple[Kept, ...]:
    """Return the machines that stay for a look at a job that failed, on purpose."""
    records = (run.instances[name] for name in run.kept)
    return tuple(_kept(run, record, record.keep) for record in records if record.is_kept and record.keep is not None)


def _kept(run: Run, record: InstanceRecord, keep: Keep) -> Kept:
    return Kept(
        name=record.label,
        instance_id=record.id,
        job=keep.job,
        until=keep.until,
        price_per_hour=instance_rate(run, record),
        most=kept_cost(run, record),
        address=record.address,
        port=record.port,
        user=keep.user,
        ssh=keep.way,
    )


def result_json(record: JobRecord, job: Job) -> dict[str, Any]:
    """Return what `result.json` in the job's folder holds: API.md's JSON with names relative to that folder."""
    json = result_of(record, job, Path()).to_json()
    return json | {"stdout": "stdout", "stderr": "stderr", "dir": ".", "params": dict(record.spec.params)}


def job_of(spec: JobSpec) -> Job:
    """Return a job as the user might have written it, from what the journal keeps of it."""
    params: dict[Any, Any] = dict(spec.params)
    return Job(
        spec.source or spec.script if not spec.command else None,
        command=spec.command or None,
        args=spec.args,
        name=spec.name,
        env=spec.env,
        secrets=spec.secrets,
        params=params,
        upload=spec.upload,
        download=spec.download,
        checkpoint=spec.checkpoint,
        checkpoint_every=spec.checkpoint_every_s,
        evacuate=spec.evacuate,
        on_notice=spec.on_notice or None,
        timeout=spec.timeout_s,
        max_output=spec.max_output or None,
        attempts=spec.attempts,
        interruptions=spec.interruptions,
    )


def _exit_code(record: JobRecord) -> int | None:
    """Return the code of the attempt that counts, if the script ended by itself."""
    counted = [attempt for attempt in record.attempts if attempt.number == record.accepted] or record.attempts[-1:]
    exits = [attempt.exit for attempt in counted if attempt.exit is not None]
    return exits[0].code if exits and exits[0].why in _OWN_ENDS else None


def _duration_s(record: JobRecord) -> float:
    starts = [attempt.started for attempt in record.attempts if attempt.started is not None]
    ends = [attempt.ended for attempt in record.attempts if attempt.ended is not None]
    return max(0.0, (max(ends) - min(starts)).total_seconds()) if starts and ends else 0.0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, _DIGITS)
