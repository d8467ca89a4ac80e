"""Whole runs on the local cloud over a network that spoils connections: every result once, no machine in vain."""

import hashlib
import random

import anyio
import pytest
from local_world import write

from aspot import Fleet
from aspot.ssh import connect
from tests.toxics.network import Network

pytestmark = pytest.mark.anyio


@pytest.fixture
async def network(monkeypatch):
    async with Network().serving() as made:
        monkeypatch.setattr(connect, "dial", made.dial)
        yield made


async def until(holds, within_s=20.0):
    with anyio.fail_after(within_s):
        while not holds():
            await anyio.sleep(0.02)


def statuses(cloud, machine):
    """The statuses that lie on a machine."""
    return list(cloud.machine(machine).rglob(".aspot/*/*/a*/status"))


async def test_a_partition_changes_nothing(cloud, network, quick):
    """The job ends while nothing comes through; its result comes home afterwards, nothing is launched in between."""
    write("job.sh", 'echo begun; while [ ! -e "$HOME/go" ]; do sleep 0.05; done; echo done\n')
    async with Fleet("cut-off", show=False) as fleet:
        handle = fleet.submit("job.sh")
        async for line in handle.logs():
            if line == "begun":
                break
        (machine,) = fleet.instances.values()
        home = next(cloud.machine(machine.id).rglob(".aspot")).parent
        before = network.made
        network.partition()
        await until(lambda: network.made > before)  # the silent connection was given up
        (home / "go").touch()
        await until(lambda: statuses(cloud, machine.id))
        network.heal()
        result = await handle
    assert result.ok
    assert result.stdout == "begun\ndone\n"
    assert len(result.attempts) == 1
    assert cloud.launches() == 1


async def test_hung_up_on_while_it_boots(cloud, network):
    write("ok.sh", "echo ok\n")
    network.hang_ups = 3
    results = await Fleet.run_many("ok.sh", "hung-up", show=False)
    assert results.ok
    assert cloud.launches() == 1
    assert network.made >= 4


async def test_connections_reset_again_and_again(cloud, network):
    """Four jobs with output and files, every connection reset at random moments: all is whole, and ran once."""
    write(
        "job.sh",
        'echo x >>"$HOME/runs"; for i in 1 2 3 4 5 6 7 8; do seq 1 4000; sleep 0.2; done; seq 1 60000 >out/n\n',
    )
    chance, resets = random.Random(5), 0

    async def storm() -> None:
        nonlocal resets
        while True:
            await anyio.sleep(chance.uniform(0.2, 0.6))
            resets += sum(bool(proxy.connections) for proxy in network.proxies.values())
            network.reset()

    async with anyio.create_task_group() as group:
        group.start_soon(storm)
        results = await Fleet.run_many(["job.sh"] * 4, "storm", show=False)
        group.cancel_scope.cancel()
    assert resets > 4
    numbers = "".join(f"{number}\n" for number in range(1, 4001)) * 8
    files = hashlib.sha256("".join(f"{number}\n" for number in range(1, 60001)).encode()).digest()
    for result in results:
        assert result.ok, result
        assert [attempt.outcome for attempt in result.attempts] == ["succeeded"]
        assert result.stdout == numbers
        assert hashlib.sha256((result.dir / "out/n").read_bytes()).digest() == files
