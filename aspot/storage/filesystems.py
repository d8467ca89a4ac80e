"""`aspot fs`: the file systems of a region, by hand."""

from __future__ import annotations

from functools import partial
from typing import Any

import attrs

from aspot.aws.service import Service
from aspot.aws.together import together
from aspot.errors import AspotError, ConfigError
from aspot.journal.runs import RunInfo
from aspot.ports import FileSystemWish
from aspot.storage import efs, inventory, reach, targets
from aspot.storage.efs import FileSystem
from aspot.storage.mounting import efs_script
from aspot.storage.targets import Target
from aspot.storage.words import size_text


@attrs.frozen(kw_only=True)
class Listed:
    """A file system with its mount targets, and the machines that may use it by aspot's group."""

    file_system: FileSystem
    targets: tuple[Target, ...] = ()
    users: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values: sizes in bytes."""
        one = self.file_system
        return {
            "name": one.name or None,
            "id": one.id,
            "state": one.state,
            "size": one.size,
            "encrypted": one.is_encrypted,
            "throughput": one.throughput,
            "created": one.created.isoformat(),
            "ours": one.is_ours,
            "mount_targets": [
                {"zone": target.zone, "address": target.address, "state": target.state} for target in self.targets
            ],
            "instances": list(self.users),
        }


class FileSystems(Service):
    """EFS in one region. Make it with `FileSystems.open`, close it with `aclose`."""

    async def every(self) -> list[Listed]:
        """Return all file systems, by name.

        Raises:
            CloudError: If AWS could not be asked.
        """
        return await self._explained(self._every())

    async def _every(self) -> list[Listed]:
        found = sorted(await efs.every(self._aws), key=lambda one: (one.name, one.id))
        return list(await together(*(partial(self._listed, one) for one in found)))

    async def _listed(self, one: FileSystem) -> Listed:
        found, users = await together(partial(targets.of, self._aws, one.id), partial(targets.users, self._aws, one.id))
        return Listed(file_system=one, targets=tuple(sorted(found, key=lambda item: item.zone)), users=users)

    async def create(self, name: str, *, owner: str, throughput: str = "bursting") -> Listed:
        """Create an encrypted file system; mount targets come with the runs that use it.

        Args:
            name: Its name.
            owner: Who asks, for the tag.
            throughput: `bursting` or `elastic`.

        Raises:
            ConfigError: If there is one of this name.
            CloudError: If AWS refuses.
        """
        return await self._explained(self._create(name, owner, throughput))

    async def _create(self, name: str, owner: str, throughput: str) -> Listed:
        if (known := await efs.find(self._aws, name)) is not None:
            raise ConfigError(
                f"there is a file system {known.label} in {self.region}", fix=f"use it: aspot run --filesystem {name}"
            )
        return Listed(file_system=await efs.create(self._aws, name, owner=owner, throughput=throughput))

    async def remove(self, name: str, *, is_sure: bool) -> Listed:
        """Delete a file system of aspot's with all that is in it, its mount targets first; return what it was.

        Args:
            name: Its name or id.
            is_sure: Whether its data may go.

        Raises:
            ConfigError: If there is none, it is not aspot's, a machine may be using it, or nobody is sure.
            CloudError: If AWS refuses, or something is still there after some minutes.
        """
        return await self._explained(self._remove(name, is_sure=is_sure))

    async def _remove(self, name: str, *, is_sure: bool) -> Listed:
        listed = await self._listed(await self._found(name))
        one = listed.file_system
        if not one.is_ours:
            raise ConfigError(
                f"file system {one.label} was not made by aspot",
                fix=f"aws efs delete-file-system --file-system-id {one.id}, once its mount targets are deleted",
            )
        if listed.users:
            raise ConfigError(
                f"file system {one.label} is in use by {', '.join(listed.users[:5])}"
                + (f" and {len(listed.users) - 5} more" if len(listed.users) > 5 else ""),
                fix="aspot ls shows whose they are, aspot down NAME ends them; then repeat",
            )
        if not is_sure:
            raise ConfigError(
                f"file system {one.label} would be deleted for good, with {size_text(one.size)} of data",
                fix=f"aspot fs rm {name} --yes",
            )
        await targets.remove(self._aws, one)
        return listed

    async def mount(self, wish: FileSystemWish, on: str, *, owner: str) -> tuple[str, str]:
        """Mount a file system on a machine that runs; return what both are called.

        Args:
            wish: Which, and where.
            on: The machine's name or id.
            owner: Who asks, for the tag.

        Raises:
            ConfigError: If there is no such file system or machine.
            AspotError: If it cannot be mounted: with what the machine said.
        """
        return await self._explained(self._mount(wish, on, owner))

    async def _mount(self, wish: FileSystemWish, on: str, owner: str) -> tuple[str, str]:
        aws, found = self._aws, await efs.usable(self._aws, await self._found(wish.name))
        machine = await reach.find(aws, on)
        group = await targets.let_in(aws, found, machine.vpc, owner=owner)
        there = await targets.reachable(aws, found, group, {machine.zone: machine.subnet})
        await reach.join(aws, machine, group)
        script = efs_script(
            path=wish.path, id_=found.id, address=there[machine.zone].address, is_kept=machine.info.is_box
        )
        try:
            await reach.run_script(aws, machine, script)
        except AspotError as error:
            error.fix = error.fix or "mount it where nothing lies: aspot fs mount NAME:/PATH --on INSTANCE"
            raise
        if machine.info.is_box:
            await _note(machine.info, wish)
        return found.label, machine.label

    async def _found(self, name: str) -> FileSystem:
        found = await efs.find(self._aws, name)
        if found is None:
            raise efs.absent(self._aws, name)
        return found


async def _note(info: RunInfo, wish: FileSystemWish) -> None:
    """Note what was mounted on a box, so that its end says what stays."""
    async with inventory.alone(info):
        known = inventory.of(info)
        (fresh,) = inventory.entries(wish, ())
        if not any(one.is_same(fresh) for one in known):
            inventory.write(info, [*known, fresh])
