"""Storage on a machine that runs: mounted in addition, or undone; and what of it stays when its run has ended."""

from __future__ import annotations

from collections.abc import Sequence

import anyio
import attrs

from aspot.aws.errors import Trouble, to_error
from aspot.aws.service import Service
from aspot.errors import AspotError, CloudError
from aspot.journal.codec import decode_plan
from aspot.journal.runs import RunInfo
from aspot.ports import CloudPlan, CloudUnavailable, FileSystemWish, Mounting, VolumeWish
from aspot.storage import ebs, efs, inventory, reach
from aspot.storage.inventory import Entry
from aspot.storage.reach import Machine
from aspot.storage.run import RunStorage
from aspot.storage.words import stays_text, volume_stays_text

UNDO_S = 30.0


class Furnishing(Service):
    """The storage of machines of runs here, in one region. Make it with `open`, close it with `aclose`."""

    async def add(self, info: RunInfo, instance: str, wanted: Sequence[Entry], *, is_target_new: bool = False) -> None:
        """Mount something on a box's machine, and at each of its boots; what there is not is made.

        Args:
            info: The box.
            instance: EC2 id of its machine.
            wanted: What and where; at most one file system.
            is_target_new: Whether the file system's mount target there is to be made anew before.

        Raises:
            ConfigError: If it cannot be had on this machine.
            AspotError: If it cannot be mounted. Notes on it name what was made and stays.
        """
        plan = _wish(decode_plan(info.options["plan"]), wanted, is_target_new=is_target_new)
        try:
            found = [await ebs.find(self._aws, one.name) for one in plan.volumes]
            letters = await ebs.letters(self._aws, instance, found) if found else ()
            storage = RunStorage(self._aws, plan, on=instance, letters=letters)
            await self._furnish(storage, await reach.find(self._aws, instance))
        except Trouble as trouble:
            raise to_error(await self._aws.explain(trouble)) from trouble
        except CloudUnavailable as error:
            raise CloudError(str(error), fix="aspot volume ls shows to which; then repeat") from error

    async def _furnish(self, storage: RunStorage, machine: Machine) -> None:
        await storage.zones((machine.zone,))
        there = {one.id for one in storage.volumes if one is not None and one.instance == machine.id}
        mounted, joined = 0, False
        try:
            for group in await storage.prepare(machine.vpc, {machine.zone: machine.subnet}):
                joined = await reach.join(self._aws, machine, group)
            for mounting in await storage.furnish(machine.id, machine.zone):
                await self._mount(machine, mounting)
                mounted += 1
        except BaseException as error:
            found = to_error(await self._aws.explain(error)) if isinstance(error, Trouble) else error
            with anyio.move_on_after(UNDO_S, shield=True):
                fresh = [one for one in storage.volumes[mounted:] if one is not None and one.id not in there]
                await self._undo(machine, [one.id for one in fresh], leaves=joined)
            for note in storage.made():
                found.add_note(note)
            if found is error:
                raise
            raise found from error

    async def _mount(self, machine: Machine, mounting: Mounting) -> None:
        try:
            await reach.run_script(self._aws, machine, mounting.script)
        except AspotError as error:
            error.message = f"{mounting.what}: {error.message}"
            error.fix = error.fix or mounting.fix
            raise

    async def _undo(self, machine: Machine, volumes: Sequence[str], *, leaves: bool) -> None:
        """Take from the machine again what it was given and could not mount."""
        try:
            for volume in volumes:
                await ebs.detach(self._aws, volume, machine.id)
            if leaves:
                await reach.leave(self._aws, machine)
        except Trouble:
            return  # the failure that led here is raised; what was made is named there

    async def stays(self, info: RunInfo) -> tuple[str, ...]:
        """Return what a run that has ended used and what is still there, since it is data, as text for people."""
        found: list[str] = []
        for entry in inventory.of(info):
            try:
                found += await self._stays(entry)
            except Trouble as trouble:
                why = to_error(await self._aws.explain(trouble)).message
                found.append(f"{entry.kind.capitalize()} {entry.name} stays; it could not be looked at: {why}")
        return tuple(found)

    async def _stays(self, entry: Entry) -> list[str]:
        if entry.kind == "volume":
            volume = await ebs.find(self._aws, entry.name)
            is_going = volume is None or (entry.goes and volume.run)
            return [] if volume is None or is_going else [volume_stays_text(volume, is_new=False)]
        seen = await efs.find(self._aws, entry.name)
        return [] if seen is None else [stays_text(seen, is_new=False)]


def _wish(plan: CloudPlan, wanted: Sequence[Entry], *, is_target_new: bool) -> CloudPlan:
    """Return a box's plan with what is to be mounted now, and nothing else."""
    systems = [
        FileSystemWish(name=one.name, path=one.path, is_target_new=is_target_new)
        for one in wanted
        if one.kind != "volume"
    ]
    disks = [one for one in wanted if one.kind == "volume"]
    return attrs.evolve(
        plan,
        filesystem=systems[0] if systems else None,
        volumes=tuple(VolumeWish(name=one.name, size_gb=one.size_gb, path=one.path) for one in disks),
        deletes_volumes=any(one.goes for one in disks),
    )
