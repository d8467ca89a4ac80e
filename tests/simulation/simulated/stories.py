"""What happens in a random world: fleets, users, networks, regions and clients that crash, all drawn from its seed."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable

import anyio
import attrs

from aspot.machine.model import JobSpec
from simulated.cloud import REGIONS, pools_of
from simulated.machine import Machine
from simulated.scripts import Script
from simulated.world import Faults, World, simulate

DEEDS = ("cancel", "crash", "cut", "detach", "partition", "empty", "lock", "outage", "scale", "stop")
CRASHES_MOST = 12


def script(chance: random.Random) -> Script:
    return Script(
        work_s=chance.choice((0.0, 1.0, 20.0, 60.0, 200.0)),
        code=chance.choice((0, 0, 0, 3)),
        fails_first=chance.choice((0, 0, 0, 1)),
        checkpoint_s=chance.choice((None, 5.0, 5.0)),
        heeds_term=chance.random() < 0.8,
    )


def job_options(chance: random.Random) -> dict[str, object]:
    return {
        "timeout_s": chance.choice((None, None, 100.0)),
        "attempts": chance.choice((1, 2)),
        "interruptions": chance.choice((2, 10)),
        "checkpoint_every_s": chance.choice((None, 15.0)),
        "evacuate": chance.choice(((), ("model", "logs"), tuple(f"f{number}" for number in range(40)))),
    }


def run_options(chance: random.Random) -> dict[str, object]:
    return {
        "limit": chance.choice((1, 3, 50)),
        "budget_usd": chance.choice((None, None, None, 0.05)),
        "deadline_s": chance.choice((None, None, None, 300.0)),
        "idle_s": chance.choice((0.0, 60.0)),
        "capacity_timeout_s": chance.choice((120.0, 3600.0)),
        "market": chance.choice(("spot", "spot", "spot-first", "on-demand")),
        "on_demand_base": chance.choice((0, 0, 1)),
        "moves_when_advised": chance.choice((False, True)),
        "keep_failed_s": chance.choice((None, 20.0, 600.0, 1800.0)),
    }


@attrs.define
class User:
    """Who drives the run; after a crash of the client, what its journal does not know is said again."""

    world: World
    wanted: list[JobSpec] = attrs.Factory(list)
    has_closed: bool = False
    is_gone: bool = False

    def submit(self, specs: list[JobSpec]) -> None:
        self.wanted += specs
        self._say()

    def close(self) -> None:
        self.has_closed = True
        self._say()

    def cancel(self, name: str) -> None:
        if name in self.world.host.run.jobs:
            self.world.host.cancel([name])

    def _say(self) -> None:
        """Tell the client what it does not know yet; one that is away, stopping or done is told nothing."""
        host = self.world.host
        if self.world.is_away or host.run.stop or host.is_done:
            return
        known = {*host.run.jobs, *host._supervisor.desk.names}
        missing = [spec for spec in self.wanted if spec.name not in known]
        if missing:
            host.submit(missing)
        if self.has_closed:
            host.close()

    async def leave(
        self, go: Callable[[], Awaitable[None]], away_s: float, *, dies_after_s: float | None = None
    ) -> None:
        """End the client one way or another, and come back after a while; a run that is over needs no client.

        Args:
            go: How it ends.
            away_s: How long nobody drives the run.
            dies_after_s: So long after it came back the client dies once more; None for not.
        """
        if self.is_gone or self.world.host.is_done:
            return
        self.is_gone = True
        await go()
        await anyio.sleep(away_s)
        if dies_after_s is not None:
            await self._come_back_for(dies_after_s)
        await self.world.come_back()
        self.is_gone = False
        self._say()

    async def _come_back_for(self, seconds: float) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(self.world.come_back)
            await anyio.sleep(seconds)
            await self.world.kill()


async def act(user: User, chance: random.Random) -> None:
    """Do what users, networks and regions do."""
    for _ in range(chance.choice((0, 0, 1, 3))):
        await anyio.sleep(chance.uniform(0.0, 90.0))
        await do(user, chance, chance.choice(DEEDS))


async def do(user: User, chance: random.Random, deed: str) -> None:
    if deed in ("crash", "detach"):
        await user.leave(user.world.kill if deed == "crash" else user.world.detach, away(chance))
        return
    alive = [machine for machine in user.world.cloud.machines.values() if machine.is_alive]
    if alive or deed not in ("cut", "partition"):
        user.world.happened[deed] += 1
        _ACTS[deed](user, chance, alive)


def _cancel(user: User, chance: random.Random, _: list[Machine]) -> None:
    if user.wanted:
        user.cancel(chance.choice(user.wanted).name)


def _stop(user: User, chance: random.Random, _: list[Machine]) -> None:
    if chance.random() < 0.5:
        user.world.host.stop("the test wants it")


def _empty(user: User, _: random.Random, __: list[Machine]) -> None:
    saved = dict(user.world.cloud.capacity)
    user.world.cloud.capacity = dict.fromkeys(pools_of(user.world), 0)
    user.world.loop.call_later(60.0, user.world.cloud.capacity.update, saved)


def _lock(user: User, _: random.Random, __: list[Machine]) -> None:
    user.world.cloud.locked_until = user.world.loop.time() + 100.0


def _outage(user: User, chance: random.Random, _: list[Machine]) -> None:
    user.world.cloud.down_until = user.world.loop.time() + chance.choice((10.0, 60.0))


def _partition(user: User, chance: random.Random, alive: list[Machine]) -> None:
    user.world.partition(chance.choice(alive), chance.choice((20.0, 100.0, 400.0)))


_ACTS: dict[str, Callable[[User, random.Random, list[Machine]], None]] = {
    "cancel": _cancel,
    "cut": lambda user, chance, alive: user.world.break_links(chance.choice(alive)),
    "empty": _empty,
    "lock": _lock,
    "outage": _outage,
    "partition": _partition,
    "scale": lambda user, chance, _: scale(user.world, chance.choice((1, 2, 10))),
    "stop": _stop,
}


def scale(world: World, limit: int) -> None:
    world.limit_seen = max(world.limit_seen, limit)
    world.host.scale(limit)


def away(chance: random.Random) -> float:
    """Return how long a client is gone: a restart, a walk, a lunch that outlasts the lease."""
    return chance.choice((0.0, 2.0, 30.0, 200.0, 900.0))


async def crash_often(user: User, chance: random.Random) -> None:
    """Crash again and again, now and then while coming back is still under way."""
    for _ in range(chance.randint(1, CRASHES_MOST)):
        await anyio.sleep(chance.choice((0.1, 1.0, 10.0, 60.0)) * chance.random())
        go = chance.choice((user.world.kill, user.world.kill, user.world.detach))
        await user.leave(go, away(chance), dies_after_s=chance.choice((None, None, 0.01, 0.5, 1.5)))


async def live(world: World, *, crashes: bool = False) -> None:
    """Play one random run to its end.

    Args:
        world: Where.
        crashes: Whether the client crashes again and again, whatever else happens.
    """
    chance = random.Random(f"story {world.seed}")
    world.cloud.capacity = dict.fromkeys(pools_of(world), chance.choice((2, 5, 1000)))
    names = [f"j{n}" for n in range(chance.choice((1, 2, 5, 12)))]
    specs = [world.add(name, script(chance), **job_options(chance)) for name in names]
    user = User(world)
    await world.host.start()
    first = chance.randint(0, len(specs))
    user.submit(specs[:first])
    async with anyio.create_task_group() as group:
        group.start_soon(act, user, random.Random(f"deeds {world.seed}"))
        if crashes:
            group.start_soon(crash_often, user, random.Random(f"crashes {world.seed}"))
        await anyio.sleep(chance.uniform(0.0, 40.0))
        user.submit(specs[first:])
        user.close()
        await world.finished()
        group.cancel_scope.cancel()
    judge(user)


def judge(user: User) -> None:
    """Whatever was handed in and not refused is there at the end."""
    host = user.world.host
    assert host.error is None, host.error
    missing = [spec.name for spec in user.wanted if spec.name not in host.run.jobs]
    assert not missing or host.run.stop, f"nobody knows of {missing}"


def play(seed: int, *, crashes: bool = False, seen: Callable[[World], None] = lambda _: None) -> World:
    """Play the random world of a seed, have the oracle judge it, and return it.

    Args:
        seed: Decides everything.
        crashes: Whether the client crashes again and again.
        seen: Is shown the world at its beginning.
    """

    async def story(world: World) -> None:
        seen(world)
        if random.Random(f"events {seed}").random() < 0.3:
            world.cloud.mail = []
        await live(world, crashes=crashes)

    options = run_options(random.Random(f"options {seed}"))
    if random.Random(f"regions {seed}").random() < 0.25:
        options["regions"] = REGIONS
    return simulate(story, seed=seed, faults=Faults.drawn(seed), **options)
