"""Cancel the caller at every stage of a run: machines end, nothing of ours stays; a second cancel leaves at once."""

import asyncio
import contextlib

import anyio
import pytest
from simulated.scripts import Script
from simulated.world import World, simulate

WORK = Script(work_s=30.0, checkpoint_s=5.0)


def turns_of_a_run() -> int:
    """Return how many turns of the loop an undisturbed run takes."""

    async def story(world: World) -> None:
        await world.run(world.add("a", WORK), world.add("b", WORK))

    return simulate(story).loop.turns


async def cancelled_at(world: World, turn: int, *, twice_after_s: float | None = None) -> bool:
    """Cancel a caller in the loop's n-th turn, natively; tell whether it was still at it."""
    caller = asyncio.get_running_loop().create_task(world.run(world.add("a", WORK), world.add("b", WORK)))
    while world.loop.turns < turn and not caller.done():
        await anyio.sleep(0)
    was_running = caller.cancel()
    if was_running and twice_after_s is not None:
        world.oracle.is_left = True
        await anyio.sleep(twice_after_s)
        again = world.loop.time()
        caller.cancel()
    try:
        await caller
    except asyncio.CancelledError:
        if twice_after_s is not None:
            assert world.loop.time() - again < 10.0
        return was_running
    assert not was_running
    return False


@pytest.mark.parametrize("part", range(6))
def test_a_cancelled_caller_leaves_nothing_behind(part: int):
    last = turns_of_a_run()

    async def story(world: World) -> None:
        was_running = await cancelled_at(world, world.seed)
        assert world.host.is_done or not was_running or not world.cloud.calls["prepare"]

    for turn in range(1 + 3 * part, last * 5, 18):
        world = simulate(story, seed=turn)
        assert world.host.left == ()
        assert world.host.error is None


# --- the sweep: one and the same run, cancelled in each of its turns (FAULTS C3) ---


WARNED_S = 40.0


async def busy_run(world: World) -> None:
    """Two jobs; the machine of one is taken with a notice, so that it goes on elsewhere from its checkpoint."""

    world.loop.call_later(WARNED_S, lambda: world.running("a").warn(20.0))
    await world.run(world.add("a", Script(work_s=60.0, checkpoint_s=5.0)), world.add("b", WORK))


async def swept(world: World, turn: int, *, is_twice: bool) -> None:
    """Cancel the busy run's caller in a turn; at once again, if it is to leave at once."""
    caller = asyncio.get_running_loop().create_task(busy_run(world))
    while world.loop.turns < turn and not caller.done():
        await anyio.sleep(0)
    if caller.cancel() and is_twice:
        world.oracle.is_left = True
        await anyio.sleep(0.3)
        caller.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await caller


PARTS = 8


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("is_twice", [False, True], ids=["once", "twice"])
def test_cancelled_in_every_turn_of_one_run(part: int, is_twice: bool):
    undisturbed = simulate(busy_run)
    last = undisturbed.loop.turns
    assert len(undisturbed.host.run.jobs["a"].attempts) == 2

    async def story(world: World) -> None:
        await swept(world, turn, is_twice=is_twice)
        assert world.host.is_done or not world.cloud.calls["prepare"]
        if is_twice:
            alive = {machine.id for machine in world.cloud.machines.values() if machine.is_alive}
            told = " ".join(world.host.left)
            assert all(name in told for name in alive), (turn, told)
            await anyio.sleep(2 * 3600.0)  # the leases end what was left

    for turn in range(1 + part, last + 1, PARTS):
        world = simulate(story)
        assert world.host.error is None, turn
        assert is_twice or world.host.left == (), turn
        assert not any(machine.is_alive for machine in world.cloud.machines.values()), turn


@pytest.mark.parametrize("twice_after_s", [0.05, 8.0])
@pytest.mark.parametrize("turn", [5, 20, 60, 200, 500, 900])
def test_a_second_cancel_leaves_at_once_and_says_what_is_left(turn: int, twice_after_s: float):
    async def story(world: World) -> None:
        await cancelled_at(world, turn, twice_after_s=twice_after_s)
        assert world.host.is_done
        alive = {machine.id for machine in world.cloud.machines.values() if machine.is_alive}
        told = " ".join(world.host.left)
        assert all(name in told for name in alive)
        await anyio.sleep(2 * 3600.0)  # the leases, and max_life where none was armed, end what was left

    simulate(story, seed=turn)


async def started(world: World) -> None:
    await world.host.start()
    world.host.submit([world.add("a", WORK)])
    await world.until(lambda: any(machine.folders for machine in world.cloud.machines.values()))


def test_a_timeout_around_the_wait_stops_the_run():
    async def story(world: World) -> None:
        await started(world)
        with anyio.move_on_after(5.0) as scope:
            await world.host.finished()
        assert scope.cancelled_caught
        assert world.host.is_done

    assert simulate(story).host.run.jobs["a"].status.value == "cancelled"


def test_cancelling_the_wait_for_one_job_leaves_it_alone():
    async def story(world: World) -> None:
        await started(world)
        with anyio.move_on_after(1.0):
            await world.host.wait_job("a")
        world.host.close()
        assert (await world.host.wait_job("a")).ok
        await world.host.finished()

    simulate(story)


def test_a_loop_that_ends_under_us_ends_the_machines_too():
    async def story(world: World) -> None:
        await started(world)
        world.oracle.is_left = True
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.wait(others)
        assert not any(machine.is_alive for machine in world.cloud.machines.values())
        await anyio.sleep(60.0)

    simulate(story)


def test_a_cancelled_start_cleans_up_after_itself():
    async def story(world: World) -> None:
        world.cloud.prepare_s = 60.0
        with anyio.move_on_after(1.0):
            await world.host.start()
        assert world.host.is_done
        assert not world.cloud.has_group

    simulate(story)
