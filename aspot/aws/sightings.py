"""What EC2 shows of a run: instances and their spot requests, in two calls a thousand, merged into sightings."""

from __future__ import annotations

import math
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import anyio
import attrs

from aspot.aws import tags
from aspot.aws.clients import Aws, named
from aspot.machine.model import EndReason
from aspot.machine.pool import Market, Pool
from aspot.ports import Sighting

NOTICE = timedelta(seconds=120)
"""How long before the interruption EC2 says so (EC2 user guide, "Spot Instance interruption notices")."""
NOTICED = frozenset(
    {
        "marked-for-termination",
        "marked-for-stop",
        "marked-for-stop-by-experiment",
        "marked-for-termination-by-experiment",
    }
)
TAKEN = frozenset(
    {
        "instance-terminated-no-capacity",
        "instance-terminated-by-price",
        "instance-terminated-by-schedule",
        "instance-terminated-by-service",
        "instance-terminated-by-experiment",
        "instance-terminated-capacity-oversubscribed",
        "instance-stopped-no-capacity",
        "instance-stopped-by-price",
        "instance-stopped-by-experiment",
    }
)
"""Status codes of spot requests whose instance EC2 is taking or has taken ("Spot request status", 2026-11).
While the instance still runs, they are a notice too."""
ALIVE = frozenset({"pending", "running"})
BY_USER = "Client.UserInitiatedShutdown"
STATUSES_S = 5.0
"""Between questions for spot requests while their instances live: as often as AWS advises to look for a notice on the
instance itself, which the runner does. At once when an instance ends: then they say why."""
FILTER_VALUES = 200
"""Most values of a filter (EC2 API reference)."""
_REASONS = {
    "Server.SpotInstanceTermination": EndReason.INTERRUPTED,
    "Server.SpotInstanceShutdown": EndReason.INTERRUPTED,
    "Server.InsufficientInstanceCapacity": EndReason.NO_CAPACITY,
    "Server.InternalError": EndReason.HARDWARE,
    "Server.ScheduledStop": EndReason.HARDWARE,
    "Client.InstanceInitiatedShutdown": EndReason.ITSELF,
    "Client.VolumeLimitExceeded": EndReason.ACCOUNT,
    "Client.InternalError": EndReason.ACCOUNT,
    "Client.InvalidSnapshot.NotFound": EndReason.ACCOUNT,
}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?(?:Z|[+-]\d\d:?\d\d)")


@attrs.define(kw_only=True)
class Eyes:
    """How to read a run's instances, and what was learned on the way.

    Args:
        run: Run id.
        is_local: Whether the cloud is the local one, which may say another port and the real end of a short notice.
        is_public: Whether instances get a public address, so that a private one is not worth trying.
        ended: Instances that we asked EC2 to end.
        tagged: Spot requests that were seen to bear the run's tag.
        statuses: Of spot requests in trouble as last seen, by instance id.
        due: When to ask for them again, by the loop's clock.
    """

    run: str
    is_local: bool
    is_public: bool = True
    ended: set[str] = attrs.field(factory=set)
    tagged: set[str] = attrs.field(factory=set)
    statuses: dict[str, Mapping[str, Any]] = attrs.field(factory=dict)
    due: float = -math.inf


async def look(aws: Aws, eyes: Eyes, *, tries: int = 2) -> list[Sighting]:
    """Return every instance of the run that EC2 still shows.

    Raises:
        Trouble: If EC2 could not be asked.
    """
    mine = [named(f"tag:{tags.RUN}", [eyes.run])]
    reservations = await aws.pages("ec2:DescribeInstances", "Reservations", tries=tries, Filters=mine)
    instances = [item for one in reservations for item in one["Instances"]]
    requests = {_request_id(item) for item in instances if _is_open(item)} - {""}
    is_urgent = any(_is_open(item) and item["State"]["Name"] not in ALIVE for item in instances)
    if requests and (is_urgent or anyio.current_time() >= eyes.due):
        eyes.statuses = await _statuses(aws, requests, eyes, tries)
        eyes.due = anyio.current_time() + STATUSES_S
    return [sight(item, eyes.statuses.get(item["InstanceId"], {}), eyes) for item in instances]


async def _statuses(aws: Aws, requests: set[str], eyes: Eyes, tries: int) -> dict[str, Mapping[str, Any]]:
    """Return the statuses of spot requests whose instances EC2 takes or has taken, by instance id.

    The launch template tags requests, so one filter finds those in trouble and the answer is small. Requests are looked
    at one by one (200 a call) until they were seen to bear the tag, which may come late.
    """
    ask = partial(aws.pages, "ec2:DescribeSpotInstanceRequests", "SpotInstanceRequests", tries=tries)
    mine, found = named(f"tag:{tags.RUN}", [eyes.run]), []
    unknown = requests - eyes.tagged
    if unknown:
        found += await ask(Filters=[mine])
        eyes.tagged |= {item["SpotInstanceRequestId"] for item in found}
        untagged = sorted(requests - eyes.tagged)
        for at in range(0, len(untagged), FILTER_VALUES):
            found += await ask(Filters=[named("spot-instance-request-id", untagged[at : at + FILTER_VALUES])])
    else:
        found += await ask(Filters=[mine, named("status-code", sorted(NOTICED | TAKEN))])
    return {item["InstanceId"]: item.get("Status", {}) for item in found if item.get("InstanceId")}


def _request_id(item: Mapping[str, Any]) -> str:
    return str(item.get("SpotInstanceRequestId") or "")


def _is_open(item: Mapping[str, Any]) -> bool:
    """Tell whether the spot request still has something to say that the instance does not."""
    reason = item.get("StateReason", {}).get("Code", "")
    return item["State"]["Name"] != "terminated" or (reason not in _REASONS and reason != BY_USER)


def sight(item: Mapping[str, Any], status: Mapping[str, Any], eyes: Eyes) -> Sighting:
    """Return one instance as we see it.

    Args:
        item: The instance in EC2's answer.
        status: Its spot request's status; {} if there is none.
        eyes: How to read.
    """
    state, seen = item["State"]["Name"], tags.read(item)
    return Sighting(
        instance=item["InstanceId"],
        request=seen.get(tags.REQUEST, ""),
        pool=Pool(item["InstanceType"], item["Placement"]["AvailabilityZone"]),
        market=Market.SPOT if item.get("InstanceLifecycle") == "spot" else Market.ON_DEMAND,
        state=state,
        address=address_of(item, is_public=eyes.is_public),
        port=port_of(seen, is_local=eyes.is_local),
        launched=item["LaunchTime"].astimezone(UTC),
        end_reason=None if state in ALIVE else end_reason(item, str(status.get("Code", "")), eyes.ended),
        notice=notice(status, is_local=eyes.is_local) if state in ALIVE else None,
    )


def address_of(item: Mapping[str, Any], *, is_public: bool) -> str:
    """Return where to connect; "" while there is no such address."""
    public = item.get("PublicIpAddress") or ""
    return str(public or ("" if is_public else item.get("PrivateIpAddress") or ""))


def port_of(seen: Mapping[str, str], *, is_local: bool) -> int:
    """Return the SSH port: 22, or what the local cloud says."""
    said = seen.get(tags.LOCAL_PORT, "")
    return int(said) if is_local and said.isdecimal() and 0 < int(said) < 65536 else 22


def end_reason(item: Mapping[str, Any], status: str, ended: Collection[str]) -> EndReason:
    """Return why an instance ended (AWS's state reasons and spot statuses, EC2 API reference)."""
    code = item.get("StateReason", {}).get("Code", "")
    if status in TAKEN:
        return EndReason.INTERRUPTED
    if code == BY_USER:
        return EndReason.OURS if item["InstanceId"] in ended else EndReason.SOMEONE
    return _REASONS.get(code, EndReason.UNKNOWN)


def notice(status: Mapping[str, Any], *, is_local: bool) -> datetime | None:
    """Return when EC2 takes the instance, from the status of its spot request; None if it does not say that it will."""
    if status.get("Code") not in NOTICED | TAKEN:
        return None
    planned = _TIME.search(str(status.get("Message", ""))) if is_local else None
    if planned:
        return datetime.fromisoformat(planned[0]).astimezone(UTC)
    since = status.get("UpdateTime")
    return None if since is None else since.astimezone(UTC) + NOTICE
