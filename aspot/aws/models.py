"""What botocore knows of EC2, less what we neither call nor read: cut down once, and kept in the cache folder.

botocore parses 10 MB of JSON for each process that asks EC2 something: 100 ms of CPU, and 15 MB of memory for good.
Ours is 0.2 MB (botocore 1.43, Python 3.11). May import: `aspot.aws.cache`.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

from botocore.loaders import JSONFileLoader, Loader

from aspot.aws.cache import Cache

_READ: Mapping[str, tuple[str, ...]] = {
    "Reservation": ("Instances",),
    "Instance": (
        "InstanceId",
        "InstanceLifecycle",
        "InstanceType",
        "LaunchTime",
        "Placement",
        "PrivateIpAddress",
        "PublicIpAddress",
        "SpotInstanceRequestId",
        "State",
        "StateReason",
        "Tags",
    ),
    "InstanceTypeInfo": (
        "GpuInfo",
        "InstanceType",
        "MemoryInfo",
        "ProcessorInfo",
        "SupportedUsageClasses",
        "VCpuInfo",
    ),
    "Placement": ("AvailabilityZone",),
    "SpotInstanceRequest": ("InstanceId", "SpotInstanceRequestId", "State", "Status", "Tags"),
}
"""Members of EC2's answers that we read; the parser skips the rest, which makes it three times as fast
(0.17 instead of 0.5 ms of CPU an instance: measured with botocore 1.43). What is polled is leaner still: `lean`."""

_CALLS = (
    "AttachVolume",
    "AuthorizeSecurityGroupIngress",
    "CancelSpotInstanceRequests",
    "CreateFleet",
    "CreateLaunchTemplate",
    "CreateSecurityGroup",
    "CreateTags",
    "CreateVolume",
    "DeleteLaunchTemplate",
    "DeleteNetworkInterface",
    "DeleteSecurityGroup",
    "DeleteVolume",
    "DescribeAvailabilityZones",
    "DescribeImages",
    "DescribeInstanceTypeOfferings",
    "DescribeInstanceTypes",
    "DescribeInstances",
    "DescribeKeyPairs",
    "DescribeLaunchTemplates",
    "DescribeNetworkInterfaces",
    "DescribeRegions",
    "DescribeSecurityGroups",
    "DescribeSpotInstanceRequests",
    "DescribeSpotPriceHistory",
    "DescribeSubnets",
    "DescribeTags",
    "DescribeVolumes",
    "DetachVolume",
    "GetConsoleOutput",
    "GetSpotPlacementScores",
    "ModifyInstanceAttribute",
    "RevokeSecurityGroupIngress",
    "RunInstances",
    "TerminateInstances",
)
"""The calls to EC2 that we make, of 800: a client with all of them takes 4 ms more of CPU to make, and 4 MB
(botocore 1.43)."""

_ENDPOINTS = (
    "api.pricing",
    "ec2",
    "elasticfilesystem",
    "events",
    "iam",
    "oidc",
    "portal.sso",
    "s3",
    "servicequotas",
    "signin",
    "sqs",
    "ssm",
    "sts",
)
"""Services by the beginning of their host names."""


@functools.cache
def loader() -> Loader:
    """Return the loader of our sessions, which keeps what it has read."""
    return Loader(file_loader=_Files())


class _Files(JSONFileLoader):
    """Reads botocore's files; those of which we have little use are cut down once, and kept so."""

    def load_file(self, file_path: str) -> Any:
        """Return what is in a file (its path without `.json` or `.json.gz`); None if there is none."""
        kind = _kind(file_path)
        if not kind:
            return super().load_file(file_path)
        cache, parts = Cache.open(), _identity(file_path)
        kept = cache.read(kind, parts)
        if kept is not None and isinstance(kept.value, dict):
            return kept.value
        found = super().load_file(file_path)
        return None if found is None else cache.write(kind, parts, _LEAN[kind](found)).value


def _kind(file_path: str) -> str:
    """Return as what a file is kept when it is cut down; "" for one that is read as it is."""
    path = PurePath(file_path)  # DATA/endpoints, DATA/ec2/VERSION/service-2
    if path.name == "service-2" and path.parent.parent.name == "ec2":
        return "ec2-model"
    return "endpoints" if path.name == "endpoints" else ""


def _identity(file_path: str) -> list[Any]:
    """Return what the lean model depends on: the file, as far as its date and size tell, and what is kept of it."""
    found = []
    for end in (".json", ".json.gz"):
        try:
            seen = os.stat(file_path + end)
        except OSError:
            continue
        found.append([file_path + end, seen.st_mtime_ns, seen.st_size])
    return [found, _READ, _CALLS, _ENDPOINTS]


def _lean_ec2(model: dict[str, Any]) -> dict[str, Any]:
    """Return EC2's model with the calls that we make and the members that we read, and without documentation."""
    shapes = model["shapes"]
    for name, kept in _READ.items():
        members = shapes[name]["members"]
        shapes[name]["members"] = {key: members[key] for key in kept if key in members}
    operations = {name: model["operations"][name] for name in _CALLS}
    used = _used(operations, shapes)
    found: dict[str, Any] = _undocumented(
        {**model, "operations": operations, "shapes": {name: shapes[name] for name in shapes if name in used}}
    )
    return found


def _undocumented(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {
            key: _undocumented(item)
            for key, item in value.items()
            if not (key == "documentation" and isinstance(item, str))
        }
    return [_undocumented(item) for item in value] if isinstance(value, list) else value


def _used(operations: Mapping[str, Any], shapes: Mapping[str, Any]) -> set[str]:
    """Return the names of the shapes that operations take and give, and those within them."""
    sides = ("input", "output")
    waiting = [call[side]["shape"] for call in operations.values() for side in sides if side in call]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            shape = shapes[name]
            parts = [shape[part] for part in ("member", "key", "value") if part in shape]
            waiting += [part["shape"] for part in (*shape.get("members", {}).values(), *parts)]
    return found


def _lean_endpoints(known: dict[str, Any]) -> dict[str, Any]:
    """Return botocore's list of endpoints with the services that we call, or that credentials come from."""
    for partition in known["partitions"]:
        services = partition["services"]
        partition["services"] = {name: services[name] for name in _ENDPOINTS if name in services}
    return known


_LEAN = {"ec2-model": _lean_ec2, "endpoints": _lean_endpoints}
