"""What a run mounts on its machines: made ready before the first launch, and for each machine. Implements `Storage`."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence

import attrs

from aspot.aws import tags
from aspot.aws.clients import Aws
from aspot.errors import CloudError, ConfigError
from aspot.ports import CloudPlan, CloudUnavailable, Mounted, Mounting, Storage, VolumeWish
from aspot.storage import ebs, efs, targets
from aspot.storage.ebs import Volume
from aspot.storage.efs import FileSystem
from aspot.storage.mounting import efs_script, volume_script
from aspot.storage.targets import Target
from aspot.storage.words import made_text, stays_text, volume_stays_text

FREE_S = 600.0
"""A volume comes free when the machine before has ended: after a notice of two minutes, and a shutdown."""


@attrs.define(kw_only=True)
class _Disk:
    """A volume that the run wants: `volume` is None until it is found or made."""

    wish: VolumeWish
    volume: Volume | None = None
    is_new: bool = False


class RunStorage(Storage):
    """The storage of one run.

    Args:
        aws: The gateway.
        plan: What the run wants.
        on: The one machine that is there already, by its id; "" for machines that are launched later.
        letters: Of the device names that volumes are to have there, in their order.
    """

    def __init__(self, aws: Aws, plan: CloudPlan, *, on: str = "", letters: Sequence[str] = ebs.LETTERS) -> None:
        self._aws, self._plan, self._on, self._letters = aws, plan, on, letters
        self._file_system: FileSystem | None = None
        self._targets: Mapping[str, Target] = {}
        self._is_new = False
        self._disks = [_Disk(wish=wish) for wish in plan.volumes]
        self._waiting_since: dict[str, float] = {}

    # --- before the run ---

    async def there(self) -> tuple[str, ...]:
        """Return what of it is in the region already, as text for people; makes nothing.

        Raises:
            ConfigError: If several there have a name.
        """
        found = [f"file system {self._name}"] if self._name and await efs.find(self._aws, self._name) else []
        names = [disk.wish.name for disk in self._disks]
        return (*found, *[f"volume {name}" for name in names if await ebs.find(self._aws, name)])

    async def zones(self, usable: Sequence[str]) -> tuple[str, ...]:
        """Return the zones that machines may be in, of those that are usable; looks at what there is, makes nothing.

        Args:
            usable: Zones where machines are to be had, the preferred one first.

        Raises:
            ConfigError: If none is left, or something cannot be used.
        """
        bound = await self._zone_of_file_system()
        for disk in self._disks:
            await self._find(disk)
        known = [disk.volume for disk in self._disks if disk.volume is not None]
        zone = ebs.one_zone(known)
        for what, where in ((f"file system {self._name}", bound), (f"volume {known[0].label}" if known else "", zone)):
            if where and where not in usable:
                raise self._elsewhere(what, where, usable)
        if bound and zone and bound != zone:
            raise ConfigError(
                f"file system {self._name} is in {bound} alone, volume {known[0].label} in {zone}",
                fix="use one of them, or a file system of the whole region",
            )
        if found := zone or bound:
            return (found,)
        return tuple(usable[:1]) if self._disks else tuple(usable)

    def _elsewhere(self, what: str, where: str, usable: Sequence[str]) -> ConfigError:
        """Return the error for something that is bound to a zone in which there is no machine for it."""
        run = self._plan.run
        if self._on:
            return ConfigError(
                f"{what} is in {where}, and {run.name} in {usable[0]}: only machines in {where} can have it",
                fix=f"a new box gets one there: aspot connect -n OTHER --zone {where}; to share files: -f NAME",
            )
        return ConfigError(
            f"{what} is in {where}, where this {'box' if run.is_box else 'run'} can have no machine",
            fix=f"allow {where}, or types that it offers; usable here: {', '.join(sorted(usable))}",
        )

    @property
    def _name(self) -> str:
        return self._plan.filesystem.name if self._plan.filesystem is not None else ""

    async def _zone_of_file_system(self) -> str:
        if not self._name:
            return ""
        self._file_system = await efs.find(self._aws, self._name)
        self._is_new = self._file_system is None
        if self._is_new and efs.FILE_SYSTEM_ID.fullmatch(self._name):
            raise efs.absent(self._aws, self._name)
        return self._file_system.zone if self._file_system is not None else ""

    async def _find(self, disk: _Disk) -> None:
        """Look for a volume.

        Raises:
            ConfigError: If it is not there and cannot be made, or it cannot be used.
        """
        name, plan = disk.wish.name, self._plan
        found = disk.volume = await ebs.find(self._aws, name)
        if found is None:
            if not disk.wish.size_gb or ebs.VOLUME_ID.fullmatch(name):
                raise ebs.absent(self._aws, name)
            disk.is_new = True
            return
        disk.is_new = found.run == plan.run.id
        if found.instance not in ("", self._on) and (self._on or not plan.is_again):
            raise ConfigError(
                f"volume {found.label} is attached to {found.instance}: one machine can have it at a time",
                fix="aspot ls shows whose that is, aspot down NAME ends it",
            )
        if plan.deletes_volumes and not disk.is_new:
            raise ConfigError(
                f"volume {found.label} was there before this run, which deletes none that it did not make",
                fix=f"leave --volume-policy out; afterwards: aspot volume rm {name} --yes",
            )

    async def prepare(self, vpc: str, subnets: Mapping[str, str]) -> tuple[str, ...]:
        """Create what there is not, reachable from each zone; return groups that machines join for it.

        Args:
            vpc: Where machines are.
            subnets: One for each zone that they may be in.
        """
        for disk in self._disks:
            if disk.volume is None:
                disk.volume = await self._create(disk.wish, next(iter(subnets)))
        return await self._prepare_file_system(vpc, subnets)

    async def _create(self, wish: VolumeWish, zone: str) -> Volume:
        labels = {tags.OWNER: self._plan.owner}
        if self._plan.deletes_volumes:  # then it is the run's, and `clean` finds it, too
            labels = {tag["Key"]: tag["Value"] for tag in tags.tags_of(self._plan, request="volume")}
            del labels["Name"]
        run = self._plan.run.id
        return await ebs.create(self._aws, wish.name, size_gb=wish.size_gb, zone=zone, run=run, labels=labels)

    async def _prepare_file_system(self, vpc: str, subnets: Mapping[str, str]) -> tuple[str, ...]:
        if not self._name:
            return ()
        aws, owner, there = self._aws, self._plan.owner, self._file_system
        found = await (efs.create(aws, self._name, owner=owner) if there is None else efs.usable(aws, there))
        self._file_system = found
        if self._plan.filesystem is not None and self._plan.filesystem.is_target_new and not self._plan.is_again:
            await targets.drop(aws, found, subnets)
        group = await targets.let_in(aws, found, vpc, owner=owner)
        self._targets = await targets.reachable(aws, found, group, subnets)
        return (group,)

    async def notes(self) -> tuple[str, ...]:
        """Return what users should know beforehand: that volumes bind machines to their zone."""
        found = [(disk.wish, disk.volume) for disk in self._disks if disk.volume is not None]
        notes = [
            f"volume {volume.label} has {volume.size_gb} GB, not {wish.size_gb}: it is used as it is"
            for wish, volume in found
            if wish.size_gb not in (0, volume.size_gb)
        ]
        if found:
            names = ", ".join(volume.label for _, volume in found)
            notes.append(
                f"only machines in {found[0][1].zone} can have volume {names}: those of other zones are not asked for"
            )
        return tuple(notes)

    def made(self) -> tuple[str, ...]:
        """Return what was made and stays, as text for people, where the run could not begin."""
        found = [made_text(self._file_system)] if self._is_new and self._file_system is not None else []
        found += [
            f"Volume {disk.volume.label} was made and stays: aspot volume rm {disk.wish.name} --yes deletes it."
            for disk in self._disks
            if disk.is_new and disk.volume is not None
        ]
        return tuple(found)

    def mounted(self) -> list[Mounted]:
        """Return what the machines mount, as far as it is known."""
        found, wish = [], self._plan.filesystem
        if wish is not None and self._file_system is not None:
            there = self._file_system
            found.append(Mounted(kind="file_system", id=there.id, name=there.name, path=wish.path, made=self._is_new))
        for disk in self._disks:
            if (volume := disk.volume) is not None:
                is_deleted = disk.is_new and self._plan.deletes_volumes
                path, made = disk.wish.path, disk.is_new
                found.append(
                    Mounted(kind="volume", id=volume.id, name=volume.name, path=path, made=made, deleted=is_deleted)
                )
        return found

    @property
    def volumes(self) -> tuple[Volume | None, ...]:
        """Return the volumes, in the order in which they are mounted; None for one that is not made yet."""
        return tuple(disk.volume for disk in self._disks)

    # --- each machine ---

    async def furnish(self, instance: str, zone: str) -> list[Mounting]:
        """Attach volumes to a machine; return how it mounts them, and the file system.

        Raises:
            CloudUnavailable: If a volume is still with another machine: ask again.
            CloudError: If something cannot be had there.
        """
        found: list[Mounting] = []
        for letter, disk in zip(self._letters, self._disks, strict=False):
            if disk.volume is not None:
                found.append(await self._attached(disk.wish, disk.volume, instance, letter))
        if self._file_system is not None:
            found.append(self._file_system_on(self._file_system, zone))
        return found

    async def _attached(self, wish: VolumeWish, volume: Volume, instance: str, letter: str) -> Mounting:
        if not await ebs.attach(self._aws, volume, instance, letter):
            since = self._waiting_since.setdefault(instance, time.monotonic())
            if time.monotonic() - since < FREE_S:
                raise CloudUnavailable(f"volume {volume.label} is attached to another machine")
            raise CloudError(
                f"volume {volume.label} was still attached to another machine after {FREE_S:.0f} s",
                fix="aspot volume ls shows to which",
            )
        return Mounting(
            what=f"volume {volume.label} could not be mounted at {wish.path}",
            script=volume_script(path=wish.path, id_=volume.id, letter=letter, is_kept=self._plan.run.is_box),
            fix="choose a path where nothing lies; to look at the volume, attach it to a machine of your own",
        )

    def _file_system_on(self, found: FileSystem, zone: str) -> Mounting:
        assert self._plan.filesystem is not None
        path = self._plan.filesystem.path
        if zone not in self._targets:
            raise CloudError(f"file system {found.label} has no mount target in {zone}", fix="aspot fs ls shows them")
        return Mounting(
            what=f"file system {found.label} could not be mounted at {path}",
            script=efs_script(
                path=path, id_=found.id, address=self._targets[zone].address, is_kept=self._plan.run.is_box
            ),
            fix=f"choose a path where nothing lies: {self._name}:/PATH"
            if self._plan.run.is_box
            else f"aspot fs mount {self._name}:{path} --on INSTANCE tries it on a machine that runs",
        )

    # --- after the run ---

    async def remove(self) -> list[str]:
        """Delete the volumes that go with the run; what stays of them bears its tag, and is found by that."""
        for disk in self._disks:
            if disk.volume is not None and disk.is_new and self._plan.deletes_volumes:
                await ebs.delete(self._aws, disk.volume)
        return []

    async def stays(self) -> tuple[str, ...]:
        """Return what stays after the run because it is data, as text for people."""
        found = [
            volume_stays_text(disk.volume, is_new=disk.is_new)
            for disk in self._disks
            if disk.volume is not None and not self._plan.deletes_volumes
        ]
        if self._file_system is not None:
            seen = await efs.described(self._aws, self._file_system.id)
            found += [] if seen is None else [stays_text(seen, is_new=self._is_new)]
        return tuple(found)
