"""What refused launches teach: which pools to avoid, when to wait, when to give up, and what users hear of it."""

from __future__ import annotations

from datetime import timedelta

from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.change import Change
from aspot.machine.endings import finish
from aspot.machine.model import EndReason, InstanceRecord, JobStatus, LaunchRecord, LaunchSpec, Run
from aspot.machine.placement import (
    has_elsewhere,
    may_go_elsewhere,
    memory_of,
    remember_refusal,
    remember_region,
    tried,
)
from aspot.machine.pool import Market, Refusal, RefusalKind
from aspot.machine.quantities import short_duration
from aspot.machine.stopping import stop

QUOTA_WAIT_S = 30.0
QUOTA_REFUSALS = 3
"""So many quota refusals in a row, with no machine of ours alive (not even a kept one), and the jobs are lost."""

EMPTY_WAIT_S = 5.0
"""How long to wait after an answer that brought nothing and says nothing about any pool."""


def lose_queued(change: Change, reason: str) -> None:
    """Give up every job that waits for a machine, and a box that does."""
    for name in change.run.queued:
        finish(change, name, JobStatus.LOST, reason)
    if change.run.spec.is_box:
        stop(change, reason, verdict=JobStatus.LOST)


def starve(change: Change, name: str) -> None:
    """Give up a job that waited for capacity for too long."""
    finish(change, name, JobStatus.LOST, _no_capacity(change.run))


def starve_box(change: Change) -> None:
    """Give up a box that waited for capacity for too long."""
    stop(change, _no_capacity(change.run), verdict=JobStatus.LOST)


def _no_capacity(run: Run) -> str:
    waited = short_duration(run.spec.capacity_timeout_s)
    codes = tried(run) or _open_codes(run)
    what = f"tried {codes}" if codes else "no pool is within max_price"
    return f"no capacity for {waited}; {what}"


def refuse_late(change: Change, instance: InstanceRecord) -> None:
    """A machine ended while it was starting, for a reason that would have refused its launch."""
    is_account = instance.end_reason is EndReason.ACCOUNT
    kind = RefusalKind.UNSUPPORTED if is_account else RefusalKind.NO_CAPACITY
    assert instance.end_reason is not None
    refusal = Refusal(kind=kind, code=instance.end_reason.value, pool=instance.pool)
    announce(change, change.run.requests.get(instance.request), instance.market, (refusal,))
    remember_refusal(change, instance.pool, instance.market, refusal)


def learn(change: Change, spec: LaunchSpec, event: ev.LaunchAnswered) -> None:
    """Remember what the refusals say, and wait a little where they say nothing."""
    has_learnt = bool(event.launched)
    for refusal in event.refusals:
        match refusal.kind:
            case RefusalKind.FATAL | RefusalKind.QUOTA | RefusalKind.UNREACHABLE if change.run.spec.regions:
                _leave(change, spec, refusal)
            case RefusalKind.FATAL:
                stop(change, describe(refusal), verdict=JobStatus.LOST)
            case RefusalKind.QUOTA:
                _quota(change, refusal)
            case RefusalKind.NO_CAPACITY | RefusalKind.PRICE | RefusalKind.UNSUPPORTED:
                _remember(change, spec, event, refusal)
            case _:  # not tried, throttled, expired: nothing about any pool
                continue
        has_learnt = True
    if not has_learnt:
        change.set(launch_after=change.now + timedelta(seconds=EMPTY_WAIT_S))


def _remember(change: Change, spec: LaunchSpec, event: ev.LaunchAnswered, refusal: Refusal) -> None:
    gave = {launched.pool for launched in event.launched}
    pools = (refusal.pool,) if refusal.pool else tuple(pool for pool in spec.pools if pool not in gave)
    for pool in pools:
        remember_refusal(change, pool, spec.market, refusal)


def _leave(change: Change, spec: LaunchSpec, refusal: Refusal) -> None:
    """Do without a region, for a while or for good; if nothing else may be asked, do as if it were the only one."""
    remember_region(change, spec.region, spec.market, refusal)
    if refusal.kind is RefusalKind.FATAL and not may_go_elsewhere(change.run, spec.region):
        stop(change, describe(refusal), verdict=JobStatus.LOST)
    elif refusal.kind is RefusalKind.QUOTA and not has_elsewhere(change.run, spec.region):
        _quota(change, refusal)


def _quota(change: Change, refusal: Refusal) -> None:
    change.set(quota=refusal, launch_after=change.now + timedelta(seconds=QUOTA_WAIT_S))
    if change.run.counted or change.run.kept:
        return
    change.set(quota_refusals=change.run.quota_refusals + 1)
    if change.run.quota_refusals >= QUOTA_REFUSALS:
        change.set(quota_refusals=0)
        lose_queued(change, describe(refusal))


def describe(refusal: Refusal) -> str:
    """Return a refusal as text for people, with the fix."""
    where = f" in {refusal.pool}" if refusal.pool else ""
    said = f": {refusal.message}" if refusal.message else ""
    return f"{refusal.code}{where}{said}" + (f" (fix: {refusal.fix})" if refusal.fix else "")


_NEXT = {
    RefusalKind.NO_CAPACITY: "trying other pools",
    RefusalKind.PRICE: "trying other pools",
    RefusalKind.UNSUPPORTED: "this pool is left out",
    RefusalKind.QUOTA: "jobs wait for machines that run, or for the quota",
    RefusalKind.THROTTLED: "trying again",
    RefusalKind.UNREACHABLE: "trying again",
    RefusalKind.AUTH_EXPIRED: "jobs go on; trying again when there are new ones",
    RefusalKind.FATAL: "stopping",
}


def announce(change: Change, request: LaunchRecord | None, market: Market, refusals: tuple[Refusal, ...]) -> None:
    """Tell of each code once for an answer, unless the last refusal there was the same."""
    by_code: dict[str, list[Refusal]] = {}
    for refusal in refusals:
        if refusal.kind is not RefusalKind.NOT_TRIED and not _is_told(change.run, request, market, refusal):
            by_code.setdefault(refusal.code, []).append(refusal)
    for code, alike in by_code.items():
        pools = ", ".join(str(refusal.pool) for refusal in alike if refusal.pool)
        more = f" and {len(alike) - 1} more pools" if len(alike) > 1 else ""
        change.announce(
            nw.LaunchRefused(
                time=change.now,
                fleet=change.run.spec.name,
                message=f"{describe(alike[0])}{more}; {_next(change.run, request, alike[0])}",
                code=code,
                pool=pools,
            )
        )


def _next(run: Run, request: LaunchRecord | None, refusal: Refusal) -> str:
    """Return what is done about a refusal, as text for people."""
    region = request.spec.region if request is not None else ""
    if refusal.kind is RefusalKind.FATAL and may_go_elsewhere(run, region):
        return f"{region} is left out"
    if refusal.kind in (RefusalKind.QUOTA, RefusalKind.UNREACHABLE) and has_elsewhere(run, region):
        return f"trying other regions than {region}"
    return _NEXT[refusal.kind]


def _is_told(run: Run, request: LaunchRecord | None, market: Market, refusal: Refusal) -> bool:
    if refusal.pool is not None:
        memory = memory_of(run, market).get(refusal.pool)
        return memory is not None and memory.last_code == refusal.code
    is_repeat = request is not None and any(old.code == refusal.code for old in request.refusals)
    return is_repeat or (run.quota is not None and run.quota.code == refusal.code)


def _open_codes(run: Run) -> str:
    return ", ".join(refusal.code for name in run.asked for refusal in run.requests[name].refusals)
