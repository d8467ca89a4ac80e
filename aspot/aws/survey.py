"""What launches in one region would stand on: checked side by side before anything is made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from aspot.aws import belongings, cleanup, images, network, pools
from aspot.aws.clients import Aws
from aspot.aws.codes import Cause
from aspot.aws.errors import Trouble
from aspot.aws.images import Image
from aspot.aws.network import Place
from aspot.aws.together import together
from aspot.machine.pool import Pool
from aspot.ports import CloudPlan, Prepared, Storage
from aspot.profiles.firewall import Rule


@attrs.frozen(kw_only=True)
class Survey:
    """What was found.

    Args:
        plan: What the run wants.
        kinds: Its types that the region has, by name.
        place: Where machines go.
        pools: Those that it may use.
        spot: Spot prices in US dollars an hour.
        on_demand: The same on demand, by type.
        image: What machines are made from.
        allowed: What may come in.
    """

    plan: CloudPlan
    kinds: Mapping[str, pools.Kind]
    place: Place
    pools: tuple[Pool, ...]
    spot: Mapping[Pool, float]
    on_demand: Mapping[str, float]
    image: Image
    allowed: tuple[Rule, ...]

    @property
    def archs(self) -> dict[str, str]:
        """Return each type's architecture."""
        return {name: kind.arch for name, kind in self.kinds.items()}

    @property
    def prepared(self) -> Prepared:
        """Return what the runtime is to know of it."""
        return Prepared(
            pools=self.pools,
            spot_usd_per_hour={pool: self.spot[pool] for pool in self.pools if pool in self.spot},
            on_demand_usd_per_hour=self.on_demand,
            user=self.image.user,
            notes=network.warnings(self.plan),
        )


async def survey(aws: Aws, plan: CloudPlan, storage: Storage | None) -> Survey:
    """Check all that launches of this plan need; nothing is made.

    Raises:
        AspotError, Trouble: If something is not to be had.
    """
    kinds, offers, place, spot, on_demand = await _market(aws, plan.types, plan.security_group)
    zones = await _zones_of_storage(plan, storage, place, pools.cheapest_first(offers, spot))
    chosen = pools.choose(kinds, offers=offers, zones=place.subnets, wanted=zones, region=aws.region)
    archs = {kind.arch for kind in kinds.values()}
    image, allowed, *_ = await together(
        partial(images.find, aws, plan.image, archs=archs, disk_gb=plan.run.disk_gb, user=plan.user),
        partial(_rules, aws, plan),
        partial(_check_quotas, aws, plan, kinds.values()),
        partial(belongings.check_key_pair, aws, plan.key_pair),
        partial(belongings.check_instance_profile, aws, plan.instance_profile),
    )
    return Survey(
        plan=plan,
        kinds=kinds,
        place=place,
        pools=chosen,
        spot=spot,
        on_demand=on_demand,
        image=image,
        allowed=allowed,
    )


async def _market(aws: Aws, types: Sequence[str], group: str) -> list[Any]:
    """Return types, offers, place, spot prices and on-demand prices, asked for side by side."""
    try:
        return await together(
            partial(pools.kinds, aws, types),
            partial(pools.offered, aws, types),
            partial(network.place, aws, group),
            partial(pools.spot_prices, aws, types),
            partial(pools.on_demand_prices, aws, types),
        )
    except Trouble as trouble:
        if trouble.cause is Cause.REQUEST:
            known = await pools.kinds(aws, types)  # says which type there is not, whichever call was refused first
            if len(known) < len(set(types)):
                return await _market(aws, tuple(known), group)  # the region lacks some
        raise


async def _zones_of_storage(
    plan: CloudPlan, storage: Storage | None, place: Place, preferred: Sequence[str]
) -> tuple[str, ...]:
    """Return the zones that machines may be in: those of the plan, fewer where what they mount is bound to some."""
    if storage is None:
        return plan.zones
    usable = tuple(zone for zone in preferred if zone in place.subnets and (not plan.zones or zone in plan.zones))
    return await storage.zones(usable) if usable else plan.zones


async def _rules(aws: Aws, plan: CloudPlan) -> tuple[Rule, ...]:
    return () if plan.security_group else await network.rules(aws, plan.firewall)


def _wanted(plan: CloudPlan) -> Iterable[tuple[int, bool]]:
    """Yield how many machines are wanted at first, and whether on spot: `spot-first` hopes for that."""
    on_demand = plan.count if plan.run.market == "on-demand" else min(plan.count, plan.run.on_demand_base)
    for count, is_spot in ((plan.count - on_demand, True), (on_demand, False)):
        if count:
            yield count, is_spot


async def _check_quotas(aws: Aws, plan: CloudPlan, kinds: Iterable[pools.Kind]) -> None:
    """Refuse what the account's limits cannot hold."""
    fewer = "launch {} at most" if plan.run.is_box else "--instances {}"
    for count, is_spot in _wanted(plan):
        await pools.check_quota(aws, kinds, count=count, is_spot=is_spot, fewer=fewer)


async def adopt(aws: Aws, plan: CloudPlan) -> tuple[Prepared, cleanup.Made]:
    """Find what a run made whose journal is lost, and let the caller in; nothing is made.

    Raises:
        AspotError, Trouble: If it cannot be found out.
    """
    run = plan.run.id
    kinds, spot, on_demand, allowed, found = await together(
        partial(pools.kinds, aws, plan.types),
        partial(pools.spot_prices, aws, plan.types),
        partial(pools.on_demand_prices, aws, plan.types),
        partial(network.rules, aws, plan.firewall),
        partial(cleanup.of_run, aws, run, ("security-group", "launch-template")),
    )
    groups = await cleanup.there(aws, run, "security-group") if found else []
    for group in groups:
        await network.authorize(aws, group, allowed, is_callers=network.asks_address(plan.firewall))
    made = cleanup.Made(run=run, is_walled=bool(groups))
    made.groups |= set(groups)
    made.templates |= {one for one, kind in found if kind == "launch-template"}
    mine = tuple(Pool(kind, zone) for kind in kinds for zone in plan.zones)
    prepared = Prepared(
        pools=mine,
        spot_usd_per_hour={pool: spot[pool] for pool in mine if pool in spot},
        on_demand_usd_per_hour=on_demand,
        user=plan.user or await images.login_user(aws, plan.image),
    )
    return prepared, made
