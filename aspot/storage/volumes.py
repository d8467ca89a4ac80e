"""`aspot volume`: the volumes of a region that aspot made, by hand."""

from __future__ import annotations

from typing import Any

from aspot.aws.service import Service
from aspot.errors import ConfigError
from aspot.storage import ebs
from aspot.storage.ebs import Volume


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


class Volumes(Service):
    """EBS volumes in one region. Make it with `Volumes.open`, close it with `aclose`."""

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
