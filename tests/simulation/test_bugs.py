"""A bug anywhere, in any port call: the run ends in order as an `InternalError`, and no machine is left."""

from typing import Any

import pytest
from simulated.bombs import Bombed, Bug, Fuse
from simulated.scripts import Script
from simulated.world import World, simulate

from aspot.errors import InternalError

WORK = Script(work_s=30.0, checkpoint_s=5.0)


def play(at: int) -> tuple[World, Fuse]:
    fuse = Fuse(at)

    async def story(world: World) -> None:
        wiring: Any = world.host._wiring
        for port in ("cloud", "remote", "journal", "archive"):
            setattr(wiring, port, Bombed(getattr(wiring, port), fuse))
        world.oracle.is_left = True
        try:
            await world.run(world.add("a", WORK, checkpoint_every_s=10.0), world.add("b", WORK))
        except InternalError:
            assert world.host.is_done

    return simulate(story), fuse


@pytest.mark.parametrize("part", range(4))
def test_a_bug_in_the_nth_port_call(part: int):
    _, quiet = play(10**9)
    places = set()
    for at in range(1 + part, quiet.seen + 1, 4):
        world, fuse = play(at)
        places.add(fuse.went_off)
        alive = [machine.id for machine in world.cloud.machines.values() if machine.is_alive]
        assert not alive, f"call {at} ({fuse.went_off}): {alive}"
        told = world.host.error
        assert isinstance(told, InternalError), f"call {at} ({fuse.went_off}): {told}"
        assert isinstance(told.__cause__, Bug)
    assert len(places) > 5
