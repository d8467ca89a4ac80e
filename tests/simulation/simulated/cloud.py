"""Simulated EC2: pools with capacity, tokens, lag, throttling, lost answers, outages."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Collection, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import anyio
import attrs

from aspot.errors import AspotError, AuthError
from aspot.machine.events import Launched
from aspot.machine.model import EndReason, LaunchSpec
from aspot.machine.pool import Pool, Refusal, RefusalKind
from aspot.ports import (
    CloudFact,
    CloudPlan,
    CloudUnavailable,
    CredentialsExpired,
    LaunchAnswer,
    LaunchUnanswered,
    Mounted,
    Mounting,
    Prepared,
    Sighting,
)
from simulated.machine import Machine
from simulated.scripts import seconds

if TYPE_CHECKING:
    from simulated.world import World

POOLS = tuple(Pool(kind, zone) for kind in ("c7i.large", "m7i.large") for zone in ("us-east-1a", "us-east-1b"))
REGIONS = ("us-east-1", "eu-west-1")
WIDE_POOLS = tuple(Pool(kind, f"{region}a") for kind in ("c7i.large", "m7i.large") for region in REGIONS)
FORGOTTEN_S = 3600.0


def pools_of(world: World) -> tuple[Pool, ...]:
    return WIDE_POOLS if world.spec.regions else POOLS


@attrs.define
class SimCloud:
    """Implements `aspot.ports.Cloud`; a run of several regions has pools in two."""

    world: World
    capacity: MutableMapping[Pool, int] = attrs.Factory(
        lambda cloud: dict.fromkeys(pools_of(cloud.world), 1000), takes_self=True
    )
    prices: dict[Pool, float] = attrs.Factory(
        lambda cloud: {pool: 0.03 + 0.01 * n for n, pool in enumerate(pools_of(cloud.world))}, takes_self=True
    )
    shut: dict[str, RefusalKind] = attrs.Factory(dict)  # how a region refuses every launch
    machines: dict[str, Machine] = attrs.Factory(dict)
    tokens: dict[str, tuple[LaunchSpec, tuple[str, ...]]] = attrs.Factory(dict)
    calls: Counter[str] = attrs.Factory(Counter)
    call_times: list[float] = attrs.Factory(list)
    has_group: bool = False
    is_closed: bool = False
    prepare_error: AspotError | None = None
    prepare_s: float = 1.0
    down_until: float = -1.0
    locked_until: float = -1.0
    protected: set[str] = attrs.Factory(set)
    mute_channels: set[str] = attrs.Factory(set)  # notices do not come this way
    sticky: int = 0  # so many times the group cannot be deleted yet
    launch_s: tuple[float, float] = (0.1, 1.0)
    deaf: int = 0  # so many terminate calls do nothing
    marks: dict[str, datetime] = attrs.Factory(dict)  # until when instances are kept
    denied: set[str] = attrs.Factory(set)  # calls that the account may not make
    drift: float = 0.02  # most that a price moves from one look to the next
    preference: Callable[[Pool], float] | None = None  # which pool a launch takes first; a random one if None
    mail: list[CloudFact] | None = None  # what EC2 says by itself and nobody has read; None: events are not set up
    posted: anyio.Event = attrs.Factory(anyio.Event)
    hear_error: Exception | None = None
    hear_s: float = 20.0
    heard: list[str] = attrs.Factory(list)  # where it was listened for
    mountings: Sequence[Mounting] = ()  # what every machine mounts
    scripted: list[str] = attrs.Factory(list)  # what the next launches do: "lost", "lost-undone", "throttle", ""

    async def _call(self, name: str) -> None:
        self.calls[name] += 1
        self.call_times.append(self.world.loop.time())
        await anyio.sleep(self.world.chance.uniform(0.05, 0.3))
        now = self.world.loop.time()
        if name in self.denied:
            raise AuthError(f"{name} is denied", code="UnauthorizedOperation")
        if now < self.locked_until:
            raise CredentialsExpired("ExpiredToken")
        if now < self.down_until or self.world.strikes("unavailable"):
            raise CloudUnavailable(f"{name}: 503")

    async def prepare(self, plan: CloudPlan) -> Prepared:
        self.calls["prepare"] += 1
        if self.prepare_error is not None:
            raise self.prepare_error
        self.has_group = True
        await anyio.sleep(self.prepare_s)
        several = bool(plan.run.regions)
        on_demand = {f"{pool.type} {pool.zone[:-1]}" if several else pool.type: 0.1 for pool in self.prices}
        return Prepared(
            pools=tuple(self.prices), spot_usd_per_hour=dict(self.prices), on_demand_usd_per_hour=on_demand, user="u"
        )

    async def launch(self, spec: LaunchSpec) -> LaunchAnswer:
        self.calls["launch"] += 1
        self.call_times.append(self.world.loop.time())
        self.world.oracle.launches(spec)
        if self.world.loop.time() < self.locked_until:
            raise CredentialsExpired("ExpiredToken")
        if kind := self._shut(spec.pools[0].zone[:-1]):
            return LaunchAnswer(refusals=(Refusal(kind=kind, code=kind.name),))
        fate = "lost-undone" if self.world.loop.time() < self.down_until else self._fate()
        if fate == "lost-undone":
            raise LaunchUnanswered("the request never arrived")
        if fate == "throttle":
            return LaunchAnswer(refusals=(Refusal(kind=RefusalKind.THROTTLED, code="RequestLimitExceeded"),))
        answers: list[LaunchAnswer] = []
        delay = self.world.chance.uniform(*self.launch_s)  # the request is sent, whoever is cancelled
        self.world.loop.call_later(delay, lambda: answers.append(self._launch(spec)))
        await anyio.sleep(delay + self.world.chance.uniform(0.1, 1.5))
        if fate == "lost":
            raise LaunchUnanswered("the answer was lost")
        return answers[0]

    def _shut(self, region: str) -> RefusalKind | None:
        """Tell how a region refuses now, if it does: for as long as a test says, or for a moment."""
        if self.world.spec.regions and region not in self.shut:
            for kind in (RefusalKind.UNREACHABLE, RefusalKind.QUOTA):
                if self.world.strikes("shut"):
                    return kind
        return self.shut.get(region)

    def _fate(self) -> str:
        if self.scripted:
            return self.scripted.pop(0)
        for fate, fault in (("lost", "lost"), ("lost-undone", "lost"), ("throttle", "throttle")):
            if self.world.strikes(fault):
                return fate
        return ""

    def _launch(self, spec: LaunchSpec) -> LaunchAnswer:
        if spec.id in self.tokens:
            known, ids = self.tokens[spec.id]
            self.world.oracle.check(known == spec, f"token of {spec.id} used with other parameters")
            return LaunchAnswer(launched=tuple(self._launched(name) for name in ids))
        made: list[str] = []
        refusals: list[Refusal] = []
        for pool in sorted(spec.pools, key=self.preference or (lambda _: self.world.chance.random())):
            room = min(self.capacity[pool], spec.count - len(made))
            made += [self._make(spec, pool) for _ in range(room)]
            if len(made) < spec.count:
                code = "InsufficientInstanceCapacity"
                refusals.append(Refusal(kind=RefusalKind.NO_CAPACITY, code=code, pool=pool))
        if made:
            self.tokens[spec.id] = (spec, tuple(made))
        return LaunchAnswer(launched=tuple(self._launched(name) for name in made), refusals=tuple(refusals))

    def _make(self, spec: LaunchSpec, pool: Pool) -> str:
        name = f"i-{len(self.machines):04d}"
        now, faults, chance = self.world.loop.time(), self.world.faults, self.world.chance
        lag = chance.uniform(0.0, faults.lag_s)
        machine = Machine(self.world, name, spec.id, pool, spec.market, born=now, visible_at=now + lag)
        self.machines[name] = machine
        self.capacity[pool] -= 1
        machine.boot(chance.uniform(*faults.boot_s), chance.uniform(0.2, 3.0))
        self.world.oracle.made(machine)
        self.world.plan_fate(machine)
        return name

    def _launched(self, name: str) -> Launched:
        machine = self.machines[name]
        return Launched(instance=name, pool=machine.pool, market=machine.market)

    async def furnish(self, instance: str, zone: str) -> Sequence[Mounting]:
        return self.mountings

    async def sightings(self) -> Sequence[Sighting]:
        await self._call("sightings")
        now = self.world.loop.time()
        shown = [machine for machine in self.machines.values() if self._is_shown(machine, now)]
        return [self._sighting(machine, now) for machine in shown]

    def _is_shown(self, machine: Machine, now: float) -> bool:
        is_forgotten = machine.gone_at is not None and now - machine.gone_at > FORGOTTEN_S
        is_blinking = now - machine.born < 60.0 and self.world.strikes("blink")
        return machine.visible_at <= now and not is_forgotten and not is_blinking

    def _sighting(self, machine: Machine, now: float) -> Sighting:
        state = machine.state_at(now - self.world.chance.uniform(0.0, self.world.faults.stale_s))
        is_ending = state in ("shutting-down", "terminated")
        return Sighting(
            instance=machine.id,
            request=machine.request,
            pool=machine.pool,
            market=machine.market,
            state=state,
            address=machine.address if state == "running" else "",
            launched=self.world.clock.at(machine.born),
            end_reason=machine.end_reason if is_ending else None,
            notice=None if "spot-request" in self.mute_channels else machine.notice,
        )

    async def hear(self, region: str) -> Sequence[CloudFact] | None:
        self.calls["hear"] += 1
        self.heard.append(region)
        await anyio.sleep(0.1)
        if self.hear_error is not None:
            raise self.hear_error
        if self.mail is None:
            return None
        if self.world.loop.time() < max(self.down_until, self.locked_until):
            raise CloudUnavailable("hear: 503")
        with anyio.move_on_after(self.hear_s):
            while not self.mail:
                await self.posted.wait()
        batch, self.mail = self.mail[:10], self.mail[10:]
        return batch

    def tell(self, fact: CloudFact) -> None:
        """Put an event into the queue a little later: at times twice, among those of machines of other people."""
        if self.mail is None or "sqs" in self.mute_channels:
            return
        chance = random.Random(f"{self.world.seed} {fact}")  # of its own: worlds without events stay what they were
        stranger = attrs.evolve(fact, instance=f"i-foreign{chance.randrange(100)}")
        for one in (stranger, *[fact] * chance.choice((1, 1, 2))):
            self.world.loop.call_later(chance.uniform(0.2, 3.0), self._post, one)

    def _post(self, fact: CloudFact) -> None:
        assert self.mail is not None
        self.mail.append(fact)
        old, self.posted = self.posted, anyio.Event()
        old.set()

    async def terminate(self, instances: Collection[str]) -> Mapping[str, str]:
        await self._call("terminate")
        if self.deaf:
            self.deaf -= 1
            return {}
        for name in instances:
            if name not in self.protected:
                self.machines[name].end(EndReason.OURS)
        return {name: "OperationNotPermitted" for name in instances if name in self.protected}

    async def console(self, instance: str) -> str:
        """Answer late, or never, or not at all; by chances of its own: worlds stay what they were."""
        self.calls["console"] += 1
        chance = random.Random(f"{self.world.seed} console {instance}")
        await anyio.sleep(chance.choice((0.1, 1.0, 5.0, 1e6)))
        if "console" in self.denied:
            raise AuthError("console is denied", code="UnauthorizedOperation")
        if chance.random() < 0.2:
            raise CloudUnavailable("console: 503")
        return chance.choice(("", "Kernel panic - not syncing"))

    async def spot_prices(self) -> Mapping[Pool, float]:
        await self._call("spot_prices")
        for pool in self.prices:
            self.prices[pool] *= self.world.chance.uniform(1 - self.drift, 1 + self.drift)
        return dict(self.prices)

    async def let_caller_in(self) -> str:
        await self._call("let_caller_in")
        return ""

    async def mark_kept(self, instance: str, until: datetime) -> None:
        await self._call("mark_kept")
        self.marks[instance] = until

    def mounted(self) -> Sequence[Mounted]:
        return ()

    async def clean_up(self, kept: Collection[str] = ()) -> Sequence[str]:
        await self._call("clean_up")
        self.sticky -= 1
        alive = [machine for machine in self.machines.values() if machine.state != "terminated"]
        there = [f"instance {machine.id} ({machine.state})" for machine in alive if machine.id not in kept]
        if kept and not there:
            return []  # the group stays with them
        if self.sticky >= 0 or there:
            return [*there, "security group sg-1 (in use)"]
        self.has_group = False
        return []

    async def aclose(self) -> None:
        self.is_closed = True

    def back_at(self, delay: float, pool: Pool, room: int) -> None:
        """Have a pool gain capacity later."""
        self.world.loop.call_later(delay, self.capacity.__setitem__, pool, room)


__all__ = ["POOLS", "SimCloud", "seconds"]
