"""The tags of everything that a run makes: written in the call that makes it, but for the one of a kept instance."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import MAXYEAR, UTC, datetime
from typing import Any

from aspot.machine import remains
from aspot.ports import CloudPlan

RUN = "aspot:run"
NAME = "aspot:name"
REQUEST = "aspot:request"
OWNER = "aspot:owner"
EXPIRES = "aspot:expires"
REGIONS = "aspot:regions"
"""All regions of a run that may use several, for whoever has lost its journal."""
VERSION = "aspot:v"
KEPT = "aspot:kept"
"""Seconds since 1970: until then a failed job's instance stays for a look, and ends itself."""
LOCAL_PORT = "aspot-local:ssh-port"
"""Put on instances by the local cloud where port 22 is not to be had; honoured on a loopback endpoint only."""


def tags_of(plan: CloudPlan, *, request: str = "") -> list[dict[str, str]]:
    """Return the run's tags, in AWS's form; with the launch request where there is one."""
    values = {
        "Name": plan.run.name,
        RUN: plan.run.id,
        NAME: plan.run.name,
        OWNER: plan.owner,
        EXPIRES: str(plan.expires),
        VERSION: remains.VERSION,
    }
    if plan.run.regions:
        values[REGIONS] = " ".join(plan.run.regions)
    if request:
        values[REQUEST] = request
    return [{"Key": key, "Value": value[:256]} for key, value in values.items()]


def on(kinds: Iterable[str], tags: list[dict[str, str]]) -> list[dict[str, Any]]:
    """Return tag specifications that put these tags on resources of these kinds."""
    return [{"ResourceType": kind, "Tags": tags} for kind in kinds]


def read(resource: Mapping[str, Any]) -> dict[str, str]:
    """Return a resource's tags by key."""
    return {tag["Key"]: tag.get("Value", "") for tag in resource.get("Tags", ())}


def moment(text: str) -> datetime | None:
    """Return the moment that a tag such as `aspot:expires` tells in seconds since 1970; None if it cannot be read.

    The last year there is counts as unreadable: it may not be one in the time of this place.
    """
    try:
        found = datetime.fromtimestamp(float(text), UTC)
        return found if found.year < MAXYEAR else None
    except (ValueError, OverflowError, OSError):
        return None
