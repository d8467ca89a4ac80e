"""Whole runs on the local cloud over a network that spoils connections: every result once, no machine in vain."""

import hashlib
import random

import anyio
import pytest
from local_world import write
from waiting import until_async

from aspot import Fleet, Profile
from aspot.aws import network as rules
from aspot.runtime import doorkeeper
from aspot.ssh import connect
from tests.toxics.network import Network

pytestmark = pytest.mark.anyio


@pytest.fixture
async def network(monkeypatch):
    async with Network().serving() as made:
        monkeypatch.setattr(connect, "dial", made.dial)
        yield made


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
        await until_async(lambda: network.made > before)  # the silent connection was given up
        (home / "go").touch()
        await until_async(lambda: statuses(cloud, machine.id))
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


# --- the caller's address changes (FAULTS S3) ---


@pytest.fixture
def watchful(monkeypatch):
    """Let a lost network be noticed at once: what takes seconds in earnest."""
    monkeypatch.setattr(doorkeeper, "LOOK_S", 0.1)
    monkeypatch.setattr(doorkeeper, "DROPPED_S", 0.3)


def ssh_sources(cloud):
    """Who may use SSH, by the rules of the groups that are not the default one."""
    groups = cloud.client("ec2", tries=10).describe_security_groups()["SecurityGroups"]
    rules = [rule for group in groups if group["GroupName"] != "default" for rule in group["IpPermissions"]]
    return sorted(source["CidrIp"] for rule in rules for source in rule["IpRanges"])


async def begun(handle):
    async for line in handle.logs():
        if line == "begun":
            return


def let_go(cloud, fleet):
    """Let the waiting job go on."""
    for machine in fleet.instances.values():
        (next(cloud.machine(machine.id).rglob(".aspot")).parent / "go").touch()


WAITS = 'echo begun; while [ ! -e "$HOME/go" ]; do sleep 0.05; done; echo done\n'


async def test_a_client_that_changes_networks_is_let_in_again(cloud, network, watchful, monkeypatch):
    """The group lets in one address; the client goes on from another: the new one is let in, the old one no longer."""
    cloud.fault("walls")
    write("job.sh", WAITS)
    told = []
    async with Fleet("moved", show=False, instances=2, on_event=told.append) as fleet:
        handles = [fleet.submit("job.sh"), fleet.submit("job.sh")]
        async with anyio.create_task_group() as group:
            for handle in handles:
                group.start_soon(begun, handle)
        assert ssh_sources(cloud) == ["127.0.0.1/32"]
        monkeypatch.setattr(rules, "LOOPBACK", "127.0.0.9/32")
        network.move("127.0.0.9")
        await until_async(lambda: any("127.0.0.9" in item.message for item in told))
        let_go(cloud, fleet)
        results = [await handle for handle in handles]
        assert ssh_sources(cloud) == ["127.0.0.9/32"]
    assert [result.stdout for result in results] == ["begun\ndone\n"] * 2
    assert [len(result.attempts) for result in results] == [1, 1]
    (said,) = [item.message for item in told if "127.0.0.9" in item.message]
    assert "your address is 127.0.0.9/32 now" in said
    assert "127.0.0.1/32 no longer" in said
    assert cloud.launches() == 1
    assert cloud.calls()["RevokeSecurityGroupIngress"] == 1


async def test_a_group_of_the_users_own_is_not_touched(cloud, network, watchful, monkeypatch):
    cloud.fault("walls")
    ec2 = cloud.client("ec2", tries=10)
    mine = ec2.create_security_group(GroupName="mine", Description="mine")["GroupId"]
    who = {"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "IpRanges": [{"CidrIp": "127.0.0.1/32"}]}
    ec2.authorize_security_group_ingress(GroupId=mine, IpPermissions=[who])
    write("job.sh", WAITS)
    told = []
    profile = Profile(security_group=mine)
    async with Fleet("mine", show=False, profile=profile, on_event=told.append) as fleet:
        handle = fleet.submit("job.sh")
        await begun(handle)
        monkeypatch.setattr(rules, "LOOPBACK", "127.0.0.9/32")
        network.move("127.0.0.9")
        await until_async(lambda: any("authorize-security-group-ingress" in item.message for item in told))
        assert ssh_sources(cloud) == ["127.0.0.1/32"]
        (said,) = [item.message for item in told if "authorize-security-group-ingress" in item.message]
        assert f"--group-id {mine} --protocol tcp --port 22 --cidr 127.0.0.9/32" in said
        who["IpRanges"] = [{"CidrIp": "127.0.0.9/32"}]
        ec2.authorize_security_group_ingress(GroupId=mine, IpPermissions=[who])  # as the user is told to
        let_go(cloud, fleet)
        assert (await handle).ok
    ec2.delete_security_group(GroupId=mine)


async def test_attach_from_elsewhere_lets_in_the_new_address_only(cloud, network, monkeypatch):
    cloud.fault("walls")
    write("job.sh", WAITS)
    fleet = Fleet("travels", show=False)
    await fleet.start()
    await begun(fleet.submit("job.sh"))
    await fleet.detach()
    monkeypatch.setattr(rules, "LOOPBACK", "127.0.0.9/32")
    network.move("127.0.0.9")
    async with Fleet.attach("travels", show=False) as again:
        assert ssh_sources(cloud) == ["127.0.0.9/32"]
        let_go(cloud, again)
        (result,) = await again.wait()
    assert result.stdout == "begun\ndone\n"
    assert len(result.attempts) == 1


async def test_a_machine_behind_a_wall_of_the_users_own_is_said_with_the_rule_that_lacks(cloud, watchful, monkeypatch):
    """FAULTS S2: it runs and never answers; what is missing is a rule in the user's group."""
    monkeypatch.setattr(doorkeeper, "NEVER_S", 0.5)
    cloud.fault("walls")
    mine = cloud.client("ec2", tries=10).create_security_group(GroupName="shut", Description="shut")["GroupId"]
    write("ok.sh", "echo ok\n")
    told = []
    async with Fleet("shut", show=False, profile=Profile(security_group=mine), on_event=told.append) as fleet:
        handle = fleet.submit("ok.sh")
        await until_async(lambda: any("no machine can be reached" in item.message for item in told))
        (said,) = [item.message for item in told if "no machine can be reached" in item.message]
        assert f"--group-id {mine} --protocol tcp --port 22 --cidr 127.0.0.1/32" in said
        cloud.clear_faults()
        assert (await handle).ok
    assert cloud.launches() == 1
    cloud.client("ec2", tries=10).delete_security_group(GroupId=mine)
