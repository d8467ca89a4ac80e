"""The options of a box, checked."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

import attrs

from aspot.errors import ConfigError
from aspot.intake import storage
from aspot.intake.options import FleetOptions, duration
from aspot.machine.names import check_name
from aspot.machine.quantities import Duration, seconds
from aspot.ports import FileSystemWish, VolumeWish
from aspot.profiles import Profile, resolve

IDLE_S = 7200.0
"""A box ends itself after so long without use, unless told otherwise."""

BOX_TERM_S = 120.0
"""A box that has not heard of a client for this long counts its time without use (see `opening.LEASE_TERM_S`)."""

PASSING_IDLE_S = 60.0
"""One that ends with its block has nobody to come back to it: this is for a client that was killed."""

CAPACITY_S = 3600.0
"""How long a new box waits for capacity, unless told otherwise."""

LIFE_S = 365 * 86400.0
"""A box stays until it is told to go; a timer of the machine needs a number."""


@attrs.frozen(kw_only=True)
class BoxOptions:
    """What a box is to be.

    Args:
        name: Its name; None: to be made up.
        profile: With its base filled in.
        is_kept: Whether it stays when the client leaves.
        idle_s: It ends itself after so long without use; None: not said.
        region: Where the caller says that it is, or is to be; None: not said.
        is_wanted: Whether the caller asked for a machine of some kind, so that a new one may take a lost one's place.
        capacity_timeout_s: How long a new one waits for capacity.
        together: How many boxes are launched together, for the check of the account's limits.
        filesystem: What it mounts; None for nothing.
        volumes: What it gets attached.
        deletes_volumes: Whether those that are made for it go with it.
    """

    name: str | None
    profile: Profile
    is_kept: bool
    idle_s: float | None
    region: str | None
    is_wanted: bool
    capacity_timeout_s: float = CAPACITY_S
    together: int = 1
    filesystem: FileSystemWish | None = None
    volumes: tuple[VolumeWish, ...] = ()
    deletes_volumes: bool = False

    @property
    def has_storage(self) -> bool:
        """Tell whether it is to mount anything."""
        return self.filesystem is not None or bool(self.volumes)

    @classmethod
    def check(
        cls,
        name: str | None,
        profile: str | Profile,
        *,
        keep: bool | None,
        idle: Duration | None,
        max_price: Any,
        price: Any,
        region: str | None = None,
        capacity_timeout: Duration | None = None,
        filesystem: Any = None,
        volumes: Any = (),
        volume_policy: Any = "keep",
        new_mount: bool = False,
    ) -> Self:
        """Return the options, checked.

        Raises:
            ConfigError: If one cannot work.
        """
        if name is not None and not isinstance(name, str):
            raise ConfigError(f"a box's name must be text, not {name!r}", fix='Instance("dev")')
        if max_price is not None and price is not None:
            raise ConfigError("price is another word for max_price: both were given", fix="leave one out")
        if not isinstance(profile, str | Profile):
            raise ConfigError(f"profile must be a name or a Profile, not {profile!r}", fix='profile="c7i.large"')
        found = resolve(profile).in_one_region(region)
        most = max_price if max_price is not None else price
        return cls(
            name=None if name is None else check_name(name, "box name"),
            profile=found if most is None else attrs.evolve(found, max_price=most),
            is_kept=name is not None if keep is None else bool(keep),
            idle_s=None if idle is None else _idle(idle),
            region=region,
            is_wanted=profile != "default",
            capacity_timeout_s=duration(
                CAPACITY_S if capacity_timeout is None else capacity_timeout, "capacity_timeout"
            ),
            **_storage(filesystem, volumes, volume_policy, new_mount=new_mount),
        )

    def fleet(self, name: str, folder: Path) -> FleetOptions:
        """Return what the machinery of runs is to be told.

        Args:
            name: The final name.
            folder: Where its few files go: the run's own folder.
        """
        idle_s = self.idle_s if self.idle_s is not None else IDLE_S if self.is_kept else PASSING_IDLE_S
        return FleetOptions(
            name=name,
            profile=self.profile,
            instances=self.together,
            idle_s=idle_s,
            max_life_s=LIFE_S,
            capacity_timeout_s=self.capacity_timeout_s,
            results=folder,
            filesystem=self.filesystem,
            volumes=self.volumes,
            deletes_volumes=self.deletes_volumes,
        )


def _storage(filesystem: Any, volumes: Any, volume_policy: Any, *, new_mount: bool) -> dict[str, Any]:
    """Return what a box mounts, by the names of `BoxOptions`.

    Raises:
        ConfigError: If the words cannot work.
    """
    wish = None if filesystem is None else storage.file_system(filesystem)
    if new_mount and wish is None:
        raise ConfigError("a new mount target was asked for, and no file system", fix='filesystem="data" (-f data)')
    found = {
        "filesystem": None if wish is None else attrs.evolve(wish, is_target_new=bool(new_mount)),
        "volumes": storage.volumes(volumes),
        "deletes_volumes": storage.deletes_volumes(volume_policy),
    }
    storage.check_volumes(dict(found))
    return found


def _idle(value: Duration) -> float:
    try:
        found = seconds(value, "idle")
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"idle {value!r} is not a duration", fix='write seconds, or "2h"') from None
    if found == 0:
        raise ConfigError("idle must be above 0 seconds", fix='leave it out for "2h"')
    return found
