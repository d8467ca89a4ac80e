"""EBS volumes in runs: made once, in one zone, attached to the one machine, kept or deleted."""

import json
from pathlib import Path

import pytest
from local_world import until, write

from aspot import Fleet, Job
from aspot.errors import ConfigError


@pytest.fixture
def volumes(cloud):
    """What volumes there are by name; those that a test leaves are deleted."""
    ec2 = cloud.client("ec2")

    def named():
        return [
            item for item in ec2.describe_volumes()["Volumes"] if any(t["Key"] == "aspot:volume" for t in item["Tags"])
        ]

    yield named
    cloud.clear_faults()
    for item in named():
        until(lambda: all(one["State"] != "in-use" for one in named()))
        ec2.delete_volume(VolumeId=item["VolumeId"])


class Ear(list):
    """What a fleet says."""

    def warnings(self):
        return [news.message for news in self if news.name == "warned"]


async def test_made_once_formatted_once_and_kept(cloud, volumes):
    write("write.sh", "mountpoint -q /mnt/data && date +%s%N >/mnt/data/file && cat /mnt/data/file\n")
    write("read.sh", 'cat "$HOME/data/file"\n')
    ear = Ear()
    first = await Fleet.run_many("write.sh", "w", volumes=["data:5GB:/mnt/data"], on_event=ear.append, show=False)
    assert first[0].status == "succeeded", first[0].stderr or first[0].reason
    assert first.left == ()
    (made,) = volumes()
    assert (made["Size"], made["VolumeType"], made["Encrypted"], made["State"]) == (5, "gp3", True, "available")
    label, zone = f"data ({made['VolumeId']})", made["AvailabilityZone"]
    assert first.summary.splitlines()[-1].startswith(f"Volume {label} stays in {zone}, made by this run: 5 GB")
    assert [text for text in ear.warnings() if f"only machines in {zone} can have volume {label}" in text]
    assert first[0].attempts[0].zone == zone
    wanted = {
        "kind": "volume",
        "id": made["VolumeId"],
        "name": "data",
        "path": "/mnt/data",
        "made": True,
        "deleted": False,
    }
    assert json.loads(Path("aspot-results/w/results.json").read_text())["storage"] == [wanted]

    second = await Fleet.run_many("read.sh", "r", volumes="data:9GB", on_event=ear.append, show=False)
    assert second[0].stdout == first[0].stdout, second[0].stderr or second[0].reason
    assert second[0].attempts[0].zone == zone
    assert [text for text in ear.warnings() if f"volume {label} has 5 GB, not 9" in text]
    assert len(volumes()) == 1
    (named,) = json.loads(Path("aspot-results/r/results.json").read_text())["storage"]
    assert (named["id"], named["path"], named["made"]) == (made["VolumeId"], "~/data", False)


async def test_the_successor_of_an_interrupted_machine_gets_it(cloud, volumes):
    write(
        "steps.sh",
        'echo "$ASPOT_ATTEMPT" >>~/data/log; echo begun; [ "$ASPOT_ATTEMPT" != 1 ] || sleep 60; cat ~/data/log\n',
    )
    async with Fleet("moves", volumes=["data:1GB"], show=False) as fleet:
        handle = fleet.submit(Job("steps.sh"))
        async for news in fleet.events():
            if getattr(news, "line", None) == "begun":
                cloud.interrupt(next(item.id for item in fleet.instances.values() if item.job), notice_s=3.0)
                break
        result = await handle
    assert (result.status, result.stdout.splitlines()[-2:]) == ("succeeded", ["1", "2"]), result.reason
    assert len({attempt.zone for attempt in result.attempts}) == 1
    assert len(volumes()) == 1


async def test_deleted_by_policy_with_the_run(cloud, volumes):
    write("job.sh", "mountpoint -q ~/scratch\n")
    options = {"volumes": ["scratch:1GB"], "volume_policy": "delete", "show": False}
    results = await Fleet.run_many("job.sh", "once", **options)
    assert (results[0].status, results.left) == ("succeeded", ()), results.left
    assert volumes() == []


async def test_what_cannot_be_had_launches_nothing(cloud, volumes):
    ec2 = cloud.client("ec2")

    def make(name, zone):
        tags = [{"Key": "aspot:volume", "Value": name}]
        return ec2.create_volume(
            Size=1, AvailabilityZone=zone, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}]
        )["VolumeId"]

    write("job.sh", "true\n")
    one, two = make("one", "us-east-1a"), make("two", "us-east-1b")
    profile = {"profile": "c7i.large", "show": False}
    for wanted, more, says, fix in (
        (["one", "two"], {}, f"no machine can have all of these volumes: one ({one}) is in us-east-1a", "--filesystem"),
        (["none"], {}, "there is no volume none", "NAME:SIZE:/PATH"),
        (["vol-0123456789abcdef0:1GB"], {}, "there is no volume vol-0123456789abcdef0", "aspot volume ls"),
        (["one"], {"volume_policy": "delete"}, "was there before this run", "aspot volume rm one --yes"),
    ):
        with pytest.raises(ConfigError) as told:
            await Fleet.run_many("job.sh", volumes=wanted, **profile, **more)
        assert says in told.value.message
        assert fix in told.value.fix
    from aspot import Profile

    with pytest.raises(ConfigError, match=f"volume two .{two}. is in us-east-1b, where this run can have no machine"):
        await Fleet.run_many("job.sh", volumes="two", profile=Profile("c7i.large", zones="us-east-1a"), show=False)
    assert cloud.launches() == 0
    assert len(volumes()) == 2


async def test_one_that_is_attached_elsewhere_is_refused_with_its_holder(cloud, volumes):
    write("job.sh", "true\n")
    write("hold.sh", "echo begun; sleep 30\n")
    async with Fleet("holder", volumes=["data:1GB"], show=False) as fleet:
        handle = fleet.submit("hold.sh")
        async for news in fleet.events():
            if getattr(news, "line", None) == "begun":
                break
        (machine,) = fleet.instances.values()
        with pytest.raises(ConfigError, match=f"is attached to {machine.id}: one machine can have it at a time"):
            await Fleet.run_many("job.sh", volumes="data", show=False)
        await handle.cancel()
