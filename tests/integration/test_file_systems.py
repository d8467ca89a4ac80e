"""EFS file systems in runs: made once, mounted before the first job, shared, and still there afterwards."""

import json
from pathlib import Path

import anyio
import pytest
from local_world import until, write

from aspot import Fleet, Job
from aspot.aws.clients import Aws
from aspot.errors import ConfigError
from aspot.storage import efs, targets

SHARE = """#!/bin/sh
# writes its name into the file system, then waits for the other's
set -e
mountpoint -q "$HOME/efs"
echo "$ASPOT_JOB" >"$HOME/efs/$ASPOT_JOB"
until [ -e "$HOME/efs/one" ] && [ -e "$HOME/efs/two" ]; do sleep 0.05; done
cat "$HOME/efs/one" "$HOME/efs/two"
"""


@pytest.fixture
async def storage(cloud):
    """A gateway to EFS; what a test makes there goes at its end."""
    aws = await Aws.open(None)
    yield aws
    cloud.clear_faults()
    for found in await efs.every(aws):
        await targets.remove(aws, found)
    await aws.aclose()


def rules(cloud, group):
    """Who may come in to a group: (from port, to port, groups, addresses)."""
    found = cloud.client("ec2").describe_security_groups(GroupIds=[group])["SecurityGroups"][0]["IpPermissions"]
    return [
        (
            one["FromPort"],
            one["ToPort"],
            [pair["GroupId"] for pair in one["UserIdGroupPairs"]],
            one["IpRanges"] + one["Ipv6Ranges"],
        )
        for one in found
    ]


async def test_a_run_makes_it_shares_it_and_leaves_it(cloud, storage):
    write("share.sh", SHARE)
    jobs = [Job("share.sh", name="one"), Job("share.sh", name="two")]
    results = await Fleet.run_many(jobs, "sharing", filesystem="data", show=False)
    assert [item.status for item in results] == ["succeeded"] * 2, results[0].stderr
    assert results[0].stdout == "one\ntwo\n"
    assert results.left == ()
    (named,) = json.loads(Path("aspot-results/sharing/results.json").read_text())["storage"]
    (made,) = cloud.file_systems()
    assert (made["Name"], made["Encrypted"], made["ThroughputMode"]) == ("data", True, "bursting")
    wanted = {"kind": "file_system", "id": made["FileSystemId"], "name": "data", "path": "~/efs"}
    assert named == {**wanted, "made": True, "deleted": False}
    told = results.summary.splitlines()[-1]
    assert told.startswith(
        f"File system data ({made['FileSystemId']}) stays, made by this run: 0 bytes metered, about $0.30"
    )

    client = cloud.client("efs")
    targets = client.describe_mount_targets(FileSystemId=made["FileSystemId"])["MountTargets"]
    zones = [item["AvailabilityZoneName"] for item in targets]
    assert len(set(zones)) == len(zones) > 1
    groups = {
        group
        for item in targets
        for group in client.describe_mount_target_security_groups(MountTargetId=item["MountTargetId"])["SecurityGroups"]
    }
    (group,) = groups
    assert rules(cloud, group) == [(2049, 2049, [group], [])]

    write("read.sh", 'cat "/mnt/data/one"\n')
    again = await Fleet.run_many("read.sh", "reading", filesystem="data:/mnt/data", show=False)
    assert (again[0].status, again[0].stdout) == ("succeeded", "one\n"), again[0].stderr
    assert "made by this run" not in again.summary
    assert len(cloud.file_systems()) == 1


async def test_the_set_up_script_finds_it_mounted_and_a_reboot_mounts_it_again(cloud, storage):
    from aspot import Profile

    profile = Profile("c7i.large", setup='mountpoint -q ~/efs && echo "set up" >~/efs/made')
    write("first.sh", "cat ~/efs/made; echo kept >~/efs/kept\n")
    write("second.sh", "mountpoint -q ~/efs && cat ~/efs/kept\n")
    async with Fleet("rebooting", profile=profile, instances=1, filesystem="data", idle="1m", show=False) as fleet:
        first = await fleet.submit("first.sh")
        assert first.stdout == "set up\n", first.stderr
        (machine,) = fleet.instances.values()
        cloud.client("ec2").reboot_instances(InstanceIds=[machine.id])
        until(
            lambda: "boot 2" in cloud.client("ec2").get_console_output(InstanceId=machine.id).get("Output", ""),
            what="no boot",
        )
        second = await fleet.submit("second.sh")
    assert (second.status, second.stdout) == ("succeeded", "kept\n"), second.stderr


async def test_one_that_is_not_let_in_is_told_with_the_fix(cloud, storage):
    """Somebody takes aspot's group off the mount targets: the machines' mounts get no answer."""
    write("job.sh", "echo never\n")
    found = await efs.create(storage, "data", owner="me")
    async with Fleet("shut", filesystem="data", instances=1, show=False) as fleet:
        client = cloud.client("efs")
        default = next(
            one["GroupId"]
            for one in cloud.client("ec2").describe_security_groups()["SecurityGroups"]
            if one["GroupName"] == "default"
        )
        for item in client.describe_mount_targets(FileSystemId=found.id)["MountTargets"]:
            client.modify_mount_target_security_groups(MountTargetId=item["MountTargetId"], SecurityGroups=[default])
        result = await fleet.submit("job.sh")
    assert result.status == "lost"
    assert f"file system data ({found.id}) could not be mounted at ~/efs" in result.reason
    assert "timed out" in result.reason
    assert "aspot fs mount" in result.reason


async def test_an_id_that_is_not_there_launches_nothing(cloud, storage):
    write("job.sh", "true\n")
    with pytest.raises(ConfigError, match="no file system fs-0123456789abcdef0") as told:
        await Fleet.run_many("job.sh", filesystem="fs-0123456789abcdef0", show=False)
    assert "Nothing was launched." in told.value.__notes__
    assert cloud.launches() == 0


async def test_creating_it_twice_at_once_gives_one(cloud, storage):
    made = []

    async def create():
        made.append(await efs.create(storage, "twice", owner="me"))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(create)
    assert len({one.id for one in made}) == 1
    assert len(cloud.file_systems()) == 1


async def test_what_a_failed_start_made_is_said(cloud, storage):
    write("job.sh", "true\n")
    cloud.fault("deny", action="CreateLaunchTemplate")
    with pytest.raises(Exception, match="CreateLaunchTemplate") as told:
        await Fleet.run_many("job.sh", filesystem="data", show=False)
    assert any("File system data (" in note and "was made" in note for note in told.value.__notes__)
