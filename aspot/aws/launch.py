"""Asking for instances: one CreateFleet for all pools, or RunInstances pool by pool where that is not allowed."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import anyio
import attrs

from aspot.aws import tags
from aspot.aws.bucket import bucket
from aspot.aws.clients import Aws
from aspot.aws.codes import Cause
from aspot.aws.errors import Trouble, cause_of, refusal
from aspot.aws.images import Image
from aspot.aws.network import Place
from aspot.aws.pools import quota_of
from aspot.aws.template import interface, token
from aspot.machine.events import Launched
from aspot.machine.model import LaunchSpec
from aspot.machine.pool import Market, Pool, Refusal, RefusalKind
from aspot.ports import CloudPlan, LaunchAnswer, LaunchUnanswered

SETTLE_S = 60.0
"""How long EC2 may not yet know what it has just made (errors overview: "eventual consistency")."""
NO_FLEETS = frozenset({"UnauthorizedOperation", "AccessDenied", "AccessDeniedException", "UnsupportedOperation"})


@attrs.frozen(kw_only=True)
class Ground:
    """What launches of a run stand on."""

    plan: CloudPlan
    place: Place
    groups: tuple[str, ...]  # security groups, the run's own first
    image: Image
    archs: Mapping[str, str]  # by type
    made: float  # monotonic time when template and group were made


@attrs.define
class _Walk:
    """How far a launch by RunInstances has come; kept while an answer is lost, so that the repeat is the same."""

    left: int
    at: int = 0
    launched: list[Launched] = attrs.field(factory=list)
    refusals: list[Refusal] = attrs.field(factory=list)


class Launcher:
    """Makes launch calls for one run.

    Args:
        aws: The gateway.
        ground: What launches stand on.
        templates: Launch template ids by market.
    """

    def __init__(self, aws: Aws, ground: Ground, templates: Mapping[Market, str]) -> None:
        self._aws, self._ground, self._templates = aws, ground, templates
        self._has_fleets = True
        self._walks: dict[str, _Walk] = {}

    async def launch(self, spec: LaunchSpec) -> LaunchAnswer:
        """Ask for instances.

        Raises:
            LaunchUnanswered: If the answer was lost.
        """
        try:
            if self._has_fleets and spec.id not in self._walks:
                answer = await self._by_fleet(spec)
                if answer is not None:
                    return answer
            return await self._pool_by_pool(spec)
        except Trouble as trouble:
            if trouble.cause is Cause.LOST:
                raise LaunchUnanswered(f"{trouble.operation}: {trouble.message}") from trouble
            return LaunchAnswer(refusals=(refusal(await self._aws.explain(trouble)),))

    # --- by CreateFleet ---

    async def _by_fleet(self, spec: LaunchSpec) -> LaunchAnswer | None:
        """Return the answer; None if this account may not use CreateFleet."""
        try:
            answer = await self._send("CreateFleet", self._fleet(spec))
        except Trouble as trouble:
            if trouble.cause is not Cause.FLEET_QUOTA and trouble.code not in NO_FLEETS:
                raise
            self._has_fleets = trouble.cause is Cause.FLEET_QUOTA
            return None
        return self._read_fleet(spec, answer)

    def _fleet(self, spec: LaunchSpec) -> dict[str, Any]:
        is_spot = spec.market is Market.SPOT
        template = {"LaunchTemplateId": self._templates[spec.market], "Version": "1"}
        found: dict[str, Any] = {
            "Type": "instant",
            "ClientToken": self._token(spec, "fleet"),
            "LaunchTemplateConfigs": [
                {
                    "LaunchTemplateSpecification": template,
                    "Overrides": [self._override(spec, pool) for pool in spec.pools],
                }
            ],
            "TargetCapacitySpecification": {
                "TotalTargetCapacity": spec.count,
                "DefaultTargetCapacityType": "spot" if is_spot else "on-demand",
            },
            "TagSpecifications": tags.on(("fleet", "instance", "volume"), self._tags(spec)),
        }
        if is_spot:
            found["SpotOptions"] = {"AllocationStrategy": self._ground.plan.allocation}
        return found

    def _override(self, spec: LaunchSpec, pool: Pool) -> dict[str, Any]:
        max_price = self._max_price(spec)
        return {
            "InstanceType": pool.type,
            "SubnetId": self._ground.place.subnets[pool.zone],
            **({"MaxPrice": max_price} if max_price else {}),
            **self._image(pool),
        }

    def _read_fleet(self, spec: LaunchSpec, answer: Mapping[str, Any]) -> LaunchAnswer:
        launched = tuple(
            Launched(instance=instance, pool=self._pool_of(item, spec), market=spec.market)
            for item in answer.get("Instances", ())
            for instance in item.get("InstanceIds", ())
        )
        refusals = [self._fleet_refusal(item, spec) for item in answer.get("Errors", ())]
        return LaunchAnswer(launched=launched, refusals=_settle(refusals, has_launched=bool(launched)))

    def _fleet_refusal(self, item: Mapping[str, Any], spec: LaunchSpec) -> Refusal:
        code = str(item.get("ErrorCode", ""))
        cause = Cause.NOT_TRIED if self._is_lag(code) else cause_of(code)
        trouble = Trouble(cause, code, str(item.get("ErrorMessage", "")), operation="ec2:CreateFleet")
        return refusal(trouble, self._pool_of(item, spec))

    def _pool_of(self, item: Mapping[str, Any], spec: LaunchSpec) -> Pool:
        """Return which pool an entry concerns: its zone stands in it, or follows from its subnet."""
        overrides = item.get("LaunchTemplateAndOverrides", {}).get("Overrides", {})
        zones = {subnet: zone for zone, subnet in self._ground.place.subnets.items()}
        kind = item.get("InstanceType") or overrides.get("InstanceType") or spec.pools[0].type
        zone = item.get("AvailabilityZone") or zones.get(item.get("SubnetId") or overrides.get("SubnetId", ""))
        return Pool(kind, zone or overrides.get("AvailabilityZone") or spec.pools[0].zone)

    # --- by RunInstances ---

    async def _pool_by_pool(self, spec: LaunchSpec) -> LaunchAnswer:
        walk = self._walks.setdefault(spec.id, _Walk(left=spec.count))
        while walk.left > 0 and walk.at < len(spec.pools):
            pool = spec.pools[walk.at]
            if not _is_hopeless(pool, walk.refusals):
                await self._run(spec, pool, walk)  # a lost answer leaves the walk where it is
            if any(one.pool is None for one in walk.refusals):
                break
            walk.at += 1
        del self._walks[spec.id]
        return LaunchAnswer(
            launched=tuple(walk.launched), refusals=_settle(walk.refusals, has_launched=bool(walk.launched))
        )

    async def _run(self, spec: LaunchSpec, pool: Pool, walk: _Walk) -> None:
        count = walk.left
        while True:
            try:
                answer = await self._send("RunInstances", self._single(spec, pool, count))
            except Trouble as trouble:
                if trouble.cause is Cause.LOST:
                    raise
                if trouble.cause is Cause.TOO_MANY and count > 1:
                    count //= 2
                    continue
                walk.refusals.append(refusal(await self._aws.explain(trouble), pool))
                return
            for item in answer["Instances"]:
                walk.launched.append(Launched(instance=item["InstanceId"], pool=pool, market=spec.market))
            walk.left -= len(answer["Instances"])
            return

    def _single(self, spec: LaunchSpec, pool: Pool, count: int) -> dict[str, Any]:
        ground = self._ground
        found: dict[str, Any] = {
            "LaunchTemplate": {"LaunchTemplateId": self._templates[spec.market], "Version": "1"},
            "InstanceType": pool.type,
            "MinCount": 1,
            "MaxCount": count,
            "NetworkInterfaces": [interface(ground.groups, ground.place, ground.place.subnets[pool.zone])],
            "TagSpecifications": tags.on(("instance", "volume"), self._tags(spec)),
            "ClientToken": self._token(spec, pool.type, pool.zone, count),
            **self._image(pool),
        }
        if spec.market is Market.SPOT:
            max_price = self._max_price(spec)
            options = {"SpotInstanceType": "one-time", "InstanceInterruptionBehavior": "terminate"}
            found["InstanceMarketOptions"] = {
                "MarketType": "spot",
                "SpotOptions": options | ({"MaxPrice": max_price} if max_price else {}),
            }
        return found

    # --- both ---

    async def _send(self, action: str, params: dict[str, Any]) -> dict[str, Any]:
        """Send a launch call in AWS's rhythm; repeat it only while EC2 does not yet know what we have just made."""
        pace = bucket(self._aws.endpoint, self._aws.region, action)
        while True:
            await pace.take()
            try:
                return await self._aws.once(f"ec2:{action}", **params)
            except Trouble as trouble:
                if trouble.cause is Cause.THROTTLED:
                    pace.drain(time.monotonic())
                if not self._is_lag(trouble.code):
                    raise
            await anyio.sleep(1.0)

    def _is_lag(self, code: str) -> bool:
        return cause_of(code) is Cause.NOT_FOUND and time.monotonic() - self._ground.made < SETTLE_S

    def _image(self, pool: Pool) -> dict[str, str]:
        """Return the image of the pool's architecture, where the run has more than one."""
        ids = self._ground.image.ids
        return {"ImageId": ids[self._ground.archs[pool.type]]} if len(ids) > 1 else {}

    def _tags(self, spec: LaunchSpec) -> list[dict[str, str]]:
        return tags.tags_of(self._ground.plan, request=spec.id)

    def _max_price(self, spec: LaunchSpec) -> str:
        price = self._ground.plan.run.max_price_usd
        return f"{price:.5f}" if price is not None and spec.market is Market.SPOT else ""

    def _token(self, spec: LaunchSpec, *how: object) -> str:
        pools = [[pool.type, pool.zone] for pool in spec.pools]
        return token(
            self._ground.plan.run.id, spec.id, spec.count, spec.market.value, self._max_price(spec), pools, *how
        )


def _is_hopeless(pool: Pool, refusals: Iterable[Refusal]) -> bool:
    """Tell whether a limit that stopped another pool stops this one too."""
    full = [one.pool for one in refusals if one.kind is RefusalKind.QUOTA and one.pool is not None]
    return any(quota_of(pool.type) == quota_of(other.type) for other in full)


def _settle(refusals: Sequence[Refusal], *, has_launched: bool) -> tuple[Refusal, ...]:
    """Return one refusal a pool; where something was launched, a fatal one cannot concern the whole request."""
    found: dict[tuple[Pool | None, RefusalKind | None], Refusal] = {}
    for one in refusals:
        if has_launched and one.kind is RefusalKind.FATAL:
            continue
        found.setdefault((one.pool, one.kind if one.pool is None else None), one)
    return tuple(found.values())
