"""`Ec2Regions`: the port `Cloud` over several regions, for one run; each is an `Ec2Cloud` of its own.

All are looked at before the run; a group and a template are made only where something is launched. One that refuses, or
does not answer, is left out if another remains.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime

from aspot.aws import choice
from aspot.aws.cloud import Ec2Cloud, Stores
from aspot.aws.site import Site, each
from aspot.machine.model import LaunchSpec, Run
from aspot.machine.pool import Pool, region_of
from aspot.ports import Cloud, CloudFact, CloudPlan, LaunchAnswer, Mounted, Mounting, Prepared, Sighting


async def open_cloud(regions: Sequence[str]) -> Ec2Cloud | Ec2Regions:
    """Find credentials and regions as every AWS tool does; nothing is asked of AWS yet.

    Args:
        regions: AWS regions; none for the one of AWS's own configuration.

    Raises:
        ConfigError: If there is no region, or no such region.
        AuthError: If there are no credentials.
    """
    if len(regions) < 2:
        return await Ec2Cloud.open(next(iter(regions), None))
    clouds: list[Ec2Cloud] = []
    try:
        for region in regions:
            clouds.append(await Ec2Cloud.open(region))  # noqa: PERF401 - those that were opened are closed
    except BaseException:
        for cloud in clouds:
            await cloud.aclose()
        raise
    return Ec2Regions(clouds)


class Ec2Regions(Cloud):
    """EC2 in several regions, for one run. Made by `open_cloud`."""

    def __init__(self, clouds: Iterable[Ec2Cloud]) -> None:
        self._sites = {cloud.region: Site(cloud) for cloud in clouds}
        self._homes: dict[str, str] = {}  # the region of each machine, by id

    @property
    def region(self) -> str:
        """Return the first region."""
        return next(iter(self._sites))

    @property
    def stays(self) -> tuple[str, ...]:
        """Return what is still there after the run, since it is data, as text for people."""
        return tuple(item for site in self._sites.values() for item in site.cloud.stays)

    def fence(self, check: Callable[[], None]) -> None:
        """Have something called before each call to AWS, as `Ec2Cloud.fence`."""
        for site in self._sites.values():
            site.cloud.fence(check)

    def stores_by(self, stores: Stores) -> None:
        """Have machines mount what the plan says, by this."""
        for site in self._sites.values():
            site.cloud.stores_by(stores)

    def knows(self, run: Run) -> None:
        """Take in where an earlier client of the run asked for machines, and where they are."""
        self._homes |= {name: record.pool.region for name, record in run.instances.items()}
        asked = {record.spec.region for record in run.requests.values()} | set(self._homes.values())
        needed = {self._homes[name] for name in run.live} | {run.requests[name].spec.region for name in run.asked}
        for region, site in self._sites.items():
            site.is_used, site.is_needed = region in asked, region in needed

    async def prepare(self, plan: CloudPlan) -> Prepared:
        """Look at every region; make ready those that the run has used already, others when they are launched in.

        Raises:
            AspotError: If none can be used, or one cannot where the run has machines; nothing is left then.
        """
        return await (choice.adopted if plan.run.is_rebuilt else choice.prepared)(plan, self._sites)

    async def launch(self, spec: LaunchSpec) -> LaunchAnswer:
        """Ask one region for instances; refusals are values.

        Raises:
            LaunchUnanswered: If the answer was lost; the same spec again asks with the same ClientToken.
        """
        answer = await self._sites[spec.region].launch(spec)
        self._homes |= {one.instance: spec.region for one in answer.launched}
        return answer

    async def sightings(self) -> Sequence[Sighting]:
        """Return every instance of the run that EC2 still shows; where a region does not answer, as it was before.

        Raises:
            CloudUnavailable: If no region could be asked just now, or one of them never could.
            CredentialsExpired: If no region takes the credentials any longer.
        """
        sites = self._used()
        shown = await each(sites, lambda site: site.look())
        if len(shown.failures) == len(sites) or any(site.last_seen() is None for site in shown.failures):
            shown.raise_first()
        found = [
            sighting
            for site in sites
            for sighting in (shown.results[site] if site in shown.results else site.last_seen() or ())
        ]
        self._homes |= {sighting.instance: sighting.pool.region for sighting in found}
        return found

    async def furnish(self, instance: str, zone: str) -> Sequence[Mounting]:
        """Make ready what a machine is to mount. As `Ec2Cloud.furnish`."""
        return await self._sites[region_of(zone)].cloud.furnish(instance, zone)

    async def console(self, instance: str) -> str:
        """Return the end of what an instance wrote to its console. As `Ec2Cloud.console`."""
        return await self._sites[self._homes[instance]].cloud.console(instance)

    def mounted(self) -> Sequence[Mounted]:
        """Return what machines mounted: they do so in one region. As `Ec2Cloud.mounted`."""
        return [one for site in self._used() for one in site.cloud.mounted()]

    async def hear(self, region: str) -> Sequence[CloudFact] | None:
        """Wait for what EC2 says by itself in a region. As `Ec2Cloud.hear`."""
        return await self._sites[region].cloud.hear(region)

    async def terminate(self, instances: Collection[str]) -> Mapping[str, str]:
        """End instances, each where it is; return refusals by id (why). Raises as `sightings`, when all were asked."""
        there: dict[Site, list[str]] = {}
        for instance in instances:
            there.setdefault(self._sites[self._homes[instance]], []).append(instance)
        ended = await each(there, lambda site: site.cloud.terminate(there[site]))
        ended.raise_first()
        return {instance: why for refused in ended.results.values() for instance, why in refused.items()}

    async def let_caller_in(self) -> str:
        """Have SSH let in from where the caller is now, in each region used. As `Ec2Cloud.let_caller_in`."""
        told = await each(self._used(), lambda site: site.cloud.let_caller_in())
        told.raise_first()
        return "; ".join(f"{site.region}: {text}" for site, text in told.results.items() if text)

    async def spot_prices(self) -> Mapping[Pool, float]:
        """Return the spot price of each of the run's pools in US dollars an hour.

        Where a region is silent, they are the last ones known. Raises as `sightings`, if all are.
        """
        sites = [site for site in self._sites.values() if site.is_open]
        seen = await each(sites, lambda site: site.cloud.spot_prices())
        if not seen.results:
            seen.raise_first()
        for site, prices in seen.results.items():
            site.prices = prices
        return {pool: usd for site in sites for pool, usd in site.prices.items()}

    async def mark_kept(self, instance: str, until: datetime) -> None:
        """Write onto an instance until when it is kept for a look. Raises as `sightings`."""
        await self._sites[self._homes[instance]].cloud.mark_kept(instance, until)

    async def clean_up(self, kept: Collection[str] = ()) -> Sequence[str]:
        """Delete what the run made in each region used; return what is left of it, as text for people.

        Raises as `sightings`, when all were asked.
        """
        removed = await each(self._used(), lambda site: site.cloud.clean_up(kept))
        removed.raise_first()
        return [f"{item} in {site.region}" for site, left in removed.results.items() for item in left]

    async def aclose(self) -> None:
        """Close connections."""
        for site in self._sites.values():
            await site.cloud.aclose()

    def _used(self) -> list[Site]:
        """Return the regions where there may be anything of the run."""
        return [site for site in self._sites.values() if site.is_used]
