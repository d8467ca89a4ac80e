"""What must hold after every step (FAULTS.md B). Tests and the simulation check it; production does not pay for it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta

import attrs

from aspot.machine.change import counts, index_of, is_advised
from aspot.machine.demand import excess, pending
from aspot.machine.ledger import seconds_of
from aspot.machine.model import (
    AttemptState,
    InstanceRecord,
    InstanceState,
    JobRecord,
    JobStatus,
    LaunchState,
    Outcome,
    Run,
    RunPhase,
)

_BUSY = (InstanceState.JOB, InstanceState.INTERRUPTED, InstanceState.TERMINATING)
_AFTER_WORK = (InstanceState.KEPT, InstanceState.TERMINATING, InstanceState.TERMINATED)
_OWN_FAILURES = (Outcome.FAILED, Outcome.TIMED_OUT)
_INSTANT_S = 1e-3


def violations(run: Run) -> list[str]:
    """Return what is wrong with the run, as text; empty if all is well."""
    return [f"{check.__name__.removeprefix('_')}: {text}" for check in _CHECKS for text in check(run)]


def _one_live_attempt(run: Run) -> Iterator[str]:
    """A job has at most one attempt that has not ended: its last."""
    for job in run.jobs.values():
        if any(attempt.state is not AttemptState.ENDED for attempt in job.attempts[:-1]):
            yield f"{job.spec.name} has an older attempt that lives"
        if [attempt.number for attempt in job.attempts] != list(range(1, len(job.attempts) + 1)):
            yield f"{job.spec.name} has attempts numbered out of order"


def _bound_to_instances(run: Run) -> Iterator[str]:
    """A live attempt and its instance know each other; a terminated instance has none."""
    for job in run.jobs.values():
        live = job.live
        if live is not None and run.instances[live.instance].attempt != (job.spec.name, live.number):
            yield f"{job.spec.name} runs on {live.instance}, which does not know"
    for instance in run.instances.values():
        if instance.attempt is None:
            if instance.state is InstanceState.JOB:
                yield f"{instance.id} is in JOB without an attempt"
        elif not _is_live(run, instance.attempt) or instance.state not in _BUSY:
            yield f"{instance.id} is {instance.state.value} and has {instance.attempt}"


def _statuses(run: Run) -> Iterator[str]:
    """Queued, running, decided and final jobs are what they say (V3, V5)."""
    for job in run.jobs.values():
        name = job.spec.name
        if job.status.is_final and job.status is not job.verdict:
            yield f"{name} is {job.status.value}, its verdict is {job.verdict}"
        if job.verdict is not None and job.live is not None:
            yield f"{name} has a verdict and a live attempt"
        if job.status is JobStatus.RUNNING and job.verdict is None and job.live is None:
            yield f"{name} is running without an attempt"
        if job.accepted > len(job.attempts):
            yield f"{name} accepted an attempt that never was"
        if job.verdict is JobStatus.SUCCEEDED and not _has_succeeded(job):
            yield f"{name} succeeded without a verified status and a whole result"


def _budgets(run: Run) -> Iterator[str]:
    """Failures are charged by the script's own ends only, interruptions by EC2's only (V11)."""
    for job in run.jobs.values():
        outcomes = [attempt.outcome for attempt in job.attempts]
        exits = [attempt for attempt in job.attempts if attempt.outcome in _OWN_FAILURES and attempt.exit is not None]
        if job.failures != len(exits):
            yield f"{job.spec.name} is charged {job.failures} failures, and had {len(exits)}"
        if job.interruptions + job.moves != outcomes.count(Outcome.INTERRUPTED):
            yield f"{job.spec.name} is charged {job.interruptions} interruptions and {job.moves} moves"
        if job.losses != outcomes.count(Outcome.LOST):
            yield f"{job.spec.name} is charged {job.losses} losses"


def _limit(run: Run) -> Iterator[str]:
    """No request is sent that could exceed the limit (V7); a lowered limit is reached as attempts end."""
    if excess(run) and run.idle:
        yield f"{run.counted} machines, limit {run.spec.limit}, and {run.idle} are idle"


def _one_region_a_request(run: Run) -> Iterator[str]:
    """A launch request names pools of one region: it is one call, to one endpoint."""
    for request in run.requests.values() if run.spec.regions else ():
        regions = {pool.region for pool in request.spec.pools}
        if len(regions) != 1:
            yield f"{request.spec.id} asks {len(regions)} regions"


def _stopped_means_stopped(run: Run) -> Iterator[str]:
    """Once stopping, nothing waits, starts or idles."""
    if run.stop is None:
        return
    if run.queued:
        yield f"{run.queued} wait in a run that stops"
    for name in run.live:
        instance = run.instances[name]
        if instance.attempt is None and instance.state not in (InstanceState.TERMINATING, InstanceState.KEPT):
            yield f"{name} is {instance.state.value} without work in a run that stops"


def _indexes(run: Run) -> Iterator[str]:
    """The indexes say what a look at everything would say."""
    waits = [job for job in run.jobs.values() if job.live is None and job.verdict is None]
    queued = tuple(job.spec.name for job in sorted(waits, key=lambda job: job.order))
    live = {name for name, instance in run.instances.items() if instance.state is not InstanceState.TERMINATED}
    asked = {name for name, request in run.requests.items() if request.state is not LaunchState.ANSWERED}
    starved = {name for name, job in run.jobs.items() if job.waiting_since is not None}
    unfinished = sum(not job.status.is_final for job in run.jobs.values())
    if queued != run.queued:
        yield f"queued is {run.queued}, not {queued}"
    if (live, asked, starved) != (set(run.live), set(run.asked), set(run.starved)):
        yield "live, asked or starved is wrong"
    for index in ("idle", "starting", "leaving", "kept"):
        found = {name for name, instance in run.instances.items() if index_of(instance) == index}
        if found != set(getattr(run, index)):
            yield f"{index} is {getattr(run, index)}, not {found}"
    if set(run.advised) != {name for name, instance in run.instances.items() if is_advised(instance)}:
        yield f"advised is {run.advised}"
    if run.counted != sum(counts(instance) for instance in run.instances.values()):
        yield "counted is wrong"
    if unfinished != run.unfinished:
        yield f"unfinished is {run.unfinished}, not {unfinished}"


def _money(run: Run) -> Iterator[str]:
    """Nothing costs less than nothing, and attempts bear no more than their machines cost."""
    for instance in run.instances.values():
        if instance.cost_usd < 0 or instance.refund_usd < 0 or instance.attributed_usd < 0:
            yield f"{instance.id} has a negative cost"


def _seconds(run: Run) -> Iterator[str]:
    """An attempt's seconds are its share of machine time, no more and no less."""
    for job in run.jobs.values():
        for attempt in job.attempts:
            told = attrs.astuple(seconds_of(attempt, run.now))
            share_s = ((attempt.ended or run.now) - (attempt.since or attempt.ordered)).total_seconds()
            if min(told) < 0 or abs(sum(told) - share_s) > _INSTANT_S:
                yield f"{job.spec.name}, attempt {attempt.number}: {told} is not {share_s} s"


def _requests(run: Run) -> Iterator[str]:
    """Every instance was asked for or found; nothing hangs in the air once the run is over (V1)."""
    if run.phase is RunPhase.ENDED and (pending(run) or run.unfinished):
        yield "the run has ended with something open"
    if run.phase is RunPhase.ENDED and not all(_may_stay(run.instances[name]) for name in run.live):
        yield "the run has ended with a live machine"


def _kept(run: Run) -> Iterator[str]:
    """A kept machine stays for a job that failed for good, works no more, and ends within its life."""
    for instance in run.instances.values():
        keep = instance.keep
        if keep is None:
            if instance.state is InstanceState.KEPT:
                yield f"{instance.id} is kept for nothing"
            continue
        job, last = run.jobs[keep.job], timedelta(seconds=run.spec.max_life_s)
        if instance.state not in _AFTER_WORK or instance.attempt is not None:
            yield f"{instance.id} was kept, and is {instance.state.value} with {instance.attempt}"
        if job.verdict not in (JobStatus.FAILED, JobStatus.TIMED_OUT) or job.attempts[-1].instance != instance.id:
            yield f"{instance.id} is kept for {keep.job}, which did not fail there for good"
        if run.spec.keep_failed_s is None or instance.running is None or keep.until > instance.running + last:
            yield f"{instance.id} is kept for longer than it may live"


def _may_stay(instance: InstanceRecord) -> bool:
    return bool(instance.protected) or instance.is_kept


def _is_live(run: Run, key: tuple[str, int]) -> bool:
    live = run.jobs[key[0]].live
    return live is not None and live.number == key[1]


def _has_succeeded(job: JobRecord) -> bool:
    last = job.attempts[-1] if job.attempts else None
    is_whole = job.collected is not None and last is not None and last.exit is not None
    return is_whole and last is not None and last.outcome is Outcome.SUCCEEDED


_CHECKS: tuple[Callable[[Run], Iterator[str]], ...] = (
    _one_live_attempt,
    _bound_to_instances,
    _statuses,
    _budgets,
    _limit,
    _one_region_a_request,
    _stopped_means_stopped,
    _indexes,
    _money,
    _seconds,
    _requests,
    _kept,
)
