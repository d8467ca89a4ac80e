"""What instances say of the attempts on them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from aspot.errors import InternalError
from aspot.machine import checkpoints
from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.change import Change
from aspot.machine.endings import end_attempt, fail_locally, is_taken, outcome_of
from aspot.machine.evacuation import evacuate, evacuated
from aspot.machine.instance_table import attempt_cell, instance_cell
from aspot.machine.model import AttemptState, Outcome, Run, StopWhy
from aspot.machine.moves import end_instance

STOP_GRACE_S = 10.0
"""How long a cancelled script has to end after TERM."""

STOP_PATIENCE_S = 60.0
"""A machine whose attempt was told to stop and says nothing for so long is ended."""


def attempt_event(change: Change, event: ev.AttemptEvent) -> None:
    """Take in what happened to an attempt, if both tables know it."""
    instance = change.run.instances[event.instance]
    state = _state(change.run, event)
    if instance_cell(instance.state, type(event), story=instance.story) is None:
        return
    new = attempt_cell(state, type(event), story=instance.story)
    if new is not None:
        _HANDLERS[type(event)](change, event, new)


def ask_to_stop(change: Change, name: str, why: StopWhy, *, grace_s: float) -> None:
    """Stop a job's live attempt, unless it has exited or is being stopped; its status will say why."""
    attempt = change.run.jobs[name].attempts[-1]
    if attempt.state in (AttemptState.STARTING, AttemptState.RUNNING):
        change.attempt(name, state=AttemptState.STOPPING, stop_why=why, stop_asked=change.now)
        change.emit(
            ef.StopAttempt(instance=attempt.instance, job=name, attempt=attempt.number, why=why, grace_s=grace_s)
        )
        change.look(change.now + timedelta(seconds=STOP_PATIENCE_S))


def _state(run: Run, event: ev.AttemptEvent) -> AttemptState:
    job = run.jobs.get(event.job)
    if job is None or not 0 < event.attempt <= len(job.attempts):
        raise InternalError(f"job {event.job} has no attempt {event.attempt}")
    attempt = job.attempts[event.attempt - 1]
    if attempt.instance != event.instance:
        raise InternalError(f"attempt {event.attempt} of {event.job} is not on {event.instance}")
    return attempt.state


def _started(change: Change, event: ev.AttemptStarted, new: AttemptState) -> None:
    change.attempt(event.job, state=new, started=change.now)
    checkpoints.watch(change, event.job)
    change.announce(
        nw.JobStarted(
            time=change.now,
            fleet=change.run.spec.name,
            job=event.job,
            instance=change.run.instances[event.instance].label,
            message=f"{event.job}: started (attempt {event.attempt})",
            attempt=event.attempt,
            instance_id=event.instance,
        )
    )
    if change.run.instances[event.instance].notice is not None:
        evacuate(change, event.job)
        change.plan()


def _refused(change: Change, event: ev.AttemptRefused, _new: AttemptState) -> None:
    if event.is_local:
        fail_locally(change, event.job, event.reason)
        return
    outcome = Outcome.INTERRUPTED if is_taken(change.run.instances[event.instance]) else Outcome.LOST
    end_attempt(change, event.job, outcome, because=event.reason)
    if not is_taken(change.run.instances[event.instance]):
        end_instance(change, event.instance, f"it could not start an attempt: {event.reason}")


def _exited(change: Change, event: ev.AttemptExited, _new: AttemptState) -> None:
    change.attempt(event.job, state=AttemptState.COLLECTING, exit=event.exit, exited=change.now)
    job, instance = change.run.jobs[event.job], change.run.instances[event.instance]
    is_cut_off = outcome_of(event.exit, instance) in (Outcome.INTERRUPTED, Outcome.LOST)
    if is_cut_off and change.run.stop is None and not job.cancel_asked:
        evacuate(change, event.job)
        checkpoints.part(change, event.job)
    else:
        change.emit(ef.CollectResult(instance=event.instance, job=event.job, attempt=event.attempt))
    change.plan()


def _vanished(change: Change, event: ev.AttemptVanished, _new: AttemptState) -> None:
    outcome = Outcome.INTERRUPTED if is_taken(change.run.instances[event.instance]) else Outcome.LOST
    end_attempt(change, event.job, outcome, because=event.reason)


def _checkpoint_saved(change: Change, event: ev.CheckpointSaved, _new: AttemptState) -> None:
    checkpoints.saved(change, event)


def _checkpoint_missed(change: Change, event: ev.CheckpointMissed, _new: AttemptState) -> None:
    checkpoints.missed(change, event)


def _evacuated(change: Change, event: ev.Evacuated, _new: AttemptState) -> None:
    evacuated(change, event)


def _hook_finished(change: Change, event: ev.HookFinished, _new: AttemptState) -> None:
    change.attempt(event.job, has_hook_run=True)
    notice = change.run.instances[event.instance].notice
    checkpoints.sync(change, event.job, deadline=notice.deadline if notice else None)
    evacuate(change, event.job)
    change.plan()


def _collected(change: Change, event: ev.ResultCollected, _new: AttemptState) -> None:
    attempt = change.run.jobs[event.job].attempts[-1]
    instance = change.run.instances[event.instance]
    assert attempt.exit is not None
    change.job(event.job, collected=event.collected)
    end_attempt(change, event.job, outcome_of(attempt.exit, instance))
    if attempt.exit.why == "disk_full" and change.run.instances[event.instance].keep is None:
        end_instance(change, event.instance, "its disk is full")


def _collect_failed(change: Change, event: ev.CollectFailed, _new: AttemptState) -> None:
    if event.is_final:
        outcome = Outcome.INTERRUPTED if is_taken(change.run.instances[event.instance]) else Outcome.LOST
        end_attempt(change, event.job, outcome, because=f"its result could not be brought home: {event.reason}")


_HANDLERS: Mapping[type[ev.AttemptEvent], Callable[[Change, Any, AttemptState], None]] = {
    ev.AttemptStarted: _started,
    ev.AttemptRefused: _refused,
    ev.AttemptExited: _exited,
    ev.AttemptVanished: _vanished,
    ev.CheckpointSaved: _checkpoint_saved,
    ev.CheckpointMissed: _checkpoint_missed,
    ev.Evacuated: _evacuated,
    ev.HookFinished: _hook_finished,
    ev.ResultCollected: _collected,
    ev.CollectFailed: _collect_failed,
}
