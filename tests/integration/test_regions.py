"""One fleet over two regions: where its machines go, that a job moves from one to the other, and what is left of it."""

import anyio
import pytest
from local_world import write

from aspot import Fleet, Job, Profile
from aspot.errors import AuthError, ConfigError, QuotaError
from aspot.journal.runs import newest
from tests.integration.test_runs import STEPS, WHOLE

NEAR, FAR = "us-east-1", "eu-west-1"
BARE = "ap-northeast-2"
"""A region of its own for the test that takes its default VPC away."""


@pytest.fixture
def two(cloud):
    cloud.regions += [FAR]
    return Profile("c7i.large", regions=[NEAR, FAR])


@pytest.fixture
def apart(two):
    """A pool in each region; the near one holds one machine."""
    return Profile("c7i.large", regions=[NEAR, FAR], zones=[f"{NEAR}a", f"{FAR}a"])


def fill(cloud, number=1, region=NEAR):
    cloud.fault("capacity", type="*", zone=region, number=number)


def refuse(cloud, region):
    cloud.fault("refuse-pool", type="*", zone=region)


def warnings(told):
    return [item.message for item in told if item.name == "warned"]


async def test_machines_are_in_both_regions_and_nothing_is_left_in_either(cloud, apart):
    fill(cloud)
    jobs = [write("one.sh", "sleep 2; echo one\n"), write("two.sh", "sleep 2; echo two\n")]
    results = await Fleet.run_many(jobs, "both", profile=apart, show=False)
    assert [item.status for item in results] == ["succeeded"] * 2
    assert {item.attempts[0].zone for item in results} == {f"{NEAR}a", f"{FAR}a"}
    assert results.left == ()
    assert results.cost > 0
    assert f"Nothing left (checked in {NEAR} and {FAR})." in str(results)
    assert newest("both").regions == (NEAR, FAR)
    calls = cloud.calls()
    assert (calls["CreateSecurityGroup"], calls["CreateLaunchTemplate"]) == (2, 2)


async def test_only_the_cheapest_region_is_made_ready_where_it_has_room(cloud, two):
    (result,) = results = await Fleet.run_many(write("one.sh", "echo one\n"), "here", profile=two, show=False)
    calls = cloud.calls()
    assert (calls["CreateSecurityGroup"], calls["CreateLaunchTemplate"], calls["CreateFleet"]) == (1, 1, 1)
    assert "Nothing left (checked)." in str(results)
    cloud.forget_calls()
    refuse(cloud, result.attempts[0].zone[:-1])
    (other,) = results = await Fleet.run_many(write("two.sh", "echo two\n"), "there", profile=two, show=False)
    assert {result.attempts[0].zone[:-1], other.attempts[0].zone[:-1]} == {NEAR, FAR}
    assert cloud.calls()["CreateSecurityGroup"] == 2
    assert f"Nothing left (checked in {NEAR} and {FAR})." in str(results)


async def test_interrupted_in_one_region_a_job_goes_on_in_the_other(cloud, two):
    write("steps.sh", STEPS.replace("sleep 0.1", "sleep 0.3"))
    refuse(cloud, FAR)
    async with Fleet("moved", profile=two, show=False) as fleet:
        handle = fleet.submit(Job("steps.sh", checkpoint=["ckpt"]))

        async def take_back():
            async for news in fleet.events():
                if getattr(news, "line", None) == "step 5":
                    cloud.clear_faults()
                    refuse(cloud, NEAR)
                    cloud.interrupt(next(item.id for item in fleet.instances.values()), notice_s=8)
                    return

        async with anyio.create_task_group() as group:
            group.start_soon(take_back)
            result = await handle
            group.cancel_scope.cancel()
    assert result.status == "succeeded"
    assert [item.outcome for item in result.attempts] == ["interrupted", "succeeded"]
    assert [item.zone[:-1] for item in result.attempts] == [NEAR, FAR]
    assert (result.dir / "out/log").read_text() == WHOLE, "not as it would have been undisturbed"
    assert "step 1" not in result.stdout.splitlines(), "the second attempt started over"
    assert fleet.results.left == ()


async def test_a_region_that_is_not_enabled_is_left_out_and_said(cloud, two):
    cloud.fault("close-region", region=FAR)
    told = []
    fleet = Fleet("open", profile=two, on_event=told.append, show=False)
    async with fleet:
        (result,) = await _run(fleet, write("one.sh", "echo one\n"))
    assert result.attempts[0].zone.startswith(NEAR)
    (line,) = [text for text in warnings(told) if "left out" in text]
    assert line.startswith(f"{FAR} is left out: ")
    assert f"aws account enable-region --region-name {FAR}" in line


async def _run(fleet, *jobs):
    for job in jobs:
        fleet.submit(Job(job))
    return await fleet.wait()


async def test_no_region_that_can_be_used_is_an_error(cloud, two):
    for region in (NEAR, FAR):
        cloud.fault("close-region", region=region)
    with pytest.raises(AuthError, match="AuthFailure") as caught:
        await Fleet.run_many(write("one.sh", "echo one\n"), "closed", profile=two, show=False)
    assert "Nothing was launched." in caught.value.__notes__
    assert cloud.launches() == 0


async def test_a_region_without_a_default_vpc_is_left_out(cloud):
    ec2 = cloud.client("ec2", region=BARE)
    for subnet in ec2.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]:
        ec2.delete_subnet(SubnetId=subnet["SubnetId"])
    told = []
    async with Fleet(
        "bare", profile=Profile("c7i.large", regions=[BARE, NEAR]), on_event=told.append, show=False
    ) as fleet:
        (result,) = await _run(fleet, write("one.sh", "echo one\n"))
    assert result.attempts[0].zone.startswith(NEAR)
    (line,) = [text for text in warnings(told) if "left out" in text]
    assert line.startswith(f"{BARE} is left out: there is no default VPC in {BARE} (`aws ec2 create-default-vpc`")


async def test_a_region_that_is_silent_is_left_out(cloud, two):
    cloud.fault("lose-answer", action="*", region=FAR, count=10_000)
    told = []
    async with Fleet("silent", profile=two, on_event=told.append, show=False) as fleet:
        (result,) = await _run(fleet, write("one.sh", "echo one\n"))
    assert result.attempts[0].zone.startswith(NEAR)
    assert [text.split(":")[0] for text in warnings(told) if "left out" in text] == [f"{FAR} is left out"]


async def test_a_region_that_refuses_launches_for_good_is_left_out_of_the_run(cloud, two):
    refuse(cloud, FAR)
    told = []
    async with Fleet("denied", profile=two, instances=1, on_event=told.append, show=False) as fleet:
        await _run(fleet, write("one.sh", "echo one\n"))  # the far region refused
        cloud.clear_faults()
        for action in ("CreateFleet", "RunInstances"):
            cloud.fault("deny", action=action, region=NEAR)
        machine = next(iter(fleet.instances.values()))
        cloud.interrupt(machine.id, notice_s=0)
        results = await _run(fleet, write("two.sh", "echo two\n"))
    assert results[1].attempts[-1].zone.startswith(FAR)
    assert any(f"{NEAR} is left out" in item.message for item in told if item.name == "launch_refused")


async def test_a_region_that_cannot_be_made_ready_is_done_without(cloud, two):
    cloud.fault("deny", action="CreateLaunchTemplate", region=NEAR)
    refuse(cloud, FAR)
    told = []
    async with Fleet("half", profile=two, on_event=told.append, capacity_timeout="3s", show=False) as fleet:
        (result,) = await _run(fleet, write("one.sh", "echo one\n"))
        assert result.status == "lost"
        assert any(f"{NEAR} is left out" in item.message for item in told if item.name == "launch_refused")
    assert fleet.results.left == (), "the group that was made there has to go"


async def test_quotas_of_all_regions_count_together(cloud, two):
    cloud.fault("quota", code="L-34B43A08", number=6)  # 3 × 2 vCPUs in each region
    jobs = [Job(command="true", name=f"j{number}") for number in range(7)]
    with pytest.raises(QuotaError, match="room for 3 in us-east-1 and 3 in eu-west-1") as caught:
        await Fleet.run_many(jobs, "many", profile=two, show=False)
    assert "--instances 6" in caught.value.fix
    cloud.clear_faults()
    cloud.fault("quota", code="L-34B43A08", number=1)
    with pytest.raises(QuotaError, match="room for 0 in us-east-1 and 0 in eu-west-1"):
        await Fleet.run_many(jobs[:1], "none", profile=two, show=False)


async def test_calls_do_not_grow_with_the_machines(cloud, apart):
    async def listings(number):
        cloud.forget_calls()
        jobs = [Job(command="sleep 4", name=f"n{number}-{one}") for one in range(number)]
        await Fleet.run_many(jobs, f"many-{number}", profile=apart, show=False)
        calls = cloud.calls()
        return calls["DescribeInstances"] + calls["DescribeSpotInstanceRequests"]

    fill(cloud)
    few = await listings(2)
    cloud.clear_faults()
    fill(cloud, 4)
    many = await listings(8)
    assert many < 2 * few, f"{few} for 2 machines, {many} for 8"


async def test_what_machines_mount_chooses_the_region(cloud, two):
    made = cloud.client("efs", region=FAR).create_file_system(
        CreationToken="far", Encrypted=True, Tags=[{"Key": "Name", "Value": "data"}]
    )
    told = []
    try:
        async with Fleet("mounts", profile=two, filesystem="data", on_event=told.append, show=False) as fleet:
            (result,) = await _run(fleet, write("one.sh", "test -d ~/efs && echo there > ~/efs/f && cat ~/efs/f\n"))
        assert (result.status, result.attempts[0].zone[:-1]) == ("succeeded", FAR)
        assert f"only {FAR} is used, not {NEAR}: what machines mount is there" in warnings(told)
        cloud.fault("close-region", region=NEAR)
        (result,) = await Fleet.run_many("one.sh", "closed", profile=two, filesystem="data", show=False)
        assert result.attempts[0].zone[:-1] == FAR
        cloud.clear_faults()
    finally:
        remove_file_system(cloud, FAR, made["FileSystemId"])
    with pytest.raises(ConfigError, match="is in none of us-east-1, eu-west-1") as caught:
        await Fleet.run_many(Job(command="true"), "none", profile=two, filesystem="data", show=False)
    assert "--region REGION" in caught.value.fix
    with pytest.raises(ConfigError, match="is in none of"):
        await Fleet.run_many(Job(command="true"), "disk", profile=two, volumes=["v:1:/data"], instances=1, show=False)
    assert cloud.launches() <= 2


def remove_file_system(cloud, region, name):
    efs, ec2 = cloud.client("efs", region=region), cloud.client("ec2", region=region)
    for target in efs.describe_mount_targets(FileSystemId=name)["MountTargets"]:
        efs.delete_mount_target(MountTargetId=target["MountTargetId"])
    efs.delete_file_system(FileSystemId=name)
    for group in ec2.describe_security_groups()["SecurityGroups"]:
        if group["GroupName"] != "default":
            ec2.delete_security_group(GroupId=group["GroupId"])


async def test_an_on_demand_price_is_that_of_the_region(cloud, apart):
    profile = Profile("c7i.large", regions=apart.regions, zones=apart.zones, market="on-demand")
    fill(cloud)
    told = []
    async with Fleet("dear", profile=profile, on_event=told.append, show=False) as fleet:
        await _run(fleet, write("one.sh", "sleep 1\n"), write("two.sh", "sleep 1\n"))
    prices = {item.zone[:-1]: item.price_usd_per_hour for item in told if item.name == "instance_launched"}
    assert prices.keys() == {NEAR, FAR}
    assert prices[NEAR] != prices[FAR]
