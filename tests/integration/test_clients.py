"""Other people's tools on what aspot launched: aws, boto3, ssh, scp and rsync, with strict host key checking."""

import json
import shutil
import subprocess
from pathlib import Path

import anyio
import pytest
from local_world import until, write

from aspot import Fleet
from aspot.ssh.keys import CLIENT_KEY


@pytest.fixture
async def machine(cloud):
    """A machine of a fleet, while its job runs; and the fleet's name."""
    write("wait.sh", "echo begun; until [ -e ~/stop ]; do sleep 0.1; done\n")
    async with Fleet("tools", show=False) as fleet:
        handle = fleet.submit("wait.sh")
        with anyio.fail_after(30):
            while handle.status != "running":
                await anyio.sleep(0.05)
        (found,) = fleet.instances.values()
        await _in_config(cloud, found.id)
        yield found
        await fleet.cancel()


async def _in_config(cloud, instance):
    """Wait until the cloud's ssh configuration has the machine with its own host key."""
    known = Path(cloud.env["ASPOT_LOCAL_SSH_CONFIG"]).with_name("known_hosts")
    key = (cloud.machine(instance) / "etc-ssh/ssh_host_ed25519_key.pub").read_text().split()[1]
    await anyio.to_thread.run_sync(lambda: until(lambda: key in known.read_text()))


async def run(*words, **options):
    """Run a program that must succeed; return what it prints."""
    done = await anyio.to_thread.run_sync(
        lambda: subprocess.run(words, capture_output=True, text=True, timeout=60, check=False, **options)
    )
    assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
    return done.stdout


def test_boto3_and_the_aws_cli_list_what_aspot_launched_and_nothing_is_left(cloud):
    """In one test with a run of its own, since it looks at the cloud after the end, too."""

    async def story():
        write("wait.sh", "echo begun; until [ -e ~/stop ]; do sleep 0.1; done\n")
        async with Fleet("seen-by-others", show=False) as fleet:
            handle = fleet.submit("wait.sh")
            with anyio.fail_after(30):
                while handle.status != "running":
                    await anyio.sleep(0.05)
            (machine,) = fleet.instances.values()
            _check_boto3(cloud, machine)
            if shutil.which("aws"):
                await _check_aws(machine)
            await fleet.cancel()
        return machine.id

    ended = anyio.run(story)
    state = cloud.client("ec2").describe_instances(InstanceIds=[ended])["Reservations"][0]["Instances"][0]["State"]
    assert state["Name"] in ("shutting-down", "terminated")


def _check_boto3(cloud, machine):
    ec2 = cloud.client("ec2")
    wanted = [{"Name": "tag:aspot:name", "Values": ["seen-by-others"]}]
    found = [item for one in ec2.describe_instances(Filters=wanted)["Reservations"] for item in one["Instances"]]
    assert [item["InstanceId"] for item in found] == [machine.id], found
    item = found[0]
    assert item["State"]["Name"] == "running"
    assert item["InstanceLifecycle"] == "spot"
    assert item["MetadataOptions"]["HttpTokens"] == "required"
    assert {tag["Key"] for tag in item["Tags"]} >= {"Name", "aspot:run", "aspot:name", "aspot:owner", "aspot:expires"}
    (group,) = item["SecurityGroups"]
    (rule,) = ec2.describe_security_groups(GroupIds=[group["GroupId"]])["SecurityGroups"][0]["IpPermissions"]
    assert (rule["FromPort"], rule["ToPort"]) == (22, 22)
    assert [one["CidrIp"] for one in rule["IpRanges"]] == ["127.0.0.1/32"]
    (request,) = ec2.describe_spot_instance_requests(
        Filters=[{"Name": "instance-id", "Values": [machine.id]}]
    )["SpotInstanceRequests"]  # fmt: skip
    assert (request["State"], request["Type"]) == ("active", "one-time")


async def _check_aws(machine):
    query = "Reservations[].Instances[].[InstanceId,State.Name,InstanceType]"
    words = (
        "aws",
        "ec2",
        "describe-instances",
        "--filters",
        "Name=tag:aspot:name,Values=seen-by-others",
        "--query",
        query,
    )
    assert json.loads(await run(*words, "--output", "json")) == [[machine.id, "running", machine.type]]


async def test_ssh_scp_and_rsync_with_strict_host_keys(cloud, machine, tmp_path):
    key = await _own_key(cloud, machine, tmp_path)
    strict = (
        "-F",
        cloud.env["ASPOT_LOCAL_SSH_CONFIG"],
        "-i",
        key,
        "-o",
        "StrictHostKeyChecking=yes",
        "-o",
        "BatchMode=yes",
    )
    assert await run("ssh", *strict, machine.id, "cat ~/.aspot/*/wait/a1/stdout") == "begun\n"
    write("up/a.txt", "a")
    write("up/deep/b.txt", "b")
    await run("scp", "-q", "-r", *strict, "up", f"{machine.id}:scp")
    await run("scp", "-q", *strict, f"{machine.id}:scp/deep/b.txt", "b.txt")
    assert Path("b.txt").read_text() == "b"
    if shutil.which("rsync"):
        shell = " ".join(("ssh", *strict))
        await run("rsync", "-a", "-e", shell, "up/", f"{machine.id}:rsync/")
        await run("rsync", "-a", "-e", shell, f"{machine.id}:rsync/", "down/")
        assert Path("down/deep/b.txt").read_text() == "b"


async def test_a_wrong_host_key_is_refused(cloud, machine, tmp_path):
    key = await _own_key(cloud, machine, tmp_path)
    await run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(tmp_path / "other"))
    write(tmp_path / "known", f"{machine.id} {Path(tmp_path / 'other.pub').read_text()}")
    config = cloud.env["ASPOT_LOCAL_SSH_CONFIG"]
    words = ["ssh", "-F", config, "-i", key, "-o", f"UserKnownHostsFile={tmp_path}/known", "-o", "BatchMode=yes"]
    done = await anyio.to_thread.run_sync(
        lambda: subprocess.run([*words, machine.id, "true"], capture_output=True, text=True, timeout=30, check=False)
    )
    assert done.returncode == 255
    assert "Host key verification failed" in done.stderr


async def _own_key(cloud, machine, tmp_path):
    """Return the file of the run's private key, as the user who started the run has it."""
    (keys,) = (tmp_path / "state" / "runs").glob("tools-*/keys")
    files = [path for path in keys.rglob("*") if path.is_file()]
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)
    key = keys / CLIENT_KEY
    public = (await run("ssh-keygen", "-y", "-f", str(key))).split()[1]
    assert public in (cloud.machine(machine.id) / "home/ec2-user/.ssh/authorized_keys").read_text()
    return str(key)
