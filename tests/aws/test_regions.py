"""One run over two regions, against the local cloud: what each is asked, and what becomes of one that falls silent."""

import uuid

import anyio
import pytest

from aspot.aws import site as sites
from aspot.aws.account import Account
from aspot.aws.clients import named
from aspot.aws.cloud import Ec2Cloud
from aspot.aws.events import Events
from aspot.aws.regions import Ec2Regions, open_cloud
from aspot.errors import ConfigError
from aspot.machine.model import LaunchSpec
from aspot.machine.money import on_demand_key
from aspot.machine.pool import RefusalKind
from aspot.ports import CloudUnavailable, CredentialsExpired

pytestmark = pytest.mark.timeout(180)
NEAR, FAR = "us-east-1", "eu-west-1"


@pytest.fixture
def used_regions():
    return (NEAR, FAR)


@pytest.fixture
async def cloud(local):
    found = await open_cloud([NEAR, FAR])
    yield found
    await found.aclose()


@pytest.fixture
def plan(make_plan):
    run = {"id": f"r-{uuid.uuid4().hex[:8]}", "regions": (NEAR, FAR)}
    return make_plan(run=run)


def at(prepared, region, number="1", count=1):
    pools = tuple(pool for pool in prepared.pools if pool.region == region)
    return LaunchSpec(id=f"r{number}", count=count, pools=pools)


async def until(cloud, states):
    """Look until the machines are in these states; return the sightings."""
    with anyio.fail_after(60):
        while True:
            seen = await cloud.sightings()
            if sorted(one.state for one in seen) == sorted(states):
                return seen
            await anyio.sleep(0.2)


async def gone(cloud):
    with anyio.fail_after(30):
        while await cloud.clean_up():
            await anyio.sleep(0.2)


async def test_one_region_is_a_cloud_of_its_own(local):
    for regions in ((), (FAR,)):
        found = await open_cloud(regions)
        assert isinstance(found, Ec2Cloud)
        assert found.region == (regions or (NEAR,))[0]
        await found.aclose()
    found = await open_cloud([FAR, NEAR])
    assert isinstance(found, Ec2Regions)
    assert found.region == FAR
    await found.aclose()
    with pytest.raises(ConfigError, match="us-esat-1"):
        await open_cloud([FAR, "us-esat-1"])


async def test_from_start_to_nothing_left(cloud, local, plan):
    prepared = await cloud.prepare(plan)
    assert {pool.region for pool in prepared.pools} == {NEAR, FAR}
    assert set(prepared.spot_usd_per_hour) == set(prepared.pools)
    keys = [on_demand_key(kind, region) for kind in plan.types for region in (NEAR, FAR)]
    assert sorted(prepared.on_demand_usd_per_hour) == sorted(keys)
    assert "CreateSecurityGroup" not in await local.calls()
    assert await cloud.sightings() == []
    assert await cloud.clean_up() == []
    near = await cloud.launch(at(prepared, NEAR, count=2))
    far = await cloud.launch(at(prepared, FAR, "2"))
    assert [one.pool.region for one in (*near.launched, *far.launched)] == [NEAR, NEAR, FAR]
    seen = await until(cloud, ["running"] * 3)
    assert {one.instance: one.pool for one in seen} == {
        one.instance: one.pool for one in (*near.launched, *far.launched)
    }
    assert set(await cloud.spot_prices()) == set(prepared.pools)
    assert await cloud.let_caller_in() == ""
    assert await cloud.terminate([one.instance for one in seen]) == {}
    await until(cloud, ["terminated"] * 3)
    await gone(cloud)


async def test_machines_say_in_which_regions_their_run_is(cloud, local, plan):
    prepared = await cloud.prepare(plan)
    await cloud.launch(at(prepared, FAR))
    async with await Account.open(FAR) as account:
        (found,) = await account.instances(runs=[plan.run.id])
    assert found.regions == (NEAR, FAR)


async def test_what_a_silent_region_showed_last_stands_for_it(cloud, local, plan):
    prepared = await cloud.prepare(plan)
    near, far = await cloud.launch(at(prepared, NEAR)), await cloud.launch(at(prepared, FAR, "2"))
    await until(cloud, ["running"] * 2)
    await local.fault("deny", action="DescribeInstances", region=FAR)
    later = await cloud.launch(at(prepared, FAR, "3"))
    assert await cloud.terminate([near.launched[0].instance]) == {}
    seen = {one.instance: one for one in await until(cloud, ["running", "pending", "terminated"])}
    assert seen[far.launched[0].instance].address
    assert (seen[later.launched[0].instance].request, seen[later.launched[0].instance].notice) == ("r3", None)
    await local.fault("deny", action="DescribeInstances", region=NEAR)
    with pytest.raises(CredentialsExpired):
        await cloud.sightings()
    await local.clear_faults()
    await until(cloud, ["running", "running", "terminated"])


async def test_a_region_that_never_answered_leaves_the_whole_open(cloud, local, plan):
    prepared = await cloud.prepare(plan)
    near, far = await cloud.launch(at(prepared, NEAR)), await cloud.launch(at(prepared, FAR, "2"))
    again = await open_cloud([NEAR, FAR])
    again._homes |= {one.instance: one.pool.region for one in (*near.launched, *far.launched)}
    for site in again._sites.values():
        site.is_used = True
    await again.prepare(plan)
    await local.fault("throttle", action="DescribeInstances", region=FAR)
    with pytest.raises(CloudUnavailable):
        await again.sightings()
    await local.clear_faults()
    assert len(await again.sightings()) == 2
    await again.aclose()


async def test_a_region_whose_machines_have_long_ended_is_asked_no_more(cloud, local, plan, monkeypatch):
    monkeypatch.setattr(sites, "QUIET_S", 0.0)
    prepared = await cloud.prepare(plan)
    near, far = await cloud.launch(at(prepared, NEAR)), await cloud.launch(at(prepared, FAR, "2"))
    await until(cloud, ["running"] * 2)
    await cloud.terminate([near.launched[0].instance])
    await until(cloud, ["running", "terminated"])
    await local.reset_calls()
    await cloud.sightings()
    assert (await local.calls())["DescribeInstances"] == 1
    await cloud.launch(at(prepared, NEAR, "3"))
    assert sorted(one.state for one in await until(cloud, ["running", "running", "terminated"]))
    await cloud.terminate([far.launched[0].instance])


async def test_what_one_region_refuses_the_other_does_all_the_same(cloud, local, plan):
    prepared = await cloud.prepare(plan)
    near, far = await cloud.launch(at(prepared, NEAR)), await cloud.launch(at(prepared, FAR, "2"))
    both = [near.launched[0].instance, far.launched[0].instance]
    await until(cloud, ["running"] * 2)
    await local.fault("throttle", action="TerminateInstances", region=NEAR)
    with pytest.raises(CloudUnavailable):
        await cloud.terminate(both)
    await until(cloud, ["running", "terminated"])
    await local.fault("throttle", action="DescribeSpotPriceHistory", region=NEAR)
    assert set(await cloud.spot_prices()) == set(prepared.pools), "the last known ones count"
    await local.fault("throttle", action="DescribeSpotPriceHistory", region=FAR)
    with pytest.raises(CloudUnavailable):
        await cloud.spot_prices()
    await local.fault("deny", action="DeleteLaunchTemplate", region=NEAR)
    left = await cloud.clean_up()
    assert {item.rpartition(" ")[2] for item in left if "launch template" in item} == {NEAR}


async def test_a_region_that_cannot_be_made_ready_refuses_and_leaves_nothing(cloud, local, plan):
    prepared = await cloud.prepare(plan)
    await local.fault("deny", action="CreateLaunchTemplate", region=FAR)
    answer = await cloud.launch(at(prepared, FAR))
    assert [(one.kind, one.code) for one in answer.refusals] == [(RefusalKind.FATAL, "UnauthorizedOperation")]
    assert "CreateFleet" not in await local.calls()
    await local.clear_faults()
    await local.fault("lose-answer", action="CreateLaunchTemplate", region=FAR, count=100)
    answer = await cloud.launch(at(prepared, FAR, "2"))
    assert [one.kind for one in answer.refusals] == [RefusalKind.UNREACHABLE], "nothing was launched: go elsewhere"
    await local.clear_faults()
    assert await cloud.clean_up() == []
    async with await Account.open(FAR) as account:
        assert await account.leftovers_of(plan.run.id) == []


async def test_a_region_that_is_slow_to_be_made_ready_is_left_for_another(cloud, local, plan, monkeypatch):
    monkeypatch.setattr(sites, "READY_S", 0.001)
    prepared = await cloud.prepare(plan)
    answer = await cloud.launch(at(prepared, FAR))
    assert [(one.kind, one.code) for one in answer.refusals] == [(RefusalKind.UNREACHABLE, "NoAnswer")]
    monkeypatch.setattr(sites, "READY_S", 60.0)
    assert len((await cloud.launch(at(prepared, FAR, "2"))).launched) == 1


async def test_a_group_that_was_made_is_used_when_the_region_is_asked_again(cloud, local, plan):
    prepared = await cloud.prepare(plan)
    await local.fault("throttle", action="CreateLaunchTemplate", region=FAR, seconds=60)
    answer = await cloud.launch(at(prepared, FAR))
    assert [one.kind for one in answer.refusals] == [RefusalKind.THROTTLED]
    await local.clear_faults()
    assert len((await cloud.launch(at(prepared, FAR, "2"))).launched) == 1
    groups = [item async for item in groups_of(plan.run.id)]
    assert len(groups) == 1


async def groups_of(run):
    async with await Account.open(FAR) as account:
        for item in await account._aws.pages(
            "ec2:DescribeSecurityGroups", "SecurityGroups", Filters=[named("tag:aspot:run", [run])]
        ):
            yield item


async def test_events_are_heard_where_they_are_set_up(cloud, local, plan):
    async with await Events.open(FAR) as events:
        await events.setup("me@here")
        prepared = await cloud.prepare(plan)
        near, far = await cloud.launch(at(prepared, NEAR)), await cloud.launch(at(prepared, FAR, "2"))
        assert await cloud.hear(NEAR) is None
        await until(cloud, ["running"] * 2)
        taken = far.launched[0].instance
        heard = []
        async with anyio.create_task_group() as group:

            async def interrupt():
                await anyio.sleep(1)
                await local.interrupt(taken, notice_s=30)

            group.start_soon(interrupt)
            with anyio.fail_after(40):
                while not heard:
                    heard = [fact for fact in await cloud.hear(FAR) or () if hasattr(fact, "deadline")]
        assert [fact.instance for fact in heard] == [taken]
        await cloud.terminate([taken, near.launched[0].instance])
        await until(cloud, ["terminated"] * 2)
        await gone(cloud)
        assert (await events.teardown()).removed
