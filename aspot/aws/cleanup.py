"""Ending instances, and deleting what a run made beside them; what is left is said in words."""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Mapping
from datetime import datetime
from functools import partial
from typing import Any

import attrs

from aspot.aws import tags
from aspot.aws.bucket import bucket
from aspot.aws.clients import PAGE, TEMPLATES_PAGE, Aws, named
from aspot.aws.codes import TRANSIENT, Cause
from aspot.aws.errors import Trouble
from aspot.aws.together import together

BATCH = 1000
"""Most ids in one TerminateInstances (EC2 API reference)."""
COSTLY = ("pending", "running", "stopping", "stopped")
OTHERS = ("volume", "network-interface", "security-group", "launch-template", "key-pair")
_WORDS = {
    "volume": "volume",
    "network-interface": "network interface",
    "security-group": "security group",
    "launch-template": "launch template",
    "key-pair": "key pair",
}


async def terminate(aws: Aws, instances: Collection[str]) -> dict[str, str]:
    """End instances; return refusals by id.

    One wrong id makes EC2 refuse a whole batch, so a refused batch is halved until the wrong ones stand alone.

    Raises:
        Trouble: If EC2 could not be asked.
    """
    refused: dict[str, str] = {}
    waiting = [sorted(instances)[at : at + BATCH] for at in range(0, len(instances), BATCH)]
    while waiting:
        batch = waiting.pop()
        try:
            await _terminate(aws, batch)
        except Trouble as trouble:
            if trouble.cause in TRANSIENT or trouble.cause is Cause.EXPIRED:
                raise
            if len(batch) == 1:
                refused[batch[0]] = f"{trouble.code}: {trouble.message}"
            else:
                waiting += [batch[: len(batch) // 2], batch[len(batch) // 2 :]]
    return refused


async def _terminate(aws: Aws, batch: list[str]) -> None:
    pace = bucket(aws.endpoint, aws.region, "TerminateInstances")
    await pace.take()
    try:
        await aws.call("ec2:TerminateInstances", tries=2, InstanceIds=batch)
    except Trouble as trouble:
        if trouble.cause is Cause.THROTTLED:
            pace.drain(time.monotonic())
        raise


@attrs.define(kw_only=True)
class Made:
    """What a run made beside instances and is not yet deleted.

    Args:
        run: Run id.
        templates: Ids of its launch templates.
        groups: Ids of its own security groups.
        is_walled: Whether its instances were in its own group, which cannot be deleted while an interface is in it.
        deleted: Ids of what EC2 said it has deleted: tags of these may linger.
    """

    run: str
    templates: set[str] = attrs.field(factory=set)
    groups: set[str] = attrs.field(factory=set)
    is_walled: bool = False
    deleted: set[str] = attrs.field(factory=set)


async def remove(aws: Aws, made: Made, kept: Collection[str] = ()) -> list[str]:
    """Delete a run's launch templates and groups, and look what is left of it; return that as text for people.

    A group that EC2 has deleted had no interface in it: then these need not be looked for.

    Args:
        aws: The gateway.
        made: What the run made.
        kept: Ids of instances that stay on purpose: the group stays with them, and none of what is theirs is left.

    Raises:
        Trouble: If EC2 could not be asked.
    """
    left = [f"launch template {one} ({why})" for one, why in await _delete(aws, "LaunchTemplate", made, made.templates)]
    if not kept:
        left += [f"security group {one} ({why})" for one, why in await _delete(aws, "SecurityGroup", made, made.groups)]
    kinds = [kind for kind in OTHERS if kept or not (made.is_walled and kind == "network-interface")]
    return left + await left_of(aws, made.run, kinds, known=made.deleted | made.templates | made.groups, kept=kept)


async def _delete(aws: Aws, what: str, made: Made, ids: set[str]) -> list[tuple[str, str]]:
    """Delete things, take them out of the set, and return those that stay, with AWS's code for why."""
    key = "GroupId" if what == "SecurityGroup" else f"{what}Id"
    order = sorted(ids)
    reasons = await together(*(partial(delete_one, aws, f"ec2:Delete{what}", {key: one}) for one in order))
    stay = [(one, why) for one, why in zip(order, reasons, strict=True) if why]
    ids.intersection_update(one for one, _ in stay)
    made.deleted.update(set(order) - ids)
    return stay


async def delete_one(aws: Aws, operation: str, params: dict[str, Any]) -> str:
    """Return why it is still there; "" if it is not."""
    try:
        await aws.call(operation, tries=3, **params)
    except Trouble as trouble:
        if trouble.cause in TRANSIENT or trouble.cause is Cause.EXPIRED:
            raise
        return "" if trouble.cause is Cause.NOT_FOUND else trouble.code
    return ""


async def alive(aws: Aws, run: str, states: Collection[str] = COSTLY) -> list[tuple[str, str]]:
    """Return the run's instances in these states, by default those that cost money, with EC2's word for it."""
    found = await aws.pages(
        "ec2:DescribeInstances",
        "Reservations",
        Filters=[named(f"tag:{tags.RUN}", [run]), named("instance-state-name", states)],
    )
    return [(item["InstanceId"], item["State"]["Name"]) for one in found for item in one["Instances"]]


async def of_run(aws: Aws, run: str, kinds: Collection[str] = OTHERS) -> list[tuple[str, str]]:
    """Return (id, kind) of everything of the run that bears its tag, deleted things that EC2 still lists too."""
    filters = [named("key", [tags.RUN]), named("value", [run]), named("resource-type", kinds)]
    found = await aws.pages("ec2:DescribeTags", "Tags", Filters=filters)
    return [(item["ResourceId"], item["ResourceType"]) for item in found]


async def mark_kept(aws: Aws, instance: str, until: datetime) -> None:
    """Write onto an instance until when it is kept: the only tag that is not written in the call that makes a thing.

    Raises:
        Trouble: If EC2 could not be asked, or refuses.
    """
    mark = {"Key": tags.KEPT, "Value": str(math.ceil(until.timestamp()))}
    await aws.call("ec2:CreateTags", tries=3, Resources=[instance], Tags=[mark])


async def left_of(
    aws: Aws,
    run: str,
    kinds: Collection[str] = OTHERS,
    *,
    known: Collection[str] = (),
    kept: Collection[str] = (),
) -> list[str]:
    """Return everything there is of a run, as text for people; nothing is changed.

    Three calls, however large the run was, and one more for each kind of thing that bears the run's tag: tags of
    deleted things linger, so these are looked for. Spot requests keep theirs for days: they are asked for by state.

    Args:
        aws: The gateway.
        run: Run id.
        kinds: What to look for beside instances and spot requests.
        known: Ids of what need not be looked for.
        kept: Ids of instances that stay on purpose, with what is attached to them.

    Raises:
        Trouble: If EC2 could not be asked.
    """
    instances, requests, listed = await together(
        partial(alive, aws, run), partial(_requests, aws, run), partial(of_run, aws, run, kinds)
    )
    listed_kinds = sorted({kind for one, kind in listed if one not in known})
    found = await together(*(partial(there, aws, run, kind, kept) for kind in listed_kinds))
    left = [
        f"{_WORDS[kind]} {one}"
        for kind, ids in zip(listed_kinds, found, strict=True)
        for one in ids
        if one not in known
    ]
    said = {one for one, _ in instances}
    left += [f"spot request {one} ({state})" for one, state, instance in requests if instance not in said]
    return left + [f"instance {one} ({state})" for one, state in instances if one not in kept]


async def _requests(aws: Aws, run: str) -> list[tuple[str, str, str]]:
    """Return the run's spot requests that may still bring or hold a machine: id, state, instance ("" for none)."""
    found = await aws.pages(
        "ec2:DescribeSpotInstanceRequests",
        "SpotInstanceRequests",
        Filters=[named(f"tag:{tags.RUN}", [run]), named("state", ("open", "active"))],
    )
    return [(item["SpotInstanceRequestId"], item["State"], item.get("InstanceId") or "") for item in found]


async def there(aws: Aws, run: str, kind: str, kept: Collection[str] = ()) -> list[str]:
    """Return the ids of a run's things of one kind that really exist, but for what is attached to kept instances."""
    action, items, key = _LOOKS[kind]
    size = {"key-pair": None, "launch-template": TEMPLATES_PAGE}.get(kind, PAGE)  # key pairs come without pages
    found = await aws.pages(f"ec2:{action}", items, size=size, Filters=[named(f"tag:{tags.RUN}", [run])])
    return [item[key] for item in found if item.get("State") not in _GOING and not _holders(item) & set(kept)]


def _holders(item: Mapping[str, Any]) -> set[str]:
    """Return the ids of the instances that a volume or an interface is attached to."""
    attached = [*item.get("Attachments", ()), item.get("Attachment") or {}]
    return {one["InstanceId"] for one in attached if "InstanceId" in one}


_GOING = ("deleting", "deleted")
"""States of volumes that are no longer there for us."""
_LOOKS = {
    "volume": ("DescribeVolumes", "Volumes", "VolumeId"),
    "network-interface": ("DescribeNetworkInterfaces", "NetworkInterfaces", "NetworkInterfaceId"),
    "security-group": ("DescribeSecurityGroups", "SecurityGroups", "GroupId"),
    "launch-template": ("DescribeLaunchTemplates", "LaunchTemplates", "LaunchTemplateId"),
    "key-pair": ("DescribeKeyPairs", "KeyPairs", "KeyPairId"),
}
