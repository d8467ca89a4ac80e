"""EFS file systems: found or created, given a mount target in each zone, removed with all that is aspot's of them.

A file system is let in to by membership: one group of its own, on its mount targets and on the machines that use it,
which admits NFS from itself alone.
"""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
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

NFS = 2049
USE = "aspot:filesystem"
"""Tag of what aspot made for a file system, and of the file system itself: its id or name."""
READY_S = 300.0
"""A mount target takes up to 90 s until it can be used (EFS user guide, "Creating mount targets", 2022)."""
GONE_S = 300.0
MOST_GROUPS = 5
"""Of a mount target (EFS API reference, CreateMountTarget)."""
FILE_SYSTEM_ID = re.compile(r"fs-[0-9a-f]{8,40}")
FIRST_S, MOST_S = 0.2, 5.0


@attrs.frozen(kw_only=True)
class FileSystem:
    """An EFS file system as AWS shows it.

    Args:
        id, name: AWS's id; the Name tag, "" for none.
        state: EFS's word; `available` is the usable one.
        size: Bytes that are metered.
        is_encrypted: At rest.
        throughput: `bursting`, `elastic` or `provisioned`.
        zone: The one zone of a One Zone file system; "" for a regional one.
        created: When.
        is_ours: Whether aspot made it.
    """

    id: str
    name: str
    state: str
    size: int
    is_encrypted: bool
    throughput: str
    zone: str
    created: datetime
    is_ours: bool

    @property
    def label(self) -> str:
        """Return what people call it."""
        return f"{self.name} ({self.id})" if self.name else self.id


@attrs.frozen(kw_only=True)
class Target:
    """A mount target: where the machines of a zone reach a file system."""

    id: str
    zone: str
    subnet: str
    vpc: str
    address: str
    state: str


async def every(aws: Aws) -> list[FileSystem]:
    """Return all file systems of the region."""
    return [_read(item) for item in await _pages(aws, "elasticfilesystem:DescribeFileSystems", "FileSystems")]


async def find(aws: Aws, name: str) -> FileSystem | None:
    """Return the file system with this id or Name; None if there is none.

    Raises:
        ConfigError: If several have the name.
    """
    if FILE_SYSTEM_ID.fullmatch(name):
        return await described(aws, name)
    named_so = [one for one in await every(aws) if one.name == name and one.state not in ("deleting", "deleted")]
    if len(named_so) > 1:
        raise ConfigError(
            f"{len(named_so)} file systems in {aws.region} are called {name}",
            fix=f"give the id of one: {', '.join(one.id for one in named_so)}",
        )
    return named_so[0] if named_so else None


async def described(aws: Aws, id_: str) -> FileSystem | None:
    """Return the file system with this id; None if there is none."""
    try:
        answer = await aws.call("elasticfilesystem:DescribeFileSystems", FileSystemId=id_)
    except Trouble as trouble:
        if trouble.cause is Cause.NOT_FOUND:
            return None
        raise
    return next((_read(item) for item in answer["FileSystems"]), None)


def absent(aws: Aws, name: str) -> ConfigError:
    """Return the error for a file system that is not there."""
    return ConfigError(
        f"there is no file system {name} in {aws.region}", fix="aspot fs ls shows those there are; aspot fs create NAME"
    )


async def create(aws: Aws, name: str, *, owner: str, throughput: str = "bursting") -> FileSystem:
    """Create an encrypted file system, and wait until it can be used; a repeat returns the same one.

    Args:
        aws: The gateway.
        name: Its name; the creation token follows from it, so two callers at once get one file system.
        owner: Who asks, for the tag.
        throughput: `bursting` (no price beside storage's) or `elastic` (fast at once, at a price a gigabyte moved).
    """
    token = f"aspot-{name}" if len(name) <= 58 else hashlib.sha256(name.encode()).hexdigest()  # 64 at most
    if FILE_SYSTEM_ID.fullmatch(name):
        raise absent(aws, name)
    labels = {"Name": name, USE: name, tags.OWNER: owner, tags.VERSION: VERSION}
    try:
        made = await aws.call(
            "elasticfilesystem:CreateFileSystem",
            CreationToken=token,
            PerformanceMode="generalPurpose",
            ThroughputMode=throughput,
            Encrypted=True,
            Tags=_tags(labels),
        )
    except Trouble as trouble:
        if trouble.code != "FileSystemAlreadyExists":
            raise
        answer = await aws.call("elasticfilesystem:DescribeFileSystems", CreationToken=token)
        if not answer["FileSystems"]:
            raise
        made = answer["FileSystems"][0]
    return await usable(aws, _read(made))


async def usable(aws: Aws, file_system: FileSystem) -> FileSystem:
    """Wait until a file system can be used.

    Raises:
        CloudError: If it cannot be.
    """
    seen: FileSystem | None = file_system
    for pause_s in _pauses(READY_S):
        if seen is None or seen.state in ("deleting", "deleted", "error"):
            break
        if seen.state in ("available", "updating"):
            return seen
        await anyio.sleep(pause_s)
        seen = await described(aws, file_system.id)
    state = seen.state if seen is not None else "gone"
    raise CloudError(f"file system {file_system.label} cannot be used: it is {state}", fix="aspot fs ls shows it")


async def targets(aws: Aws, id_: str) -> list[Target]:
    """Return the mount targets of a file system."""
    found = await _pages(aws, "elasticfilesystem:DescribeMountTargets", "MountTargets", FileSystemId=id_)
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
    strange = next((one for one in await targets(aws, file_system.id) if one.vpc and one.vpc != vpc), None)
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
            TagSpecifications=tags.on(["security-group"], _tags(labels)),
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
    known = await targets(aws, file_system.id)
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
    for pause_s in _pauses(READY_S):
        seen = {one.zone: one for one in await targets(aws, file_system.id) if one.zone in zones}
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
    known = await targets(aws, file_system.id)
    await together(*(partial(_gone, aws, "elasticfilesystem:DeleteMountTarget", MountTargetId=one.id) for one in known))
    for pause_s in _pauses(deadline - time.monotonic()):
        if not await _still_there(aws, file_system):
            break
        await anyio.sleep(pause_s)
    await _gone(aws, "elasticfilesystem:DeleteFileSystem", awaited=("FileSystemInUse",), FileSystemId=file_system.id)
    for group in await groups(aws, file_system.id):
        await _delete_group(aws, str(group["GroupId"]), deadline)


async def _still_there(aws: Aws, file_system: FileSystem) -> bool:
    try:
        return bool(await targets(aws, file_system.id))
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
    for pause_s in _pauses(max(1.0, deadline - time.monotonic())):
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


def _pauses(seconds: float) -> Iterable[float]:
    """Yield growing pauses until so many seconds are over; one at least."""
    until, pause_s = time.monotonic() + seconds, FIRST_S
    while True:
        yield pause_s
        pause_s = min(MOST_S, 1.5 * pause_s)
        if time.monotonic() > until:
            return


async def _pages(aws: Aws, action: str, key: str, **params: Any) -> list[dict[str, Any]]:
    """Return all items of a paged answer: EFS pages by markers."""
    found: list[dict[str, Any]] = []
    more: dict[str, Any] = {"MaxItems": 100}
    while True:
        answer = await aws.call(action, **params, **more)
        found += answer.get(key, [])
        if not answer.get("NextMarker"):
            return found
        more["Marker"] = answer["NextMarker"]


def _read(item: Mapping[str, Any]) -> FileSystem:
    seen = tags.read(item)
    return FileSystem(
        id=item["FileSystemId"],
        name=item.get("Name") or seen.get("Name", ""),
        state=item["LifeCycleState"],
        size=int(item["SizeInBytes"]["Value"]),
        is_encrypted=bool(item.get("Encrypted")),
        throughput=item.get("ThroughputMode", ""),
        zone=item.get("AvailabilityZoneName") or "",
        created=item["CreationTime"].astimezone(UTC),
        is_ours=USE in seen,
    )


def _tags(labels: Mapping[str, str]) -> list[dict[str, str]]:
    return [{"Key": key, "Value": value[:256]} for key, value in labels.items()]
