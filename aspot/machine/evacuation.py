"""What the user named for a notice is brought home while there is time, beside everything else (DESIGN 8)."""

from __future__ import annotations

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine.change import Change
from aspot.machine.checkpoints import stop_time


def evacuate(change: Change, job_name: str) -> None:
    """Bring home the job's `evacuate` paths from its noticed machine; called again when there may be more of them."""
    job = change.run.jobs[job_name]
    attempt = job.attempts[-1]
    notice = change.run.instances[attempt.instance].notice
    if not job.spec.evacuate or notice is None or stop_time(notice) <= change.now or change.run.stop is not None:
        return
    serial, until = attempt.evacuations + 1, stop_time(notice)
    change.attempt(job_name, evacuations=serial, evacuating=serial)
    change.instance(attempt.instance, evacuating_until=until)
    change.emit(
        ef.Evacuate(instance=attempt.instance, job=job_name, attempt=attempt.number, serial=serial, deadline=until)
    )


def evacuated(change: Change, event: ev.Evacuated) -> None:
    """Take in what has come; when nothing more is on its way, the machine need not be left alive for it."""
    attempt = change.attempt(event.job, event.attempt, evacuated=event.evacuation)
    if attempt.evacuating == event.serial:
        change.attempt(event.job, event.attempt, evacuating=0)
        change.instance(event.instance, evacuating_until=None)
        change.plan()
