"""When checkpoints are brought home, and how an attempt parts from a machine that EC2 takes back (DESIGN 8)."""

from __future__ import annotations

from datetime import datetime, timedelta

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.change import Change
from aspot.machine.endings import end_attempt, is_taken
from aspot.machine.model import (
    AttemptRecord,
    AttemptState,
    InstanceRecord,
    InstanceState,
    JobRecord,
    Notice,
    Outcome,
    Run,
    StopWhy,
)
from aspot.machine.moves import end_instance

MARGIN_S = 10.0
"""An attempt on a noticed machine is stopped this long before the deadline: less, a fifth, when the notice is short."""

GRACE_SHARE = 0.4
"""Part of the time left before the deadline that a stopped script has; the rest is for its last checkpoint."""

GRACE_MOST_S = 10.0

MOVES = 10
"""A job leaves machines on EC2's mere recommendation no oftener: EC2 may recommend it of each."""

NEIGHBOURS_S = 60.0
"""A notice beside them makes attempts save only if they have not been saved for so long."""


def stop_time(notice: Notice) -> datetime:
    """Return when an attempt with a checkpoint has to be stopped."""
    left_s = max(0.0, (notice.deadline - notice.received).total_seconds())
    return notice.deadline - timedelta(seconds=min(MARGIN_S, left_s / 5))


def save(change: Change, job_name: str, *, deadline: datetime | None) -> int:
    """Bring the live attempt's checkpoint home unless that is under way; return its serial, 0 for none."""
    job = change.run.jobs[job_name]
    attempt = job.attempts[-1]
    if attempt.saving or not job.spec.checkpoint:
        return 0
    serial = job.checkpoint_serial + 1
    change.job(job_name, checkpoint_serial=serial)
    change.attempt(job_name, saving=serial, synced=change.now)
    change.emit(
        ef.SaveCheckpoint(
            instance=attempt.instance, job=job_name, attempt=attempt.number, serial=serial, deadline=deadline
        )
    )
    return serial


def next_sync(job: JobRecord, attempt: AttemptRecord) -> datetime | None:
    """Return when the attempt's checkpoint is to be brought home by the user's own interval; None for never."""
    is_wanted = job.spec.checkpoint_every_s and job.spec.checkpoint and not attempt.saving
    if not is_wanted or attempt.state is not AttemptState.RUNNING:
        return None
    since = attempt.synced or attempt.started or attempt.ordered
    return since + timedelta(seconds=job.spec.checkpoint_every_s or 0.0)


def watch(change: Change, job_name: str) -> None:
    """See to it that the attempt's next checkpoint is brought home in time."""
    job = change.run.jobs[job_name]
    due = next_sync(job, job.attempts[-1])
    if due is not None:
        change.look(due)


def sync_neighbours(change: Change, instance: InstanceRecord) -> None:
    """Bring home the checkpoints of the attempts beside a noticed one: interruptions come in groups (DESIGN 8)."""
    for name in change.run.live:
        other = change.run.instances[name]
        if other.pool == instance.pool and other.state is InstanceState.JOB and other.attempt:
            synced = change.run.jobs[other.attempt[0]].attempts[-1].synced
            if synced is None or change.now - synced >= timedelta(seconds=NEIGHBOURS_S):
                sync(change, other.attempt[0], deadline=None)


def sync(change: Change, job_name: str, *, deadline: datetime | None) -> None:
    """Bring a running attempt's checkpoint home."""
    if change.run.jobs[job_name].attempts[-1].state is AttemptState.RUNNING:
        save(change, job_name, deadline=deadline)


def is_working(run: Run, job_name: str) -> bool:
    """Tell whether the job's last attempt runs, or is about to, and was not told to stop."""
    return run.jobs[job_name].attempts[-1].state in (AttemptState.STARTING, AttemptState.RUNNING)


def can_hand_over(run: Run, job_name: str) -> bool:
    """Tell whether the live attempt on a noticed machine may be stopped as soon as its successor is ready."""
    job = run.jobs[job_name]
    has_saved = job.attempts[-1].has_hook_run or not job.spec.on_notice
    return is_working(run, job_name) and has_saved and bool(job.spec.checkpoint)


def can_move(run: Run, job_name: str) -> bool:
    """Tell whether the attempt may leave an advised machine: its checkpoint moves with it, and that is no habit.

    A job that saves at a notice (`on_notice`) is left where it is: there is none yet.
    """
    job = run.jobs[job_name]
    is_safe = bool(job.spec.checkpoint) and not job.spec.on_notice and not job.cancel_asked
    return is_safe and is_working(run, job_name) and job.moves < MOVES


def hand_over(change: Change, instance: InstanceRecord) -> None:
    """Stop the attempt on a machine that goes away; its last checkpoint and its successor follow."""
    if instance.attempt is None or not is_working(change.run, instance.attempt[0]):
        return
    name, number = instance.attempt
    grace_s = GRACE_MOST_S
    if instance.notice is not None:
        left_s = max(0.0, (instance.notice.deadline - change.now).total_seconds())
        grace_s = min(GRACE_MOST_S, GRACE_SHARE * left_s)
    change.attempt(name, state=AttemptState.STOPPING, stop_why=StopWhy.INTERRUPT, stop_asked=change.now)
    change.emit(ef.StopAttempt(instance=instance.id, job=name, attempt=number, why=StopWhy.INTERRUPT, grace_s=grace_s))


def part(change: Change, job_name: str) -> None:
    """Let an attempt that its machine's end has stopped save a last time, then end."""
    change.attempt(job_name, is_parting=True)
    _go_on_parting(change, job_name)


def saved(change: Change, event: ev.CheckpointSaved) -> None:
    """Take in a checkpoint; the newest serial wins, whichever attempt it came from."""
    job = change.run.jobs[event.job]
    if job.checkpoint is None or event.checkpoint.serial > job.checkpoint.serial:
        change.job(event.job, checkpoint=event.checkpoint)
    change.announce(
        nw.CheckpointSaved(
            time=change.now,
            fleet=change.run.spec.name,
            job=event.job,
            instance=change.run.instances[event.instance].label,
            message=f"{event.job}: checkpoint saved ({event.checkpoint.files} files, {event.checkpoint.size} bytes)",
            attempt=event.attempt,
            size=event.checkpoint.size,
            files=event.checkpoint.files,
        )
    )
    change.attempt(event.job, event.attempt, saved=event.checkpoint)
    _over(change, event.job, event.attempt, event.checkpoint.serial)


def missed(change: Change, event: ev.CheckpointMissed) -> None:
    """Take note that a checkpoint did not come."""
    _over(change, event.job, event.attempt, event.serial)


def _over(change: Change, job_name: str, number: int, serial: int) -> None:
    attempt = change.run.jobs[job_name].attempts[number - 1]
    if attempt.saving == serial and attempt.state is not AttemptState.ENDED:
        change.attempt(job_name, saving=0)
        watch(change, job_name)
        if attempt.is_parting:
            _go_on_parting(change, job_name)


def _go_on_parting(change: Change, job_name: str) -> None:
    attempt = change.run.jobs[job_name].attempts[-1]
    if attempt.saving:
        return
    instance = change.run.instances[attempt.instance]
    if not attempt.final_serial:
        serial = save(change, job_name, deadline=instance.notice.deadline if instance.notice else None)
        change.attempt(job_name, final_serial=serial)
        if serial:
            return
    if is_taken(instance) or (attempt.exit is not None and attempt.exit.why == "interrupt"):
        because = "interrupted by EC2" if is_taken(instance) else "moved: EC2 recommended to leave its machine"
        end_attempt(change, job_name, Outcome.INTERRUPTED, because=because)
    else:
        end_instance(change, instance.id, "it was shut down under a running script")
