"""`Fleet.launch`: boxes beside a fleet, as the ancestor's manager launched instances."""

import contextlib
from functools import partial

import anyio
import pytest
from local_world import until

from aspot import AspotError, ConfigError, Fleet, Instance, Job, Profile
from aspot.aws.together import together


def alive(cloud):
    return {item["tags"]["aspot:name"]: item["id"] for item in cloud.alive()}


async def test_a_manager_of_boxes_as_the_ancestors_was(cloud):
    """R17: launch_instance(name, profile), then instances[name]; no job, no start; the same name is the same box."""
    manager = Fleet(profile="t3.small", show=False)
    assert dict(manager.instances) == {}
    monitor = await manager.launch("monitor", "t2.micro")
    assert (monitor.name, monitor.type, monitor.state) == ("monitor", "t2.micro", "ssh-ready")
    assert manager.instances["monitor"] is monitor
    assert (await manager.instances["monitor"].run("echo here", check=True)).stdout == "here\n"
    assert await manager.launch("monitor", profile="c7i.large") is monitor
    quick = await manager.launch()
    assert quick.name.startswith("box-")
    assert quick.type == "t3.small"  # the fleet's profile
    assert {name: box.state for name, box in manager.instances.items()} == {
        "monitor": "ssh-ready",
        quick.name: "ssh-ready",
    }
    await manager.aclose()
    assert alive(cloud) == {"monitor": monitor.id, quick.name: quick.id}  # they stay until they are told to go
    async with Instance("monitor", show=False) as again:
        assert again.id == monitor.id
        await again.terminate()
    assert (await quick.refresh()).state == "ssh-ready"
    await quick.terminate()
    assert quick.state == "terminated"


async def test_boxes_beside_jobs_outlive_the_run(cloud):
    async with Fleet("study", profile="t2.micro", show=False) as fleet:
        first, second, same = await together(
            partial(fleet.launch, "a", idle="30m"),
            partial(fleet.launch, "b", Profile("t3.small")),
            partial(fleet.launch, "a"),
        )
        assert same is first
        handle = fleet.submit(Job(command="echo done"))
        assert (await handle).stdout == "done\n"
        assert fleet.instances.keys() == {"a", "b", "study_1"}
        assert fleet.instances["a"] is first
        for name, message in (("study", "study is a fleet"), ("study_2", "what a machine of fleet study is called")):
            with pytest.raises(ConfigError, match=message):
                await fleet.launch(name)
        own = fleet.cost
    assert own > 0
    assert [result.ok for result in fleet.results] == [True]
    assert alive(cloud) == {"a": first.id, "b": second.id}
    assert fleet.instances.keys() == {"a", "b", "study_1"}
    for box in (first, second):
        await box.terminate()


async def test_one_that_is_gone_is_made_anew(cloud):
    manager = Fleet(profile="t2.micro", show=False)
    box = await manager.launch("a")
    cloud.client("ec2", tries=5).terminate_instances(InstanceIds=[box.id])
    until(lambda: not cloud.alive())
    again = await manager.launch("a")
    assert again is not box
    assert alive(cloud) == {"a": again.id}
    await again.terminate()
    third = await manager.launch("a", "t3.small")
    assert third.type == "t3.small"
    assert alive(cloud) == {"a": third.id}
    await third.terminate()
    await manager.aclose()


async def test_what_is_not_to_stay_ends_with_the_fleet_whatever_ends_it(cloud):
    fleet = Fleet("study", profile="t2.micro", show=False)
    with contextlib.suppress(ZeroDivisionError):
        async with fleet:
            kept, passing = await fleet.launch("a"), await fleet.launch("b", keep=False)
            raise ZeroDivisionError
    assert passing.state == "terminated"
    assert alive(cloud) == {"a": kept.id}
    with anyio.CancelScope() as scope:
        async with Fleet("lab", profile="t2.micro", show=False) as fleet:
            await fleet.launch("a")
            await fleet.launch("b", keep=False)
            scope.cancel()
            await anyio.sleep(1)
    assert alive(cloud) == {"a": kept.id}
    await kept.terminate()


async def test_one_that_cannot_be_leaves_nothing(cloud):
    manager = Fleet(show=False)
    for words, message in (
        ({"name": "a b"}, "cannot be used"),
        ({"name": "a", "profile": "huge"}, "no profile 'huge'"),
        ({"name": "a", "idle": "soon"}, "not a duration"),
        ({"name": "a", "max_price": 1, "price": 1}, "both were given"),
        ({"name": "a", "profile": Profile("t2.micro", security_group="nobodys")}, "no security group called 'nobodys'"),
    ):
        with pytest.raises(AspotError, match=message):
            await manager.launch(**words)
    assert dict(manager.instances) == {}
    assert not cloud.alive()
    with anyio.move_on_after(0.7) as scope:
        await manager.launch("a", "t2.micro")
    assert scope.cancelled_caught
    until(lambda: not cloud.leftovers())
    await manager.aclose()


async def test_they_mount_the_fleets_file_system(cloud):
    """R16: a manager whose boxes are linked to one EFS."""
    manager = Fleet(profile="t2.micro", filesystem="data:/mnt/data", show=False)
    first = await manager.launch("monitor")
    await first.run("echo shared >/mnt/data/note", check=True)
    other, bare = await manager.launch("other"), await manager.launch("bare", filesystem=None)
    assert (await other.run("cat /mnt/data/note")).stdout == "shared\n"
    assert not await bare.exists("/mnt/data/note")
    for box in (first, other, bare):
        await box.terminate()
    await manager.aclose()
    cloud._remove_file_systems()
    ec2 = cloud.client("ec2", tries=5)
    for group in ec2.describe_security_groups()["SecurityGroups"]:
        if group["GroupName"].startswith("aspot-efs-"):
            ec2.delete_security_group(GroupId=group["GroupId"])
