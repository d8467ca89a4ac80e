"""The pools that an instant fleet may use: one for each override and zone, ordered by the allocation strategy.

May import: launch, wishes, cloud, records.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs

from aspot.local.cloud import Cloud, Region
from aspot.local.records import Pool, Subnet
from aspot.local.refusal import Refusal
from aspot.local.wishes import Wish, merged_with_template, read_wish

__all__ = ["STRATEGIES", "Candidate", "candidates", "ranked"]

STRATEGIES = (
    "lowest-price",
    "diversified",
    "capacity-optimized",
    "capacity-optimized-prioritized",
    "price-capacity-optimized",
)


@attrs.define(kw_only=True, eq=False)
class Candidate:
    """One pool that the fleet may use, and what of the request led to it."""

    wish: Wish
    subnet: Subnet
    template: Mapping[str, Any]
    override: Mapping[str, Any]
    priority: float

    @property
    def pool(self) -> Pool:
        """The pool."""
        return Pool(self.wish.type, self.subnet.zone)

    @property
    def origin(self) -> dict[str, Any]:
        """What of the request led to this pool."""
        return {"LaunchTemplateSpecification": dict(self.template), "Overrides": dict(self.override)}

    @property
    def lifecycle(self) -> str:
        """`spot` or `on-demand`."""
        return "spot" if self.wish.spot else "on-demand"

    def error(self, refusal: Refusal) -> dict[str, Any]:
        """Return an entry of the answer's errors."""
        return _error(self.origin, self.lifecycle, refusal)


def _error(origin: Mapping[str, Any], lifecycle: str, refusal: Refusal) -> dict[str, Any]:
    code = "InvalidFleetConfiguration" if refusal.code in ("Unsupported", "InvalidInstanceType") else refusal.code
    return {
        "LaunchTemplateAndOverrides": dict(origin),
        "Lifecycle": lifecycle,
        "ErrorCode": code,
        "ErrorMessage": refusal.message,
    }


def candidates(
    cloud: Cloud,
    region: Region,
    parameters: Mapping[str, Any],
    spot: bool,
) -> tuple[list[Candidate], list[dict[str, Any]]]:
    """Return the pools, and the overrides that cannot work at all; on moto's thread."""
    found: list[Candidate] = []
    errors: list[dict[str, Any]] = []
    for config in parameters["LaunchTemplateConfigs"]:
        template = dict(config.get("LaunchTemplateSpecification") or {})
        base = _base(region, parameters, template, spot=spot)
        for number, override in enumerate(config.get("Overrides") or [{}]):
            try:
                found += _pools(cloud, region, base, template, override, number)
            except Refusal as refused:
                origin = {"LaunchTemplateSpecification": template, "Overrides": override}
                errors.append(_error(origin, "spot" if spot else "on-demand", refused))
    return found, errors


def _base(region: Region, parameters: Mapping[str, Any], template: dict[str, Any], *, spot: bool) -> dict[str, Any]:
    """Return what the launch template says, as if RunInstances had been called with it."""
    merged = merged_with_template(region.moto, {"LaunchTemplate": template})
    merged["TagSpecifications"] = merged.get("TagSpecifications", []) + list(parameters.get("TagSpecifications") or ())
    own = template.pop("LaunchTemplateSpecificationUserData", None)
    if own is not None:
        merged["UserData"] = own
    merged["InstanceMarketOptions"] = {"MarketType": "spot"} if spot else {}
    template.setdefault("Version", "$Default")
    return merged


def _pools(
    cloud: Cloud,
    region: Region,
    base: Mapping[str, Any],
    template: Mapping[str, Any],
    override: Mapping[str, Any],
    number: int,
) -> list[Candidate]:
    """Return the pools of one override: one for each subnet or zone that it allows."""
    subnets = str(override.get("SubnetId") or "").replace(" ", "").split(",")
    zones = _override_zones(region, override)
    found: list[Candidate] = []
    for subnet in subnets:
        for zone in zones:
            wish = read_wish(region.moto, cloud.catalog, _overridden(base, override, subnet=subnet, zone=zone))
            offered = [s for s in wish.subnets if len(wish.subnets) == 1 or region.offers(Pool(wish.type, s.zone))]
            found += [
                Candidate(
                    wish=wish,
                    subnet=place,
                    template=template,
                    override=override,
                    priority=float(override.get("Priority") or number),
                )
                for place in offered or wish.subnets[:1]
            ]
    return found


def _override_zones(region: Region, override: Mapping[str, Any]) -> list[str | None]:
    if override.get("AvailabilityZoneId"):
        return [name for name, zone_id in region.zones.items() if zone_id == override["AvailabilityZoneId"]]
    zones = str(override.get("AvailabilityZone") or "").replace(" ", "").split(",")
    return [zone or None for zone in zones]


def _overridden(
    base: Mapping[str, Any], override: Mapping[str, Any], *, subnet: str, zone: str | None
) -> dict[str, Any]:
    merged = dict(base)
    names = ("InstanceType", "ImageId", "KeyName", "BlockDeviceMappings", "IamInstanceProfile", "MetadataOptions")
    merged.update({name: override[name] for name in names if override.get(name)})
    if subnet:
        _place(merged, subnet)
    if zone is not None:
        merged["Placement"] = {"AvailabilityZone": zone}
    if override.get("MaxPrice") and merged["InstanceMarketOptions"]:
        merged["InstanceMarketOptions"] = {"MarketType": "spot", "SpotOptions": {"MaxPrice": override["MaxPrice"]}}
    return merged


def _place(merged: dict[str, Any], subnet: str) -> None:
    """Put the subnet where the template has its network: in the first interface, or at the top."""
    interfaces = [dict(found) for found in merged.get("NetworkInterfaces") or ()]
    if not interfaces:
        merged["SubnetId"] = subnet
        return
    interfaces[0]["SubnetId"] = subnet
    merged["NetworkInterfaces"] = interfaces


def ranked(
    cloud: Cloud, region: Region, candidates: Iterable[Candidate], options: Mapping[str, Any]
) -> list[Candidate]:
    """Order pools as the allocation strategy does, best first."""

    def price(found: Candidate) -> float:
        return cloud.spot_price(region.name, found.pool)

    def depth(found: Candidate) -> int:
        return cloud.prices.depth(found.pool)

    match options.get("AllocationStrategy", "lowest-price"):
        case "lowest-price":
            return sorted(candidates, key=price)
        case "capacity-optimized":
            return sorted(candidates, key=lambda found: (-depth(found), price(found)))
        case "capacity-optimized-prioritized":
            return sorted(candidates, key=lambda found: (-(depth(found) // 4), found.priority))
        case "diversified":
            return sorted(candidates, key=lambda found: cloud.dice("diversified", *found.pool))
        case _:
            return sorted(candidates, key=lambda found: (-(depth(found) // 4), price(found)))
