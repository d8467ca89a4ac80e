"""EFS file systems: found, or created. How machines reach them is in `aspot.storage.targets`."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

import anyio
import attrs

from aspot.aws import tags
from aspot.aws.clients import Aws
from aspot.aws.codes import Cause
from aspot.aws.errors import Trouble
from aspot.errors import CloudError, ConfigError
from aspot.machine.remains import VERSION

USE = "aspot:filesystem"
"""Tag of what aspot made for a file system, and of the file system itself: its id or name."""
READY_S = 300.0
"""A mount target takes up to 90 s until it can be used (EFS user guide, "Creating mount targets", 2022)."""
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
        arn: Its name in policies.
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
    arn: str

    @property
    def label(self) -> str:
        """Return what people call it."""
        return f"{self.name} ({self.id})" if self.name else self.id


async def every(aws: Aws) -> list[FileSystem]:
    """Return all file systems of the region."""
    return [_read(item) for item in await pages(aws, "elasticfilesystem:DescribeFileSystems", "FileSystems")]


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
            Tags=labelled(labels),
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
    for pause_s in pauses(READY_S):
        if seen is None or seen.state in ("deleting", "deleted", "error"):
            break
        if seen.state in ("available", "updating"):
            return seen
        await anyio.sleep(pause_s)
        seen = await described(aws, file_system.id)
    state = seen.state if seen is not None else "gone"
    raise CloudError(f"file system {file_system.label} cannot be used: it is {state}", fix="aspot fs ls shows it")


def pauses(seconds: float) -> Iterable[float]:
    """Yield growing pauses until so many seconds are over; one at least."""
    until, pause_s = time.monotonic() + seconds, FIRST_S
    while True:
        yield pause_s
        pause_s = min(MOST_S, 1.5 * pause_s)
        if time.monotonic() > until:
            return


async def pages(aws: Aws, action: str, key: str, **params: Any) -> list[dict[str, Any]]:
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
        arn=item["FileSystemArn"],
    )


def labelled(labels: Mapping[str, str]) -> list[dict[str, str]]:
    """Return tags in AWS's form."""
    return [{"Key": key, "Value": value[:256]} for key, value in labels.items()]
