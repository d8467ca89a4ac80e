"""`Ec2Cloud`: the port `Cloud` on EC2, for one run."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Self, TypeVar

import anyio
import attrs

from aspot.aws import channel, cleanup, console, doorway, network, pools, sightings, template
from aspot.aws.clients import Aws
from aspot.aws.codes import Cause
from aspot.aws.ears import Ears
from aspot.aws.errors import Trouble, refusal, to_error, to_pause
from aspot.aws.launch import Ground, Launcher
from aspot.aws.survey import Survey, adopt, survey
from aspot.aws.together import together
from aspot.errors import AspotError, CloudError, InternalError
from aspot.machine.model import LaunchSpec, Run
from aspot.machine.pool import Market, Pool, Refusal, RefusalKind
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
        self._survey: Survey | None = None
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

    def knows(self, run: Run) -> None:
        """Take in what an earlier client of the run did: with one region, nothing is to be learnt."""

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
        return await self._or_nothing(self._adopt(plan) if plan.run.is_rebuilt else self._prepare(plan))

    async def _prepare(self, plan: CloudPlan) -> Prepared:
        prepared = await self._survey_for(plan)
        await self._make_ready()
        return attrs.evolve(
            prepared,
            notes=(*prepared.notes, *(() if self._storage is None else await self._storage.notes())),
        )

    async def look_around(self, plan: CloudPlan) -> Prepared:
        """Check what launches need, and make nothing; `readied` does.

        Raises:
            AspotError: If it is not to be had.
        """
        return await self._or_nothing(self._survey_for(plan))

    async def _or_nothing(self, preparing: Awaitable[Prepared]) -> Prepared:
        """Await a preparation; undo one that fails, and explain why it did."""
        try:
            return await preparing
        except BaseException as error:
            with anyio.move_on_after(UNDO_S, shield=True):
                await self._undo()
            found = to_error(await self._aws.explain(error)) if isinstance(error, Trouble) else error
            for note in self._storage.made() if self._storage is not None else ():
                found.add_note(note)
            if found is error:
                raise
            raise found from error

    async def holdings(self, plan: CloudPlan) -> tuple[str, ...]:
        """Return what is here of what the plan's machines are to mount, as text for people.

        Raises:
            AspotError: If AWS could not be asked, or something cannot be told from another.
        """
        storage = self._stores(self._aws, plan) if self._stores is not None else None
        try:
            return () if storage is None else await storage.there()
        except Trouble as trouble:
            raise to_error(await self._aws.explain(trouble)) from trouble

    async def quota_room(self) -> float:
        """Return how many machines the account's limits have room for, after `look_around`, on the markets wanted."""
        assert self._survey is not None, "looked around before"
        kinds, markets = self._survey.kinds.values(), self._survey.plan.run.markets
        rooms = [await pools.quota_room(self._aws, kinds, is_spot=market is Market.SPOT) for market in markets]
        return sum(room.machines for room in rooms)

    async def _survey_for(self, plan: CloudPlan) -> Prepared:
        template.check_user_data(plan)
        self._plan = plan
        if plan.is_again and not self._has_begun:  # an earlier client has
            self._begin(plan)
        self._storage = self._stores(self._aws, plan) if self._stores is not None else None
        self._survey = await survey(self._aws, plan, self._storage)
        self._pools = self._survey.pools
        return self._survey.prepared

    @property
    def is_ready(self) -> bool:
        """Tell whether launches may be made."""
        return self._launcher is not None

    async def readied(self) -> Refusal | None:
        """Make what launches need, after `look_around`; return why that cannot be, `clean_up` finding what was made."""
        try:
            await self._make_ready()
        except Trouble as trouble:
            found = refusal(await self._aws.explain(trouble))
            is_silent = trouble.cause in (Cause.LOST, Cause.UNREACHABLE)  # nothing was launched, either way
            return attrs.evolve(found, kind=RefusalKind.UNREACHABLE) if is_silent else found
        except AspotError as error:
            return Refusal(kind=RefusalKind.FATAL, code=type(error).__name__, message=error.message, fix=error.fix)
        return None

    async def _make_ready(self) -> None:
        """Make what launches need, after it was looked for; repeating is harmless."""
        aws, found = self._aws, self._survey
        assert found is not None, "looked around before"
        plan, place = found.plan, found.place
        used = {pool.zone: place.subnets[pool.zone] for pool in self._pools}
        joined = () if self._storage is None else await self._storage.prepare(place.vpc, used)
        if not self._has_begun:
            self._begin(plan)
        group = place.group or await network.make_group(aws, plan, place.vpc, found.allowed)
        self._group = group
        self._made.groups |= {group} - {place.group}
        ground = Ground(
            plan=plan,
            place=place,
            groups=(group, *joined),
            image=found.image,
            archs=found.archs,
            made=time.monotonic(),
        )
        await self._make_templates(ground)
        self._launcher = Launcher(aws, ground, self._templates)
        self._eyes = sightings.Eyes(run=plan.run.id, is_local=aws.is_loopback, is_public=place.is_public)
        earlier = channel.name_of(plan.run.id) if plan.is_again else ""
        self._ears = Ears(plan=plan, name=earlier)

    def _begin(self, plan: CloudPlan) -> None:
        self._has_begun = True
        self._made = cleanup.Made(run=plan.run.id, is_walled=not plan.security_group)

    async def _adopt(self, plan: CloudPlan) -> Prepared:
        """Find what a run made whose journal is lost, and let the caller in; nothing is made or can be launched."""
        self._plan = plan
        prepared, self._made = await adopt(self._aws, plan)
        self._pools = prepared.pools
        self._eyes = sightings.Eyes(run=plan.run.id, is_local=self._aws.is_loopback, is_public=False)
        return prepared

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
            await self._find_made()
            if self._made.templates or self._made.groups:
                await cleanup.remove(self._aws, self._made)
        except Trouble:
            return  # the failure that led here is raised; `aspot down` and `clean` find the rest by its tags

    async def _find_made(self) -> None:
        """Look, by tag, for what was made though its answer did not come."""
        made = await cleanup.of_run(self._aws, self._made.run)
        self._made.templates |= {one for one, kind in made if kind == "launch-template"}
        self._made.groups |= {one for one, kind in made if kind == "security-group"}

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

    async def hear(self, region: str) -> Sequence[CloudFact] | None:  # noqa: ARG002 - there is one
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
        if self._plan is None or not self._made.run:
            return []
        if self._has_begun and not self.is_ready:
            await self._patiently(self._find_made())
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
