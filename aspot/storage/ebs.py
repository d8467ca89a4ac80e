"""EBS volumes that outlive machines: found or created, attached to one machine at a time, deleted."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import anyio
import attrs

from aspot.aws import tags
from aspot.aws.clients import Aws, named
from aspot.aws.codes import Cause
from aspot.aws.errors import Trouble
from aspot.aws.template import token
from aspot.errors import CloudError, ConfigError
from aspot.machine.remains import VERSION

USE = "aspot:volume"
"""Tag of a volume that aspot made: its name. The machines' own disks have none."""
VOLUME_ID = re.compile(r"vol-[0-9a-f]{8,17}")
THERE = ("creating", "available", "in-use")
READY_S = 120.0
EVERY_S = 0.5
LETTERS = "fghijklmnop"
"""Device names that AWS recommends for volumes: /dev/sd[f-p] (EC2 user guide, "Device names", 2023-06)."""


@attrs.frozen(kw_only=True)
class Volume:
    """An EBS volume as AWS shows it.

    Args:
        id, name: AWS's id; the name aspot gave it, "" for none.
        state: EC2's word.
        size_gb: GiB.
        zone: The only zone whose machines can have it.
        is_encrypted: At rest.
        instance: Whom it is attached to, or being attached or detached; "" for nobody.
        attachment: EC2's word for how that stands; "" for none.
        run: The run that deletes it at its end; "" for none.
        created: When.
    """

    id: str
    name: str
    state: str
    size_gb: int
    zone: str
    is_encrypted: bool
    instance: str
    attachment: str
    run: str
    created: datetime

    @property
    def label(self) -> str:
        """Return what people call it."""
        return f"{self.name} ({self.id})" if self.name else self.id


async def every(aws: Aws) -> list[Volume]:
    """Return the volumes of the region that aspot made by name."""
    return await _look(aws, [named("tag-key", [USE])])


async def find(aws: Aws, name: str) -> Volume | None:
    """Return the volume with this id or name; None if there is none.

    Raises:
        ConfigError: If several have the name.
    """
    is_id = VOLUME_ID.fullmatch(name) is not None
    found = await _look(aws, [named("volume-id" if is_id else f"tag:{USE}", [name])])
    if len(found) > 1:
        where = ", ".join(f"{one.id} in {one.zone}" for one in found)
        raise ConfigError(f"{len(found)} volumes in {aws.region} are called {name}", fix=f"give the id of one: {where}")
    return found[0] if found else None


def absent(aws: Aws, name: str) -> ConfigError:
    """Return the error for a volume that is not there."""
    return ConfigError(
        f"there is no volume {name} in {aws.region}",
        fix="aspot volume ls shows those there are; --volume NAME:SIZE:/PATH makes one",
    )


async def _look(aws: Aws, filters: list[dict[str, Any]]) -> list[Volume]:
    found = await aws.pages("ec2:DescribeVolumes", "Volumes", Filters=[*filters, named("status", THERE)])
    return [_read(item) for item in found]


async def create(aws: Aws, name: str, *, size_gb: int, zone: str, run: str, labels: Mapping[str, str]) -> Volume:
    """Create an encrypted gp3 volume; the same run asking again gets the same one.

    Args:
        aws: The gateway.
        name: Its name.
        size_gb: GiB.
        zone: Where.
        run: Who asks, for the token.
        labels: Tags beside its name's.
    """
    known = {"Name": name, USE: name, tags.VERSION: VERSION, **labels}
    wanted: dict[str, Any] = {"AvailabilityZone": zone, "Size": size_gb, "VolumeType": "gp3", "Encrypted": True}
    item = await aws.call(
        "ec2:CreateVolume",
        ClientToken=token(run, name, wanted),
        TagSpecifications=tags.on(["volume"], [{"Key": key, "Value": value[:256]} for key, value in known.items()]),
        **wanted,
    )
    return _read(item)


async def attach(aws: Aws, volume: Volume, instance: str, letter: str) -> bool:
    """Attach a volume to a machine that runs, if it is free; tell whether it is attached there now.

    Args:
        aws: The gateway.
        volume: Which.
        instance: EC2 id.
        letter: Of the device name.

    Raises:
        CloudError: If it is gone, or does not get attached in time.
    """
    until = time.monotonic() + READY_S
    is_asked = False
    while True:
        seen = await find(aws, volume.id)
        if seen is None:
            raise CloudError(f"volume {volume.label} is gone", fix="aspot volume ls shows those there are")
        if seen.instance not in ("", instance):
            return False
        if seen.instance == instance and seen.attachment == "attached":
            return True
        if seen.state == "available" and not is_asked:
            is_asked = await _ask(aws, volume, instance, letter)
        if time.monotonic() > until:
            raise CloudError(
                f"volume {volume.label} is still {seen.state} after {READY_S:.0f} s", fix="try again later"
            )
        await anyio.sleep(EVERY_S)


async def letters(aws: Aws, instance: str, volumes: Sequence[Volume | None]) -> tuple[str, ...]:
    """Return a letter for each of these volumes on a machine: the one it has there, else a free one.

    Raises:
        ConfigError: If there are not enough.
    """
    filters = [named("attachment.instance-id", [instance])]
    seen = await aws.pages("ec2:DescribeVolumes", "Volumes", Filters=filters)
    taken = {
        str(one.get("Device", ""))[-1:]: item["VolumeId"]
        for item in seen
        for one in item.get("Attachments", ())
        if one.get("InstanceId") == instance
    }
    has = {volume: letter for letter, volume in taken.items()}
    free = [letter for letter in LETTERS if letter not in taken]
    lacking = sum(volume is None or volume.id not in has for volume in volumes)
    if lacking > len(free):
        raise ConfigError(f"{instance} has {len(taken)} disks: there is no device name for another volume")
    return tuple(has[volume.id] if volume is not None and volume.id in has else free.pop(0) for volume in volumes)


async def detach(aws: Aws, volume: str, instance: str) -> None:
    """Take a volume that nothing has mounted from a machine again."""
    try:
        await aws.call("ec2:DetachVolume", VolumeId=volume, InstanceId=instance)
    except Trouble as trouble:
        if trouble.cause is not Cause.NOT_FOUND and trouble.code != "IncorrectState":
            raise


async def _ask(aws: Aws, volume: Volume, instance: str, letter: str) -> bool:
    """Ask for the attachment; tell whether that was taken: another machine may have been quicker."""
    try:
        await aws.call(
            "ec2:AttachVolume",
            awaited=("IncorrectState", "InvalidInstanceID.NotFound"),
            VolumeId=volume.id,
            InstanceId=instance,
            Device=f"/dev/sd{letter}",
        )
    except Trouble as trouble:
        if trouble.code != "VolumeInUse":
            raise
        return False
    return True


async def delete(aws: Aws, volume: Volume) -> bool:
    """Delete a volume; tell whether it is going: one that is attached stays."""
    try:
        await aws.call("ec2:DeleteVolume", VolumeId=volume.id)
    except Trouble as trouble:
        if trouble.cause is Cause.NOT_FOUND:
            return True
        if trouble.cause is not Cause.BUSY:
            raise
        return False
    return True


def one_zone(volumes: Sequence[Volume]) -> str:
    """Return the zone that volumes are in; "" for none.

    Raises:
        ConfigError: If they are in several: no machine can have them all.
    """
    zones = sorted({one.zone for one in volumes})
    if len(zones) > 1:
        where = ", ".join(f"{one.label} is in {one.zone}" for one in volumes)
        raise ConfigError(
            f"no machine can have all of these volumes: {where}", fix="use volumes of one zone, or --filesystem"
        )
    return zones[0] if zones else ""


def _read(item: Mapping[str, Any]) -> Volume:
    seen = tags.read(item)
    attached: Mapping[str, str] = next(
        (one for one in item.get("Attachments", ()) if one.get("State") != "detached"), {}
    )
    return Volume(
        id=item["VolumeId"],
        name=seen.get(USE, ""),
        state=str(item.get("State", "")),
        size_gb=int(item["Size"]),
        zone=item["AvailabilityZone"],
        is_encrypted=bool(item.get("Encrypted")),
        instance=attached.get("InstanceId", ""),
        attachment=attached.get("State", ""),
        run=seen.get(tags.RUN, ""),
        created=item["CreateTime"].astimezone(UTC),
    )
