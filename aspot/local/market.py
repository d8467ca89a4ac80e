"""Prices, placement scores, offerings and Regions.

May import: cloud, filters, moto_seams, records.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any

from aspot.local.cloud import Call, Region
from aspot.local.filters import Finder, filtered, page
from aspot.local.moto_seams import all_regions
from aspot.local.records import Pool
from aspot.local.refusal import Refusal

__all__ = [
    "describe_instance_type_offerings",
    "describe_regions",
    "describe_spot_price_history",
    "get_spot_placement_scores",
]

_HISTORY = timedelta(days=90)
_PRODUCTS = ("Linux/UNIX", "Linux/UNIX (Amazon VPC)")
_DEFAULT_PAGE = 1000
_SCORED_TYPES = 3  # botocore's model: with one or two types the score "will always be low"

_OFFER: dict[str, Finder[dict[str, str]]] = {
    "instance-type": lambda offer: offer["InstanceType"],
    "location": lambda offer: offer["Location"],
}
_PRICE: dict[str, Finder[dict[str, Any]]] = {
    "availability-zone": lambda price: price["AvailabilityZone"],
    "availability-zone-id": lambda price: price["AvailabilityZoneId"],
    "instance-type": lambda price: price["InstanceType"],
    "product-description": lambda price: price["ProductDescription"],
    "spot-price": lambda price: price["SpotPrice"],
    "timestamp": lambda price: price["Timestamp"].strftime("%Y-%m-%dT%H:%M:%S"),
}


_REGION: dict[str, Finder[dict[str, str]]] = {
    "endpoint": lambda region: region["Endpoint"],
    "opt-in-status": lambda region: region["OptInStatus"],
    "region-name": lambda region: region["RegionName"],
}


def _no_tags(_: Any) -> dict[str, str]:
    return {}


async def describe_spot_price_history(call: Call) -> dict[str, Any]:
    """Answer DescribeSpotPriceHistory: changes newest first, down to the one in force at the start."""
    parameters, clock = call.parameters, call.cloud.clock
    call.permit()
    end = min(parameters.get("EndTime") or clock, clock)
    start = max(parameters.get("StartTime") or clock - _HISTORY, clock - _HISTORY)
    wanted = {**parameters, "MaxResults": parameters.get("MaxResults") or _DEFAULT_PAGE}
    products = parameters.get("ProductDescriptions") or ("Linux/UNIX",)
    if not any(product in _PRODUCTS for product in products):
        return {"SpotPriceHistory": [], "NextToken": ""}
    prices = [price for pool in _pools(call) for price in _prices(call, pool, start=min(start, end), end=end)]
    prices = filtered(prices, parameters.get("Filters"), finders=_PRICE, tags=_no_tags)
    prices.sort(key=lambda price: price["Timestamp"], reverse=True)
    found, token = page(prices, wanted, lowest=1, highest=_DEFAULT_PAGE)
    return {"SpotPriceHistory": list(found), "NextToken": token or ""}


def _pools(call: Call) -> Iterator[Pool]:
    region, parameters = call.region, call.parameters
    types = parameters.get("InstanceTypes") or _filter_values(parameters, "instance-type") or sorted(region.offered)
    zone = parameters.get("AvailabilityZone")
    if zone is not None and zone not in region.zones:
        raise Refusal("InvalidParameterValue", f"Invalid availability zone: [{zone}]")
    for name in types:
        offer = call.cloud.offer(name)
        if offer is None:
            raise Refusal("InvalidParameterValue", f"Invalid instance type: [{name}]")
        if offer.spot:
            yield from (Pool(name, place) for place in sorted(region.offered.get(name, ())) if zone in (None, place))


def _filter_values(parameters: dict[str, Any], name: str) -> list[str]:
    """Return a filter's values if they are plain: then there is no need to look at a thousand other types."""
    values = [
        value for f in parameters.get("Filters") or () if f.get("Name") == name for value in f.get("Values") or ()
    ]
    return [] if any("*" in value or "?" in value for value in values) else values


def _prices(call: Call, pool: Pool, *, start: datetime, end: datetime) -> Iterator[dict[str, Any]]:
    on_demand = call.cloud.on_demand_price(call.region.name, pool.type)
    for moment, price in call.cloud.prices.changes(pool, on_demand=on_demand, start=start, end=end):
        yield {
            "AvailabilityZone": pool.zone,
            "AvailabilityZoneId": call.region.zones[pool.zone],
            "InstanceType": pool.type,
            "ProductDescription": "Linux/UNIX",
            "SpotPrice": f"{price:.6f}",
            "Timestamp": moment,
        }


async def get_spot_placement_scores(call: Call) -> dict[str, Any]:
    """Answer GetSpotPlacementScores: at most ten Regions or zones, best first."""
    parameters = call.parameters
    types = parameters.get("InstanceTypes") or ()
    if not types:
        raise Refusal("UnsupportedOperation", "The local cloud scores by InstanceTypes only.")
    call.permit()
    regions = [await call.cloud.region(name) for name in parameters.get("RegionNames") or [call.region.name]]
    scores = [score for region in regions for score in _scores(call, region, types)]
    scores.sort(key=lambda score: -score["Score"])
    found, token = page(scores[:10], {**parameters, "MaxResults": None})
    return {"SpotPlacementScores": list(found), "NextToken": token}


def _scores(call: Call, region: Region, types: list[str]) -> list[dict[str, Any]]:
    zones = {zone: _score(call, region, zone, types) for zone in region.zones}
    if call.parameters.get("SingleAvailabilityZone"):
        return [
            {"Region": region.name, "AvailabilityZoneId": region.zones[zone], "Score": score}
            for zone, score in zones.items()
        ]
    return [{"Region": region.name, "Score": max(zones.values())}]


def _score(call: Call, region: Region, zone: str, types: list[str]) -> int:
    if len(types) < _SCORED_TYPES:
        return 1
    pools = [Pool(name, zone) for name in types if region.offers(Pool(name, zone))]
    now = call.cloud.now
    open_pools = [pool for pool in pools if call.cloud.faults.capacity_of(pool, now=now) != 0]
    return max((call.cloud.prices.depth(pool) for pool in open_pools), default=1)


async def describe_instance_type_offerings(call: Call) -> dict[str, Any]:
    """Answer DescribeInstanceTypeOfferings."""
    kind = call.parameters.get("LocationType") or "region"
    call.permit()
    offers = filtered(_offers(call.region, kind), call.parameters.get("Filters"), finders=_OFFER, tags=_no_tags)
    found, token = page(offers, call.parameters)
    return {"InstanceTypeOfferings": list(found), "NextToken": token}


def _offers(region: Region, kind: str) -> Iterator[dict[str, str]]:
    if kind not in ("region", "availability-zone", "availability-zone-id"):
        raise Refusal("InvalidParameterValue", f"Value ({kind}) for parameter locationType is invalid.")
    for name, zones in region.offered.items():
        places = [region.name] if kind == "region" else sorted(zones)
        if kind == "availability-zone-id":
            places = [region.zones[zone] for zone in places]
        for place in places:
            yield {"InstanceType": name, "LocationType": kind, "Location": place}


async def describe_regions(call: Call) -> dict[str, Any]:
    """Answer DescribeRegions: those of the account's partition; unless all are asked for, those it has switched on."""
    parameters = call.parameters
    call.permit()
    known = await call.cloud.moto.call(all_regions)
    names = parameters.get("RegionNames") or ()
    strange = sorted(set(names) - {region["RegionName"] for region in known})
    if strange:
        raise Refusal("InvalidParameterValue", f"Invalid region(s): {','.join(strange)}")
    is_off = "not-opted-in"
    wanted = [region for region in known if parameters.get("AllRegions") or region["OptInStatus"] != is_off]
    wanted = [region for region in wanted if not names or region["RegionName"] in names]
    return {"Regions": filtered(wanted, parameters.get("Filters"), finders=_REGION, tags=_no_tags)}
