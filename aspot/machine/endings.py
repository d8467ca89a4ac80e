"""How attempts end, and what becomes of their jobs: again, or a verdict."""

from __future__ import annotations

from aspot.machine import effects as ef
from aspot.machine.change import Change
from aspot.machine.keeping import keep_failed
from aspot.machine.model import (
    AttemptRecord,
    AttemptState,
    EndReason,
    ExitStatus,
    InstanceRecord,
    JobRecord,
    JobStatus,
    Outcome,
    StopWhy,
)
from aspot.machine.money import attribute
from aspot.machine.moves import free_instance
from aspot.machine.quantities import short_duration

LOSSES = 3
"""A job is `lost` after so many attempts that vanished for no reason of its own and without an interruption."""

KILLED = (129, 130, 137, 143)
"""Exit codes of a script that HUP, INT, KILL or TERM ended."""

CUT_OFF = ("term", "ttl")
"""Words of the status line for: the machine was going down, and took the script with it."""

_GONE = {
    EndReason.OURS: "aspot ended its machine",
    EndReason.SOMEONE: "its machine was terminated by someone",
    EndReason.ITSELF: "its machine shut itself down (max_life, or the script ran shutdown)",
    EndReason.HARDWARE: "its machine failed in EC2",
}


def is_taken(instance: InstanceRecord) -> bool:
    """Tell whether EC2 takes, or took, the machine back."""
    return instance.notice is not None or instance.end_reason is EndReason.INTERRUPTED


def outcome_of(exit_status: ExitStatus, instance: InstanceRecord) -> Outcome:
    """Return how an attempt ended, by its verified status and what became of its machine."""
    match exit_status.why:
        case "timeout":
            return Outcome.TIMED_OUT
        case "cancel" | "budget":
            return Outcome.CANCELLED
        case "interrupt":
            return Outcome.INTERRUPTED
        case why if why in CUT_OFF:
            return Outcome.INTERRUPTED if is_taken(instance) else Outcome.LOST
        case "disk_full":
            return Outcome.FAILED
    if exit_status.code == 0:
        return Outcome.SUCCEEDED
    return Outcome.INTERRUPTED if exit_status.code in KILLED and is_taken(instance) else Outcome.FAILED


def end_attempt(change: Change, name: str, outcome: Outcome, *, because: str = "") -> None:
    """End a job's live attempt, free its machine, and decide what becomes of the job.

    Args:
        change: The step.
        name: The job.
        outcome: How the attempt ended.
        because: Why, for people; empty for a reason made from its status.
    """
    close_attempt(change, name, outcome, because)
    _decide(change, name, outcome)


def close_attempt(change: Change, name: str, outcome: Outcome, because: str) -> None:
    """End a job's live attempt and free its machine; what becomes of the job is the caller's to say."""
    attempt = change.run.jobs[name].attempts[-1]
    change.attempt(
        name,
        state=AttemptState.ENDED,
        outcome=outcome,
        ended=change.now,
        ended_by=because or _status_reason(change.run.jobs[name], attempt),
        cost_usd=attribute(change, attempt.instance),
        saving=0,
    )
    free_instance(change, attempt.instance)


def finish(change: Change, name: str, verdict: JobStatus, reason: str) -> None:
    """Give a job its final status, which holds once its result is published."""
    job = change.run.jobs[name]
    assert job.verdict is None, name
    change.dequeue(name)
    change.job(name, verdict=verdict, reason=reason)
    change.emit(ef.AcceptResult(job=name, attempt=len(job.attempts)))
    change.plan()


def fail_locally(change: Change, name: str, reason: str) -> None:
    """End a job whose own files here are at fault; its script never ran, so no failure of it is counted."""
    close_attempt(change, name, Outcome.FAILED, reason)
    finish(change, name, JobStatus.FAILED, reason)


def lose_machine(change: Change, instance: InstanceRecord) -> None:
    """End the attempt whose machine EC2 says is gone."""
    if instance.attempt is None:
        return
    name, reason = instance.attempt[0], instance.end_reason or EndReason.UNKNOWN
    status = change.run.jobs[name].attempts[-1].exit
    if is_taken(instance):
        end_attempt(change, name, Outcome.INTERRUPTED, because="EC2 took its machine back")
    elif status is not None and status.why in CUT_OFF:
        end_attempt(change, name, Outcome.LOST)
    else:
        early = " before its result was home" if status is not None else ""
        end_attempt(change, name, Outcome.LOST, because=_GONE.get(reason, f"its machine {reason.value}") + early)


def _decide(change: Change, name: str, outcome: Outcome) -> None:
    job = change.run.jobs[name]
    reason = job.attempts[-1].ended_by
    match outcome:
        case Outcome.SUCCEEDED:
            finish(change, name, JobStatus.SUCCEEDED, "")
        case Outcome.FAILED | Outcome.TIMED_OUT:
            job = change.job(name, failures=job.failures + 1)
            is_last = job.failures >= job.spec.attempts or _must_end(change, job)
            if is_last:
                keep_failed(change, name, job.attempts[-1].instance)
            _again_or(change, name, JobStatus(outcome.value) if is_last else None, reason)
        case Outcome.INTERRUPTED if _has_moved(change, job.attempts[-1]):
            change.job(name, moves=job.moves + 1)
            _again_or(change, name, None, reason)
        case Outcome.INTERRUPTED:
            job = change.job(name, interruptions=job.interruptions + 1)
            is_last = job.interruptions >= job.spec.interruptions
            _again_or(change, name, JobStatus.LOST if is_last else None, f"interrupted {times(job.interruptions)}")
        case Outcome.LOST:
            job = change.job(name, losses=job.losses + 1)
            is_last = job.losses >= LOSSES or _is_out_of_life(job.attempts[-1])
            _again_or(change, name, JobStatus.LOST if is_last else None, reason)
        case _:
            _again_or(change, name, JobStatus.CANCELLED, "cancelled")


def _has_moved(change: Change, attempt: AttemptRecord) -> bool:
    """Tell whether we took it off its machine, which EC2 did not take back: no interruption is charged for that."""
    return attempt.stop_why is StopWhy.INTERRUPT and not is_taken(change.run.instances[attempt.instance])


def _again_or(change: Change, name: str, verdict: JobStatus | None, reason: str) -> None:
    """Let the job wait for its next attempt, unless it has a verdict or has to end now."""
    job, stop = change.run.jobs[name], change.run.stop
    is_own = verdict in (JobStatus.FAILED, JobStatus.TIMED_OUT)
    if stop is not None and not is_own:
        finish(change, name, stop.verdict, stop.reason)
    elif job.cancel_asked and not is_own:
        finish(change, name, JobStatus.CANCELLED, "cancelled")
    elif change.run.spec.is_rebuilt and verdict in (None, JobStatus.LOST):
        finish(change, name, JobStatus.LOST, f"{reason}; it cannot start again, for its files are not known any more")
    elif verdict is not None:
        finish(change, name, verdict, reason)
    else:
        change.enqueue(name)
        change.plan()


def _must_end(change: Change, job: JobRecord) -> bool:
    return change.run.stop is not None or job.cancel_asked


def _is_out_of_life(attempt: AttemptRecord) -> bool:
    """Tell whether it ran into `max_life` without saving anything: the next try would do the same."""
    return attempt.exit is not None and attempt.exit.why == "ttl" and attempt.saved is None


def _status_reason(job: JobRecord, attempt: AttemptRecord) -> str:
    assert attempt.exit is not None
    code = attempt.exit.code
    match attempt.exit.why:
        case "timeout":
            return f"timed out after {short_duration(job.spec.timeout_s or 0.0)}"
        case "cancel" | "budget" | "interrupt":
            return f"stopped by aspot ({attempt.exit.why})"
        case "term":
            return "its machine was shut down while it ran"
        case "ttl":
            return "its machine reached max_life"
        case "disk_full":
            return f"the machine's disk was full (exit code {code}): ask for a larger one with the profile's disk="
    if code > 128:
        return f"killed by signal {code - 128}" + (" (out of memory?)" if code == 137 else "")
    return f"exit code {code}" if code else ""


def times(number: int) -> str:
    """Return `once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(number, f"{number} times")
