"""One sync, whatever its two sides are: by this computer, by a machine, or by one made for it.

May import: `ends`, `made`, `aspot.storage`, `aspot.way`.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import attrs

from aspot.ports import LinkDropped
from aspot.profiles import Profile
from aspot.storage.address import Address
from aspot.storage.copying import How, Outcome, Watch, copy_folder, opened
from aspot.transfers.ends import End, Kind, Pair
from aspot.transfers.made import Machine, made
from aspot.way import SESSION, Gone, Way

if TYPE_CHECKING:
    import asyncssh

MACHINES = 3
"""Made for one sync, if EC2 takes them back."""

Say = Callable[[str], None]


class Trip(Protocol):
    """What is carried over a connection to a machine."""

    async def run(
        self, connection: asyncssh.SSHClientConnection, *, label: str, watch: Watch, prefix: str = "exec"
    ) -> Outcome:
        """Do it; return what came of it."""


class NoWatch:
    """Watches nothing."""

    def begin(self, files: int, size: int) -> None:
        """Take no note."""

    def moved(self, size: int) -> None:
        """Take no note."""

    def done(self, name: str) -> None:
        """Take no note."""


def say_nothing(_: str) -> None:
    """Say nothing."""


@attrs.frozen(kw_only=True)
class Sync:
    """A sync to be done.

    Args:
        pair: Its sides.
        how: How.
        machine: What a machine made for it is to be.
        on_machine: Whether one is made where it could be done without: from S3 to S3.
        region: Of S3 and of what is made; None: AWS's own configuration.
    """

    pair: Pair
    how: How
    machine: Machine = attrs.field(factory=Machine)
    on_machine: bool = False
    region: str | None = None

    async def run(self, watch: Watch, say: Say = say_nothing) -> Outcome:
        """Do it; return what came of it.

        Args:
            watch: Is told how it goes.
            say: Told, in a sentence, what its user should know.

        Raises:
            AspotError: If it cannot be done; what was copied until then stays.
        """
        pair = self.pair
        if pair.machine:
            return await carry(self._trip(), Way.to(pair.machine), watch, say)
        if pair.disks or (self.on_machine and len(pair.buckets) == 2):
            return await self._on_one_made_for_it(watch, say)
        async with opened(self.region) as store:
            return await copy_folder(store, _side(pair.source), _side(pair.dest), how=self.how, watch=watch)

    async def _on_one_made_for_it(self, watch: Watch, say: Say) -> Outcome:
        """Do it on a machine made for it; if EC2 takes that back, on another, which goes on."""
        for left in reversed(range(MACHINES)):
            try:
                async with made(self.pair, self.machine, self.how, say) as way:
                    return await carry(self._trip(), way, watch, say)
            except Gone as gone:
                if not left:
                    raise
                say(f"{gone.message}; making another, which goes on")
        raise AssertionError("unreachable")

    def _trip(self) -> Trip:
        """Return what is done on the machine: by itself, or together with this computer."""
        from aspot.storage.errand import Errand
        from aspot.storage.ferry import Ferry

        pair, source, dest = self.pair, self.pair.source, self.pair.dest
        if source.kind is Kind.HERE:
            return Ferry(here=Path(source.path), there=pair.place(dest), is_upload=True, how=self.how)
        if dest.kind is Kind.HERE:
            return Ferry(here=Path(dest.path), there=pair.place(source), is_upload=False, how=self.how)
        return Errand(source=pair.place(source), dest=pair.place(dest), how=self.how)


def words_to_sync(
    source: str,
    dest: str,
    *,
    delete: bool,
    checksum: bool,
    dry_run: bool,
    instance_profile: str | None,
    profile: str | Profile,
    region: str | None,
) -> Sync:
    """Return the sync that words and options mean; see `Fleet.sync`.

    Raises:
        ConfigError: If there is no such sync.
    """
    return Sync(
        pair=Pair.of(source, dest),
        how=How(delete=delete, by_content=checksum, dry=dry_run),
        machine=Machine(profile=profile, instance_profile=instance_profile, region=region),
        on_machine=instance_profile is not None,
        region=region,
    )


def _side(end: End) -> Path | Address:
    return end.address if end.kind is Kind.S3 else Path(end.path)


async def carry(trip: Trip, way: Way, watch: Watch, say: Say) -> Outcome:
    """Carry data to, from or on a machine, over as many connections as that takes; return what came of it.

    Raises:
        AspotError: If the machine is gone, or cannot do it.
    """
    prefix = SESSION if way.machine.info.is_box else "exec"  # a box is in use meanwhile
    connection = await way.connect()
    while True:
        try:
            return await trip.run(connection, label=way.label, watch=watch, prefix=prefix)
        except LinkDropped:
            say(f"the connection to {way.label} broke; connecting again (Ctrl-C gives up)")
        finally:
            connection.abort()
        connection = await way.connect_again(say=say)
