"""Runs over two simulated regions: one that refuses, in whichever way, costs a moment and no job."""

import anyio
import pytest
from simulated.cloud import REGIONS, WIDE_POOLS
from simulated.scripts import Script
from simulated.world import World, simulate

from aspot.machine.news import LaunchRefused
from aspot.machine.pool import RefusalKind

NEAR, FAR = REGIONS
WORK = Script(work_s=60.0, checkpoint_s=5.0)
"""The near region has the cheapest pool."""


def zones(world: World, job: str) -> list[str]:
    return [attempt.pool.region for attempt in world.host.run.jobs[job].attempts]


def statuses(world: World) -> set[str]:
    return {record.status.value for record in world.host.run.jobs.values()}


@pytest.mark.parametrize("kind", [RefusalKind.FATAL, RefusalKind.QUOTA, RefusalKind.UNREACHABLE])
def test_a_region_that_refuses_is_done_without(kind: RefusalKind):
    async def story(world: World) -> None:
        world.cloud.shut[NEAR] = kind
        await world.run(world.add("a", WORK), world.add("b", WORK))

    world = simulate(story, regions=REGIONS)
    assert statuses(world) == {"succeeded"}
    assert zones(world, "a") == zones(world, "b") == [FAR]
    assert world.loop.time() < 200
    told = [news.message for news in world.news if isinstance(news, LaunchRefused)]
    assert len(told) == 1
    assert NEAR in told[0]


def test_when_both_refuse_for_good_the_jobs_are_lost_at_once():
    async def story(world: World) -> None:
        world.cloud.shut |= dict.fromkeys(REGIONS, RefusalKind.FATAL)
        await world.run(world.add("a", WORK))

    world = simulate(story, regions=REGIONS)
    assert statuses(world) == {"lost"}
    assert world.loop.time() < 30


def test_a_region_that_is_silent_for_a_while_is_asked_again():
    async def story(world: World) -> None:
        world.cloud.shut |= dict.fromkeys(REGIONS, RefusalKind.UNREACHABLE)
        world.loop.call_later(300.0, world.cloud.shut.clear)
        await world.run(world.add("a", WORK))

    world = simulate(story, regions=REGIONS)
    assert statuses(world) == {"succeeded"}


def test_an_interrupted_job_goes_on_in_the_other_region_from_its_checkpoint():
    async def story(world: World) -> None:
        for pool in WIDE_POOLS:
            world.cloud.capacity[pool] = 1 if pool == WIDE_POOLS[0] else 0 if pool.region == NEAR else 5
        await world.host.start()
        world.host.submit([world.add("a", WORK, checkpoint_every_s=10.0)])
        world.host.close()
        await world.until(lambda: any(machine.folders for machine in world.cloud.machines.values()))
        await anyio.sleep(20.0)
        world.running("a").warn(120.0)
        await world.finished()

    world = simulate(story, regions=REGIONS)
    assert statuses(world) == {"succeeded"}
    assert zones(world, "a") == [NEAR, FAR]
    assert world.host.run.jobs["a"].attempts[1].resumed_from > 0


def test_events_are_listened_for_where_there_are_machines():
    async def story(world: World) -> None:
        world.cloud.capacity = {pool: 5 if pool.region == FAR else 0 for pool in WIDE_POOLS}
        await world.run(world.add("a", Script(work_s=1000.0)))

    world = simulate(story, regions=REGIONS)
    assert statuses(world) == {"succeeded"}
    assert world.cloud.heard == [FAR]
