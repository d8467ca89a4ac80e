"""Disks that one machine is to have for a while: looked for before it is made, mounted on it, let go of at its end."""

from __future__ import annotations

import logging
from collections.abc import Sequence

import attrs

from aspot.aws.service import Service
from aspot.errors import AspotError, ConfigError
from aspot.ports import FileSystemWish
from aspot.storage import ebs, efs, reach
from aspot.storage.ebs import Volume
from aspot.storage.filesystems import FileSystems
from aspot.storage.mounting import release_script, volume_script

logger = logging.getLogger(__name__)


@attrs.frozen(kw_only=True)
class Disk:
    """A file system or a volume, and where a machine is to have it.

    Args:
        kind: `efs` or `ebs`.
        name: Its name or id.
        path: Where it is mounted.
    """

    kind: str
    name: str
    path: str


class Mounts(Service):
    """Disks in one region. Make it with `Mounts.open`."""

    async def zone(self, disks: Sequence[Disk]) -> str:
        """Return the only zone whose machines can have these disks; "" if any can. Makes nothing.

        Raises:
            ConfigError: If one is not there, no machine can have them all, or another machine has a volume.
            CloudError: If AWS could not be asked.
        """
        return await self._explained(self._zone(disks))

    async def _zone(self, disks: Sequence[Disk]) -> str:
        zones: dict[str, str] = {}
        volumes: list[Volume] = []
        for disk in disks:
            if disk.kind == "ebs":
                volumes.append(await self._volume(disk.name))
                continue
            found = await efs.find(self._aws, disk.name)
            if found is None:
                raise efs.absent(self._aws, disk.name)
            if found.zone:
                zones[f"file system {found.label}"] = found.zone
        if bound := ebs.one_zone(volumes):
            zones[f"volume {volumes[0].label}"] = bound
        if len(set(zones.values())) > 1:
            where = ", ".join(f"{what} is in {zone}" for what, zone in zones.items())
            raise ConfigError(f"no machine can have both: {where}", fix="by way of S3: aspot sync twice")
        return next(iter(zones.values()), "")

    async def _volume(self, name: str) -> Volume:
        found = await ebs.find(self._aws, name)
        if found is None:
            raise ebs.absent(self._aws, name)
        if found.instance:
            raise ConfigError(
                f"volume {found.label} is attached to {found.instance}: one machine can have it at a time",
                fix="sync with that machine's folder, NAME:PATH; or aspot down NAME ends it",
            )
        return found

    async def mount(self, disks: Sequence[Disk], on: reach.Known, *, owner: str) -> None:
        """Mount disks on a machine that runs.

        Args:
            disks: Which.
            on: The machine.
            owner: Who asks, for tags.

        Raises:
            AspotError: If one cannot be mounted: with what the machine said.
        """
        letters = iter(ebs.LETTERS)
        for disk in disks:
            if disk.kind == "efs":
                wish = FileSystemWish(name=disk.name, path=disk.path)
                await FileSystems(self._aws).mount(wish, on, owner=owner)
            else:
                await self._explained(self._attach(disk, on, next(letters)))

    async def _attach(self, disk: Disk, on: reach.Known, letter: str) -> None:
        found = await self._volume(disk.name)
        if not await ebs.attach(self._aws, found, on.instance, letter):
            raise ConfigError(f"volume {found.label} was attached to another machine meanwhile", fix="try again later")
        machine = await reach.seen_up(self._aws, on)
        await reach.run_script(machine, volume_script(path=disk.path, id_=found.id, letter=letter))

    async def release(self, disks: Sequence[Disk], on: reach.Known) -> None:
        """Unmount disks, so that all that was written is on them; what cannot be is written out as the machine ends."""
        try:
            machine = await self._explained(reach.seen_up(self._aws, on))
            await reach.run_script(machine, release_script([disk.path for disk in disks]))
        except AspotError:
            logger.info("disks could not be unmounted", exc_info=True, extra={"instance": on.instance})
