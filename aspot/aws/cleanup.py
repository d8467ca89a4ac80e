"""Ending instances, and deleting what a run made beside them; what is left is said in words."""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

from aspot.aws import tags
from aspot.aws.bucket import bucket
from aspot.aws.clients import Aws, named
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


async def remove(aws: Aws, run: str, *, templates: Collection[str], groups: Collection[str]) -> list[str]:
    """Delete a run's launch templates and group, then look what is left of it; return that as text for people.

    Args:
        aws: The gateway.
        run: Run id.
        templates: Ids of its launch templates.
        groups: Ids of its security groups.

    Raises:
        Trouble: If EC2 could not be asked.
    """
    deletions = [_deleting(aws, "DeleteLaunchTemplate", "LaunchTemplateId", one) for one in templates]
    deletions += [_deleting(aws, "DeleteSecurityGroup", "GroupId", one) for one in groups]
    why: dict[str, str] = dict(await together(*deletions))
    others = await _others(aws, run, deleted=[one for one, reason in why.items() if not reason])
    return [
        *(f"{kind} {one}" + (f" ({why[one]})" if why.get(one) else "") for one, kind in others),
        *(f"instance {one} ({state})" for one, state in await alive(aws, run)),
    ]


def _deleting(aws: Aws, action: str, key: str, one: str) -> Any:
    """Return a call that deletes one thing and returns (its id, why it is still there)."""

    async def delete() -> tuple[str, str]:
        try:
            params: dict[str, Any] = {key: one}
            await aws.call(f"ec2:{action}", tries=3, **params)
        except Trouble as trouble:
            if trouble.cause in TRANSIENT or trouble.cause is Cause.EXPIRED:
                raise
            return one, "" if trouble.cause is Cause.NOT_FOUND else trouble.code
        return one, ""

    return delete


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


async def _others(aws: Aws, run: str, *, deleted: Collection[str]) -> list[tuple[str, str]]:
    """Return (id, words for its kind) of what is really there; tags of deleted things linger for a while."""
    listed = [pair for pair in await of_run(aws, run) if pair[0] not in deleted]
    there = await together(*(_looking(aws, one, kind) for one, kind in listed))
    return [(one, _WORDS[kind]) for (one, kind), is_there in zip(listed, there, strict=True) if is_there]


_LOOKS = {
    "volume": ("DescribeVolumes", "VolumeIds", "Volumes"),
    "network-interface": ("DescribeNetworkInterfaces", "NetworkInterfaceIds", "NetworkInterfaces"),
    "security-group": ("DescribeSecurityGroups", "GroupIds", "SecurityGroups"),
    "launch-template": ("DescribeLaunchTemplates", "LaunchTemplateIds", "LaunchTemplates"),
    "key-pair": ("DescribeKeyPairs", "KeyPairIds", "KeyPairs"),
}


def _looking(aws: Aws, one: str, kind: str) -> Any:
    action, key, items = _LOOKS[kind]

    async def look() -> bool:
        try:
            params: dict[str, Any] = {key: [one]}
            return bool((await aws.call(f"ec2:{action}", **params))[items])
        except Trouble as trouble:
            if trouble.code.endswith(".NotFound") or trouble.cause is Cause.NOT_FOUND:
                return False
            raise

    return look
