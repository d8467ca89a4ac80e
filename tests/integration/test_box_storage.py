"""File systems and volumes on boxes in Python: mounted with the box, once, and named when it has ended."""

import subprocess
import sys
import textwrap
from types import SimpleNamespace

import anyio
import pytest
from local_world import until

from aspot import ConfigError, Fleet, Instance, Job
from aspot.aws.clients import Aws
from aspot.boxes import storage
from aspot.journal import runs as journals
from aspot.storage import ebs, efs, targets


@pytest.fixture
async def aws(cloud):
    """A gateway; what a test makes goes at its end."""
    found = await Aws.open(None)
    yield found
    cloud.clear_faults()
    until(lambda: not cloud.alive())
    for one in await efs.every(found):
        await targets.remove(found, one)
    for volume in await ebs.every(found):
        until(lambda: {item["State"] for item in described(cloud)} <= {"available"})
        await ebs.delete(found, volume)
    await found.aclose()


def described(cloud):
    return cloud.client("ec2", tries=5).describe_volumes(Filters=[{"Name": "tag-key", "Values": ["aspot:volume"]}])[
        "Volumes"
    ]


async def test_a_box_with_both_and_a_fleet_that_shares_the_file_system(cloud, aws, capsys):
    """R16."""
    both = {"filesystem": "data", "volumes": ["disk:2GB:/mnt/disk"]}
    async with Instance("dev", profile="t2.micro", **both, show=True) as box:
        await box.run("echo shared >~/efs/file && echo own >/mnt/disk/file", check=True)
        results = await Fleet.run_many(Job(command="cat ~/efs/file"), "study", filesystem="data", show=False)
        assert results[0].stdout == "shared\n", results[0].reason
        cloud.forget_calls()
        async with Instance("dev", **both, show=False) as again:
            assert again.id == box.id
        assert cloud.calls() == {"DescribeInstances": 1}
        told = capsys.readouterr().err
        assert f"only machines in {box.zone} can have volume disk (" in told
        assert "dev: volume disk is at /mnt/disk, after every boot too" in told
        await box.terminate()
    told = capsys.readouterr().err.splitlines()
    assert told[0] == "dev has ended. Nothing left (checked)."
    assert [line.split(" (")[0] for line in told[1:]] == ["Volume disk", "File system data"]


async def test_one_without_a_name_takes_only_what_was_made_for_it(cloud, aws, capsys):
    async with Instance(
        profile="t2.micro", volumes="scratch:1GB", volume_policy="delete", filesystem="data", show=True
    ) as box:
        await box.run("mountpoint -q ~/scratch && mountpoint -q ~/efs", check=True)
    told = capsys.readouterr().err
    assert "File system data (" in told.splitlines()[-1]
    assert "Volume" not in told.splitlines()[-1]
    assert described(cloud) == []
    assert len(cloud.file_systems()) == 1


async def test_several_who_want_it_at_once_mount_it_once(cloud, aws):
    """It would be formatted twice, else."""
    async with Instance("dev", profile="t2.micro", show=False) as box:

        async def wish():
            async with Instance("dev", volumes="disk:1GB", filesystem="data", show=False) as same:
                await same.run("mountpoint -q ~/disk && echo line >>~/disk/file && echo line >>~/efs/file", check=True)

        async with anyio.create_task_group() as group:
            for _ in range(3):
                group.start_soon(wish)
        assert (await box.run("cat ~/disk/file ~/efs/file | wc -l")).stdout.strip() == "6"
        assert len(described(cloud)) == len(cloud.file_systems()) == 1
        await box.terminate()


async def test_a_fleets_machine_is_left_to_its_fleet(cloud, aws):
    async with Fleet("study", show=False) as fleet:
        handle = fleet.submit(Job(command="until [ -e ~/go ]; do sleep 0.1; done"))
        with anyio.fail_after(30):
            while handle.status != "running" or not fleet.instances:
                await anyio.sleep(0.05)
        machine = fleet.instances["study_1"]
        with pytest.raises(ConfigError, match="study_1 is a machine of fleet study") as told:
            await Instance(id=machine.id, filesystem="data", show=False).start()
        assert told.value.fix == "aspot fs mount data --on study_1"
        assert cloud.file_systems() == []
        await machine.run("touch ~/go", check=True)
        assert (await handle).ok


async def test_by_its_id(cloud, aws):
    async with Instance("dev", profile="t2.micro", show=False) as box:
        async with Instance(id=box.id, filesystem="data:~/shared", show=False) as same:
            assert (await same.run("mountpoint -q ~/shared")).ok
        await box.terminate()


KILLED = """
    import asyncio, os, signal
    from aspot import Instance
    def on_event(news):
        if news.name == "instance_launched":
            os.kill(os.getpid(), signal.SIGKILL)
    asyncio.run(Instance("dev", profile="t2.micro", filesystem="data", on_event=on_event, show=False).start())
"""


async def test_a_client_that_was_killed_while_it_made_one_is_taken_over_from(cloud, aws):
    code = subprocess.run([sys.executable, "-c", textwrap.dedent(KILLED)], check=False).returncode
    assert code == -9
    async with Instance("dev", volumes="disk:1GB", show=False) as box:
        assert (await box.run("mountpoint -q ~/efs && mountpoint -q ~/disk")).ok
        await box.terminate()
    assert len(cloud.file_systems()) == 1


async def test_what_stays_is_named_even_if_it_cannot_be_looked_at(cloud, aws):
    async with Instance("dev", profile="t2.micro", filesystem="data", show=False) as box:
        await box.terminate()
    cloud.fault("deny", action="DescribeFileSystems")
    (line,) = await storage.stays(journals.newest("dev"))
    assert line.startswith("File system data stays; it could not be looked at: ")
    assert "DescribeFileSystems" in line


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"filesystem": ""}, "filesystem must be the name"),
        ({"filesystem": "data:rel"}, "nothing can be mounted at 'rel'"),
        ({"volumes": 7}, "volumes must be a list"),
        ({"volumes": ["a", "a"]}, "is given twice"),
        ({"volume_policy": "drop", "volumes": "a"}, "must be keep or delete"),
        ({"volume_policy": "delete"}, "there is none"),
        ({"new_mount": True}, "a new mount target was asked for, and no file system"),
    ],
)
def test_wrong_words_are_refused_at_once(options, says):
    with pytest.raises(ConfigError, match=says):
        Instance("dev", **options)


def test_letters_are_those_that_are_free(monkeypatch):
    disk = SimpleNamespace(id="vol-1")

    class Gateway:
        async def pages(self, *_, **__):
            held = [("vol-0", "/dev/xvda"), ("vol-1", "/dev/sdg"), ("vol-2", "/dev/sdf")]
            return [
                {"VolumeId": volume, "Attachments": [{"Device": device, "InstanceId": "i-1"}]}
                for volume, device in held
            ]

    assert anyio.run(ebs.letters, Gateway(), "i-1", [None, disk, None]) == ("h", "g", "i")
    with pytest.raises(ConfigError, match="no device name for another"):
        anyio.run(ebs.letters, Gateway(), "i-1", [None] * 10)
