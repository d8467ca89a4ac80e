"""What aspot has in an account, whichever process made it: to list it, and to end and delete it. By tags alone."""

from __future__ import annotations

import re
import time
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any

import anyio
import attrs

from aspot.aws import channel, cleanup, network, pools, sweep, tags
from aspot.aws.clients import named
from aspot.aws.codes import Cause
from aspot.aws.errors import Trouble, to_error
from aspot.aws.service import Service
from aspot.aws.sightings import ALIVE, address_of, end_reason, port_of
from aspot.machine.model import EndReason
from aspot.machine.pool import Pool
from aspot.machine.remains import Thing

GONE_S = 120.0
"""How long to wait until instances are gone, so that their group can be deleted."""
EVERY_S = 2.0
_GMT = re.compile(r"\((\d{4}-\d\d-\d\d \d\d:\d\d:\d\d) GMT\)")
"""When an instance ended, in EC2's text for why (StateTransitionReason)."""


@attrs.frozen(kw_only=True)
class Found:
    """An instance that bears aspot's tags. Tags are untrusted: anyone who may tag can write them.

    Args:
        instance: EC2 id.
        run: Run id; with `name`, which fleet or box it belongs to.
        name: The fleet's name.
        owner: Who launched it.
        request: Which launch request of the run.
        state: EC2's word.
        type, zone: Where it is.
        image: What it was made from.
        key_pair: The user's own, where one was named; "" for none.
        address, port: Where SSH answers; "" while there is no address.
        lifecycle: `spot` or `on-demand`.
        launched: EC2's LaunchTime.
        expires: When its run meant to be over; None if the tag cannot be read.
        kept: Until when it stays for a look at a job that failed; None if it does not.
        regions: All regions of its run, where they are several.
    """

    instance: str
    run: str
    name: str
    owner: str
    request: str
    state: str
    type: str
    zone: str
    image: str
    key_pair: str
    address: str
    port: int
    lifecycle: str
    launched: datetime
    expires: datetime | None
    kept: datetime | None = None
    regions: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Look:
    """One instance, looked at by its id.

    Args:
        found: What EC2 shows of it.
        is_ours: Whether it bears a tag of aspot's.
        end_reason: Why it ends or ended; None while it is alive.
        ended: When, where EC2 says so.
    """

    found: Found
    is_ours: bool
    end_reason: EndReason | None
    ended: datetime | None


class Account(Service):
    """aspot's things in one account and region. Make it with `Account.open`, close it with `aclose`."""

    @property
    def is_loopback(self) -> bool:
        """Tell whether EC2 is asked at an address of this machine: the local cloud."""
        return self._aws.is_loopback

    async def instances(self, owner: str = "", *, runs: Collection[str] = ()) -> list[Found]:
        """Return all instances with aspot's tags, newest first, terminated ones too while EC2 shows them.

        Args:
            owner: Only those of this owner; "" for all.
            runs: Only those of these runs, by id; empty for all.

        Raises:
            CloudError: If EC2 could not be asked.
        """
        filters = [named(f"tag:{tags.RUN}", sorted(runs)) if runs else named("tag-key", [tags.RUN])]
        filters += [named(f"tag:{tags.OWNER}", [owner])] if owner else []
        seen = await self._explained(self._aws.pages("ec2:DescribeInstances", "Reservations", Filters=filters))
        found = [self._found(item) for one in seen for item in one["Instances"]]
        return sorted(found, key=lambda one: (one.launched, one.instance), reverse=True)

    def _found(self, item: dict[str, Any]) -> Found:
        seen = tags.read(item)
        return Found(
            instance=item["InstanceId"],
            run=seen.get(tags.RUN, ""),
            name=seen.get(tags.NAME, ""),
            owner=seen.get(tags.OWNER, ""),
            request=seen.get(tags.REQUEST, ""),
            state=item["State"]["Name"],
            type=item["InstanceType"],
            zone=item["Placement"]["AvailabilityZone"],
            image=str(item.get("ImageId") or ""),
            key_pair=str(item.get("KeyName") or ""),
            address=address_of(item, is_public=False),
            port=port_of(seen, is_local=self.is_loopback),
            lifecycle=item.get("InstanceLifecycle") or "on-demand",
            launched=item["LaunchTime"].astimezone(UTC),
            expires=tags.moment(seen.get(tags.EXPIRES, "")),
            kept=tags.moment(seen.get(tags.KEPT, "")),
            regions=tuple(seen.get(tags.REGIONS, "").split()),
        )

    async def instance(self, instance: str) -> Look | None:
        """Return one instance as EC2 shows it, by its id, in one call; None if EC2 knows it no longer.

        Raises:
            CloudError: If EC2 could not be asked.
        """
        try:
            answer = await self._aws.call("ec2:DescribeInstances", InstanceIds=[instance])
        except Trouble as trouble:
            if trouble.cause is Cause.NOT_FOUND:
                return None
            raise to_error(await self._aws.explain(trouble)) from trouble
        items = [item for one in answer["Reservations"] for item in one["Instances"]]
        return self._look(items[0]) if items else None

    def _look(self, item: dict[str, Any]) -> Look:
        found = self._found(item)
        is_alive = found.state in ALIVE
        moment = _GMT.search(item.get("StateTransitionReason") or "")
        return Look(
            found=found,
            is_ours=bool(found.run),
            end_reason=None if is_alive else end_reason(item, "", ()),
            ended=datetime.fromisoformat(f"{moment[1]}+00:00") if moment and not is_alive else None,
        )

    async def let_in(self, run: str) -> None:
        """Open the run's own group to SSH from where the caller is now; nothing where there is no such group.

        Raises:
            CloudError: If EC2 could not be asked.
        """
        await self._explained(network.let_in(self._aws, run))

    async def runs(self) -> list[str]:
        """Return the ids of all runs of which anything beside instances bears the tag, whoever made them."""
        kinds = [named("key", [tags.RUN]), named("resource-type", cleanup.OTHERS)]
        seen = await self._explained(self._aws.pages("ec2:DescribeTags", "Tags", Filters=kinds))
        return sorted({item["Value"] for item in seen})

    async def leftovers_of(self, run: str) -> list[str]:
        """Return what is there of a run, as text for people; nothing is changed.

        Raises:
            CloudError: If EC2 could not be asked.
        """
        return await self._explained(self._left_of(run))

    async def _left_of(self, run: str) -> list[str]:
        left: list[str] = await cleanup.left_of(self._aws, run)
        name = channel.name_of(run)
        return [*left, f"event queue {name}"] if await channel.has(self._aws, name) else left

    async def remove_run(self, run: str, *, seconds: float = GONE_S) -> list[str]:
        """End a run's instances, delete its templates, groups and event queue; return what is left, as text for people.

        Args:
            run: Run id.
            seconds: How long to wait for its instances to be gone; a group in use cannot be deleted.

        Raises:
            CloudError: If EC2 could not be asked.
        """
        return await self._explained(self._remove(run, time.monotonic() + seconds))

    async def _remove(self, run: str, until: float) -> list[str]:
        there = await cleanup.alive(self._aws, run)
        refused = await cleanup.terminate(self._aws, [one for one, _ in there])
        listed = await cleanup.of_run(self._aws, run, ("launch-template", "security-group", "volume"))
        volumes = {one for one, kind in listed if kind == "volume"}
        made = cleanup.Made(run=run)
        made.templates |= {one for one, kind in listed if kind == "launch-template"}
        made.groups |= {one for one, kind in listed if kind == "security-group"}
        name = channel.name_of(run)
        stays = await channel.remove(self._aws, name) if await channel.has(self._aws, name) else []
        while True:
            is_ending = await self._are_ending(run, refused)
            for volume in () if is_ending else volumes:  # those that were to go with the run; machines' own are gone
                await cleanup.delete_one(self._aws, "ec2:DeleteVolume", {"VolumeId": volume})
            left = await cleanup.remove(self._aws, made)
            is_going = is_ending or (left and not refused)  # what was refused stays, and so does what hangs on it
            if not is_going or time.monotonic() > until:
                return left + stays
            await anyio.sleep(EVERY_S)

    async def _are_ending(self, run: str, refused: Collection[str]) -> bool:
        seen = await cleanup.alive(self._aws, run, (*cleanup.COSTLY, "shutting-down"))
        return any(one not in refused for one, _ in seen)

    async def remains(self) -> list[Thing]:
        """Return everything that runs left and that does not go away with a machine, whoever made it.

        Raises:
            CloudError: If EC2 could not be asked.
        """
        return await self._explained(sweep.look_everywhere(self._aws))

    async def sweep(self, judge: sweep.Judge, *, owner: str, seconds: float = GONE_S) -> list[str]:
        """End what the judge chooses of this owner's things; return what of it is left, as text for people.

        Args:
            judge: Takes what bears aspot's tag, returns what is to be ended; asked again about what machines leave.
            owner: Whose things it may choose from.
            seconds: How long to wait until machines are gone.

        Raises:
            CloudError: If EC2 could not be asked.
        """
        until = time.monotonic() + seconds
        return await self._explained(sweep.sweep(self._aws, judge, owner=owner, until=until))

    async def spot_prices(self, types: Collection[str]) -> Mapping[Pool, float]:
        """Return current spot prices of these types in US dollars an hour; none if they are not to be had."""
        try:
            return await pools.spot_prices(self._aws, types, tries=2) if types else {}
        except Trouble:
            return {}
