"""What each job of a run is doing, in plain words: the rows of the live view, the notebook and `aspot status`."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping

import attrs

from aspot.machine.model import (
    AttemptRecord,
    AttemptState,
    InstanceRecord,
    InstanceState,
    JobRecord,
    JobStatus,
    LaunchState,
    Outcome,
    Run,
    RunPhase,
    StopWhy,
)
from aspot.machine.placement import choose
from aspot.machine.pool import Refusal, RefusalKind
from aspot.machine.quantities import short_duration
from aspot.ui.figures import job_s, job_usd, short_pool, size


class Tone(enum.IntEnum):
    """How a row looks, in the order in which rows are kept when not all of them fit."""

    BAD = 0
    MOVING = 1
    BUSY = 2
    WAITING = 3
    GOOD = 4


@attrs.frozen(kw_only=True)
class JobLine:
    """One job as a row. Texts are as they came: renderers make them safe.

    Args:
        name: Job name.
        state: What it is doing.
        where: On which machine, or where next.
        time_s: Seconds since it first started; None before.
        cost_usd: US dollars so far.
        tone: How it looks.
    """

    name: str
    state: str
    where: str
    time_s: float | None
    cost_usd: float
    tone: Tone


@attrs.frozen(kw_only=True)
class Scene:
    """What is looked up once for all rows of a run.

    Args:
        run: The run.
        next_place: By job, the machine that will most likely take it.
        asked: Jobs that an unanswered launch request will most likely serve, and that request's state.
    """

    run: Run
    next_place: Mapping[str, InstanceRecord]
    asked: Mapping[str, LaunchState]


def job_lines(run: Run) -> list[JobLine]:
    """Return one row for each job, in order of submission."""
    scene = _scene(run)
    return [_job_line(job, scene) for job in run.jobs.values()]


def _scene(run: Run) -> Scene:
    wanting = [job.spec.name for job in _wanting(run)]
    free = sorted(filter(_is_free, (run.instances[name] for name in run.live)), key=_readiness)
    requests = [run.requests[name] for name in run.asked]
    asked = [request.state for request in requests for _ in range(request.spec.count)]
    places = dict(zip(wanting, free, strict=False))
    unplaced = [name for name in wanting if name not in places]
    return Scene(run=run, next_place=places, asked=dict(zip(unplaced, asked, strict=False)))


def _wanting(run: Run) -> Iterator[JobRecord]:
    """Yield jobs that need a machine, those that move first."""
    queued = [job for job in run.jobs.values() if not job.status.is_final and job.verdict is None]
    yield from (job for job in queued if _is_moving(job, run))
    yield from (job for job in queued if job.live is None and not _is_moving(job, run))


def _is_moving(job: JobRecord, run: Run) -> bool:
    if not job.attempts:
        return False
    if job.live is None:
        return job.attempts[-1].outcome is Outcome.INTERRUPTED
    instance = run.instances.get(job.live.instance)
    return bool(job.spec.checkpoint) and instance is not None and instance.notice is not None


def _is_free(instance: InstanceRecord) -> bool:
    waiting = (InstanceState.REQUESTED, InstanceState.RUNNING, InstanceState.SSH_READY)
    return instance.state in waiting and instance.attempt is None and not instance.terminate_asked


def _readiness(instance: InstanceRecord) -> int:
    return (InstanceState.SSH_READY, InstanceState.RUNNING, InstanceState.REQUESTED).index(instance.state)


def _job_line(job: JobRecord, scene: Scene) -> JobLine:
    state, where, tone = _state(job, scene)
    return JobLine(
        name=job.spec.name,
        state=state,
        where=where,
        time_s=job_s(job, scene.run),
        cost_usd=job_usd(job, scene.run),
        tone=tone,
    )


def _state(job: JobRecord, scene: Scene) -> tuple[str, str, Tone]:
    if job.status.is_final:
        return final_words(job), _last_place(job), Tone.GOOD if job.status is JobStatus.SUCCEEDED else Tone.BAD
    if job.verdict is not None:
        return "collecting", _last_place(job), Tone.BUSY
    if job.live is None:
        return _queued(job, scene)
    return _live(job, job.live, scene)


def final_words(job: JobRecord) -> str:
    """Return how a final job ended: `failed: exit 3`, `timed out after 10 min 0 s`, `lost: …`."""
    match job.status:
        case JobStatus.FAILED:
            code = exit_code(job)
            return f"failed: exit {code}" if code is not None else f"failed: {job.reason or 'no exit code'}"
        case JobStatus.TIMED_OUT:
            limit = job.spec.timeout_s
            return f"timed out after {short_duration(limit)}" if limit else "timed out"
        case JobStatus.LOST:
            return f"lost: {job.reason}" if job.reason else "lost"
        case JobStatus.BUDGET:
            return "not finished: budget spent"
        case _:
            return str(job.status.value)


def exit_code(job: JobRecord) -> int | None:
    """Return the exit code of the newest attempt that ended by itself."""
    return next((attempt.exit.code for attempt in reversed(job.attempts) if attempt.exit is not None), None)


def _last_place(job: JobRecord) -> str:
    return str(job.attempts[-1].pool) if job.attempts else ""


def _live(job: JobRecord, attempt: AttemptRecord, scene: Scene) -> tuple[str, str, Tone]:
    instance = scene.run.instances.get(attempt.instance)
    if instance is not None and instance.notice is not None and attempt.state is not AttemptState.COLLECTING:
        left = max(0, round((instance.notice.deadline - scene.run.now).total_seconds()))
        if not job.spec.checkpoint:
            return f"notice: {left} s to finish", str(attempt.pool), Tone.MOVING
        return f"moving: {left} s{_saved(attempt)}", _journey(job, attempt, scene), Tone.MOVING
    if attempt.stop_why is StopWhy.INTERRUPT:
        return f"moving{_saved(attempt)}", _journey(job, attempt, scene), Tone.MOVING
    return _at_work(job, attempt, instance), str(attempt.pool), Tone.BUSY


def _saved(attempt: AttemptRecord) -> str:
    return f", saved {size(attempt.saved.size)}" if attempt.saved is not None else ""


def _journey(job: JobRecord, attempt: AttemptRecord, scene: Scene) -> str:
    place = scene.next_place.get(job.spec.name)
    return f"{short_pool(attempt.pool)} → {short_pool(place.pool) if place is not None else '…'}"


def _at_work(job: JobRecord, attempt: AttemptRecord, instance: InstanceRecord | None) -> str:
    match attempt.state:
        case AttemptState.STARTING:
            return "sending files"
        case AttemptState.STOPPING:
            return "stopping"
        case AttemptState.COLLECTING:
            return "collecting"
        case _ if job.cancel_asked:
            return "stopping"
        case _ if instance is not None and instance.link_lost is not None:
            return "running, reconnecting"
        case _:
            return "running"


def _queued(job: JobRecord, scene: Scene) -> tuple[str, str, Tone]:
    place = scene.next_place.get(job.spec.name)
    if _is_moving(job, scene.run):
        last = job.attempts[-1]
        return f"moving{_saved(last)}", _journey(job, last, scene), Tone.MOVING
    if place is None:
        return *_waiting(job, scene), Tone.WAITING
    return "starting" if place.state is InstanceState.REQUESTED else "connecting", str(place.pool), Tone.BUSY


def _waiting(job: JobRecord, scene: Scene) -> tuple[str, str]:
    run = scene.run
    if run.phase is RunPhase.PREPARING:
        return "preparing", ""
    if run.phase is RunPhase.STOPPING or job.cancel_asked:
        return "stopping", ""
    if job.spec.name in scene.asked:
        in_doubt = scene.asked[job.spec.name] is LaunchState.IN_DOUBT
        return ("asking EC2 again" if in_doubt else "asking EC2"), ""
    if run.quota is not None:
        return "waiting for quota", ""
    return ("waiting for capacity", _refused_where(run)) if job.waiting_since is not None else ("queued", "")


def newest_refusal(run: Run) -> Refusal | None:
    """Return a refusal out of the newest answer that held one."""
    refused = [request for request in run.requests.values() if request.refusals]
    return refused[-1].refusals[0] if refused else None


def _refused_where(run: Run) -> str:
    refusal = newest_refusal(run)
    refused = f"{short_pool(refusal.pool)} {_refusal_word(refusal)}, " if refusal is not None and refusal.pool else ""
    _, pools = choose(run)
    return f"{refused}next {short_pool(pools[0])}" if pools else f"{refused}will ask again"


def _refusal_word(refusal: Refusal) -> str:
    return {RefusalKind.NO_CAPACITY: "full", RefusalKind.PRICE: "too dear"}.get(refusal.kind, "refused")
