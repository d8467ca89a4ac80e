"""Which pools a run may use, what they cost, and whether the account's limits allow them."""

from __future__ import annotations

import json
import logging
import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Any

import anyio
import attrs

from aspot.aws.clients import Aws, named
from aspot.aws.errors import Trouble
from aspot.aws.together import together
from aspot.errors import ConfigError, QuotaError
from aspot.machine.pool import Pool
from aspot.profiles.builtin import KNOWN_TYPES

log = logging.getLogger(__name__)

BEST_EFFORT_S = 8.0
"""How long prices on demand and quotas are waited for: the run works without them."""
MOST_PRICE_CALLS = 10
PRICING_REGION = "us-east-1"
"""The price list answers in few regions; it knows the prices of all."""


@attrs.frozen(kw_only=True)
class Kind:
    """What an instance type is."""

    name: str
    arch: str
    vcpus: int


@attrs.frozen(kw_only=True)
class Quota:
    """A limit in vCPUs for a family of types (Service Quotas, service `ec2`)."""

    family: str
    spot: str
    on_demand: str


_STANDARD = Quota(family="standard types", spot="L-34B43A08", on_demand="L-1216C47A")
_GRAPHICS = Quota(family="G and VT", spot="L-3819A6DF", on_demand="L-DB2E81BA")
_QUOTAS: Mapping[str, Quota] = {
    **dict.fromkeys(("a", "c", "d", "h", "i", "m", "r", "t", "z", "im", "is"), _STANDARD),
    **dict.fromkeys(("g", "gr", "vt"), _GRAPHICS),
    "p": Quota(family="P", spot="L-7212CCBC", on_demand="L-417A185B"),
}
"""By the letters a type's name begins with; others are not checked beforehand."""


def quota_of(type_name: str) -> Quota | None:
    """Return the limit that an instance type counts against; None if we do not know it."""
    letters = re.match(r"[a-z]+", type_name)
    return _QUOTAS.get(letters[0]) if letters else None


async def kinds(aws: Aws, types: Iterable[str]) -> dict[str, Kind]:
    """Return what these types are, in the same order; those of today that the region lacks are left out.

    Raises:
        ConfigError: If the region has none of them, or one is not known anywhere.
    """
    wanted = list(dict.fromkeys(types))
    seen = await aws.pages(
        "ec2:DescribeInstanceTypes", "InstanceTypes", size=None, Filters=[named("instance-type", wanted)]
    )
    found = {item["InstanceType"]: kind_of(item) for item in seen}
    lacking = [name for name in wanted if name not in found]
    strange = [name for name in lacking if name not in KNOWN_TYPES] or (lacking if not found else [])
    if strange:
        raise ConfigError(
            f"there is no instance type {', '.join(strange)} in {aws.region}",
            fix="check the spelling, or use another region",
        )
    return {name: found[name] for name in wanted if name in found}


def kind_of(item: Mapping[str, Any]) -> Kind:
    """Return what an item of DescribeInstanceTypes says."""
    archs = item.get("ProcessorInfo", {}).get("SupportedArchitectures", ["x86_64"])
    arch = next((name for name in archs if name in ("x86_64", "arm64")), archs[0])
    return Kind(name=item["InstanceType"], arch=arch, vcpus=int(item.get("VCpuInfo", {}).get("DefaultVCpus", 1)))


async def offered(aws: Aws, types: Iterable[str]) -> set[Pool]:
    """Return every pool of these types that EC2 offers in the region."""
    seen = await aws.pages(
        "ec2:DescribeInstanceTypeOfferings",
        "InstanceTypeOfferings",
        LocationType="availability-zone",
        Filters=[named("instance-type", dict.fromkeys(types))],
    )
    return {Pool(item["InstanceType"], item["Location"]) for item in seen}


def choose(
    types: Iterable[str], *, offers: set[Pool], zones: Iterable[str], wanted: Iterable[str], region: str
) -> tuple[Pool, ...]:
    """Return the pools a run may use, types in order of preference.

    Args:
        types: The run's types.
        offers: What EC2 offers.
        zones: Zones with a subnet to launch into.
        wanted: Zones that the caller allows; empty for all.
        region: For messages.

    Raises:
        ConfigError: If none is left.
    """
    usable, allowed = sorted(zones), tuple(wanted)
    strange = sorted(set(allowed) - set(usable))
    if strange:
        raise ConfigError(
            f"no subnet to launch into in zone {', '.join(strange)}", fix=f"zones to be had: {', '.join(usable)}"
        )
    pools = tuple(Pool(kind, zone) for kind in types for zone in (allowed or usable) if Pool(kind, zone) in offers)
    if not pools:
        raise ConfigError(
            f"{', '.join(types)} is offered in none of {', '.join(allowed or usable)} ({region})",
            fix="add types or zones",
        )
    return pools


def cheapest_first(offers: Iterable[Pool], spot: Mapping[Pool, float]) -> list[str]:
    """Return the zones of these pools, the one with the cheapest first."""
    cheapest: dict[str, float] = {}
    for pool in offers:
        cheapest[pool.zone] = min(cheapest.get(pool.zone, math.inf), spot.get(pool, math.inf))
    return sorted(cheapest, key=lambda zone: (cheapest[zone], zone))


async def spot_prices(aws: Aws, types: Iterable[str] | None, *, tries: int = 4) -> dict[Pool, float]:
    """Return current spot prices in US dollars an hour: of these types, or all.

    Begin and end at this moment give exactly the price in force in each zone (EC2 API reference).
    """
    now = datetime.now(UTC)
    some: dict[str, Any] = {} if types is None else {"InstanceTypes": list(dict.fromkeys(types))}
    seen = await aws.pages(
        "ec2:DescribeSpotPriceHistory",
        "SpotPriceHistory",
        tries=tries,
        StartTime=now,
        EndTime=now,
        ProductDescriptions=["Linux/UNIX"],
        **some,
    )
    newest: dict[Pool, tuple[datetime, float]] = {}
    for item in seen:
        pool, price = Pool(item["InstanceType"], item["AvailabilityZone"]), float(item["SpotPrice"])
        newest[pool] = max(newest.get(pool, (item["Timestamp"], price)), (item["Timestamp"], price))
    return {pool: price for pool, (_, price) in newest.items()}


async def on_demand_prices(aws: Aws, types: Iterable[str]) -> dict[str, float]:
    """Return on-demand prices in US dollars an hour, as far as the list can be had: by one call, or one a type."""
    wanted = list(dict.fromkeys(types))
    found = await _listed(aws, "ANY_OF", ",".join(wanted))
    if not found and len(wanted) <= MOST_PRICE_CALLS:
        for some in await together(*(partial(_listed, aws, "TERM_MATCH", name) for name in wanted)):
            found |= some
    return found


def price_filters(region: str, more: Iterable[tuple[str, str]]) -> list[dict[str, str]]:
    """Return the price list's filters for Linux on demand in a region.

    Args:
        region: Whose prices.
        more: How instance types are to match, and what: none for all.
    """
    terms = {
        "regionCode": region,
        "operatingSystem": "Linux",
        "tenancy": "Shared",
        "capacitystatus": "Used",
        "preInstalledSw": "NA",
        "licenseModel": "No License required",
    }
    filters = [{"Type": "TERM_MATCH", "Field": field, "Value": text} for field, text in terms.items()]
    return filters + [{"Type": how, "Field": "instanceType", "Value": value} for how, value in more]


async def _listed(aws: Aws, how: str, value: str) -> dict[str, float]:
    answer = await _if_possible(
        aws,
        "pricing:GetProducts",
        region=PRICING_REGION,
        ServiceCode="AmazonEC2",
        FormatVersion="aws_v1",
        Filters=price_filters(aws.region, [(how, value)]),
    )
    return dict(pair for text in answer.get("PriceList", ()) for pair in hourly(json.loads(text)))


def hourly(product: Mapping[str, Any]) -> Iterable[tuple[str, float]]:
    """Yield (type, US dollars an hour) of a product of the price list."""
    kind = product["product"]["attributes"]["instanceType"]
    for offer in product.get("terms", {}).get("OnDemand", {}).values():
        for dimension in offer["priceDimensions"].values():
            price = float(dimension["pricePerUnit"].get("USD", 0))
            if dimension.get("unit") == "Hrs" and price > 0:
                yield kind, price


@attrs.frozen(kw_only=True)
class Room:
    """How many machines the account's limits have room for; which limits these are, and the smallest type of each."""

    machines: float
    smallest: Mapping[Quota, Kind]
    limits: Mapping[Quota, float]


async def quota_room(aws: Aws, types: Iterable[Kind], *, is_spot: bool) -> Room:
    """Return how many machines of these types the account's limits have room for, infinity where one cannot be read."""
    smallest: dict[Quota, Kind] = {}
    for kind in sorted(types, key=lambda one: -one.vcpus):
        quota = quota_of(kind.name)
        if quota is None:
            return Room(machines=math.inf, smallest={}, limits={})
        smallest[quota] = kind
    limits = {quota: await limit(aws, quota.spot if is_spot else quota.on_demand) for quota in smallest}
    machines = sum(_fitting(limit, smallest[quota]) for quota, limit in limits.items())
    return Room(machines=machines, smallest=smallest, limits=limits)


def _fitting(vcpus: float, kind: Kind) -> float:
    return vcpus // kind.vcpus if math.isfinite(vcpus) else vcpus


async def check_quota(
    aws: Aws, types: Iterable[Kind], *, count: int, is_spot: bool, fewer: str = "--instances {}"
) -> None:
    """Refuse a run that the account's limits cannot hold, as far as they can be read.

    Args:
        aws: The gateway.
        types: The types it may have.
        count: How many machines it wants.
        is_spot: Whether spot ones.
        fewer: How the user asks for `{}` machines in place of too many.

    Raises:
        QuotaError: If they are too low.
    """
    room = await quota_room(aws, types, is_spot=is_spot)
    if count > room.machines:
        words = f"{fewer.format(int(room.machines))}, or request more: " if room.machines else "request more: "
        raise _over(aws.region, room.smallest, room.limits, count=count, words=words, is_spot=is_spot)


async def limit(aws: Aws, code: str) -> float:
    """Return a quota in vCPUs; infinity if it cannot be read."""
    answer = await _if_possible(aws, "servicequotas:GetServiceQuota", ServiceCode="ec2", QuotaCode=code)
    return float(answer.get("Quota", {}).get("Value", math.inf))


def quota_link(region: str, code: str) -> str:
    """Return the page where more of a quota is asked for."""
    return f"https://{region}.console.aws.amazon.com/servicequotas/home/services/ec2/quotas/{code}"


def _over(
    region: str, smallest: Mapping[Quota, Kind], limits: Mapping[Quota, float], *, count: int, words: str, is_spot: bool
) -> QuotaError:
    market = "spot" if is_spot else "on-demand"
    quota = max(limits, key=lambda one: limits[one])
    kind, code = smallest[quota], quota.spot if is_spot else quota.on_demand
    return QuotaError(
        f"{count} × {kind.name} need {count * kind.vcpus} vCPUs;"
        f" your {market} quota for {quota.family} is {limits[quota]:.0f} ({region})",
        code=code,
        fix=words + quota_link(region, code),
    )


async def _if_possible(aws: Aws, operation: str, **params: Any) -> dict[str, Any]:
    """Return the answer of a call that the run can do without; {} if there is none."""
    try:
        with anyio.fail_after(BEST_EFFORT_S):
            return await aws.once(operation, **params)
    except (Trouble, TimeoutError) as error:
        log.debug("done without", extra={"operation": operation, "error": str(error)})
        return {}
