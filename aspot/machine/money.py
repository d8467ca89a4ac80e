"""What a run costs, and what it may cost.

Sources (AWS.md 7, read 2026-11-23): EC2 bills spot and on-demand Linux per second, at least 60 s per start, from
running until shutting-down; when EC2 itself takes a spot instance back within its first hour, its compute is free;
volumes and addresses are charged regardless.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from aspot.machine.change import Change
from aspot.machine.model import EndReason, InstanceRecord, InstanceState, LaunchRecord, Run
from aspot.machine.pool import Market, Pool

MINIMUM_S = 60.0
"""EC2 bills at least this much of each start (AWS.md 7)."""

FREE_S = 3600.0
"""Compute of a spot instance that EC2 interrupts within this time is free (AWS.md 7)."""

DISK_USD_PER_GB_MONTH = 0.08
"""EBS gp3 in us-east-1 (aws.amazon.com/ebs/pricing; the same within a fifth elsewhere)."""

ADDRESS_USD_PER_HOUR = 0.005
"""A public IPv4 address in use (aws.amazon.com/vpc/pricing, since 2024-02)."""

HOURS_PER_MONTH = 730.0

ROUNDING_USD = 1e-9

DRAIN_S = 90.0
"""How long it may take from "the budget is reached" until every machine has stopped billing."""


def price_of(run: Run, pool: Pool, market: Market) -> float:
    """Return the newest known price in US dollars an hour; 0 where none is known."""
    on_demand = on_demand_price(run, pool) or 0.0
    return run.spot_usd_per_hour.get(pool, on_demand) if market is Market.SPOT else on_demand


def on_demand_price(run: Run, pool: Pool) -> float | None:
    """Return what a pool's type costs on demand there, in US dollars an hour; None where that is not known."""
    key = on_demand_key(pool.type, pool.region) if run.spec.regions else pool.type
    return run.on_demand_usd_per_hour.get(key)


def on_demand_key(kind: str, region: str) -> str:
    """Return under which word the on-demand price of an instance type stands in a run of several regions."""
    return f"{kind} {region}"


def extras_per_hour(run: Run) -> float:
    """Return what one machine's volume and address cost, in US dollars an hour."""
    return run.spec.disk_gb * DISK_USD_PER_GB_MONTH / HOURS_PER_MONTH + ADDRESS_USD_PER_HOUR


def instance_cost(run: Run, instance: InstanceRecord) -> float:
    """Return what the instance cost until now, in US dollars; the first minute is due as soon as it runs."""
    if instance.running is None or instance.priced_at is None:
        return 0.0
    end = instance.ending or run.now
    compute = instance.cost_usd + _hours(instance.priced_at, end) * instance.price_usd_per_hour
    unused_hours = max(0.0, MINIMUM_S / 3600 - _hours(instance.running, end))
    compute += unused_hours * instance.price_usd_per_hour
    return compute + _hours(instance.running, end) * extras_per_hour(run) - instance.refund_usd


def cost_now(run: Run) -> float:
    """Return what the run cost until now, in US dollars: compute, volumes and addresses."""
    return sum(instance_cost(run, instance) for instance in run.instances.values())


def cost_per_hour(run: Run) -> float:
    """Return what the machines that are billed now cost, in US dollars an hour."""
    return sum(instance_rate(run, run.instances[name]) for name in run.live if _is_billed(run.instances[name]))


def on_demand_cost(run: Run) -> float | None:
    """Return what the same machine time would have cost on demand; None where a price is not known."""
    total = 0.0
    for instance in run.instances.values():
        price = on_demand_price(run, instance.pool)
        if price is None:
            return None
        hours = _billed_hours(run, instance)
        total += max(hours, MINIMUM_S / 3600 if hours else 0.0) * price + hours * extras_per_hour(run)
    return total


def reserve(run: Run) -> float:
    """Return what bringing all home may still cost.

    That is `DRAIN_S` of each machine, a first minute if it has not begun, and its whole time if it is kept for a look.
    """
    alive = sum(_reserve_of(run, run.instances[name]) for name in run.live if run.instances[name].ending is None)
    return alive + sum(_asked_reserve(run, run.requests[name]) for name in run.asked)


def launch_reserve(run: Run, price_usd_per_hour: float) -> float:
    """Return what one more machine at this price is bound to cost at least, in US dollars."""
    return (price_usd_per_hour + extras_per_hour(run)) * (MINIMUM_S + DRAIN_S) / 3600


def budget_left(run: Run) -> float | None:
    """Return the US dollars that are neither spent nor reserved; None without a budget."""
    if run.spec.budget_usd is None:
        return None
    return run.spec.budget_usd - cost_now(run) - reserve(run)


def budget_bound(run: Run) -> datetime | None:
    """Return a time before which the budget cannot be reached, if no machine is added and no price moves.

    What a kept machine costs was set aside when it was kept.
    """
    left = budget_left(run)
    if left is None:
        return None
    alive = (run.instances[name] for name in run.live if run.instances[name].ending is None)
    rate = sum(instance_rate(run, instance) for instance in alive if instance.state is not InstanceState.KEPT)
    return run.now + timedelta(hours=min(max(0.0, left) / rate, 1e6)) if rate else None


def instance_rate(run: Run, instance: InstanceRecord) -> float:
    """Return what the instance costs while it runs, in US dollars an hour."""
    return instance.price_usd_per_hour + extras_per_hour(run)


def kept_cost(run: Run, instance: InstanceRecord) -> float:
    """Return what a machine that is kept for a look costs from now until it ends itself, in US dollars."""
    assert instance.keep is not None
    return instance_rate(run, instance) * _hours(run.now, instance.keep.until)


def start_billing(change: Change, name: str) -> None:
    """Note that EC2 bills from now on."""
    instance = change.run.instances[name]
    if instance.running is None and instance.ending is None:
        change.instance(name, running=change.now, priced_at=change.now)


def reprice(change: Change) -> None:
    """Settle each live machine whose price moved: seconds so far at the old price, later ones at the new."""
    for name in change.run.live:
        instance = change.run.instances[name]
        price = price_of(change.run, instance.pool, instance.market)
        if price != instance.price_usd_per_hour and instance.ending is None:
            _settle(change, instance, price)
    change.is_budget_due = True


def stop_billing(change: Change, name: str, reason: EndReason) -> None:
    """Note that EC2 bills no more, and what it does not charge."""
    ending = change.run.instances[name].ending or change.now
    instance = change.instance(name, ending=ending)
    is_taken = instance.market is Market.SPOT and reason is EndReason.INTERRUPTED and not instance.refund_usd
    if instance.running is None or not is_taken or _hours(instance.running, ending) * 3600 >= FREE_S:
        return
    extras = _hours(instance.running, ending) * extras_per_hour(change.run)
    change.instance(name, refund_usd=instance_cost(change.run, instance) - extras)


def attribute(change: Change, name: str) -> float:
    """Return what the instance cost since the last attempt on it ended (or its launch), and count it as borne."""
    instance = change.run.instances[name]
    cost = instance_cost(change.run, instance) + instance.refund_usd
    change.instance(name, attributed_usd=cost)
    return cost - instance.attributed_usd


def charged_share(run: Run, instance: InstanceRecord) -> float:
    """Return which part of the instance's cost AWS charges in the end: less than 1 after a free first hour."""
    charged = instance_cost(run, instance)
    return charged / (charged + instance.refund_usd) if instance.refund_usd else 1.0


def _settle(change: Change, instance: InstanceRecord, price: float) -> None:
    if instance.priced_at is None:
        change.instance(instance.id, price_usd_per_hour=price)
        return
    spent = instance.cost_usd + _hours(instance.priced_at, change.now) * instance.price_usd_per_hour
    change.instance(instance.id, cost_usd=spent, priced_at=change.now, price_usd_per_hour=price)


def _is_billed(instance: InstanceRecord) -> bool:
    return instance.running is not None and instance.ending is None and instance.state is not InstanceState.TERMINATED


def _reserve_of(run: Run, instance: InstanceRecord) -> float:
    seconds = DRAIN_S + (MINIMUM_S if instance.running is None else 0.0)
    kept = kept_cost(run, instance) if instance.state is InstanceState.KEPT else 0.0
    return instance_rate(run, instance) * seconds / 3600 + kept


def _asked_reserve(run: Run, request: LaunchRecord) -> float:
    """Return what the machines of an unanswered request are bound to cost, all at the dearest of its pools."""
    spec = request.spec
    dearest = max(price_of(run, pool, spec.market) for pool in spec.pools)
    return max(0, spec.count - len(request.instances)) * launch_reserve(run, dearest)


def _billed_hours(run: Run, instance: InstanceRecord) -> float:
    return 0.0 if instance.running is None else _hours(instance.running, instance.ending or run.now)


def _hours(start: datetime, end: datetime) -> float:
    return max(0.0, (end - start).total_seconds() / 3600)
