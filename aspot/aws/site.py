"""One of several regions of a run: its `Ec2Cloud`, what was last seen there, and how all are asked at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import Generic, TypeVar

import anyio
import attrs

from aspot.aws.cloud import Ec2Cloud
from aspot.aws.together import together
from aspot.errors import AspotError
from aspot.machine.events import Launched
from aspot.machine.model import LaunchSpec
from aspot.machine.pool import Pool, Refusal, RefusalKind
from aspot.ports import CloudUnavailable, CredentialsExpired, LaunchAnswer, Prepared, Sighting

T = TypeVar("T")
READY_S = 60.0
"""How long a region may take to make a security group and launch templates."""
QUIET_S = 120.0
"""So long after the last launch a region without machines is not asked any more: listings lag less (FAULTS A11)."""


@attrs.define(eq=False)
class Site:
    """One region.

    Args:
        cloud: EC2 there.
        is_open: Whether machines may be launched there.
        is_used: Whether there may be anything of the run.
        is_needed: Whether the run cannot go on without it: it has machines there, or may have.
        prices: Spot prices as last seen.
    """

    cloud: Ec2Cloud
    is_open: bool = False
    is_used: bool = False
    is_needed: bool = False
    prices: Mapping[Pool, float] = attrs.field(factory=dict)
    _seen: dict[str, Sighting] | None = attrs.field(init=False, default=None)
    _coming: dict[str, Sighting] = attrs.field(init=False, factory=dict)  # launched, in no listing yet
    _asked: float = attrs.field(init=False, factory=anyio.current_time)  # when something may last have been launched
    _making: anyio.Lock = attrs.field(init=False, factory=anyio.Lock)

    @property
    def region(self) -> str:
        """Return its name."""
        return self.cloud.region

    def open(self, ready: Prepared) -> None:
        """Let machines be launched there."""
        self.is_open, self.prices = True, ready.spot_usd_per_hour

    async def launch(self, spec: LaunchSpec) -> LaunchAnswer:
        """As `Cloud.launch`; the region is made ready first, once. If that fails, nothing was launched."""
        self.is_used = True
        async with self._making:
            refused = None if self.cloud.is_ready else await self._readied()
        if refused is not None:
            return LaunchAnswer(refusals=(refused,))
        self._asked = anyio.current_time()
        try:
            answer = await self.cloud.launch(spec)
        finally:
            self._asked = anyio.current_time()
        known = self._seen or {}
        self._coming |= {one.instance: _pending(one, spec) for one in answer.launched if one.instance not in known}
        return answer

    async def _readied(self) -> Refusal | None:
        """Return why the region cannot be made ready, if that is so; one that is slow is left for another."""
        with anyio.move_on_after(READY_S):
            return await self.cloud.readied()
        silent = f"{self.region} did not make ready what launches need within {READY_S:.0f} s"
        return Refusal(kind=RefusalKind.UNREACHABLE, code="NoAnswer", message=silent)

    async def look(self) -> list[Sighting]:
        """Return every instance that EC2 shows; it is not asked where all have long ended."""
        if self._seen is None or not self._is_quiet(self._seen.values()):
            found = await self.cloud.sightings()
            self._seen = {sighting.instance: sighting for sighting in found}
            self._coming = {name: one for name, one in self._coming.items() if name not in self._seen}
        return list(self._seen.values())

    def _is_quiet(self, seen: Collection[Sighting]) -> bool:
        has_ended = all(sighting.state == "terminated" for sighting in seen)
        return has_ended and not self._coming and anyio.current_time() - self._asked > QUIET_S

    def last_seen(self) -> list[Sighting] | None:
        """Return what was there when it was last asked, and was launched since; None if it never answered."""
        if self._seen is None and not self._coming:
            return None
        return list({**self._coming, **(self._seen or {})}.values())


def _pending(launched: Launched, spec: LaunchSpec) -> Sighting:
    return Sighting(
        instance=launched.instance,
        request=spec.id,
        pool=launched.pool,
        market=launched.market,
        state="pending",
        launched=datetime.now(UTC),
    )


@attrs.frozen
class Answers(Generic[T]):
    """What each region brought, or why it brought nothing."""

    results: dict[Site, T]
    failures: dict[Site, Exception]

    def raise_first(self) -> None:
        """Raise the first failure, if there is one."""
        for failure in self.failures.values():
            raise failure


async def each(sites: Collection[Site], ask: Callable[[Site], Awaitable[T]]) -> Answers[T]:
    """Ask all regions at once, and wait for all, whichever fails."""
    results: dict[Site, T] = {}
    failures: dict[Site, Exception] = {}

    async def one(site: Site) -> None:
        try:
            results[site] = await ask(site)
        except (CloudUnavailable, CredentialsExpired, AspotError) as error:
            failures[site] = error

    await together(*(partial(one, site) for site in sites))
    order = list(sites)
    return Answers({s: results[s] for s in order if s in results}, {s: failures[s] for s in order if s in failures})
