"""Which of several regions a run may use: each is looked at; one that refuses or is silent is left out, and said."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import anyio
import attrs

from aspot.aws.site import Site, each
from aspot.aws.together import together
from aspot.errors import AspotError, AuthError, CloudError, ConfigError, QuotaError
from aspot.machine.money import on_demand_key
from aspot.machine.pool import region_of
from aspot.ports import CloudPlan, Prepared

LOOK_S = 60.0
"""How long a region may take to say what there is."""
QUOTAS = "https://console.aws.amazon.com/servicequotas/home/services/ec2/quotas"

CLOSED = frozenset({"AuthFailure", "InvalidClientTokenId", "UnrecognizedClientException", "OptInRequired"})
"""How AWS refuses good credentials in a region that the account has not enabled."""

Sites = Mapping[str, Site]
Found = dict[str, Prepared | AspotError]


def share(plan: CloudPlan, region: str) -> CloudPlan:
    """Return a plan with the zones of one region alone."""
    return attrs.evolve(plan, zones=tuple(zone for zone in plan.zones if region_of(zone) == region))


async def prepared(plan: CloudPlan, sites: Sites) -> Prepared:
    """Look at every region side by side, and open those that can be used; make ready those that the run has used.

    Raises:
        AspotError: If none can be used, or one cannot where the run has machines.
    """
    bound = await _bound(plan, sites)
    if bound:
        return await _prepared_in(bound, plan, sites)
    looks = await together(*(partial(_looked_at, site, share(plan, region)) for region, site in sites.items()))
    found: Found = dict(zip(sites, looks, strict=True))
    if not plan.is_again:
        found = await _with_room(plan, sites, found)
    _refuse_unusable(sites, found)
    ready = {region: one for region, one in found.items() if isinstance(one, Prepared)}
    for region, one in ready.items():
        sites[region].open(one)
    left_out = {region: one for region, one in found.items() if isinstance(one, AspotError)}
    return merged(ready, notes=tuple(_left_out(region, error) for region, error in left_out.items()))


async def adopted(plan: CloudPlan, sites: Sites) -> Prepared:
    """Find what a run made whose journal is lost, in each region that its plan names zones of.

    Raises:
        AspotError: If one cannot be asked.
    """
    parts = {region: share(plan, region) for region in sites}
    parts = {region: part for region, part in parts.items() if part.zones}
    found = await together(*(partial(sites[region].cloud.prepare, part) for region, part in parts.items()))
    ready: dict[str, Prepared] = dict(zip(parts, found, strict=True))
    for region, one in ready.items():
        sites[region].open(one)
        sites[region].is_used = True
    return merged(ready)


def merged(ready: Mapping[str, Prepared], notes: tuple[str, ...] = ()) -> Prepared:
    """Return what was found in several regions as one."""
    return Prepared(
        pools=tuple(pool for one in ready.values() for pool in one.pools),
        spot_usd_per_hour={pool: usd for one in ready.values() for pool, usd in one.spot_usd_per_hour.items()},
        on_demand_usd_per_hour={
            on_demand_key(kind, region): usd
            for region, one in ready.items()
            for kind, usd in one.on_demand_usd_per_hour.items()
        },
        user=next(one.user for one in ready.values()),
        notes=(*notes, *dict.fromkeys(note for one in ready.values() for note in one.notes)),
    )


async def _looked_at(site: Site, plan: CloudPlan) -> Prepared | AspotError:
    """Return what launches need there, or why that is not to be had."""
    try:
        with anyio.fail_after(None if site.is_needed else LOOK_S):
            act = site.cloud.prepare if site.is_used else site.cloud.look_around
            return await act(attrs.evolve(plan, count=0))
    except AspotError as error:
        return error
    except TimeoutError:
        return CloudError(f"it did not answer within {LOOK_S:.0f} s", fix="aspot doctor says more")


async def _with_room(plan: CloudPlan, sites: Sites, found: Found) -> Found:
    """Return what was found, without the regions whose limits have no room for a machine.

    Raises:
        QuotaError: If all of them together have too little.
    """
    usable = [region for region, one in found.items() if isinstance(one, Prepared)]
    rooms = await together(*(sites[region].cloud.quota_room for region in usable))
    total = sum(rooms)
    if usable and total < plan.count:
        there = " and ".join(f"{room:.0f} in {region}" for region, room in zip(usable, rooms, strict=True))
        fewer = f"--instances {total:.0f}, or " if total else ""
        raise QuotaError(
            f"{plan.count} × {' or '.join(plan.types[:2])} are wanted; your vCPU quotas have room for {there}",
            fix=f"{fewer}request more: {QUOTAS}",
        )
    full = [region for region, room in zip(usable, rooms, strict=True) if not room]
    return found | {region: QuotaError("your vCPU quotas there have room for none of the types") for region in full}


def _refuse_unusable(sites: Sites, found: Found) -> None:
    """Refuse a run that can use no region, or one that has machines where they cannot be looked after now."""
    failed = {region: one for region, one in found.items() if isinstance(one, AspotError)}
    fatal = [region for region in failed if sites[region].is_needed or len(failed) == len(found)]
    if not fatal:
        return
    error = failed[fatal[0]]
    for region, other in failed.items():
        if other.message != error.message:
            error.add_note(f"{region}: {other.message}")
    raise error


def _left_out(region: str, error: AspotError) -> str:
    """Return that a region is left out, for people; credentials that others take are not at fault."""
    is_closed = isinstance(error, AuthError) and error.code in CLOSED
    fix = f"if the account has not enabled it: aws account enable-region --region-name {region}"
    return f"{region} is left out: {error.message}" + (f" ({fix if is_closed else error.fix})" if error.fix else "")


# --- where machines mount something ---


async def _bound(plan: CloudPlan, sites: Sites) -> str:
    """Return the one region where there is what machines are to mount; "" if they mount nothing.

    Raises:
        ConfigError: If there is none, or several.
    """
    if plan.filesystem is None and not plan.volumes:
        return ""
    held = await each(sites.values(), lambda site: site.cloud.holdings(plan))
    found = {site.region: what for site, what in held.results.items() if what}
    if len(found) == 1:
        return next(iter(found))
    held.raise_first()
    if found:
        where = ", ".join(f"{' and '.join(what)} in {region}" for region, what in found.items())
        raise ConfigError(
            f"machines mount what is in their own region, and there is {where}", fix="say which region: --region REGION"
        )
    raise ConfigError(
        f"what machines are to mount is in none of {', '.join(sites)}, and could be made in each",
        fix="say which region: --region REGION",
    )


async def _prepared_in(region: str, plan: CloudPlan, sites: Sites) -> Prepared:
    """Make the one region ready that a run is bound to."""
    ready = await sites[region].cloud.prepare(share(plan, region))
    sites[region].open(ready)
    sites[region].is_used = True
    others = ", ".join(other for other in sites if other != region)
    return merged({region: ready}, notes=(f"only {region} is used, not {others}: what machines mount is there",))
