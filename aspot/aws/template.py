"""The launch template of a run: what all its instances have in common."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Sequence
from typing import Any

from aspot.aws import tags
from aspot.aws.clients import Aws
from aspot.aws.images import Image
from aspot.aws.network import Place
from aspot.errors import ConfigError
from aspot.machine.pool import Market
from aspot.ports import CloudPlan

LARGEST_USER_DATA = 16384
"""Bytes before base64 (EC2 API reference, RunInstances)."""


def check_user_data(plan: CloudPlan) -> None:
    """Refuse user data that EC2 would refuse.

    Raises:
        ConfigError: If it is too long.
    """
    if len(plan.user_data) > LARGEST_USER_DATA:
        raise ConfigError(
            f"user data of {len(plan.user_data)} bytes is over EC2's {LARGEST_USER_DATA}", fix="shorten it"
        )


def interface(groups: Sequence[str], place: Place, subnet: str = "") -> dict[str, Any]:
    """Return the one network interface of an instance."""
    return {
        "DeviceIndex": 0,
        "Groups": list(groups),
        "AssociatePublicIpAddress": place.is_public,
        "DeleteOnTermination": True,
        **({"SubnetId": subnet} if subnet else {}),
    }


def contents(plan: CloudPlan, *, image: Image, place: Place, groups: Sequence[str], market: Market) -> dict[str, Any]:
    """Return the template's data.

    Instance and volume tags are not in it: they name the launch request, and go into the launch call.
    """
    kinds = ["network-interface", *(["spot-instances-request"] if market is Market.SPOT else [])]
    found: dict[str, Any] = {
        "ImageId": next(iter(image.ids.values())),
        "InstanceInitiatedShutdownBehavior": "terminate",
        "MetadataOptions": {
            "HttpTokens": "required",
            "HttpPutResponseHopLimit": 1,
            "HttpEndpoint": "enabled",
            "InstanceMetadataTags": "disabled",
        },
        "BlockDeviceMappings": [{"DeviceName": image.root, "Ebs": _volume(plan.run.disk_gb)}],
        "NetworkInterfaces": [interface(groups, place)],
        "TagSpecifications": tags.on(kinds, tags.tags_of(plan)),
    }
    if plan.user_data:
        found["UserData"] = base64.b64encode(plan.user_data).decode()
    if plan.key_pair:
        found["KeyName"] = plan.key_pair
    if plan.monitoring:
        found["Monitoring"] = {"Enabled": True}
    if plan.instance_profile:
        key = "Arn" if plan.instance_profile.startswith("arn:") else "Name"
        found["IamInstanceProfile"] = {key: plan.instance_profile}
    return found


def _volume(size_gb: int) -> dict[str, Any]:
    return {"VolumeSize": size_gb, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}


async def make(aws: Aws, plan: CloudPlan, market: Market, data: dict[str, Any]) -> str:
    """Make the template for launches on this market; return its id. Repeating returns the same."""
    name = f"aspot-{plan.run.id}" + ("" if market is Market.SPOT else "-od")
    answer = await aws.call(
        "ec2:CreateLaunchTemplate",
        LaunchTemplateName=name,
        LaunchTemplateData=data,
        ClientToken=token(plan.run.id, market.value, data),
        TagSpecifications=tags.on(["launch-template"], tags.tags_of(plan)),
    )
    return str(answer["LaunchTemplate"]["LaunchTemplateId"])


def token(*parts: object) -> str:
    """Return a ClientToken (64 ASCII characters) that is the same for the same parts."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()
