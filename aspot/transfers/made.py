"""A box made for one sync: what can be known is checked before it is launched; it ends with the sync, whatever happens.

May import: `aspot.boxes`, `aspot.storage`, `aspot.way`, and lazily what makes boxes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import attrs

from aspot.boxes.box import Box, end_text
from aspot.boxes.opening import Events, opened
from aspot.errors import AuthError, ConfigError
from aspot.intake.boxes import BoxOptions
from aspot.intake.names import owner
from aspot.machine.news import InstanceLaunched, InstanceReady, LaunchRefused, News
from aspot.machine.quantities import price
from aspot.profiles import Profile, resolve
from aspot.reach import find
from aspot.storage.copying import How
from aspot.transfers.ends import Pair
from aspot.way import Way

RELEASE_S = 180.0
"""For the disks to be unmounted."""
_TOLD = (InstanceLaunched, InstanceReady, LaunchRefused)

Say = Callable[[str], None]


@attrs.frozen(kw_only=True)
class Machine:
    """What a box made for a sync is to be.

    Args:
        profile: Its kind: a profile's or an instance type's name, or a `Profile`.
        instance_profile: With which it uses S3; None: the profile's.
        region: Where; None: the profile's, or AWS's own configuration.
    """

    profile: str | Profile = "default"
    instance_profile: str | None = None
    region: str | None = None

    def options(self, zone: str) -> BoxOptions:
        """Return the options of the box.

        Args:
            zone: The only one that it may be in; "" for any.

        Raises:
            ConfigError: If it cannot be.
        """
        more: dict[str, Any] = {
            "instance_profile": self.instance_profile,
            "zones": (zone,) if zone else (),
            "region": self.region,
        }
        found = attrs.evolve(resolve(self.profile), **{name: value for name, value in more.items() if value})
        return BoxOptions.check(None, found, keep=False, idle=None, max_price=None, price=None)

    @property
    def role(self) -> str:
        """Return the instance profile that it will have; "" for none."""
        return self.instance_profile or resolve(self.profile).instance_profile or ""

    @property
    def where(self) -> str | None:
        """Return the region; None for AWS's own configuration."""
        return self.region or resolve(self.profile).region


@asynccontextmanager
async def made(pair: Pair, machine: Machine, how: How, say: Say) -> AsyncIterator[Way]:
    """Make a box that can carry a sync, its disks mounted, and end it afterwards.

    Args:
        pair: The sync.
        machine: What it is to be.
        how: How it is wanted.
        say: Told what happens.

    Raises:
        ConfigError: If it cannot be: nothing was launched then.
        AspotError: If there is no machine to be had, or it cannot mount something; it is ended then.
    """
    from aspot.storage.mounts import Mounts

    await _check_buckets(pair, machine, how)
    async with await Mounts.open(machine.where) as mounts:
        zone = await mounts.zone(pair.disks)
        box = await opened(machine.options(zone), Events(lambda news: _tell(news, say), say))
        there = None
        try:
            there = find(box.instance)
            await box.connect()
            say(f"{box.name}: {_what(box)}, made for {pair.label}; it ends with it")
            for disk in pair.disks:
                say(f"{box.name}: mounting {disk.kind}://{disk.name}")
            await mounts.mount(pair.disks, there, owner=owner())
            yield Way(there, is_sure=True)
        finally:
            with anyio.move_on_after(RELEASE_S, shield=True):
                if pair.disks and there is not None:
                    await mounts.release(pair.disks, there)
            say(end_text(box.name, await box.end_surely()))


async def _check_buckets(pair: Pair, machine: Machine, how: How) -> None:
    """Make sure, before anything is launched, that the buckets are there and the role may use them.

    Raises:
        ConfigError: If one is not there, or there is no role.
        AuthError: If the role certainly may not use one.
    """
    from aspot.storage.copying import opened as store_opened
    from aspot.storage.roles import Roles

    if not pair.buckets:
        return
    if not machine.role:
        bucket = pair.buckets[0].address.bucket
        raise ConfigError(
            f"{pair.label}: the machine made for it needs a role for S3",
            fix=f"--instance-profile NAME; aspot roles create NAME --bucket {bucket} makes one",
        )
    async with store_opened(machine.where) as store:
        for end in pair.buckets:
            try:
                await store.check(end.address)
            except AuthError:  # the role may be allowed what the caller is not
                continue
    async with await Roles.open(machine.where) as roles:
        for end in pair.buckets:
            wanted = "list" if how.dry else "delete" if how.delete else "write"
            await roles.check(machine.role, end.address, "read" if end is pair.source else wanted)


def _tell(news: News, say: Say) -> None:
    if isinstance(news, _TOLD):
        say(news.message)


def _what(box: Box) -> str:
    pool = box.known.run.instances[box.instance].pool
    return f"{pool.type} {pool.zone}, {price(box.known.usd_per_hour)}/h"
