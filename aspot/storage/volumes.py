"""`aspot volume`: the volumes of a region that aspot made, by hand."""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Any, Self, TypeVar

from aspot.aws.clients import Aws
from aspot.aws.errors import Trouble, to_error
from aspot.errors import ConfigError
from aspot.storage import ebs
from aspot.storage.ebs import Volume

T = TypeVar("T")


def volume_json(volume: Volume) -> dict[str, Any]:
    """Return a volume as JSON values."""
    return {
        "name": volume.name or None,
        "id": volume.id,
        "state": volume.state,
        "size_gb": volume.size_gb,
        "zone": volume.zone,
        "encrypted": volume.is_encrypted,
        "instance": volume.instance or None,
        "created": volume.created.isoformat(),
    }


class Volumes:
    """EBS volumes in one region. Make it with `Volumes.open`, close it with `aclose`."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    @classmethod
    async def open(cls, region: str | None) -> Self:
        """Find credentials and region as `Ec2Cloud.open` does; raises as it does."""
        return cls(await Aws.open(region))

    async def every(self) -> list[Volume]:
        """Return the volumes that aspot made by name.

        Raises:
            CloudError: If AWS could not be asked.
        """
        found = await self._explained(ebs.every(self._aws))
        return sorted(found, key=lambda one: (one.name, one.id))

    async def remove(self, name: str, *, is_sure: bool) -> Volume:
        """Delete a volume of aspot's with all that is on it; return what it was.

        Args:
            name: Its name or id.
            is_sure: Whether its data may go.

        Raises:
            ConfigError: If there is none, it is not aspot's, a machine has it, or nobody is sure.
            CloudError: If AWS refuses.
        """
        return await self._explained(self._remove(name, is_sure=is_sure))

    async def _remove(self, name: str, *, is_sure: bool) -> Volume:
        found = await ebs.find(self._aws, name)
        if found is None:
            raise ebs.absent(self._aws, name)
        if not found.name:
            raise ConfigError(
                f"volume {found.id} was not made by aspot", fix=f"aws ec2 delete-volume --volume-id {found.id}"
            )
        holder = found.instance
        if not holder and not is_sure:
            raise ConfigError(
                f"volume {found.label} of {found.size_gb} GB would be deleted for good, with its data",
                fix=f"aspot volume rm {name} --yes",
            )
        if holder or not await ebs.delete(self._aws, found):
            raise ConfigError(
                f"volume {found.label} is in use by {holder or 'a machine'}",
                fix="aspot ls shows whose that is, aspot down NAME ends it; then repeat",
            )
        return found

    async def _explained(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except Trouble as trouble:
            raise to_error(await self._aws.explain(trouble)) from trouble

    async def aclose(self) -> None:
        """Close connections."""
        await self._aws.aclose()
