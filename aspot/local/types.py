"""DescribeInstanceTypes: the types that a Region offers, as EC2 describes them. May import: cloud, filters, refusal."""

from __future__ import annotations

from typing import Any

from aspot.local.cloud import Call
from aspot.local.ec2_wire import Rendered
from aspot.local.filters import Finder, filtered, page
from aspot.local.refusal import Refusal

__all__ = ["describe_instance_types"]

_LARGEST_PAGE = 100
Facts = dict[str, Any]


def _flag(value: Any) -> str:
    return "true" if value else "false"


# EC2 API reference, DescribeInstanceTypes: its filters for what people choose types by.
_FACTS: dict[str, Finder[Facts]] = {
    "bare-metal": lambda facts: _flag(facts.get("BareMetal")),
    "burstable-performance-supported": lambda facts: _flag(facts.get("BurstablePerformanceSupported")),
    "current-generation": lambda facts: _flag(facts.get("CurrentGeneration")),
    "free-tier-eligible": lambda facts: _flag(facts.get("FreeTierEligible")),
    "hypervisor": lambda facts: facts.get("Hypervisor"),
    "instance-storage-supported": lambda facts: _flag(facts.get("InstanceStorageSupported")),
    "instance-type": lambda facts: facts["InstanceType"],
    "memory-info.size-in-mib": lambda facts: str(facts["MemoryInfo"]["SizeInMiB"]),
    "processor-info.supported-architecture": lambda facts: facts["ProcessorInfo"]["SupportedArchitectures"],
    "supported-usage-class": lambda facts: facts["SupportedUsageClasses"],
    "supported-root-device-type": lambda facts: facts["SupportedRootDeviceTypes"],
    "supported-virtualization-type": lambda facts: facts["SupportedVirtualizationTypes"],
    "vcpu-info.default-cores": lambda facts: str(facts["VCpuInfo"].get("DefaultCores", "")),
    "vcpu-info.default-vcpus": lambda facts: str(facts["VCpuInfo"]["DefaultVCpus"]),
}
_rendered: dict[str, Rendered] = {}
"""The XML of each type: the facts never change."""


async def describe_instance_types(call: Call) -> dict[str, Any]:
    """Answer DescribeInstanceTypes."""
    parameters, known = call.parameters, call.region.moto.types()
    call.permit()
    offered = {name: known[name] for name in sorted(call.region.offered) if name in known}
    names = parameters.get("InstanceTypes") or ()
    missing = [name for name in names if name not in offered]
    if missing:
        raise Refusal(
            "InvalidInstanceType", f"The following supplied instance types do not exist: [{', '.join(missing)}]"
        )
    chosen = [offered[name] for name in dict.fromkeys(names)] if names else list(offered.values())
    wanted = filtered(chosen, parameters.get("Filters"), finders=_FACTS, tags=lambda _: {})
    size = parameters.get("MaxResults") or (None if names else _LARGEST_PAGE)
    found, token = page(wanted, {**parameters, "MaxResults": size}, highest=_LARGEST_PAGE)
    return {"InstanceTypes": [_xml(call, facts) for facts in found], "NextToken": token}


def _xml(call: Call, facts: Facts) -> Rendered:
    name = facts["InstanceType"]
    if name not in _rendered:
        _rendered[name] = call.cloud.wire.render("InstanceTypeInfo", facts)
    return _rendered[name]
