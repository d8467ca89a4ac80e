"""Kill the client at every stage of a run and come back: nothing is lost, nothing runs twice, nothing stays."""

import anyio
import pytest
from simulated.scripts import Script
from simulated.world import Faults, World, simulate

WORK = Script(work_s=30.0, checkpoint_s=5.0)


def handed_in(world: World):
    return [world.add("a", WORK), world.add("b", Script(work_s=25.0)), world.add("c", Script(work_s=3.0))]


async def see_through(world: World) -> None:
    """Go on after the client came back: hand in what its journal does not know, and see it to its end."""
    missing = [spec for spec in handed_in(world) if spec.name not in world.host.run.jobs]
    if missing:
        world.host.submit(missing)
    world.host.close()
    await world.finished()


async def begun(world: World, turn: int) -> None:
    """Run until the loop's n-th turn."""
    await world.host.start()
    world.host.submit(handed_in(world))
    world.host.close()
    while world.loop.turns < turn and not world.host.is_done:
        await anyio.sleep(0)


def is_working(world: World) -> bool:
    return any(folder.is_running for machine in world.cloud.machines.values() for folder in machine.folders.values())


def turns_of_a_run() -> int:
    async def story(world: World) -> None:
        await world.run(*handed_in(world))

    return simulate(story).loop.turns


@pytest.mark.parametrize("part", range(4))
def test_a_client_killed_at_any_time_may_come_back(part: int):
    async def story(world: World) -> None:
        await begun(world, world.seed)
        if world.host.is_done:
            return
        await world.kill()
        await anyio.sleep(world.chance.choice((0.0, 20.0, 200.0)))
        await world.come_back()
        await see_through(world)

    killed = 0
    for turn in range(1 + part, turns_of_a_run() * 2, 8):
        world = simulate(story, seed=turn, limit=2)
        killed += world.came_back
        assert {name: job.status.value for name, job in world.host.run.jobs.items()} == dict.fromkeys(
            "abc", "succeeded"
        )
        assert world.host.left == ()
        assert max(len(job.attempts) for job in world.host.run.jobs.values()) == 1
    assert killed > 20


@pytest.mark.parametrize("seed", range(40))
def test_a_client_killed_again_and_again_under_faults(seed: int):
    async def story(world: World) -> None:
        await begun(world, 30)
        while not world.host.is_done:
            with anyio.move_on_after(world.chance.uniform(0.5, 25.0)):
                await world.host._supervisor.done.wait()
            if world.host.is_done or world.came_back >= 12:
                break
            await world.kill()
            await anyio.sleep(world.chance.choice((0.0, 3.0, 60.0)))
            await world.come_back()
            missing = [spec for spec in handed_in(world) if spec.name not in world.host.run.jobs]
            if missing:
                world.host.submit(missing)
            world.host.close()
        await world.finished()

    simulate(story, seed=seed, faults=Faults.drawn(seed), limit=2)


def test_who_never_comes_back_leaves_nothing_running():
    async def story(world: World) -> None:
        world.oracle.is_left = True
        await begun(world, 1)
        await world.until(lambda: is_working(world))
        await world.kill()
        assert any(machine.is_alive for machine in world.cloud.machines.values())
        await anyio.sleep(4 * 3600.0)
        assert not any(machine.is_alive for machine in world.cloud.machines.values())

    simulate(story)


def test_a_result_that_waited_is_fetched():
    async def story(world: World) -> None:
        await begun(world, 1)
        await world.until(lambda: is_working(world))
        await anyio.sleep(2.0)
        await world.kill()
        await anyio.sleep(1200.0)
        await world.come_back()
        await see_through(world)

    world = simulate(story)
    assert [len(job.attempts) for job in world.host.run.jobs.values()] == [1, 1, 1]


def test_a_cloud_that_cannot_be_asked_changes_nothing():
    from aspot.errors import AspotError

    async def story(world: World) -> None:
        await begun(world, 1)
        await world.until(lambda: is_working(world))
        await world.kill()
        before = len(world.journal.events)
        world.cloud.prepare_error = AspotError("no network")
        with pytest.raises(AspotError, match="no network"):
            await world.come_back()
        assert len(world.journal.events) == before
        world.cloud.prepare_error = None
        await world.come_back()
        await see_through(world)

    simulate(story)


def test_detaching_leaves_the_work_going_and_says_so():
    async def story(world: World) -> None:
        await begun(world, 1)
        await world.until(lambda: sum(f.starts for m in world.cloud.machines.values() for f in m.folders.values()) == 3)
        world.is_away = True
        world.host.detach()
        await world.host.finished()
        assert world.host.is_detached
        assert world.host.left == ()
        await anyio.sleep(100.0)
        await world.come_back()
        await see_through(world)

    world = simulate(story)
    (said,) = [news for news in world.news if news.name == "fleet_detached"]
    assert said.machines == 3
    assert "aspot attach sim" in said.message
