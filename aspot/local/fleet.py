"""CreateFleet of type instant: the best pools tried, machines by pool, refusals told in a 200.

Strings and the three pools that a fleet tries are as measured on real accounts (AWS.md 1.2). May import: launch,
fleet_pools, cloud, records.
"""

from __future__ import annotations

import math
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from aspot.local.cloud import Call, Cloud, Region, new_id
from aspot.local.fleet_pools import STRATEGIES, Candidate, candidates, ranked
from aspot.local.launch import check_pool, create, over_quota, room_in_quota
from aspot.local.lifecycle import Lifecycle
from aspot.local.records import Fleet, Launch
from aspot.local.refusal import Refusal, token_mismatch

__all__ = ["create_fleet"]

_POOLS_TRIED = 3
_POOL_SHARE = 10  # a fleet of more than this many machines spreads over more than one pool
_MOST_CAPACITY = 10_000
_NOT_HERE = "The local cloud has no {} in fleets."
_UNTRIED = Refusal("UnfulfillableCapacity", "Unable to fulfill capacity due to your request configuration")
_NO_SPOT = Refusal("InsufficientInstanceCapacity", "There is no Spot capacity available that matches your request.")


async def create_fleet(call: Call, life: Lifecycle) -> dict[str, Any]:
    """Answer CreateFleet."""
    total, spot = _check(call.parameters)
    call.permit()
    cloud, region = call.cloud, call.region
    async with cloud.launching:
        key = (call.action, call.parameters.get("ClientToken") or new_id("token"))
        seen = _earlier(region, key, call.parameters)
        if seen is not None:
            return _answer(seen)
        fleet = Fleet(id=f"fleet-{uuid.uuid4()}", created=cloud.clock, request=call.parameters, token=key[1])
        found, fleet.errors = await cloud.moto.call(candidates, cloud, region, call.parameters, spot)
        await _fill(call, life, fleet, found, total)
        fleet.tags = _fleet_tags(call.parameters)
        region.fleets[fleet.id] = fleet
        region.tokens[key] = (_comparable(call.parameters), fleet)
    return _answer(fleet)


def _comparable(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in parameters.items() if name not in ("ClientToken", "DryRun")}


def _earlier(region: Region, key: tuple[str, ...], parameters: Mapping[str, Any]) -> Fleet | None:
    seen = region.tokens.get(key)
    if seen is None:
        return None
    if seen[0] != _comparable(parameters):
        raise token_mismatch(key[1])
    found: Fleet = seen[1]
    return found


def _check(parameters: Mapping[str, Any]) -> tuple[int, bool]:
    """Return how many machines are wanted, and whether spot ones."""
    if parameters.get("Type", "maintain") != "instant":
        raise Refusal("UnsupportedOperation", "The local cloud has fleets of type instant only.")
    if not parameters.get("LaunchTemplateConfigs"):
        raise Refusal("MissingParameter", "The request must contain the parameter LaunchTemplateConfigs")
    target = parameters.get("TargetCapacitySpecification") or {}
    total = target.get("TotalTargetCapacity")
    if total is None or not 0 < total <= _MOST_CAPACITY:
        raise Refusal("InvalidParameterValue", f"TotalTargetCapacity must be from 1 to {_MOST_CAPACITY}.")
    _check_spot_options(parameters.get("SpotOptions") or {})
    _check_overrides(parameters["LaunchTemplateConfigs"])
    return total, _wants_spot(target, total)


def _check_spot_options(options: Mapping[str, Any]) -> None:
    if options.get("InstanceInterruptionBehavior") not in (None, "terminate"):
        raise Refusal(
            "InvalidParameterCombination",
            'SpotOptions.InstanceInterruptionBehavior must be null or "terminate" for given fleet type.',
        )
    if options.get("AllocationStrategy", "lowest-price") not in STRATEGIES:
        raise Refusal("InvalidParameterValue", f"Allocation strategy {options['AllocationStrategy']} is not valid.")

    for name in ("MinTargetCapacity", "MaxTotalPrice", "SingleInstanceType", "SingleAvailabilityZone"):
        if options.get(name):
            raise Refusal("UnsupportedOperation", _NOT_HERE.format(name))


def _check_overrides(configs: Sequence[Mapping[str, Any]]) -> None:
    for override in (found for config in configs for found in config.get("Overrides") or ()):
        if override.get("InstanceRequirements"):
            raise Refusal("UnsupportedOperation", _NOT_HERE.format("InstanceRequirements"))
        if override.get("WeightedCapacity") not in (None, 1.0):
            raise Refusal("UnsupportedOperation", _NOT_HERE.format("WeightedCapacity"))


def _wants_spot(target: Mapping[str, Any], total: int) -> bool:
    if target.get("OnDemandTargetCapacity") and target.get("SpotTargetCapacity"):
        raise Refusal("UnsupportedOperation", "The local cloud's fleets are all spot or all on-demand.")
    if target.get("SpotTargetCapacity") or target.get("OnDemandTargetCapacity"):
        return bool(target.get("SpotTargetCapacity") == total)
    return bool(target.get("DefaultTargetCapacityType", "on-demand") == "spot")


async def _fill(call: Call, life: Lifecycle, fleet: Fleet, found: list[Candidate], total: int) -> None:
    """Take machines from the best pools; what cannot be filled becomes the fleet's errors."""
    cloud, region = call.cloud, call.region
    left = ranked(cloud, region, found, call.parameters.get("SpotOptions") or {})
    rooms, failed = _try(call, left, total)
    for (candidate, _), count in zip(rooms, _shares([room for _, room in rooms], total), strict=True):
        await _take(cloud, region, life, fleet, candidate, count)
    missing = total - len(fleet.machines)
    if missing:
        failed += [_short(cloud, region, candidate) for candidate, _ in rooms]
        failed += [candidate.error(_UNTRIED) for candidate in left]
    fleet.errors += failed


def _try(call: Call, left: list[Candidate], total: int) -> tuple[list[tuple[Candidate, int]], list[dict[str, Any]]]:
    """Ask at most three pools, best first, until there is room for all; return rooms and refusals."""
    rooms: list[tuple[Candidate, int]] = []
    failed: list[dict[str, Any]] = []
    wanted = _wanted_pools(call.parameters, total)
    while left and len(rooms) + len(failed) < _POOLS_TRIED:
        if len(rooms) >= wanted and sum(room for _, room in rooms) >= total:
            break
        candidate = left.pop(0)
        try:
            rooms.append((candidate, _room(call.cloud, call.region, candidate)))
        except Refusal as refused:
            failed.append(candidate.error(refused))
    return rooms, failed


def _short(cloud: Cloud, region: Region, candidate: Candidate) -> dict[str, Any]:
    """Say why a pool that gave machines gave no more."""
    quota = room_in_quota(cloud, region, candidate.wish.type, spot=candidate.wish.spot)
    return candidate.error(_NO_SPOT if quota else over_quota(spot=candidate.wish.spot))


def _wanted_pools(parameters: Mapping[str, Any], total: int) -> int:
    """Return over how many pools the fleet spreads, if they have room."""
    strategy = (parameters.get("SpotOptions") or {}).get("AllocationStrategy", "lowest-price")
    if strategy == "diversified":
        return _POOLS_TRIED
    return 1 if strategy == "lowest-price" else min(_POOLS_TRIED, math.ceil(total / _POOL_SHARE))


def _room(cloud: Cloud, region: Region, candidate: Candidate) -> int:
    wish = candidate.wish
    room = check_pool(cloud, region, wish, candidate.subnet)
    quota = room_in_quota(cloud, region, wish.type, spot=wish.spot)
    if quota < 1:
        raise over_quota(spot=wish.spot)
    if room < 1:
        raise _NO_SPOT
    return min(room, quota)


def _shares(rooms: Sequence[int], total: int) -> list[int]:
    """Share machines evenly among pools, none more than it has room for."""
    shares = [0] * len(rooms)
    left = total
    while left > 0:
        open_pools = [number for number, room in enumerate(rooms) if shares[number] < room]
        if not open_pools:
            break
        each = math.ceil(left / len(open_pools))
        for number in open_pools:
            more = min(each, rooms[number] - shares[number], left)
            shares[number] += more
            left -= more
    return shares


async def _take(cloud: Cloud, region: Region, life: Lifecycle, fleet: Fleet, candidate: Candidate, count: int) -> None:
    count = min(count, room_in_quota(cloud, region, candidate.wish.type, spot=candidate.wish.spot))
    if count < 1:
        return
    launch = await cloud.moto.call(_launch, region, candidate, fleet)
    machines = await create(cloud, region, life, launch, count)
    fleet.machines += machines
    entry = {
        "LaunchTemplateAndOverrides": candidate.origin,
        "Lifecycle": candidate.lifecycle,
        "InstanceIds": [machine.id for machine in machines],
        "InstanceType": candidate.wish.type,
        "AvailabilityZone": candidate.subnet.zone,
        "AvailabilityZoneId": candidate.subnet.zone_id,
        "SubnetId": candidate.subnet.id,
    }
    fleet.entries.append(entry)


def _launch(region: Region, candidate: Candidate, fleet: Fleet) -> Launch:
    return candidate.wish.launch(region.moto, candidate.subnet, token=fleet.token, fleet_id=fleet.id)


def _fleet_tags(parameters: Mapping[str, Any]) -> dict[str, str]:
    specifications = parameters.get("TagSpecifications") or ()
    wanted = [
        tag for found in specifications if found.get("ResourceType") == "fleet" for tag in found.get("Tags") or ()
    ]
    return {tag["Key"]: tag.get("Value") or "" for tag in wanted}


def _answer(fleet: Fleet) -> dict[str, Any]:
    return {"FleetId": fleet.id, "Instances": fleet.entries, "Errors": fleet.errors}
