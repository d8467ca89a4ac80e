"""Which pools may be asked next, by what happened in them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

import attrs

from aspot.machine.change import Change, counts, is_advised
from aspot.machine.model import EndReason, InstanceState, PoolMemory, Run
from aspot.machine.money import price_of
from aspot.machine.pool import Market, Pool, Refusal, RefusalKind

REFUSED_S = 60.0
"""How long a pool without capacity is avoided at first; doubles with each refusal in a row."""

REFUSED_MOST_S = 600.0
PRICE_S = 300.0
QUOTA_S = 30.0
"""How long a region whose quota is used up is left alone, where another may be asked."""

UNUSABLE_S = 300.0
INTERRUPTED_S = 900.0
"""How long a pool that took a machine back is avoided: interruptions come in groups (DESIGN 8)."""

_NOTHING = PoolMemory()


def choose(run: Run) -> tuple[Market, tuple[Pool, ...]]:
    """Return how to buy now and where, best pools first; no pools when all have to be waited for.

    A launch call asks one region: of several, that of the best pool.
    """
    market, pools = _choose(run)
    return market, tuple(pool for pool in pools if pool.region == pools[0].region) if run.spec.regions else pools


def _choose(run: Run) -> tuple[Market, tuple[Pool, ...]]:
    if run.spec.market == "on-demand" or (lacks_on_demand(run) and _usable(run, Market.ON_DEMAND)):
        return Market.ON_DEMAND, _usable(run, Market.ON_DEMAND)
    pools = _usable(run, Market.SPOT)
    if pools:
        return Market.SPOT, pools
    if run.spec.market == "spot-first":
        pools = _usable(run, Market.ON_DEMAND)
        if pools:
            return Market.ON_DEMAND, pools
    return Market.SPOT, _last_resort(run)


def lacks_on_demand(run: Run) -> int:
    """Return how many more machines are to be bought on demand, because the user wants so many to be."""
    if not run.spec.on_demand_base:
        return 0
    there = sum(run.instances[name].market is Market.ON_DEMAND and counts(run.instances[name]) for name in run.live)
    requests = (run.requests[name] for name in run.asked)
    asked = sum(max(0, r.spec.count - len(r.instances)) for r in requests if r.spec.market is Market.ON_DEMAND)
    return max(0, run.spec.on_demand_base - there - asked)


def next_chance(run: Run) -> datetime | None:
    """Return when the next pool may be asked again; None if only prices or ends of machines can change that."""
    memories = (memory for market in run.spec.markets for memory in memory_of(run, market).values())
    times = [time for memory in memories for time in _times(memory)]
    return min((time for time in times if time > run.now), default=None)


def is_hopeless(run: Run) -> bool:
    """Tell whether no pool will ever be used again in this run."""
    return all(memory_of(run, market).get(pool, _NOTHING).barred for market in run.spec.markets for pool in run.pools)


def tried(run: Run) -> str:
    """Return the pools that refused, with their codes, as text for people."""
    memories = [(pool, memory) for market in run.spec.markets for pool, memory in memory_of(run, market).items()]
    named = [f"{pool} ({memory.last_code})" for pool, memory in memories if memory.last_code]
    more = f" and {len(named) - 8} more" if len(named) > 8 else ""
    return ", ".join(named[:8]) + more


def memory_of(run: Run, market: Market) -> Mapping[Pool, PoolMemory]:
    """Return what is remembered of the pools of a market."""
    return run.memory if market is Market.SPOT else run.on_demand_memory


def remember_refusal(change: Change, pool: Pool, market: Market, refusal: Refusal) -> None:
    """Avoid a pool for a while, or for good, because it refused."""
    old = memory_of(change.run, market).get(pool, _NOTHING)
    refused = old.refused + 1
    match refusal.kind:
        case RefusalKind.NO_CAPACITY | RefusalKind.UNREACHABLE:
            until = change.now + timedelta(seconds=min(REFUSED_MOST_S, REFUSED_S * 2.0 ** min(refused - 1, 10)))
        case RefusalKind.PRICE:
            until = change.now + timedelta(seconds=PRICE_S)
        case RefusalKind.QUOTA:
            until = change.now + timedelta(seconds=QUOTA_S)
        case _:
            until = change.now
    barred = old.barred or refusal.kind in (RefusalKind.UNSUPPORTED, RefusalKind.FATAL)
    _put(
        change,
        pool,
        market,
        attrs.evolve(old, refused=refused, avoid_until=until, barred=barred, last_code=refusal.code),
    )


def remember_region(change: Change, region: str, market: Market, refusal: Refusal) -> None:
    """Avoid all of a region for a while, or for good, because it refused a request as a whole.

    What is fatal there is so for whatever is bought.
    """
    markets = change.run.spec.markets if refusal.kind is RefusalKind.FATAL else (market,)
    for pool in change.run.pools:
        for each in markets if pool.region == region else ():
            remember_refusal(change, pool, each, refusal)


def has_elsewhere(run: Run, region: str) -> bool:
    """Tell whether anything may be asked for now in another region than this one."""
    return bool(run.spec.regions) and any(
        pool.region != region for market in run.spec.markets for pool in _usable(run, market)
    )


def may_go_elsewhere(run: Run, region: str) -> bool:
    """Tell whether another region than this one may be asked in this run, now or later."""
    if not run.spec.regions:
        return False
    others = [pool for pool in run.pools if pool.region != region]
    return any(not memory_of(run, market).get(pool, _NOTHING).barred for market in run.spec.markets for pool in others)


def remember_success(change: Change, pool: Pool, market: Market) -> None:
    """Forget the refusals of a pool that gave a machine."""
    old = memory_of(change.run, market).get(pool)
    if old is not None and (old.refused or old.avoid_until is not None):
        _put(change, pool, market, attrs.evolve(old, refused=0, avoid_until=None, last_code=""))


def remember_unusable(change: Change, pool: Pool, market: Market) -> None:
    """Avoid a pool whose machine was of no use."""
    old = memory_of(change.run, market).get(pool, _NOTHING)
    until = change.now + timedelta(seconds=UNUSABLE_S)
    _put(change, pool, market, attrs.evolve(old, avoid_until=until, last_code="unusable"))


def remember_interruption(change: Change, pool: Pool) -> None:
    """Avoid a pool that takes a machine back."""
    old = change.run.memory.get(pool, _NOTHING)
    until = change.now + timedelta(seconds=INTERRUPTED_S)
    new = attrs.evolve(old, interrupted=old.interrupted + 1, interrupted_until=until, last_code="interrupted")
    _put(change, pool, Market.SPOT, new)


def _put(change: Change, pool: Pool, market: Market, memory: PoolMemory) -> None:
    change.own("memory" if market is Market.SPOT else "on_demand_memory")[pool] = memory


def _usable(run: Run, market: Market) -> tuple[Pool, ...]:
    memory, taken = memory_of(run, market), _being_taken(run) if market is Market.SPOT else frozenset()
    pools = (pool for pool in run.pools if pool not in taken and _is_rested(run, memory.get(pool, _NOTHING)))
    return _in_order(run, market, pools)


def _last_resort(run: Run) -> tuple[Pool, ...]:
    """Return spot pools avoided only because they interrupted, once the machine taken there is gone."""
    taken = _being_taken(run)
    pools = (pool for pool in run.pools if pool not in taken and _is_free(run, run.memory.get(pool, _NOTHING)))
    return _in_order(run, Market.SPOT, pools)


def _in_order(run: Run, market: Market, pools: Iterable[Pool]) -> tuple[Pool, ...]:
    memory, most = memory_of(run, market), run.spec.max_price_usd
    prices = {pool: price_of(run, pool, market) for pool in pools}
    allowed = [pool for pool, price in prices.items() if most is None or price <= most]
    return tuple(sorted(allowed, key=lambda pool: (_setbacks(memory.get(pool, _NOTHING)), prices[pool] or 1e9)))


def _being_taken(run: Run) -> frozenset[Pool]:
    instances = (run.instances[name] for name in run.live)
    return frozenset(
        instance.pool
        for instance in instances
        if instance.state is InstanceState.INTERRUPTED
        or (run.spec.moves_when_advised and is_advised(instance))
        or (
            instance.state is InstanceState.TERMINATING
            and (instance.notice or instance.end_reason is EndReason.INTERRUPTED)
        )
    )


def _is_free(run: Run, memory: PoolMemory) -> bool:
    return not memory.barred and (memory.avoid_until is None or memory.avoid_until <= run.now)


def _is_rested(run: Run, memory: PoolMemory) -> bool:
    is_calm = memory.interrupted_until is None or memory.interrupted_until <= run.now
    return is_calm and _is_free(run, memory)


def _setbacks(memory: PoolMemory) -> int:
    return memory.refused + memory.interrupted


def _times(memory: PoolMemory) -> tuple[datetime, ...]:
    if memory.barred:
        return ()
    return tuple(time for time in (memory.avoid_until, memory.interrupted_until) if time is not None)
