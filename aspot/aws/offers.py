"""Questions about what a region offers: regions, types, price history, on-demand prices, placement scores.

Answers are plain values that JSON knows, for the cache.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import attrs

from aspot.aws import pools
from aspot.aws.clients import Aws, named
from aspot.errors import ConfigError
from aspot.profiles.builtin import COMMON_TYPES, KNOWN_TYPES, RETIRED
from aspot.profiles.profile import guess

TYPES_PAGE = 100
"""Most of DescribeInstanceTypes (EC2 API reference)."""
PRICES_PAGE = 100
"""Most of GetProducts (botocore's model)."""
MOST_VALUES = 200
"""Most values of one filter (EC2 API reference)."""


@attrs.frozen(kw_only=True)
class TypeFacts:
    """What an instance type is.

    Args:
        name: Such as `g5.xlarge`.
        arch: `x86_64` or `arm64`.
        vcpus: Virtual CPUs.
        cores: Physical cores.
        memory_gib: Memory in GiB.
        gpus: How many.
        gpu: Maker and model; "" for none.
        gpu_memory_gib: Memory of all GPUs together, in GiB.
        is_spot: Whether it is sold as spot.
    """

    name: str
    arch: str
    vcpus: int
    cores: int
    memory_gib: float
    gpus: int = 0
    gpu: str = ""
    gpu_memory_gib: float = 0.0
    is_spot: bool = True


async def regions(aws: Aws) -> list[str]:
    """Return the regions that the account may use."""
    answer = await aws.call("ec2:DescribeRegions", AllRegions=False)
    return sorted(item["RegionName"] for item in answer["Regions"])


async def types(aws: Aws, wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Return the facts of these types, or of all, by name; `*` stands for any text.

    Raises:
        ConfigError: If there is none of one of the names.
        Trouble: If AWS gives no answer.
    """
    seen: list[Any] = []
    for start in range(0, max(1, len(wanted)), MOST_VALUES):
        some = wanted[start : start + MOST_VALUES]
        filters: dict[str, Any] = {"Filters": [named("instance-type", some)]} if some else {}
        seen += await aws.pages("ec2:DescribeInstanceTypes", "InstanceTypes", size=TYPES_PAGE, **filters)
    found = sorted((attrs.asdict(_facts(item)) for item in seen), key=lambda facts: str(facts["name"]))
    _check(aws.region, wanted, [facts["name"] for facts in found])
    return found


def _check(region: str, wanted: Iterable[str], found: Sequence[str]) -> None:
    from fnmatch import fnmatchcase

    for pattern in wanted:
        if found and pattern in KNOWN_TYPES:
            continue  # a type of today that this region lacks, among others: as `pools.kinds`
        if not any(fnmatchcase(name, pattern) for name in found):
            near = guess(pattern, set(COMMON_TYPES) - {pattern}, "aspot types lists them; or use another region")
            today = f"EC2 lists it no longer; the nearest of today: {', '.join(RETIRED.get(pattern, ()))}"
            raise ConfigError(
                f"there is no instance type {pattern} in {region}", fix=today if pattern in RETIRED else near
            )


def _facts(item: Mapping[str, Any]) -> TypeFacts:
    kind, cpu = pools.kind_of(item), item.get("VCpuInfo", {})
    gpus = item.get("GpuInfo", {}).get("Gpus", [])
    return TypeFacts(
        name=kind.name,
        arch=kind.arch,
        vcpus=kind.vcpus,
        cores=int(cpu.get("DefaultCores", kind.vcpus)),
        memory_gib=item.get("MemoryInfo", {}).get("SizeInMiB", 0) / 1024,
        gpus=sum(int(gpu.get("Count", 1)) for gpu in gpus),
        gpu=" + ".join(f"{gpu.get('Manufacturer', '')} {gpu.get('Name', '')}".strip() for gpu in gpus),
        gpu_memory_gib=item.get("GpuInfo", {}).get("TotalGpuMemoryInMiB", 0) / 1024,
        is_spot="spot" in item.get("SupportedUsageClasses", ["spot"]),
    )


async def history(aws: Aws, names: Sequence[str], *, since: timedelta) -> list[tuple[str, str, float, float]]:
    """Return (type, zone, when in seconds since 1970, US dollars an hour) of each price change, oldest first."""
    seen = await aws.pages(
        "ec2:DescribeSpotPriceHistory",
        "SpotPriceHistory",
        StartTime=datetime.now(UTC) - since,
        InstanceTypes=list(names),
        ProductDescriptions=["Linux/UNIX"],
    )
    found = [
        (item["InstanceType"], item["AvailabilityZone"], item["Timestamp"].timestamp(), float(item["SpotPrice"]))
        for item in seen
    ]
    return sorted(found, key=lambda row: row[2])


async def on_demand(aws: Aws, names: Sequence[str] | None) -> dict[str, float]:
    """Return on-demand prices in US dollars an hour: of these types, or all. Linux, shared tenancy."""
    found = await _priced(aws, [("ANY_OF", ",".join(names))] if names is not None else [])
    if not found and names is not None and len(names) <= pools.MOST_PRICE_CALLS:  # as `pools.on_demand_prices`
        for name in names:
            found |= await _priced(aws, [("TERM_MATCH", name)])
    return found


async def _priced(aws: Aws, some: Sequence[tuple[str, str]]) -> dict[str, float]:
    products = await aws.pages(
        "pricing:GetProducts",
        "PriceList",
        size=PRICES_PAGE,
        region=pools.PRICING_REGION,
        ServiceCode="AmazonEC2",
        FormatVersion="aws_v1",
        Filters=pools.price_filters(aws.region, some),
    )
    return dict(pair for text in products for pair in pools.hourly(json.loads(text)))


async def scores(aws: Aws, names: Sequence[str]) -> dict[str, int]:
    """Return how likely one instance of these types is to be had, by zone: 1 to 10."""
    zones = await aws.call("ec2:DescribeAvailabilityZones")
    name_of = {zone["ZoneId"]: zone["ZoneName"] for zone in zones["AvailabilityZones"]}
    answer = await aws.call(
        "ec2:GetSpotPlacementScores",
        InstanceTypes=list(names),
        TargetCapacity=1,
        SingleAvailabilityZone=True,
        RegionNames=[aws.region],
    )
    known = [item for item in answer["SpotPlacementScores"] if item.get("AvailabilityZoneId") in name_of]
    return {name_of[item["AvailabilityZoneId"]]: int(item["Score"]) for item in known}


def saving(spot_usd: float, on_demand_usd: float | None) -> float | None:
    """Return how much of the on-demand price is saved, 0 to 1; None where that is not known."""
    if not on_demand_usd or not math.isfinite(on_demand_usd):
        return None
    return 1 - spot_usd / on_demand_usd
