"""`Ec2Cloud`: the port `Cloud` on EC2, for one run."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Self, TypeVar

import anyio

from aspot.aws import belongings, channel, cleanup, console, doorway, images, network, pools, sightings, template
from aspot.aws.clients import Aws
from aspot.aws.codes import Cause
from aspot.aws.ears import Ears
from aspot.aws.errors import Trouble, to_error, to_pause
from aspot.aws.launch import Ground, Launcher
from aspot.aws.together import together
from aspot.errors import CloudError, InternalError
from aspot.machine.model import LaunchSpec
from aspot.machine.pool import Market, Pool
from aspot.ports import (
    Cloud,
    CloudFact,
    CloudPlan,
    CloudUnavailable,
    LaunchAnswer,
    Mounted,
    Mounting,
    Prepared,
    Sighting,
    Storage,
)
from aspot.profiles.firewall import Rule

T = TypeVar("T")
Stores = Callable[[Aws, CloudPlan], Storage]
UNDO_S = 20.0
"""How long a failed preparation may take to delete what it made."""


class Ec2Cloud(Cloud):
    """EC2 for one run. Make it with `Ec2Cloud.open`, close it with `aclose`."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self._plan: CloudPlan | None = None
        self._launcher: Launcher | None = None
        self._pools: tuple[Pool, ...] = ()
        self._templates: dict[Market, str] = {}
        self._made = cleanup.Made(run="")
        self._has_begun = False  # to make things in AWS
        self._eyes = sightings.Eyes(run="", is_local=aws.is_loopback)
        self._ears: Ears | None = None
        self._group = ""
        self._stores: Stores | None = None
        self._storage: Storage | None = None
        self.stays: tuple[str, ...] = ()  # what is still there after the run, since it is data

    @classmethod
    async def open(cls, region: str | None) -> Self:
        """Find credentials and region as every AWS tool does; nothing is asked of AWS yet.

        Args:
            region: AWS region; None for the one of AWS's own configuration.

        Raises:
            ConfigError: If there is no region, or no such region.
            AuthError: If there are no credentials.
        """
        return cls(await Aws.open(region))

    def fence(self, check: Callable[[], None]) -> None:
        """Have something called before each call to AWS, those within one of ours too; it raises to prevent it."""
        self._aws.check = check

    def stores_by(self, stores: Stores) -> None:
        """Have machines mount what the plan says, by this."""
        self._stores = stores

    @property
    def region(self) -> str:
        """Return the region."""
        return self._aws.region

    @property
    def is_loopback(self) -> bool:
        """Tell whether EC2 is asked at an address of this machine: the local cloud."""
        return self._aws.is_loopback

    async def prepare(self, plan: CloudPlan) -> Prepared:
        """Make ready what launches need: checks first, side by side; then the run's group and launch template.

        Raises:
            AspotError: If that is impossible; nothing is left then.
        """
        template.check_user_data(plan)
        self._plan = plan
        self._storage = self._stores(self._aws, plan) if self._stores is not None else None
        try:
            return await (self._adopt(plan) if plan.run.is_rebuilt else self._prepare(plan))
        except BaseException as error:
            with anyio.move_on_after(UNDO_S, shield=True):
                await self._undo()
            found = to_error(await self._aws.explain(error)) if isinstance(error, Trouble) else error
            for note in self._storage.made() if self._storage is not None else ():
                found.add_note(note)
            if found is error:
                raise
            raise found from error

    async def _prepare(self, plan: CloudPlan) -> Prepared:
        aws = self._aws
        kinds, offers, place, spot, on_demand = await self._market(plan.types)
        archs = {name: kind.arch for name, kind in kinds.items()}
        zones = await self._zones_of_storage(plan, place, pools.cheapest_first(offers, spot))
        self._pools = pools.choose(kinds, offers=offers, zones=place.subnets, wanted=zones, region=aws.region)
        image, allowed, *_ = await together(
            partial(images.find, aws, plan.image, archs=set(archs.values()), disk_gb=plan.run.disk_gb, user=plan.user),
            partial(self._rules, plan),
            partial(self._check_quotas, plan, kinds.values()),
            partial(belongings.check_key_pair, aws, plan.key_pair),
            partial(belongings.check_instance_profile, aws, plan.instance_profile),
        )
        used = {pool.zone: place.subnets[pool.zone] for pool in self._pools}
        joined = () if self._storage is None else await self._storage.prepare(place.vpc, used)
        self._has_begun = True
        group = place.group or await network.make_group(aws, plan, place.vpc, allowed)
        self._group = group
        self._made = cleanup.Made(run=plan.run.id, is_walled=not place.group)
        self._made.groups |= {group} - {place.group}
        ground = Ground(
            plan=plan,
            place=place,
            groups=(group, *joined),
            image=image,
            archs=archs,
            made=time.monotonic(),
        )
        await self._make_templates(ground)
        self._launcher = Launcher(aws, ground, self._templates)
        self._eyes = sightings.Eyes(run=plan.run.id, is_local=aws.is_loopback, is_public=place.is_public)
        earlier = channel.name_of(plan.run.id) if plan.is_again else ""
        self._ears = Ears(plan=plan, name=earlier)
        return Prepared(
            pools=self._pools,
            spot_usd_per_hour={pool: spot[pool] for pool in self._pools if pool in spot},
            on_demand_usd_per_hour=on_demand,
            user=image.user,
            notes=(*network.warnings(plan), *(() if self._storage is None else await self._storage.notes())),
        )

    async def _zones_of_storage(
        self, plan: CloudPlan, place: network.Place, preferred: Sequence[str]
    ) -> tuple[str, ...]:
        """Return the zones that machines may be in: those of the plan, fewer where what they mount is bound to some."""
        if self._storage is None:
            return plan.zones
        usable = tuple(zone for zone in preferred if zone in place.subnets and (not plan.zones or zone in plan.zones))
        return await self._storage.zones(usable) if usable else plan.zones

    async def _adopt(self, plan: CloudPlan) -> Prepared:
        """Find what a run made whose journal is lost, and let the caller in; nothing is made or can be launched."""
        aws, run = self._aws, plan.run.id
        kinds, spot, on_demand, allowed, found = await together(
            partial(pools.kinds, aws, plan.types),
            partial(pools.spot_prices, aws, plan.types),
            partial(pools.on_demand_prices, aws, plan.types),
            partial(network.rules, aws, plan.firewall),
            partial(cleanup.of_run, aws, run, ("security-group", "launch-template")),
        )
        self._pools = tuple(Pool(kind, zone) for kind in kinds for zone in plan.zones)
        groups = await cleanup.there(aws, run, "security-group") if found else []
        for group in groups:
            await network.authorize(aws, group, allowed, is_callers=network.asks_address(plan.firewall))
        self._made = cleanup.Made(run=run, is_walled=bool(groups))
        self._made.groups |= set(groups)
        self._made.templates |= {one for one, kind in found if kind == "launch-template"}
        self._eyes = sightings.Eyes(run=run, is_local=aws.is_loopback, is_public=False)
        return Prepared(
            pools=self._pools,
            spot_usd_per_hour={pool: spot[pool] for pool in self._pools if pool in spot},
            on_demand_usd_per_hour=on_demand,
            user=plan.user or await images.login_user(aws, plan.image),
        )

    async def _market(self, types: Sequence[str]) -> list[Any]:
        """Return types, offers, place, spot prices and on-demand prices, asked for side by side."""
        aws, group = self._aws, self._plan.security_group if self._plan else ""
        try:
            return await together(
                partial(pools.kinds, aws, types),
                partial(pools.offered, aws, types),
                partial(network.place, aws, group),
                partial(pools.spot_prices, aws, types),
                partial(pools.on_demand_prices, aws, types),
            )
        except Trouble as trouble:
            if trouble.cause is Cause.REQUEST:
                known = await pools.kinds(aws, types)  # says which type there is not, whichever call was refused first
                if len(known) < len(set(types)):
                    return await self._market(tuple(known))  # the region lacks some
            raise

    async def _check_quotas(self, plan: CloudPlan, kinds: Iterable[pools.Kind]) -> None:
        """Refuse what the account's limits cannot hold; for `spot-first` that for spot counts, which it hopes for."""
        on_demand = plan.count if plan.run.market == "on-demand" else min(plan.count, plan.run.on_demand_base)
        for count, is_spot in ((plan.count - on_demand, True), (on_demand, False)):
            if count:
                fewer = "launch {} at most" if plan.run.is_box else "--instances {}"
                await pools.check_quota(self._aws, kinds, count=count, is_spot=is_spot, fewer=fewer)

    async def _rules(self, plan: CloudPlan) -> tuple[Rule, ...]:
        return () if plan.security_group else await network.rules(self._aws, plan.firewall)

    async def _make_templates(self, ground: Ground) -> None:
        for market in ground.plan.run.markets:
            data = template.contents(
                ground.plan, image=ground.image, place=ground.place, groups=ground.groups, market=market
            )
            made = self._templates[market] = await template.make(self._aws, ground.plan, market, data)
            self._made.templates.add(made)

    async def _undo(self) -> None:
        """Delete what a preparation made before it failed; by tag too, since an answer may have been lost.

        What an earlier client of the run made, its machines need.
        """
        if not self._has_begun or (self._plan is not None and self._plan.is_again):
            return
        try:
            made = await cleanup.of_run(self._aws, self._made.run)
            self._made.templates |= {one for one, kind in made if kind == "launch-template"}
            self._made.groups |= {one for one, kind in made if kind == "security-group"}
            if self._made.templates or self._made.groups:
                await cleanup.remove(self._aws, self._made)
        except Trouble:
            return  # the failure that led here is raised; `aspot down` and `clean` find the rest by its tags

    async def launch(self, spec: LaunchSpec) -> LaunchAnswer:
        """Ask for instances; refusals are values.

        Raises:
            LaunchUnanswered: If the answer was lost; the same spec again asks with the same ClientToken.
        """
        if self._launcher is None:
            raise InternalError("launch before prepare")
        return await self._launcher.launch(spec)

    async def sightings(self) -> Sequence[Sighting]:
        """Return every instance of the run that EC2 still shows.

        Raises:
            CloudUnavailable: If EC2 could not be asked just now.
            CredentialsExpired: If it takes the credentials no longer.
        """
        return await self._patiently(sightings.look(self._aws, self._eyes)) if self._eyes.run else []

    async def furnish(self, instance: str, zone: str) -> Sequence[Mounting]:
        """Make ready what a machine is to mount before its first job; return how it is mounted there.

        Raises:
            AspotError: If it cannot be had there. Otherwise as `sightings`.
        """
        return [] if self._storage is None else await self._patiently(self._storage.furnish(instance, zone))

    async def hear(self) -> Sequence[CloudFact] | None:
        """Wait, some seconds at most, for what EC2 says by itself; None if events are not set up.

        Raises:
            AspotError: If it cannot be heard, now and later. Otherwise as `sightings`.
        """
        return None if self._ears is None else await self._patiently(self._ears.hear(self._aws))

    async def terminate(self, instances: Collection[str]) -> Mapping[str, str]:
        """End instances; return refusals by id (why). Repeating is harmless. Raises as `sightings`."""
        self._eyes.ended |= set(instances)
        return await self._patiently(cleanup.terminate(self._aws, instances))

    async def console(self, instance: str) -> str:
        """Return the end of what an instance wrote to its console, as one harmless line; "" for nothing.

        Raises as `sightings`, and `AspotError` if it cannot be had.
        """
        return await self._patiently(console.read(self._aws, instance))

    async def let_caller_in(self) -> str:
        """Have SSH let in from where the caller is now; return what changed or has to be done, as text; "" for nothing.

        Only the run's own group is changed. Raises as `sightings`, and `AspotError` if it may not be done.
        """
        if self._plan is None or not self._group:
            return ""
        try:
            return await self._patiently(doorway.follow(self._aws, self._plan, self._group))
        except CloudError as error:
            raise CloudUnavailable(error.message) from error

    async def spot_prices(self) -> Mapping[Pool, float]:
        """Return the current spot price of each of the run's pools, in US dollars an hour. Raises as `sightings`."""
        seen = await self._patiently(pools.spot_prices(self._aws, [pool.type for pool in self._pools], tries=2))
        return {pool: seen[pool] for pool in self._pools if pool in seen}

    async def mark_kept(self, instance: str, until: datetime) -> None:
        """Write onto an instance until when it is kept for a look. Raises as `sightings`."""
        await self._patiently(cleanup.mark_kept(self._aws, instance, until))

    async def clean_up(self, kept: Collection[str] = ()) -> Sequence[str]:
        """Delete the run's launch template, own group and event queue; return what is left of it, as text for people.

        A group cannot be deleted before its instances are gone: then it is in the answer, and the caller asks again.
        With instances that are kept it stays for them, and is in no answer. Raises as `sightings`.
        """
        if self._plan is None:
            return []
        removals: list[Callable[[], Awaitable[Sequence[str]]]] = [partial(cleanup.remove, self._aws, self._made, kept)]
        removals += [partial(self._ears.remove, self._aws)] if self._ears is not None else []
        removals += [self._storage.remove] if self._storage is not None else []
        left: list[Sequence[str]] = await self._patiently(together(*removals))
        if self._storage is not None:
            self.stays = await self._patiently(self._storage.stays())
        return [item for part in left for item in part]

    def mounted(self) -> Sequence[Mounted]:
        """Return what the machines mount, as far as it is known."""
        return () if self._storage is None else self._storage.mounted()

    async def aclose(self) -> None:
        """Close connections."""
        await self._aws.aclose()

    async def _patiently(self, call: Awaitable[T]) -> T:
        """Await a call whose failure is a pause, not the end of the run."""
        try:
            return await call
        except Trouble as trouble:
            if trouble.cause is Cause.REQUEST:
                raise to_error(trouble) from trouble
            raise to_pause(trouble) from trouble
