"""DescribeInstances, DescribeInstanceStatus, DescribeSpotInstanceRequests and other reads of machines: ours, for speed.

May import: cloud, views, filters, records.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from typing import Any

from aspot.local.cloud import Call
from aspot.local.filters import Finder, filtered, page
from aspot.local.moto_seams import ACCOUNT
from aspot.local.records import Fleet, Machine, SpotRequest, State
from aspot.local.refusal import Refusal
from aspot.local.views import rendered, request_view, tag_list

__all__ = [
    "describe_fleet_instances",
    "describe_fleets",
    "describe_instance_status",
    "describe_instances",
    "describe_spot_instance_requests",
    "get_console_output",
]

_MOST_STATUS_IDS = 100  # botocore's model: DescribeInstanceStatus takes at most 100 explicit ids


def _text(flag: bool) -> str:
    return "true" if flag else "false"


_MACHINE: dict[str, Finder[Machine]] = {
    "architecture": lambda m: m.launch.image.architecture,
    "availability-zone": lambda m: m.launch.subnet.zone,
    "availability-zone-id": lambda m: m.launch.subnet.zone_id,
    "client-token": lambda m: m.launch.client_token,
    "dns-name": lambda m: m.endpoint.address,
    "group-id": lambda m: m.launch.groups,
    "hypervisor": lambda _: "xen",
    "iam-instance-profile.arn": lambda m: m.launch.profile,
    "image-id": lambda m: m.launch.image.id,
    "instance-id": lambda m: m.id,
    "instance-lifecycle": lambda m: "spot" if m.launch.spot else None,
    "instance-state-code": lambda m: str(m.state.value[0]),
    "instance-state-name": lambda m: m.state.word,
    "instance-type": lambda m: m.launch.type,
    "instance.group-id": lambda m: m.launch.groups,
    "ip-address": lambda m: m.endpoint.address if m.state is State.RUNNING else None,
    "key-name": lambda m: m.launch.key_name,
    "launch-index": lambda m: str(m.index),
    "launch-time": lambda m: m.launched.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    "metadata-options.http-tokens": lambda m: m.launch.metadata_options.get("HttpTokens", "optional"),
    "monitoring-state": lambda _: "disabled",
    "network-interface.group-id": lambda m: m.launch.groups,
    "network-interface.subnet-id": lambda m: m.launch.subnet.id,
    "network-interface.vpc-id": lambda m: m.launch.subnet.vpc,
    "owner-id": lambda _: ACCOUNT,
    "placement-group-name": lambda _: "",
    "platform-details": lambda _: "Linux/UNIX",
    "private-ip-address": lambda m: m.endpoint.address,
    "reason": lambda m: m.transition,
    "reservation-id": lambda m: m.reservation,
    "root-device-name": lambda m: m.launch.image.root_device,
    "root-device-type": lambda _: "ebs",
    "spot-instance-request-id": lambda m: m.request.id if m.request else None,
    "state-reason-code": lambda m: m.reason.code if m.reason else None,
    "subnet-id": lambda m: m.launch.subnet.id,
    "tenancy": lambda _: "default",
    "virtualization-type": lambda _: "hvm",
    "vpc-id": lambda m: m.launch.subnet.vpc,
}
_REQUEST: dict[str, Finder[SpotRequest]] = {
    "availability-zone-group": lambda _: None,
    "create-time": lambda r: r.created.strftime("%Y-%m-%dT%H:%M:%S.000Z"),
    "instance-id": lambda r: r.machine.id,
    "launch.image-id": lambda r: r.machine.launch.image.id,
    "launch.instance-type": lambda r: r.machine.launch.type,
    "launch.key-name": lambda r: r.machine.launch.key_name,
    "launch.group-id": lambda r: r.machine.launch.groups,
    "launched-availability-zone": lambda r: r.machine.launch.subnet.zone,
    "network-interface.subnet-id": lambda r: r.machine.launch.subnet.id,
    "product-description": lambda _: "Linux/UNIX",
    "spot-instance-request-id": lambda r: r.id,
    "spot-price": lambda r: r.price,
    "state": lambda r: r.state,
    "status-code": lambda r: r.status,
    "type": lambda _: "one-time",
}


async def describe_instances(call: Call) -> dict[str, Any]:
    """Answer DescribeInstances."""
    found, token = page(_machines(call), call.parameters)
    reservations: dict[str, list[Machine]] = {}
    for machine in found:
        reservations.setdefault(machine.reservation, []).append(machine)
    answers = [
        {
            "ReservationId": reservation,
            "OwnerId": ACCOUNT,
            "Groups": [],
            "Instances": [rendered(call.cloud, machine) for machine in machines],
        }
        for reservation, machines in reservations.items()
    ]
    return {"Reservations": answers, "NextToken": token}


def _machines(call: Call) -> list[Machine]:
    parameters, region, now = call.parameters, call.region, call.cloud.now
    ids = parameters.get("InstanceIds") or ()
    if ids and parameters.get("MaxResults") is not None:
        raise Refusal(
            "InvalidParameterCombination",
            "The parameter instancesSet cannot be used with the parameter maxResults",
        )
    call.permit()
    chosen = [region.machine(name, now=now) for name in dict.fromkeys(ids)] if ids else region.visible(now)
    return filtered(chosen, parameters.get("Filters"), finders=_MACHINE, tags=lambda m: region.moto.tags(m.id))


async def describe_instance_status(call: Call) -> dict[str, Any]:
    """Answer DescribeInstanceStatus."""
    parameters, region, now = call.parameters, call.region, call.cloud.now
    ids = parameters.get("InstanceIds") or ()
    if len(ids) > _MOST_STATUS_IDS:
        raise Refusal("InvalidParameterValue", f"At most {_MOST_STATUS_IDS} instance ids are allowed.")
    call.permit()
    chosen: Iterable[Machine] = [region.machine(name, now=now) for name in ids] if ids else region.visible(now)
    if not parameters.get("IncludeAllInstances"):
        chosen = [machine for machine in chosen if machine.state is State.RUNNING]
    wanted = filtered(chosen, parameters.get("Filters"), finders=_MACHINE, tags=lambda m: region.moto.tags(m.id))
    found, token = page(wanted, parameters)
    return {"InstanceStatuses": [_status(machine) for machine in found], "NextToken": token}


def _status(machine: Machine) -> dict[str, Any]:
    if machine.state is not State.RUNNING:
        health: dict[str, Any] = {"Status": "not-applicable"}
    else:
        passed = "passed" if machine.booted and machine.boots else "initializing"
        word = "ok" if passed == "passed" else "initializing"
        health = {"Status": word, "Details": [{"Name": "reachability", "Status": passed}]}
    return {
        "InstanceId": machine.id,
        "AvailabilityZone": machine.launch.subnet.zone,
        "InstanceState": machine.state.wire,
        "InstanceStatus": health,
        "SystemStatus": health,
    }


async def describe_spot_instance_requests(call: Call) -> dict[str, Any]:
    """Answer DescribeSpotInstanceRequests."""
    region, parameters = call.region, call.parameters
    call.permit()
    ids = parameters.get("SpotInstanceRequestIds") or ()
    chosen = [_request(call, name) for name in ids] if ids else list(region.requests.values())
    wanted = filtered(chosen, parameters.get("Filters"), finders=_REQUEST, tags=lambda r: region.moto.tags(r.id))
    found, token = page(wanted, parameters)
    return {"SpotInstanceRequests": [request_view(region, request) for request in found], "NextToken": token}


def _request(call: Call, request_id: str) -> SpotRequest:
    found = call.region.requests.get(request_id)
    if found is None:
        raise Refusal(
            "InvalidSpotInstanceRequestID.NotFound", f"The spot instance request ID '{request_id}' does not exist"
        )
    return found


async def get_console_output(call: Call) -> dict[str, Any]:
    """Answer GetConsoleOutput: what was posted of the console, or what is on it now if `Latest` is asked for.

    Facts (EC2 user guide, "Instance console output"): it is posted shortly after boots and ends, the last 64 KiB of
    it, and stays for an hour after the end; only instances on Nitro can be asked for the latest.
    """
    machine = call.region.machine(call.parameters.get("InstanceId") or "", now=call.cloud.now)
    call.permit()
    text, at = machine.console, machine.console_at
    if call.parameters.get("Latest"):
        if call.region.moto.types().get(machine.launch.type, {}).get("Hypervisor") != "nitro":
            raise Refusal(
                "UnsupportedOperation", "This instance type does not support retrieving the latest console logs."
            )
        if machine.state.is_live and (now := call.cloud.machines.console(machine.id)):
            text, at = now, call.cloud.clock
    if at is None:
        return {"InstanceId": machine.id, "Timestamp": machine.launched}
    return {"InstanceId": machine.id, "Timestamp": at, "Output": base64.b64encode(text.encode()[-65_536:]).decode()}


async def describe_fleets(call: Call) -> dict[str, Any]:
    """Answer DescribeFleets: instant fleets show only when asked for by id."""
    call.permit()
    found, token = page(_fleets(call, call.parameters.get("FleetIds") or ()), call.parameters, lowest=1)
    return {"Fleets": [_fleet_view(fleet) for fleet in found], "NextToken": token}


def _fleets(call: Call, ids: Sequence[str]) -> list[Fleet]:
    missing = [name for name in ids if name not in call.region.fleets]
    if missing:
        raise Refusal("InvalidFleetId.NotFound", f"The fleet ID '{missing[0]}' does not exist")
    return [call.region.fleets[name] for name in ids]


def _fleet_view(fleet: Fleet) -> dict[str, Any]:
    live = sum(1 for machine in fleet.machines if machine.state.is_live)
    target = fleet.request["TargetCapacitySpecification"]
    return {
        "FleetId": fleet.id,
        "FleetState": fleet.state,
        "ActivityStatus": "fulfilled" if not fleet.errors else "error",
        "CreateTime": fleet.created,
        "ClientToken": fleet.token,
        "Type": "instant",
        "FulfilledCapacity": float(live),
        "FulfilledOnDemandCapacity": 0.0,
        "TargetCapacitySpecification": {"TotalTargetCapacity": target["TotalTargetCapacity"]},
        "Tags": tag_list(fleet.tags),
    }


async def describe_fleet_instances(call: Call) -> dict[str, Any]:
    """Answer DescribeFleetInstances, which EC2 refuses for instant fleets."""
    _fleets(call, [call.parameters.get("FleetId") or ""])
    raise Refusal("Unsupported", "DescribeFleetInstances is not supported for fleets of type instant.")
