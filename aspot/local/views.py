"""How machines and spot requests look in answers. May import: cloud, records, moto_seams."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from aspot.local.cloud import Cloud, Region
from aspot.local.ec2_wire import Rendered
from aspot.local.moto_seams import ACCOUNT
from aspot.local.records import Machine, SpotRequest, State

__all__ = ["instance_view", "rendered", "request_view", "reservation_view", "tag_list"]

_STATUS_WORDS = {
    "fulfilled": "Your Spot request is fulfilled.",
    "marked-for-termination": "Your Spot instance is marked for termination.",
    "instance-terminated-no-capacity": "Your Spot instance was terminated because there is no Spot capacity available.",
    "instance-terminated-by-user": "Your Spot instance was terminated by the user.",
    "request-canceled-and-instance-running": "Your Spot request is canceled, but your instance is still running.",
    "instance-stopped-by-user": "Your Spot instance was stopped by the user.",
}


def _status_words(request: SpotRequest) -> str:
    """Return a status's message; while a notice runs, with the planned time: EC2's 120 s are ours to shorten."""
    words = _STATUS_WORDS.get(request.status, request.status)
    planned = request.machine.metadata.notice_time
    if planned is None or not request.machine.state.is_live:
        return words
    return f"{words} (local cloud: planned for {planned:%Y-%m-%dT%H:%M:%SZ})"


def tag_list(tags: dict[str, str]) -> list[dict[str, str]]:
    """Return tags as answers carry them."""
    return [{"Key": key, "Value": value} for key, value in tags.items()]


def reservation_view(cloud: Cloud, machines: Sequence[Machine]) -> dict[str, Any]:
    """Return the reservation of machines launched together, with what they look like now."""
    return {
        "ReservationId": machines[0].reservation,
        "OwnerId": ACCOUNT,
        "Groups": [],
        "Instances": [rendered(cloud, machine) for machine in machines],
    }


def rendered(cloud: Cloud, machine: Machine) -> Rendered:
    """Return an instance's XML, made anew only when something about it has changed."""
    region = cloud.regions[machine.region]
    key = (machine.version, region.changes)
    if machine.rendered is None or machine.rendered[0] != key:
        machine.rendered = (key, cloud.wire.render("Instance", instance_view(region, machine)))
    return machine.rendered[1]


def instance_view(region: Region, machine: Machine) -> dict[str, Any]:
    """Return an instance as DescribeInstances has it."""
    launch = machine.launch
    gone = machine.state is State.TERMINATED
    return {
        "InstanceId": machine.id,
        "ImageId": launch.image.id,
        "State": machine.state.wire,
        "PrivateDnsName": "" if gone else _private_name(machine),
        "StateTransitionReason": machine.transition,
        "StateReason": None if machine.reason is None else machine.reason.wire,
        "KeyName": launch.key_name,
        "AmiLaunchIndex": machine.index,
        "ProductCodes": [],
        "InstanceType": launch.type,
        "LaunchTime": machine.launched,
        "Placement": {
            "AvailabilityZone": launch.subnet.zone,
            "AvailabilityZoneId": launch.subnet.zone_id,
            "GroupName": "",
            "Tenancy": "default",
        },
        "Monitoring": {"State": "enabled" if launch.options.get("Monitoring", {}).get("Enabled") else "disabled"},
        "Architecture": launch.image.architecture,
        "RootDeviceType": "ebs",
        "RootDeviceName": launch.image.root_device,
        "VirtualizationType": "hvm",
        "Hypervisor": "xen",
        "ClientToken": launch.client_token,
        "EnaSupport": True,
        "EbsOptimized": bool(launch.options.get("EbsOptimized", False)),
        "InstanceLifecycle": "spot" if launch.spot else None,
        "SpotInstanceRequestId": machine.request.id if machine.request else None,
        "IamInstanceProfile": {"Arn": launch.profile, "Id": "AIPALOCAL"} if launch.profile else None,
        "PlatformDetails": "Linux/UNIX",
        "UsageOperation": "RunInstances",
        "UsageOperationUpdateTime": machine.launched,
        "Tags": tag_list(region.moto.tags(machine.id)),
        **({} if gone else _network(machine)),
        **region.moto.view(machine.body),
        **({"NetworkInterfaces": [], "BlockDeviceMappings": [], "SecurityGroups": []} if gone else {}),
    }


def _network(machine: Machine) -> dict[str, Any]:
    launch = machine.launch
    public = launch.public_ip and machine.state is State.RUNNING
    return {
        "SubnetId": launch.subnet.id,
        "VpcId": launch.subnet.vpc,
        "PrivateIpAddress": machine.endpoint.address,
        "PublicIpAddress": machine.endpoint.address if public else None,
        # EC2 gives a name in its own domain; no resolver knows that name here, and an address is always a valid host.
        "PublicDnsName": machine.endpoint.address if public else "",
    }


def _private_name(machine: Machine) -> str:
    host = "ip-" + machine.endpoint.address.replace(".", "-")
    domain = "ec2.internal" if machine.region == "us-east-1" else f"{machine.region}.compute.internal"
    return f"{host}.{domain}"


def request_view(region: Region, request: SpotRequest) -> dict[str, Any]:
    """Return a spot request as DescribeSpotInstanceRequests has it."""
    launch = request.machine.launch
    return {
        "SpotInstanceRequestId": request.id,
        "SpotPrice": request.price,
        "Type": "one-time",
        "State": request.state,
        "Status": {
            "Code": request.status,
            "Message": _status_words(request),
            "UpdateTime": request.updated,
        },
        "LaunchSpecification": {
            "ImageId": launch.image.id,
            "InstanceType": launch.type,
            "KeyName": launch.key_name,
            "SecurityGroups": [{"GroupId": group} for group in launch.groups],
            "SubnetId": launch.subnet.id,
            "Placement": {"AvailabilityZone": launch.subnet.zone},
            "Monitoring": {"Enabled": False},
        },
        "LaunchedAvailabilityZone": launch.subnet.zone,
        "InstanceId": request.machine.id,
        "CreateTime": request.created,
        "ProductDescription": "Linux/UNIX",
        "InstanceInterruptionBehavior": launch.behavior,
        "Tags": tag_list(region.moto.tags(request.id)),
    }
