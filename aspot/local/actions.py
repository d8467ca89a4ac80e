"""Which EC2 actions the local cloud answers itself, and how; all others are moto's, with two corrections.

May import: every module of actions.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs

from aspot.local import ends, fleet, launch, market, reads, types
from aspot.local.cloud import Call
from aspot.local.lifecycle import Lifecycle
from aspot.local.records import State
from aspot.local.refusal import Refusal

__all__ = ["EC2_ACTIONS", "after_moto", "before_moto"]

Read = Callable[[Call], Awaitable[dict[str, Any]]]
Change = Callable[[Call, Lifecycle], Awaitable[dict[str, Any]]]


def _reading(answer: Read) -> Change:
    async def read(call: Call, _: Lifecycle) -> dict[str, Any]:
        return await answer(call)

    return read


def _refusing(advice: str) -> Change:
    async def refuse(call: Call, _: Lifecycle) -> dict[str, Any]:
        raise Refusal("UnsupportedOperation", f"The local cloud has no {call.action}: {advice}.")

    return refuse


_LEGACY = "a legacy API that AWS discourages; use RunInstances or CreateFleet of type instant"
EC2_ACTIONS: dict[str, Change] = {
    "RunInstances": launch.run_instances,
    "CreateFleet": fleet.create_fleet,
    "TerminateInstances": ends.terminate_instances,
    "StopInstances": ends.stop_instances,
    "StartInstances": ends.start_instances,
    "RebootInstances": ends.reboot_instances,
    "CancelSpotInstanceRequests": ends.cancel_spot_instance_requests,
    "DeleteFleets": ends.delete_fleets,
    "DescribeInstances": _reading(reads.describe_instances),
    "DescribeInstanceStatus": _reading(reads.describe_instance_status),
    "DescribeSpotInstanceRequests": _reading(reads.describe_spot_instance_requests),
    "DescribeFleets": _reading(reads.describe_fleets),
    "DescribeFleetInstances": _reading(reads.describe_fleet_instances),
    "GetConsoleOutput": _reading(reads.get_console_output),
    "DescribeSpotPriceHistory": _reading(market.describe_spot_price_history),
    "GetSpotPlacementScores": _reading(market.get_spot_placement_scores),
    "DescribeInstanceTypeOfferings": _reading(market.describe_instance_type_offerings),
    "DescribeInstanceTypes": _reading(types.describe_instance_types),
    "DescribeRegions": _reading(market.describe_regions),
    "RequestSpotInstances": _refusing(_LEGACY),
    "RequestSpotFleet": _refusing(_LEGACY),
    "ModifyFleet": _refusing("an instant fleet can't be changed"),
}


async def before_moto(call: Call) -> None:
    """Refuse what EC2 refuses and moto does not.

    Raises:
        Refusal: the request deletes a security group that is in use, or attaches a volume that cannot be.
    """
    if call.action == "AttachVolume":
        await _check_attachment(call)
    if call.action != "DeleteSecurityGroup":
        return
    name = call.parameters.get("GroupId")
    holders = await call.cloud.moto.call(call.region.moto.groups_holding, name) if name else []
    if holders:
        raise Refusal("DependencyViolation", f"resource {name} has a dependent object")


async def _check_attachment(call: Call) -> None:
    """Refuse what AttachVolume refuses (EC2 API reference, "Error codes")."""
    name, wanted = str(call.parameters.get("VolumeId")), str(call.parameters.get("InstanceId"))
    machine = call.region.machine(wanted, now=call.cloud.now)
    found = await call.cloud.moto.call(call.region.moto.volume, name)
    if found is None:
        return  # moto says so
    zone, is_attached = found
    if is_attached:
        raise Refusal("VolumeInUse", f"{name} is already attached to an instance")
    if zone != machine.launch.subnet.zone:
        place = f"'{name}' is not in the same availability zone as instance '{wanted}'"
        raise Refusal("InvalidVolume.ZoneMismatch", f"The volume {place}")
    if machine.state is not State.RUNNING:
        raise Refusal("IncorrectState", f"Instance '{wanted}' is not 'running'.")


def after_moto(call: Call) -> None:
    """Note what moto has changed of our machines: their groups and disks; files of a deleted volume go with it."""
    if call.action == "DeleteVolume":
        call.cloud.machines.forget_disk(str(call.parameters.get("VolumeId")))
    machine = call.region.machines.get(str(call.parameters.get("InstanceId")))
    groups = call.parameters.get("Groups")
    if call.action == "ModifyInstanceAttribute" and machine is not None and groups:
        machine.launch = attrs.evolve(machine.launch, groups=tuple(groups))
    if call.action in ("AttachVolume", "DetachVolume", "ModifyInstanceAttribute") and machine is not None:
        machine.touch()
