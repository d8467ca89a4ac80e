"""A machine's own end, on the local cloud: nothing on it can call that off."""

import anyio
import pytest
from local_world import write

from aspot import Fleet

pytestmark = pytest.mark.anyio


async def test_a_cancelled_shutdown_does_not_keep_a_machine(cloud):
    """FAULTS I17: logind knows one scheduled shutdown, which anybody may cancel; the lease is none."""
    write("job.sh", "shutdown +60; sudo shutdown -c; shutdown -c; echo cancelled; sleep 60\n")
    async with Fleet("called-off", show=False, max_life="5s") as fleet:
        handle = fleet.submit("job.sh")
        async for line in handle.logs():
            if line == "cancelled":
                break
        (machine,) = [item.id for item in fleet.instances.values()]
        with anyio.fail_after(60):
            while (reason := {item["id"]: item["reason"] for item in cloud.instances()}[machine]) is None:
                await anyio.sleep(0.05)
        assert reason == "Client.InstanceInitiatedShutdown"
        await fleet.stop()
