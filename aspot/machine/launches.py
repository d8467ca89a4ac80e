"""Launch requests: when one is sent, what its answer means, and when it is repeated."""

from __future__ import annotations

import zlib
from datetime import timedelta

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.change import Change
from aspot.machine.demand import Census, census
from aspot.machine.model import (
    InstanceRecord,
    InstanceState,
    LaunchRecord,
    LaunchSpec,
    LaunchState,
    Run,
)
from aspot.machine.money import budget_left, launch_reserve, price_of
from aspot.machine.moves import end_instance
from aspot.machine.placement import choose, has_elsewhere, is_hopeless, lacks_on_demand, remember_success, tried
from aspot.machine.pool import Market, Pool, RefusalKind
from aspot.machine.quantities import price
from aspot.machine.refusals import announce, learn, lose_queued
from aspot.machine.stopping import exhaust

IN_DOUBT_WAITS_S = (2.0, 5.0, 10.0, 20.0)
"""How long after each lost answer the same request is sent again."""

GIVEN_UP = len(IN_DOUBT_WAITS_S) + 1
"""So many lost answers, and the same request is not sent again."""

SETTLE_S = 30.0
"""How long instances of a request that nobody repeats may take to show up."""

BACKOFF_MOST_S = 60.0
AUTH_WAIT_S = 15.0
UNUSABLE_MOST = 3
"""So many machines in a row that never became ready, and nothing else of ours works: the set-up is at fault."""

_SAYS_NOTHING = {
    RefusalKind.THROTTLED,
    RefusalKind.UNREACHABLE,
    RefusalKind.AUTH_EXPIRED,
    RefusalKind.FATAL,
    RefusalKind.QUOTA,
}
"""Refusals of the call itself: they tell nothing of what an earlier try of the same request brought. That shows up by
itself; until then, or until it cannot any more, nothing is asked for in its place, in no other region either."""

_OF_USE = (InstanceState.SSH_READY, InstanceState.JOB)


def ask(change: Change, seen: Census) -> None:
    """Send one request for what is lacking, if anything may be asked for now."""
    market, pools = choose(change.run) if seen.unmet else (Market.SPOT, ())
    room = min(seen.unmet, seen.pending + _affordable(change.run, seen, market, pools)) if seen.unmet else 0
    _mark_starved(change, seen, room)
    if seen.unmet and not room and len(change.run.live) == len(change.run.kept):
        exhaust(change)
    elif room > seen.pending and not _is_setup_broken(change, seen) and not is_blocked(change.run):
        count = room - seen.pending
        is_base = market is Market.ON_DEMAND and change.run.spec.market != "on-demand" and lacks_on_demand(change.run)
        _send(change, market, pools, min(count, lacks_on_demand(change.run)) if is_base else count)
        if is_base and pools:
            ask(change, census(change.run))  # the rest on the other market


def is_blocked(run: Run) -> bool:
    """Tell whether the run as a whole has to wait before it asks again."""
    return run.launch_after is not None and run.launch_after > run.now


def answered(change: Change, event: ev.LaunchAnswered) -> None:
    """Take in AWS's answer."""
    request = change.run.requests[event.request]
    for launched in event.launched:
        adopt(change, launched.instance, event.request, launched.pool, launched.market)
    if request.state is LaunchState.ANSWERED:
        return
    kinds = {refusal.kind for refusal in event.refusals}
    announce(change, request, request.spec.market, event.refusals)
    if not event.launched and kinds & _later(change.run, request.spec) and _is_wanted(change.run):
        _retry_later(change, event, is_auth=RefusalKind.AUTH_EXPIRED in kinds)
        return
    if request.state is LaunchState.IN_DOUBT and not event.launched and kinds & _SAYS_NOTHING:
        change.request(event.request, lost=GIVEN_UP, retry_at=change.now, refusals=event.refusals)
    else:
        change.request(event.request, state=LaunchState.ANSWERED, retry_at=None, refusals=event.refusals)
    learn(change, request.spec, event)
    change.plan()


def _later(run: Run, spec: LaunchSpec) -> set[RefusalKind]:
    """Return the refusals after which the same request is sent again: not to a silent region if others may be asked."""
    later = {RefusalKind.THROTTLED, RefusalKind.AUTH_EXPIRED}
    return later if has_elsewhere(run, spec.region) else later | {RefusalKind.UNREACHABLE}


def in_doubt(change: Change, event: ev.LaunchInDoubt) -> None:
    """The answer was lost: the same request again, with the same token, until one comes."""
    request = change.run.requests[event.request]
    if request.state is not LaunchState.ANSWERED:
        waits = dict(enumerate(IN_DOUBT_WAITS_S, start=1))
        lost = request.lost + 1
        retry_at = change.now + timedelta(seconds=waits.get(lost, SETTLE_S))
        change.request(event.request, state=LaunchState.IN_DOUBT, lost=lost, retry_at=retry_at)


def repeat(change: Change, name: str) -> None:
    """Send a request again; or, if nobody needs it any more, let it rest once nothing more of it can show up."""
    request = change.run.requests[name]
    settled = request.sent + timedelta(seconds=SETTLE_S)
    is_in_doubt = request.state is LaunchState.IN_DOUBT
    is_given_up = is_in_doubt and request.lost >= GIVEN_UP
    if not is_given_up and _is_wanted(change.run):
        change.request(name, tries=request.tries + 1, retry_at=None, sent=change.now)
        change.emit(ef.Launch(spec=request.spec))
    elif is_in_doubt and change.now < settled:
        change.request(name, retry_at=settled)
    else:
        change.request(name, state=LaunchState.ANSWERED, retry_at=None)
        change.plan()


def adopt(change: Change, instance: str, request: str, pool: Pool, market: Market) -> None:
    """Take an instance into the run; harmless if it is known."""
    if instance in change.run.instances:
        return
    number = len(change.run.instances) + 1
    usd = price_of(change.run, pool, market)
    record = InstanceRecord(
        id=instance,
        label=change.run.spec.name if change.run.spec.is_box else f"{change.run.spec.name}_{number}",
        request=request,
        pool=pool,
        market=market,
        requested=change.now,
        price_usd_per_hour=usd,
        story=(f"{change.now:%H:%M:%S} launched by {request or 'someone'}",),
    )
    change.add_instance(record)
    if request in change.run.requests:
        _count_in(change, request, instance)
    remember_success(change, pool, market)
    change.set(quota=None, quota_refusals=0)
    change.announce(
        nw.InstanceLaunched(
            time=change.now,
            fleet=change.run.spec.name,
            instance=record.label,
            message=f"{record.label}: {pool} launched, {market.value} at {price(usd)}/h",
            instance_id=instance,
            type=pool.type,
            zone=pool.zone,
            price_usd_per_hour=usd,
        )
    )
    if change.run.stop is not None:
        end_instance(change, instance, change.run.stop.reason)
    change.plan()


def _count_in(change: Change, request: str, instance: str) -> None:
    record = change.request(request, instances=(*change.run.requests[request].instances, instance))
    if record.state is LaunchState.IN_DOUBT and len(record.instances) >= record.spec.count:
        change.request(request, state=LaunchState.ANSWERED, retry_at=None)


def _send(change: Change, market: Market, pools: tuple[Pool, ...], count: int) -> None:
    if pools:
        spec = LaunchSpec(id=f"r{len(change.run.requests) + 1}", count=count, pools=pools, market=market)
        change.add_request(LaunchRecord(spec=spec, sent=change.now))
        change.emit(ef.Launch(spec=spec))
    elif is_hopeless(change.run):
        lose_queued(change, f"no pool can be used: {tried(change.run) or 'EC2 offers none of the types here'}")


def _affordable(run: Run, seen: Census, market: Market, pools: tuple[Pool, ...]) -> int:
    """Return for how many more machines the budget has the first minute and the way home, at the dearest price."""
    left = budget_left(run)
    if left is None:
        return seen.unmet
    each = launch_reserve(run, max((price_of(run, pool, market) for pool in pools or run.pools), default=0.0))
    return int(max(0.0, left) / each)


def _is_wanted(run: Run) -> bool:
    return run.stop is None and census(run).unmet > 0


def _is_setup_broken(change: Change, seen: Census) -> bool:
    """Tell whether to hold back because machine after machine is of no use; give up when nothing else is left."""
    if change.run.unusable < UNUSABLE_MOST:
        return False
    if seen.starting:
        return True
    if any(change.run.instances[name].state in _OF_USE for name in change.run.live):
        return False
    why = change.run.unusable_why
    lose_queued(change, f"{change.run.unusable} machines in a row never became ready; the last one: {why}")
    change.set(unusable=0, unusable_why="")
    return True


def _mark_starved(change: Change, seen: Census, room: int) -> None:
    """Start the clock of the jobs that nothing was launched for, and stop the others'."""
    run = change.run
    if (run.bare_since is not None) != bool(room and not seen.counted):
        change.set(bare_since=change.now if run.bare_since is None else None)
    covered = len(seen.idle) + len(seen.starting)
    has_to_queue = run.quota is not None and (seen.counted > 0 or bool(run.kept))
    names = () if has_to_queue else run.queued[covered : covered + room]
    if names == run.starved:
        return
    now_starved = set(names)
    for name in run.starved:
        if name not in now_starved:
            change.job(name, waiting_since=None)
    for name in now_starved.difference(run.starved):
        since = max(run.jobs[name].submitted, change.run.bare_since or change.now)
        change.job(name, waiting_since=since)
        change.look(since + timedelta(seconds=run.spec.capacity_timeout_s))
    change.set(starved=names)


def _retry_later(change: Change, event: ev.LaunchAnswered, *, is_auth: bool) -> None:
    tries = change.run.requests[event.request].tries
    most_s = min(BACKOFF_MOST_S, 2.0 ** min(tries, 10))
    jitter = zlib.crc32(f"{change.run.spec.id} {event.request} {tries}".encode()) / 2**32
    wait_s = AUTH_WAIT_S if is_auth else most_s * (0.5 + jitter / 2)
    change.request(event.request, retry_at=change.now + timedelta(seconds=wait_s), refusals=event.refusals)
