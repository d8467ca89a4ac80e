"""How machines reach a file system: a mount target in each zone, and a group whose members are let in; its removal.

It is let in to by membership: one group of the file system's own, on its mount targets and on the machines that use it,
which admits NFS from itself alone.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from functools import partial
from typing import Any

import anyio
import attrs

from aspot.aws import tags
from aspot.aws.clients import Aws, named
from aspot.aws.codes import Cause
from aspot.aws.errors import Trouble
from aspot.aws.together import together
from aspot.errors import CloudError, ConfigError
from aspot.machine.remains import VERSION
from aspot.storage.efs import READY_S, USE, FileSystem, labelled, pages, pauses

NFS = 2049
GONE_S = 300.0
MOST_GROUPS = 5
"""Of a mount target (EFS API reference, CreateMountTarget)."""


@attrs.frozen(kw_only=True)
class Target:
    """A mount target: where the machines of a zone reach a file system."""

    id: str
    zone: str
    subnet: str
    vpc: str
    address: str
    state: str


async def of(aws: Aws, id_: str) -> list[Target]:
    """Return the mount targets of a file system."""
    found = await pages(aws, "elasticfilesystem:DescribeMountTargets", "MountTargets", FileSystemId=id_)
    return [
        Target(
            id=item["MountTargetId"],
            zone=item.get("AvailabilityZoneName", ""),
            subnet=item["SubnetId"],
            vpc=item.get("VpcId", ""),
            address=item.get("IpAddress", ""),
            state=item["LifeCycleState"],
        )
        for item in found
    ]


async def let_in(aws: Aws, file_system: FileSystem, vpc: str, *, owner: str) -> str:
    """Make the group whose members reach a file system, or find it; return its id.

    Raises:
        ConfigError: If its mount targets are in another VPC, or a group of that name is not aspot's.
    """
    strange = next((one for one in await of(aws, file_system.id) if one.vpc and one.vpc != vpc), None)
    if strange is not None:
        raise ConfigError(
            f"file system {file_system.label} is reached from {strange.vpc}, and the machines are in {vpc}",
            fix=f"give security_group= a group of {strange.vpc}, or use another file system",
        )
    name = f"aspot-efs-{file_system.id}"
    labels = {"Name": name, USE: file_system.id, tags.OWNER: owner, tags.VERSION: VERSION}
    try:
        answer = await aws.call(
            "ec2:CreateSecurityGroup",
            GroupName=name,
            Description=f"aspot: machines that use {file_system.id}, and its mount targets",
            VpcId=vpc,
            TagSpecifications=tags.on(["security-group"], labelled(labels)),
        )
        group = str(answer["GroupId"])
    except Trouble as trouble:
        if trouble.code != "InvalidGroup.Duplicate":
            raise
        known = [item for item in await groups(aws, file_system.id) if item["VpcId"] == vpc]
        if not known:
            raise ConfigError(
                f"a security group {name} exists that is not aspot's", fix=f"delete {name}, then repeat"
            ) from trouble
        group = str(known[0]["GroupId"])
    try:
        await aws.call(
            "ec2:AuthorizeSecurityGroupIngress",
            awaited=("InvalidGroup.NotFound", "InvalidGroupId.NotFound", "InvalidSecurityGroupID.NotFound"),
            GroupId=group,
            IpPermissions=[
                {"IpProtocol": "tcp", "FromPort": NFS, "ToPort": NFS, "UserIdGroupPairs": [{"GroupId": group}]}
            ],
        )
    except Trouble as trouble:
        if trouble.code != "InvalidPermission.Duplicate":
            raise
    return group


async def groups(aws: Aws, id_: str) -> list[dict[str, Any]]:
    """Return the groups that aspot made for a file system: one a VPC."""
    return await aws.pages("ec2:DescribeSecurityGroups", "SecurityGroups", Filters=[named(f"tag:{USE}", [id_])])


UP = ("pending", "running", "stopping", "stopped")


async def users(aws: Aws, id_: str) -> tuple[str, ...]:
    """Return the ids of the machines that are let in to a file system by aspot's groups."""
    known = [str(group["GroupId"]) for group in await groups(aws, id_)]
    if not known:
        return ()
    filters = [named("instance.group-id", known), named("instance-state-name", UP)]
    seen = await aws.pages("ec2:DescribeInstances", "Reservations", Filters=filters)
    return tuple(item["InstanceId"] for found in seen for item in found["Instances"])


async def drop(aws: Aws, file_system: FileSystem, zones: Collection[str]) -> None:
    """Delete the mount targets in these zones, so that they can be made anew; returns when they are gone.

    Raises:
        ConfigError: If a machine may be using the file system: it would hang.
        CloudError: If they do not go.
    """
    doomed = [one for one in await of(aws, file_system.id) if one.zone in zones]
    if doomed and (holders := await users(aws, file_system.id)):
        raise ConfigError(
            f"the mount targets of file system {file_system.label} cannot be made anew: {', '.join(holders)} may be "
            "using it",
            fix="aspot ls shows whose that is; end it first, or leave -nm out",
        )
    ids = {one.id for one in doomed}
    await together(*(partial(_gone, aws, "elasticfilesystem:DeleteMountTarget", MountTargetId=one) for one in ids))
    for pause_s in pauses(GONE_S):
        if not ids & {one.id for one in await of(aws, file_system.id)}:
            return
        await anyio.sleep(pause_s)
    raise CloudError(
        f"mount targets of {file_system.label} are still there after {GONE_S:.0f} s", fix="try again later"
    )


async def reachable(aws: Aws, file_system: FileSystem, group: str, subnets: Mapping[str, str]) -> dict[str, Target]:
    """See to it that a file system has a usable mount target in each of these zones; return them by zone.

    Args:
        aws: The gateway.
        file_system: Which.
        group: Whose members are let in: put on targets that lack it.
        subnets: One a zone.

    Raises:
        ConfigError: If a target can take no further group.
        CloudError: If one does not get ready.
    """
    known = await of(aws, file_system.id)
    there = {one.zone for one in known}
    await together(*(partial(_join, aws, one, group) for one in known if one.zone in subnets))
    lacking = [subnet for zone, subnet in subnets.items() if zone not in there]
    await together(*(partial(_make_target, aws, file_system.id, subnet, group) for subnet in lacking))
    return await _until_ready(aws, file_system, set(subnets))


async def _make_target(aws: Aws, id_: str, subnet: str, group: str) -> None:
    try:
        await aws.call(
            "elasticfilesystem:CreateMountTarget",
            awaited=("SecurityGroupNotFound", "IncorrectFileSystemLifeCycleState"),
            FileSystemId=id_,
            SubnetId=subnet,
            SecurityGroups=[group],
        )
    except Trouble as trouble:
        if trouble.code != "MountTargetConflict":  # another run made it meanwhile
            raise


async def _join(aws: Aws, target: Target, group: str) -> None:
    """Put the group on a mount target that somebody made otherwise; those it has stay."""
    answer = await aws.call("elasticfilesystem:DescribeMountTargetSecurityGroups", MountTargetId=target.id)
    has = list(answer["SecurityGroups"])
    if group in has:
        return
    if len(has) >= MOST_GROUPS:
        raise ConfigError(
            f"mount target {target.id} in {target.zone} has {len(has)} security groups, as many as EFS allows",
            fix=f"take one off, so that {group} can be put on",
        )
    await aws.call(
        "elasticfilesystem:ModifyMountTargetSecurityGroups", MountTargetId=target.id, SecurityGroups=[*has, group]
    )


async def _until_ready(aws: Aws, file_system: FileSystem, zones: set[str]) -> dict[str, Target]:
    seen: dict[str, Target] = {}
    for pause_s in pauses(READY_S):
        seen = {one.zone: one for one in await of(aws, file_system.id) if one.zone in zones}
        if set(seen) == zones and all(one.state == "available" and one.address for one in seen.values()):
            return seen
        await anyio.sleep(pause_s)
    late = ", ".join(sorted(zone for zone in zones if zone not in seen or seen[zone].state != "available"))
    raise CloudError(
        f"file system {file_system.label} has no usable mount target in {late} after {READY_S:.0f} s",
        fix="try again later, or leave these zones out: --zone",
    )


async def remove(aws: Aws, file_system: FileSystem) -> None:
    """Delete a file system with its mount targets and aspot's group, in the order that AWS wants.

    Raises:
        CloudError: If something of it is still there after some minutes.
    """
    deadline = time.monotonic() + GONE_S
    known = await of(aws, file_system.id)
    await together(*(partial(_gone, aws, "elasticfilesystem:DeleteMountTarget", MountTargetId=one.id) for one in known))
    for pause_s in pauses(deadline - time.monotonic()):
        if not await _still_there(aws, file_system):
            break
        await anyio.sleep(pause_s)
    await _gone(aws, "elasticfilesystem:DeleteFileSystem", awaited=("FileSystemInUse",), FileSystemId=file_system.id)
    for group in await groups(aws, file_system.id):
        await _delete_group(aws, str(group["GroupId"]), deadline)


async def _still_there(aws: Aws, file_system: FileSystem) -> bool:
    try:
        return bool(await of(aws, file_system.id))
    except Trouble as trouble:
        if trouble.cause is Cause.NOT_FOUND:
            return False
        raise


async def _gone(aws: Aws, action: str, *, awaited: Sequence[str] = (), **params: Any) -> None:
    try:
        await aws.call(action, awaited=awaited, **params)
    except Trouble as trouble:
        if trouble.cause is not Cause.NOT_FOUND:
            raise


async def _delete_group(aws: Aws, group: str, deadline: float) -> None:
    """Delete a group; EC2 may see a deleted target's interface in it for a while yet."""
    for pause_s in pauses(max(1.0, deadline - time.monotonic())):
        try:
            await aws.call("ec2:DeleteSecurityGroup", GroupId=group)
        except Trouble as trouble:
            if trouble.cause is Cause.NOT_FOUND:
                return
            if trouble.code != "DependencyViolation":
                raise
        else:
            return
        await anyio.sleep(pause_s)
    raise CloudError(f"the file system is deleted, its security group {group} is still in use", fix="delete it later")
