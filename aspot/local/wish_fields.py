"""The fields of a launch request that need no looking up, checked: market, user data, shutdown, tags, disks. Pure."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Any

from aspot.local.images import Image
from aspot.local.refusal import Refusal

__all__ = ["disks", "market", "shutdown_behavior", "tag_lists", "tags", "user_data"]

_MOST_USER_DATA = 16_384  # bytes before base64: EC2 user guide, "Work with instance user data"
_MOST_ENCODED = 25_600
_MOST_TAGS = 50
_SHUTDOWN = ("stop", "terminate")


def market(options: Mapping[str, Any]) -> tuple[bool, float | None, str]:
    """Return whether spot is wanted, its maximum price and what an interruption does."""
    kind = options.get("MarketType")
    if kind is None or kind == "on-demand":
        return False, None, "terminate"
    if kind != "spot":
        raise Refusal("InvalidParameterValue", f"Value ({kind}) for parameter marketType is invalid.")
    spot = options.get("SpotOptions") or {}
    if spot.get("SpotInstanceType", "one-time") != "one-time":
        raise Refusal("UnsupportedOperation", "The local cloud has one-time Spot requests only.")
    behavior = spot.get("InstanceInterruptionBehavior") or "terminate"
    if behavior != "terminate":
        raise Refusal(
            "InvalidParameterCombination",
            f"The instance interruption behavior '{behavior}' is not supported with a one-time Spot request.",
        )
    return True, _max_price(spot.get("MaxPrice")), behavior


def _max_price(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        price = float(text)
    except ValueError:
        price = 0.0
    if not price > 0.001:  # BM: "must be more than USD $0.001"
        raise Refusal(
            "InvalidParameterValue", f"Value ({text}) for parameter price is invalid. {text} is an invalid price."
        )
    return price


def tag_lists(parameters: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return a request's tag specifications."""
    return list(parameters.get("TagSpecifications") or ())


def user_data(encoded: str | None) -> bytes:
    """Return user data decoded, at most 16 KB of it."""
    if not encoded:
        return b""
    if len(encoded) > _MOST_ENCODED:
        raise Refusal("InvalidParameterValue", f"Encoded User data is limited to {_MOST_ENCODED} bytes")
    try:
        data = base64.b64decode(encoded, validate=True)
    except binascii.Error:
        raise Refusal("InvalidUserData.Malformed", "Invalid BASE64 encoding of user data.") from None
    if len(data) > _MOST_USER_DATA:
        raise Refusal("InvalidParameterValue", f"User data is limited to {_MOST_USER_DATA} bytes")
    return data


def shutdown_behavior(behavior: str | None) -> str:
    """Return what the machine's own shutdown does; EC2 stops it unless told otherwise."""
    if behavior is None:
        return "stop"
    if behavior not in _SHUTDOWN:
        raise Refusal(
            "InvalidParameterValue",
            f"Value ({behavior}) for parameter instanceInitiatedShutdownBehavior is invalid.",
        )
    return behavior


def tags(parameters: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the tags to put on what is launched, by resource type."""
    found: dict[str, dict[str, str]] = {}
    for specification in tag_lists(parameters):
        kind = specification.get("ResourceType")
        wanted = {tag["Key"]: tag.get("Value") or "" for tag in specification.get("Tags") or ()}
        if any(name.startswith("aws:") for name in wanted):
            raise Refusal("InvalidParameterValue", "Tag keys starting with 'aws:' are reserved for internal use")
        found.setdefault(str(kind), {}).update(wanted)
    if any(len(named) > _MOST_TAGS for named in found.values()):
        raise Refusal("TagLimitExceeded", "More than 50 tags specified")
    found.setdefault("instance", {}).update(parameters.get("TemplateTags") or {})
    return found


def disks(image: Image, wanted: Any) -> tuple[dict[str, Any], ...]:
    """Return the disks: the root disk as the image has it unless the request changes it, then the others."""
    asked = {disk.get("DeviceName"): disk for disk in wanted if disk.get("Ebs") is not None}
    root = {"VolumeSize": 8, "VolumeType": "gp3", "DeleteOnTermination": True}
    root.update(asked.pop(image.root_device, {}).get("Ebs", {}))
    found = [{"DeviceName": image.root_device, "Ebs": root}]
    for name, disk in asked.items():
        found.append({"DeviceName": name, "Ebs": {"VolumeSize": 8, "VolumeType": "gp3", **disk["Ebs"]}})
    return tuple(found)
