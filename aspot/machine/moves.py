"""What we do with an instance ourselves: give it an attempt, free it, end it."""

from __future__ import annotations

from aspot.machine import effects as ef
from aspot.machine.change import Change
from aspot.machine.instance_table import Move, instance_cell
from aspot.machine.model import AttemptRecord, InstanceRecord, InstanceState, JobStatus, Keep


def start_attempt(change: Change, job_name: str, instance_name: str) -> None:
    """Put a waiting job on a free instance, from its newest checkpoint."""
    change.dequeue(job_name)
    instance = change.run.instances[instance_name]
    job = change.run.jobs[job_name]
    number = len(job.attempts) + 1
    since = instance.freed or instance.requested
    assert instance.ready is not None
    attempt = AttemptRecord(
        job=job_name,
        number=number,
        instance=instance_name,
        pool=instance.pool,
        ordered=change.now,
        since=since,
        boot_s=max(0.0, (instance.ready - since).total_seconds()),
        resumed_from=job.checkpoint.serial if job.checkpoint else 0,
    )
    change.job(job_name, status=JobStatus.RUNNING, attempts=(*job.attempts, attempt), collected=None)
    assign(change, instance_name, job_name, number)
    change.emit(ef.StartAttempt(instance=instance_name, job=job_name, attempt=number, checkpoint=job.checkpoint))


def assign(change: Change, name: str, job_name: str, number: int) -> None:
    """Take note that an attempt is on the instance."""
    _move(change, name, Move.ASSIGN)
    change.instance(name, attempt=(job_name, number), idle_since=None)


def free_instance(change: Change, name: str) -> None:
    """Take note that no attempt is on the instance any more."""
    instance = _move(change, name, Move.FREE)
    idle_since = change.now if instance.state is InstanceState.SSH_READY else None
    change.instance(name, attempt=None, freed=change.now, idle_since=idle_since)
    change.plan()


def keep_instance(change: Change, name: str, keep: Keep) -> None:
    """Let an instance without work stay for a look."""
    _move(change, name, Move.KEEP)
    change.instance(name, keep=keep, idle_since=None)
    change.tell(name, f"kept for a look at {keep.job}")


def end_instance(change: Change, name: str, why: str) -> None:
    """End the instance; harmless if it is ending."""
    instance = change.run.instances[name]
    if instance_cell(instance.state, Move.END, story=instance.story) is None:
        return
    _move(change, name, Move.END)
    change.instance(name, terminate_asked=True, idle_since=None)
    change.tell(name, f"we end it: {why}")
    change.emit(ef.Terminate(instance=name, why=why))
    change.plan()


def _move(change: Change, name: str, move: Move) -> InstanceRecord:
    instance = change.run.instances[name]
    state = instance_cell(instance.state, move, story=instance.story)
    assert state is not None
    return change.instance(name, state=state)
