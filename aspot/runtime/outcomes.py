"""From a job's record to what the caller gets. Pure, but for the folder, which the archive knows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from aspot.jobs import Job
from aspot.machine.model import AttemptRecord, JobRecord, JobSpec, Outcome
from aspot.results import Attempt, Result

_OWN_ENDS = ("exit", "disk_full")
_THROWN_AWAY = (Outcome.INTERRUPTED, Outcome.LOST)


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
        attempts=tuple(attempt_of(attempt) for attempt in record.attempts),
        cost=sum(attempt.cost_usd for attempt in record.attempts),
        duration=_duration_s(record),
        redone=sum(_lost_s(attempt) for attempt in record.attempts[:-1]),
    )


def attempt_of(record: AttemptRecord) -> Attempt:
    """Return an attempt as callers see it."""
    lost_s = _lost_s(record)
    saved = record.saved
    return Attempt(
        number=record.number,
        instance_id=record.instance,
        type=record.pool.type,
        zone=record.pool.zone,
        outcome=record.outcome.value if record.outcome else "",
        started=record.started,
        ended=record.ended,
        cost=record.cost_usd,
        saved=f"checkpoint: {saved.files} files, {saved.size} bytes" if saved else "",
        lost=f"{lost_s:.0f} s of work" if lost_s >= 0.5 else "",
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
        on_notice=spec.on_notice or None,
        timeout=spec.timeout_s,
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


def _lost_s(attempt: AttemptRecord) -> float:
    """Return the seconds of work that an interruption threw away."""
    if attempt.outcome not in _THROWN_AWAY or attempt.started is None or attempt.ended is None:
        return 0.0
    kept_until = attempt.saved.taken if attempt.saved is not None else attempt.started
    return round(max(0.0, (attempt.ended - max(kept_until, attempt.started)).total_seconds()), 3)
