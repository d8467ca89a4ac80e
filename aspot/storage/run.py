"""What a run mounts on its machines: made ready before the first launch, and for each machine. Implements `Storage`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from aspot.aws.clients import Aws
from aspot.errors import CloudError, ConfigError
from aspot.ports import CloudPlan, Mounting, Storage
from aspot.storage import efs
from aspot.storage.efs import FileSystem, Target
from aspot.storage.mounting import efs_script
from aspot.storage.words import made_text, stays_text


class RunStorage(Storage):
    """The storage of one run.

    Args:
        aws: The gateway.
        plan: What the run wants.
    """

    def __init__(self, aws: Aws, plan: CloudPlan) -> None:
        self._aws, self._plan = aws, plan
        self._file_system: FileSystem | None = None
        self._targets: Mapping[str, Target] = {}
        self._is_new = False

    async def zones(self, usable: Sequence[str]) -> tuple[str, ...]:
        """Return the zones that machines may be in, of those that are usable; looks for what there is.

        Args:
            usable: Zones with a subnet, narrowed down to those that the user allows.

        Raises:
            ConfigError: If none is left, or something cannot be used.
        """
        wish = self._plan.filesystem
        if wish is None:
            return tuple(usable)
        self._file_system = await efs.find(self._aws, wish.name)
        self._is_new = self._file_system is None
        if self._is_new and efs.FILE_SYSTEM_ID.fullmatch(wish.name):
            raise efs.absent(self._aws, wish.name)
        zone = self._file_system.zone if self._file_system is not None else ""
        if zone and zone not in usable:
            raise ConfigError(
                f"file system {wish.name} is a One Zone one in {zone}, where this run may not be",
                fix=f"allow {zone}, or use another file system",
            )
        return (zone,) if zone else tuple(usable)

    async def prepare(self, vpc: str, subnets: Mapping[str, str]) -> tuple[str, ...]:
        """Create what there is not, and make it reachable from each zone; return groups that machines join for it.

        Args:
            vpc: Where machines are.
            subnets: One for each zone that they may be in.
        """
        wish = self._plan.filesystem
        if wish is None:
            return ()
        aws, owner = self._aws, self._plan.owner
        there = self._file_system
        found = await (efs.create(aws, wish.name, owner=owner) if there is None else efs.usable(aws, there))
        self._file_system = found
        group = await efs.let_in(aws, found, vpc, owner=owner)
        self._targets = await efs.reachable(aws, found, group, subnets)
        return (group,)

    async def furnish(self, instance: str, zone: str) -> list[Mounting]:  # noqa: ARG002 - each machine alike
        """Return how a machine mounts what the run wants.

        Raises:
            CloudError: If that cannot be reached from its zone.
        """
        wish, found = self._plan.filesystem, self._file_system
        if wish is None or found is None:
            return []
        if zone not in self._targets:
            raise CloudError(f"file system {found.label} has no mount target in {zone}", fix="aspot fs ls shows them")
        script = efs_script(path=wish.path, id_=found.id, address=self._targets[zone].address)
        return [
            Mounting(
                what=f"file system {found.label} could not be mounted at {wish.path}",
                script=script,
                fix=f"aspot fs mount {wish.name}:{wish.path} --on INSTANCE tries it on a machine that runs",
            )
        ]

    async def notes(self) -> tuple[str, ...]:
        """Return what users should know beforehand."""
        return ()

    def made(self) -> tuple[str, ...]:
        """Return what was made and stays, as text for people, where the run could not begin."""
        if not self._is_new or self._file_system is None:
            return ()
        return (made_text(self._file_system),)

    async def remove(self) -> list[str]:
        """Delete what is to go with the run: a file system never does."""
        return []

    async def stays(self) -> tuple[str, ...]:
        """Return what stays after the run because it is data, as text for people."""
        if self._file_system is None:
            return ()
        seen = await efs.described(self._aws, self._file_system.id)
        return () if seen is None else (stays_text(seen, is_new=self._is_new),)
