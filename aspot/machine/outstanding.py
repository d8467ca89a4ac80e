"""What is still to be done: after a crash the journal gives the run back, and this the effects to go on with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from aspot.machine import effects as ef
from aspot.machine.attempts import STOP_GRACE_S
from aspot.machine.model import AttemptState, InstanceRecord, InstanceState, JobRecord, Run, StopWhy


def outstanding(run: Run) -> tuple[ef.Effect, ...]:
    """Return the effects whose outcome has not been heard of; all are safe to repeat.

    Args:
        run: The run as the journal tells it. Requests that wait for their time (`retry_at`) come by `wakeup`.
    """
    return (*_launches(run), *_instances(run), *_attempts(run), *_evacuations(run), *_results(run))


def _launches(run: Run) -> Iterator[ef.Effect]:
    requests = (run.requests[name] for name in run.asked)
    return (ef.Launch(spec=request.spec) for request in requests if request.retry_at is None)


def _instances(run: Run) -> Iterator[ef.Effect]:
    for name in run.live:
        instance = run.instances[name]
        if instance.state is InstanceState.TERMINATING:
            if instance.terminate_asked:
                yield ef.Terminate(instance=name, why="aspot had asked for it")
        elif instance.address and not instance.is_kept:
            yield ef.Connect(instance=name, address=instance.address, port=instance.port)
            if instance.keep is not None:
                yield ef.Keep(instance=name, until=instance.keep.until)


def _attempts(run: Run) -> Iterator[ef.Effect]:
    instances = (run.instances[name] for name in run.live)
    for instance in instances:
        if instance.attempt is not None and instance.state is not InstanceState.TERMINATING:
            yield from _attempt(run.jobs[instance.attempt[0]], instance)


def _attempt(job: JobRecord, instance: InstanceRecord) -> Iterator[ef.Effect]:
    attempt = job.attempts[-1]
    on: Any = {"instance": instance.id, "job": job.spec.name, "attempt": attempt.number}
    if attempt.state is AttemptState.STARTING:
        yield ef.StartAttempt(**on, checkpoint=job.checkpoint, is_repeat=True)
    elif attempt.state is AttemptState.RUNNING:
        yield ef.FollowAttempt(**on)
    elif attempt.state is AttemptState.STOPPING:
        yield ef.StopAttempt(**on, why=attempt.stop_why or StopWhy.CANCEL, grace_s=STOP_GRACE_S)
    elif attempt.state is AttemptState.COLLECTING and not attempt.is_parting:
        yield ef.CollectResult(**on)
    if attempt.saving:
        deadline = instance.notice.deadline if instance.notice else None
        yield ef.SaveCheckpoint(**on, serial=attempt.saving, deadline=deadline)


def _evacuations(run: Run) -> Iterator[ef.Effect]:
    """Yield what is to be brought home of attempts on noticed machines, those that have ended too."""
    for attempt in (attempt for job in run.jobs.values() for attempt in job.attempts if attempt.evacuating):
        until = run.instances[attempt.instance].evacuating_until
        if attempt.instance in run.live and until is not None:
            on: Any = {"instance": attempt.instance, "job": attempt.job, "attempt": attempt.number}
            yield ef.Evacuate(**on, serial=attempt.evacuating, deadline=until)


def _results(run: Run) -> Iterator[ef.Effect]:
    for job in run.jobs.values():
        if job.verdict is not None and not job.status.is_final:
            yield ef.AcceptResult(job=job.spec.name, attempt=len(job.attempts))
