"""Instance types: what they are, where they are offered, which quota they count against and what they cost on demand.

Facts of types and offerings come from moto's copy of EC2's own answers. On-demand prices are a model fitted to a few
public us-east-1 prices (some percent off): no price list is shipped. Imports attrs and the standard library.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import attrs

__all__ = ["Catalog", "Offer", "QuotaClass", "quota_class"]


@attrs.frozen(kw_only=True)
class Offer:
    """One instance type. `memory_gib` in GiB, `price` on demand in dollars an hour in us-east-1."""

    name: str
    vcpus: int
    memory_gib: float
    architectures: tuple[str, ...]
    gpus: int
    spot: bool
    price: float


@attrs.frozen(kw_only=True)
class QuotaClass:
    """The pair of vCPU quotas that a family of types counts against (AWS.md 10)."""

    name: str
    spot_code: str
    spot_name: str
    on_demand_code: str
    on_demand_name: str
    families: str


_STANDARD = "Standard (A, C, D, H, I, M, R, T, Z)"
QUOTA_CLASSES = (
    QuotaClass(
        name="standard",
        spot_code="L-34B43A08",
        spot_name=f"All {_STANDARD} Spot Instance Requests",
        on_demand_code="L-1216C47A",
        on_demand_name=f"Running On-Demand {_STANDARD} instances",
        families="a|c|d|h|i|im|is|m|r|t|z",
    ),
    QuotaClass(
        name="g",
        spot_code="L-3819A6DF",
        spot_name="All G and VT Spot Instance Requests",
        on_demand_code="L-DB2E81BA",
        on_demand_name="Running On-Demand G and VT instances",
        families="g|gr|vt",
    ),
    QuotaClass(
        name="p",
        spot_code="L-7212CCBC",
        spot_name="All P Spot Instance Requests",
        on_demand_code="L-417A185B",
        on_demand_name="Running On-Demand P instances",
        families="p",
    ),
    QuotaClass(
        name="f",
        spot_code="L-88CF9481",
        spot_name="All F Spot Instance Requests",
        on_demand_code="L-74FC7D96",
        on_demand_name="Running On-Demand F instances",
        families="f",
    ),
    QuotaClass(
        name="inf",
        spot_code="L-779673C1",
        spot_name="All Inf Spot Instance Requests",
        on_demand_code="L-1945791B",
        on_demand_name="Running On-Demand Inf instances",
        families="inf",
    ),
    QuotaClass(
        name="x",
        spot_code="L-E3A00192",
        spot_name="All X Spot Instance Requests",
        on_demand_code="L-7295265B",
        on_demand_name="Running On-Demand X instances",
        families="x",
    ),
)
_FAMILY = re.compile(r"(?P<letters>[a-z]+)(?P<generation>\d*)(?P<extras>[a-z0-9-]*)")

# Dollars an hour: vCPU and GiB of the general families, fitted to c7i/m7i/r7i; then the burstable ones by GiB.
_VCPU_USD, _GIB_USD = 0.0366, 0.0029
_BURSTABLE_GIB_USD = {"t2": 0.0116, "t3": 0.0104, "t3a": 0.0094, "t4g": 0.0084}
# Dollars an hour for one accelerator, by family.
_GPU_USD = {
    "g4dn": 0.35, "g4ad": 0.25, "g5": 0.75, "g5g": 0.30, "g6": 0.60, "g6e": 1.40, "gr6": 0.85, "p2": 0.75, "p3": 2.70,
    "p3dn": 3.30, "p4d": 3.40, "p4de": 4.40, "p5": 6.20, "p5e": 7.00, "p5en": 7.40, "p6-b200": 12.0,
}  # fmt: skip


class Catalog:
    """Every instance type, by name.

    Args:
        types: What DescribeInstanceTypes says of each, by name.
    """

    def __init__(self, types: Mapping[str, Any]) -> None:
        self._types = types
        self._offers: dict[str, Offer] = {}

    def offer(self, name: str) -> Offer | None:
        """Return a type, or None if EC2 has no such type."""
        found = self._offers.get(name)
        if found is None and name in self._types:
            found = self._offers[name] = _offer(name, self._types[name])
        return found

    def names(self) -> list[str]:
        """Return the names of all types."""
        return list(self._types)


def _offer(name: str, facts: Mapping[str, Any]) -> Offer:
    vcpus = int(facts["VCpuInfo"]["DefaultVCpus"])
    memory = facts["MemoryInfo"]["SizeInMiB"] / 1024
    gpus = sum(int(gpu["Count"]) for gpu in facts.get("GpuInfo", {}).get("Gpus", ()))
    architectures = tuple(facts["ProcessorInfo"]["SupportedArchitectures"])
    return Offer(
        name=name,
        vcpus=vcpus,
        memory_gib=memory,
        architectures=architectures,
        gpus=gpus,
        spot="spot" in facts.get("SupportedUsageClasses", ()),
        price=_price(name.partition(".")[0], vcpus=vcpus, memory_gib=memory, gpus=gpus, arm="arm64" in architectures),
    )


def _price(family: str, *, vcpus: int, memory_gib: float, gpus: int, arm: bool) -> float:
    if family in _BURSTABLE_GIB_USD:
        return round(_BURSTABLE_GIB_USD[family] * memory_gib, 4)
    price = _VCPU_USD * vcpus + _GIB_USD * memory_gib
    match = _FAMILY.fullmatch(family)
    extras = match["extras"] if match else ""
    price *= 0.85 if arm else 0.9 if extras.startswith("a") else 1.0
    price *= (1.15 if "d" in extras else 1.0) * (1.25 if "n" in extras else 1.0)
    return round(price + gpus * _GPU_USD.get(family, 1.0), 4)


def quota_class(instance_type: str) -> QuotaClass:
    """Return the quotas that an instance type counts against; families without one of their own count as standard."""
    match = _FAMILY.match(instance_type)
    letters = match["letters"] if match else ""
    for found in QUOTA_CLASSES:
        if letters in found.families.split("|"):
            return found
    return QUOTA_CLASSES[0]
