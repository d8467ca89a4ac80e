"""What a region offers, and at what price: asked of AWS, kept for a while, shown with its age."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Self

import attrs

from aspot.aws import advisor, gallery, images, offers, pools
from aspot.aws.cache import Cache
from aspot.aws.clients import Aws
from aspot.aws.codes import Cause
from aspot.aws.errors import Trouble, to_error
from aspot.aws.service import Service
from aspot.errors import CloudError, ConfigError
from aspot.machine.pool import Pool

FALLBACK_REGION = "us-east-1"
"""Asked which regions there are when none is set yet."""
MINUTES, DAYS = 60.0, 86400.0
PRICES_S, LISTS_S, ON_DEMAND_S = 5 * MINUTES, 1 * DAYS, 7 * DAYS
"""How long spot prices, lists of types and images, and on-demand prices are taken from the cache. Spot prices change
about once in two hours (2026), on-demand prices a few times a year."""
SCORED_TYPES = 3
"""With fewer types the placement score is always low (EC2 API reference, GetSpotPlacementScores)."""


@attrs.frozen(kw_only=True)
class Answer:
    """What AWS said.

    Args:
        value: It; empty where AWS would not say.
        at: When it was said.
        note: Why it is old, or is not there; "" if all is well.
    """

    value: Any
    at: datetime
    note: str = ""

    @property
    def is_stale(self) -> bool:
        """Tell whether it should be newer."""
        return bool(self.note and self.value)


class Market(Service):
    """One region's market. Make it with `Market.open`, close it with `aclose`.

    Args:
        aws: The gateway.
        cache: Where answers are kept.
        fresh: Whether to ask anew, whatever is kept.
    """

    def __init__(self, aws: Aws, cache: Cache, *, fresh: bool = False) -> None:
        super().__init__(aws)
        self._cache, self._fresh = cache, fresh

    @classmethod
    async def open(cls, region: str | None, *, fresh: bool = False, anywhere: bool = False) -> Self:
        """Find credentials and region as `Ec2Cloud.open` does; nothing is asked of AWS yet.

        Args:
            region: AWS region; None for the one of AWS's own configuration.
            fresh: Ask anew, whatever is kept.
            anywhere: Where no region is set at all, ask us-east-1.

        Raises:
            AspotError: As `Ec2Cloud.open`.
        """
        try:
            aws = await Aws.open(region)
        except ConfigError:
            if region is not None or not anywhere:
                raise
            aws = await Aws.open(FALLBACK_REGION)
        return cls(aws, Cache.open(), fresh=fresh)

    async def regions(self) -> list[str]:
        """Return the regions that the account may use; raises as `types`."""
        return list((await self._ask("regions", [], LISTS_S, lambda: offers.regions(self._aws))).value)

    async def types(self, wanted: Iterable[str] = ()) -> Answer:
        """Return a list of `TypeFacts`: of these types, or all; in a name, `*` stands for any text.

        Raises:
            ConfigError: If there is none of one of the names.
            CloudError: If AWS refuses or cannot be asked, and nothing is kept.
        """
        names = list(dict.fromkeys(wanted))
        kept = await self._ask("types", names, LISTS_S, lambda: offers.types(self._aws, names))
        return attrs.evolve(kept, value=[offers.TypeFacts(**item) for item in kept.value])

    async def spot(self, types: Iterable[str] | None = None) -> Answer:
        """Return current spot prices by pool, in US dollars an hour; raises as `types`."""
        names = None if types is None else sorted(types)
        kept = await self._ask("spot", [names], PRICES_S, lambda: self._spot(names))
        return attrs.evolve(kept, value={Pool(kind, zone): usd for kind, zone, usd in kept.value})

    async def _spot(self, names: Sequence[str] | None) -> list[tuple[str, str, float]]:
        seen = await pools.spot_prices(self._aws, names)
        return [(pool.type, pool.zone, usd) for pool, usd in seen.items()]

    async def history(self, types: Iterable[str], *, days: int) -> Answer:
        """Return spot prices by pool as lists of (when, US dollars an hour), oldest first; raises as `types`.

        Args:
            types: Instance types.
            days: How far back, 1 to 90; the first price of a pool is the one in force then.
        """
        names = sorted(types)
        since = timedelta(days=days)
        kept = await self._ask(
            "history", [names, days], PRICES_S, lambda: offers.history(self._aws, names, since=since)
        )
        found: dict[Pool, list[tuple[datetime, float]]] = {}
        for kind, zone, moment, usd in kept.value:
            found.setdefault(Pool(kind, zone), []).append((datetime.fromtimestamp(moment, UTC), usd))
        return attrs.evolve(kept, value=found)

    async def on_demand(self, types: Iterable[str] | None = None) -> Answer:
        """Return on-demand prices by type, in US dollars an hour; none, with a note, where AWS will not say."""
        names = None if types is None else sorted(types)
        return await self._if_possible(
            "on-demand prices", "on-demand", [names], ON_DEMAND_S, lambda: offers.on_demand(self._aws, names)
        )

    async def scores(self, types: Iterable[str]) -> Answer:
        """Return the placement score of these types together by zone, 1 to 10; none, with a note, as `on_demand`."""
        names = sorted(types)
        if len(names) < SCORED_TYPES:
            note = f"placement scores mean something for {SCORED_TYPES} or more types together: none was asked for"
            return Answer(value={}, at=self._now(), note=note)
        return await self._if_possible(
            "placement scores", "scores", [names], PRICES_S, lambda: offers.scores(self._aws, names)
        )

    async def bands(self, types: Iterable[str]) -> Answer:
        """Return how often instances were interrupted last month, by type, such as `5-10%`; none as `on_demand`."""
        url = advisor.url_of(self._aws)
        if not url:
            return Answer(value={}, at=self._now(), note=f"interruption bands: {advisor.URL_VARIABLE} is empty")
        kept = await self._if_possible(
            "interruption bands", "bands", [url], LISTS_S, lambda: advisor.bands(url, self._aws.region)
        )
        return attrs.evolve(kept, value={name: kept.value[name] for name in types if name in kept.value})

    async def images(self) -> Answer:
        """Return a list of `ImageFacts`, newest first: published ones and the account's own; raises as `types`."""
        kept = await self._ask("images", [], LISTS_S, lambda: gallery.images(self._aws))
        return attrs.evolve(kept, value=[gallery.ImageFacts(**item) for item in kept.value])

    async def check_image(self, word: str) -> None:
        """Look whether an image is there, whoever's it is.

        Args:
            word: As a profile names it.

        Raises:
            ConfigError: If it is not.
            CloudError: If AWS refuses or cannot be asked.
        """
        await self._explained(images.check(self._aws, word))

    def _now(self) -> datetime:
        return datetime.fromtimestamp(self._cache.now(), UTC)

    async def _ask(
        self, kind: str, parts: Sequence[Any], expiry_s: float, fetch: Callable[[], Awaitable[Any]]
    ) -> Answer:
        """Return what is kept if it is new enough, else ask; what is old has to do where AWS gives no answer.

        Raises:
            CloudError: If there is no answer, new or old.
        """
        whole = [self._aws.endpoint, self._aws.region, *_identity(), *parts]
        kept = self._cache.read(kind, whole)
        if kept is not None and not self._fresh and self._cache.now() - kept.at < expiry_s:
            return Answer(value=kept.value, at=datetime.fromtimestamp(kept.at, UTC))
        try:
            value = await fetch()
        except Trouble as trouble:
            error = to_error(await self._aws.explain(trouble))
            if kept is None or trouble.cause in (Cause.REQUEST, Cause.NOT_FOUND):
                raise error from trouble
            return Answer(value=kept.value, at=datetime.fromtimestamp(kept.at, UTC), note=error.message)
        new = self._cache.write(kind, whole, value)
        return Answer(value=new.value, at=datetime.fromtimestamp(new.at, UTC))

    async def _if_possible(
        self,
        what: str,
        kind: str,
        parts: Sequence[Any],
        expiry_s: float,
        fetch: Callable[[], Awaitable[Mapping[str, Any]]],
    ) -> Answer:
        try:
            return await self._ask(kind, parts, expiry_s, fetch)
        except (CloudError, ConfigError) as error:
            return Answer(value={}, at=self._now(), note=f"no {what}: {error.message}")


def _identity() -> tuple[str, ...]:
    """Return whose answers these are, without asking: zones have other names in other accounts."""
    return tuple(os.environ.get(key, "") for key in ("AWS_PROFILE", "AWS_ACCESS_KEY_ID"))
