"""Whole fleets on a simulated cloud: what must come out when this or that happens."""

from simulated.scripts import Script
from simulated.world import World, simulate


def statuses(world: World) -> dict[str, str]:
    return {name: record.status.value for name, record in world.host.run.jobs.items()}


def test_eight_jobs_succeed_on_eight_machines():
    async def story(world: World) -> None:
        await world.run(*(world.add(f"j{n}") for n in range(8)))

    world = simulate(story)
    assert set(statuses(world).values()) == {"succeeded"}
    assert len(world.cloud.machines) == 8
    assert world.host.left == ()
    assert world.host.error is None
    assert world.cloud.calls["launch"] == 1
