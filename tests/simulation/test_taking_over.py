"""Two clients on one run: the first sleeps from any moment on, the second takes over, the first wakes at any other."""

import anyio
import pytest
from simulated.scripts import Script
from simulated.world import Faults, World, simulate

from aspot.machine.client import Client
from aspot.runtime import fence
from tests.simulation.test_attach import begun, handed_in, see_through, turns_of_a_run


async def take_over(world: World, *, asleep_s: float, wakes_after_s: float) -> None:
    """Have the client fall asleep now and another one take over; see the run to its end, and the first one off.

    Args:
        world: Where a run has begun.
        asleep_s: How long the first sleeps before the second comes.
        wakes_after_s: How long the second has driven the run when the first wakes up.
    """
    first, sleeper = world.host, world.client
    sleeper.freeze()
    await anyio.sleep(asleep_s)
    if first.is_done or world.journal.left is not None:  # it fell asleep over its last words
        sleeper.wake()
        await first.finished()
        return
    await world.take_over()
    async with anyio.create_task_group() as group:
        group.start_soon(see_through, world)
        await anyio.sleep(wakes_after_s)
        sleeper.wake()
    await first.finished()
    assert first.taken is not None
    assert first.taken.client.epoch == 2
    assert first.is_detached
    assert first.left == ()
    assert first.error is None


def judge(world: World) -> None:
    assert {name: job.status.value for name, job in world.host.run.jobs.items()} == dict.fromkeys("abc", "succeeded")
    assert world.host.left == ()
    assert max(len(job.attempts) for job in world.host.run.jobs.values()) == 1


@pytest.mark.parametrize("part", range(4))
def test_the_first_sleeps_at_any_moment(part: int):
    async def story(world: World) -> None:
        await begun(world, world.seed)
        asleep_s = world.chance.choice((0.0, 2.0, 40.0))
        wakes_after_s = world.chance.choice((0.0, 20.0, 500.0)) * world.chance.random()
        await take_over(world, asleep_s=asleep_s, wakes_after_s=wakes_after_s)

    taken = 0
    for turn in range(1 + part, turns_of_a_run() * 2, 16):
        world = simulate(story, seed=turn, limit=2)
        taken += world.happened["take-over"]
        judge(world)
    assert taken > 10


def dozing_after(write: int, *, wakes_after_s: float) -> World:
    """Play a run whose first client falls asleep right after so many writes to the journal, before any effect."""

    async def story(world: World) -> None:
        world.client.dozes_after = write
        sleeper = world.client
        await begun(world, 1)
        await world.until(lambda: sleeper.is_asleep or world.host.is_done)
        if sleeper.is_asleep:
            await take_over(world, asleep_s=0.0, wakes_after_s=wakes_after_s)

    return simulate(story, seed=write, limit=2)


def sleep_after_each_write(wakes_after_s: float) -> int:
    """Play a run for each of its writes; return how many there were."""
    for write in range(1, 100):
        world = dozing_after(write, wakes_after_s=wakes_after_s)
        if not world.happened["take-over"]:
            return write
        judge(world)
    return 100


@pytest.mark.parametrize("wakes_after_s", [0.0, 15.0, 60.0])
def test_the_first_sleeps_right_after_it_wrote_down_what_it_wants(wakes_after_s: float):
    assert 15 < sleep_after_each_write(wakes_after_s) < 100


@pytest.mark.parametrize("seed", range(60))
def test_the_first_sleeps_under_faults(seed: int):
    async def story(world: World) -> None:
        await begun(world, world.chance.randrange(30, 1500))
        await take_over(
            world,
            asleep_s=world.chance.choice((0.0, 10.0, 700.0)),
            wakes_after_s=world.chance.choice((0.0, 5.0, 60.0, 2000.0)),
        )

    simulate(story, seed=seed, faults=Faults.drawn(seed), limit=2)


@pytest.mark.parametrize("seed", range(20))
def test_a_first_that_is_awake_leaves_when_it_is_asked(seed: int):
    async def story(world: World) -> None:
        await begun(world, world.chance.randrange(30, 600))
        first = world.host
        if first.is_done:
            return
        world.journal.asked.append(f"leave {Client(epoch=2, pid=7, host='desk').word}")
        world.is_away = True
        await first.finished()
        if world.journal.left is not None:  # it had ended by then
            world.is_away = False
            return
        assert first.is_detached
        (told,) = [news for news in world.news if news.name == "fleet_taken_over"]
        assert "process 7 on desk" in told.message
        await world.take_over()
        await see_through(world)

    world = simulate(story, seed=seed, limit=2)
    assert {job.status.value for job in world.host.run.jobs.values()} == {"succeeded"}


def test_a_first_whose_jobs_are_all_under_way_hears_of_it_from_the_machines():
    """It has nothing to write down: the machines tell it that they heed somebody else."""

    async def story(world: World) -> None:
        await world.host.start()
        world.host.submit([world.add(name, Script(work_s=200.0)) for name in "abc"])
        world.host.close()
        await world.until(lambda: sum(f.starts for m in world.cloud.machines.values() for f in m.folders.values()) == 3)
        await anyio.sleep(5.0)
        first = world.host
        world.client.is_elsewhere = True
        await world.take_over()
        with anyio.fail_after(60.0):
            await first.finished()
        assert first.taken is not None
        await world.finished()

    simulate(story)


def without_a_look(monkeypatch, fenced: type, deed: str) -> None:
    monkeypatch.setattr(fenced, deed, lambda self, *args: getattr(self.inner, deed)(*args))


def test_a_client_that_does_not_look_before_it_launches_is_caught(monkeypatch):
    without_a_look(monkeypatch, fence.FencedCloud, "launch")
    with pytest.raises(AssertionError, match="a client that was taken over did: launch"):
        sleep_after_each_write(0.0)


def copying(world: World) -> bool:
    """Whether a job has said something that is not here yet."""
    folders = [folder for machine in world.cloud.machines.values() for folder in machine.folders.values()]
    return any(folder.out and world.archive.sink(folder.job, folder.number).offsets() == (0, 0) for folder in folders)


async def sleep_over_the_output(world: World) -> None:
    await begun(world, 1)
    await world.until(lambda: copying(world))
    await take_over(world, asleep_s=0.0, wakes_after_s=15.0)


def test_the_first_sleeps_while_it_copies_output():
    judge(simulate(sleep_over_the_output, limit=2))


def test_a_client_that_does_not_look_before_it_writes_output_is_caught(monkeypatch):
    without_a_look(monkeypatch, fence.FencedSink, "write")
    with pytest.raises(AssertionError, match="V12"):
        simulate(sleep_over_the_output, limit=2)


def test_what_was_handed_in_to_the_first_is_known_to_the_second():
    async def story(world: World) -> None:
        await begun(world, 40)
        await take_over(world, asleep_s=0.0, wakes_after_s=0.0)
        assert set(world.host.run.jobs) == {spec.name for spec in handed_in(world)}

    simulate(story, limit=2)
