"""The same runtime on a real loop: when it is over, no task, file, socket or thread of it is left."""

import asyncio
import os
import threading
from pathlib import Path

import pytest
from simulated.scripts import Script
from simulated.world import Faults, World

FDS = Path("/proc/self/fd")


@pytest.mark.skipif(not FDS.exists(), reason="needs /proc")
def test_nothing_is_left_on_a_real_loop():
    async def main() -> None:
        loop = asyncio.get_running_loop()
        before = (len(os.listdir(FDS)), threading.active_count())
        quick = Faults(boot_s=(0.01, 0.02), shutdown_s=1.0, lag_s=0.0)
        world = World(loop, 1, quick, {"limit": 2})  # type: ignore[arg-type]
        await world.run(world.add("a", Script(work_s=0.1)), world.add("b", Script(work_s=0.1, code=1)))
        assert {job.status.value for job in world.host.run.jobs.values()} == {"succeeded", "failed"}
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert (len(os.listdir(FDS)), threading.active_count()) == before

    asyncio.run(main())
