"""Some hundred random worlds: fleets, faults, users and interleavings drawn from a seed; the oracle judges each.

`ASPOT_SEEDS=5000-5200` plays others; a failure prints its seed.
"""

import os
import random

import anyio
import pytest
from simulated.cloud import POOLS
from simulated.scripts import Script
from simulated.world import Faults, World, simulate

CHUNK = 20


def wanted() -> range:
    first, _, last = os.environ.get("ASPOT_SEEDS", "0-240").partition("-")
    return range(int(first), int(last or int(first) + 1))


CHUNKS = [range(start, min(start + CHUNK, wanted().stop)) for start in range(wanted().start, wanted().stop, CHUNK)]


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
    }


async def act(world: World, chance: random.Random, names: list[str]) -> None:
    """Do what users, networks and regions do."""
    for _ in range(chance.choice((0, 0, 1, 3))):
        await anyio.sleep(chance.uniform(0.0, 90.0))
        deed = chance.choice(("cancel", "cut", "partition", "empty", "lock", "outage", "scale", "stop"))
        alive = [machine for machine in world.cloud.machines.values() if machine.is_alive]
        if deed == "cancel" and names:
            world.host.cancel([chance.choice(names)])
        elif deed == "stop" and chance.random() < 0.5:
            world.host.stop("the test wants it")
        elif deed == "scale":
            limit = chance.choice((1, 2, 10))
            world.limit_seen = max(world.limit_seen, limit)
            world.host.scale(limit)
        elif deed == "empty":
            saved = dict(world.cloud.capacity)
            world.cloud.capacity = dict.fromkeys(POOLS, 0)
            world.loop.call_later(60.0, world.cloud.capacity.update, saved)
        elif deed == "lock":
            world.cloud.locked_until = world.loop.time() + 100.0
        elif deed == "outage":
            world.cloud.down_until = world.loop.time() + chance.choice((10.0, 60.0))
        elif alive and deed == "cut":
            world.break_links(chance.choice(alive))
        elif alive and deed == "partition":
            world.partition(chance.choice(alive), chance.choice((20.0, 100.0, 400.0)))


async def live(world: World) -> None:
    chance = random.Random(f"story {world.seed}")
    world.cloud.capacity = dict.fromkeys(POOLS, chance.choice((2, 5, 1000)))
    names = [f"j{n}" for n in range(chance.choice((1, 2, 5, 12)))]
    specs = [world.add(name, script(chance), **job_options(chance)) for name in names]
    await world.host.start()
    first = chance.randint(0, len(specs))
    world.host.submit(specs[:first])
    async with anyio.create_task_group() as group:
        group.start_soon(act, world, chance, names[:first])
        await anyio.sleep(chance.uniform(0.0, 40.0))
        if not world.host.run.stop and not world.host.is_done:
            world.host.submit(specs[first:])
        world.host.close()
        await world.host.finished()
        group.cancel_scope.cancel()


def play(seed: int) -> World:
    chance = random.Random(f"options {seed}")
    try:
        return simulate(live, seed=seed, faults=Faults.drawn(seed), **run_options(chance))
    except BaseException as error:
        error.add_note(f"reproduce: ASPOT_SEEDS={seed} pytest tests/simulation/test_seeds.py")
        raise


@pytest.mark.parametrize("seeds", CHUNKS, ids=lambda seeds: f"{seeds.start}-{seeds.stop}")
def test_random_worlds(seeds: range):
    for seed in seeds:
        world = play(seed)
        assert world.host.error is None, f"seed {seed}: {world.host.error}"


@pytest.mark.parametrize("seed", [7, 19, 52, 78])
def test_the_same_seed_gives_the_same_run(seed: int):
    first, second = play(seed), play(seed)
    assert first.journal.events == second.journal.events
    assert first.loop.time() == second.loop.time()
