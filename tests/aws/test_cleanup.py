"""Ending instances, and deleting what a run made; by the run itself or by another process."""

from datetime import UTC, datetime

import pytest

from aspot.aws.account import Account
from aspot.errors import CloudError
from aspot.ports import CloudUnavailable, CredentialsExpired


@pytest.fixture
async def ready(cloud, make_plan):
    await cloud.prepare(make_plan())
    return cloud


@pytest.fixture
async def account(stub):
    found = await Account.open("us-east-1")
    yield found
    await found.aclose()


def missing(stub, *bad):
    """Answer TerminateInstances as EC2 does: one bad id, and none is ended."""

    def answer(asked):
        wrong = sorted(set(asked["InstanceIds"]) & set(bad))
        return (
            stub.refused("InvalidInstanceID.NotFound", f"{wrong} do not exist")
            if wrong
            else {"TerminatingInstances": []}
        )

    return answer


def alive(*ids, state="running"):
    items = [{"InstanceId": one, "State": {"Name": state}, "InstanceType": "c7i.large"} for one in ids]
    return {"Reservations": [{"Instances": items}]}


# --- terminate ---


async def test_one_call_ends_a_thousand(ready, stub):
    assert await ready.terminate([f"i-{number}" for number in range(1500)]) == {}
    assert [len(asked["InstanceIds"]) for asked in stub.asked("TerminateInstances")] == [500, 1000]


async def test_nothing_to_end_asks_nothing(ready, stub):
    assert await ready.terminate([]) == {}
    assert not stub.asked("TerminateInstances")


async def test_bad_id_stands_alone_and_the_others_end(ready, stub):
    stub.says("TerminateInstances", missing(stub, "i-5"))
    refused = await ready.terminate([f"i-{number}" for number in range(8)])
    assert list(refused) == ["i-5"]
    assert "NotFound" in refused["i-5"]
    ended = {one for asked in stub.asked("TerminateInstances") for one in asked["InstanceIds"]}
    assert ended == {f"i-{number}" for number in range(8)}


async def test_protected_instance_is_named(ready, stub):
    stub.says("TerminateInstances", stub.refused("OperationNotPermitted", "termination protection"))
    assert "termination protection" in (await ready.terminate(["i-1"]))["i-1"]


async def test_throttled_end_is_a_pause(ready, stub):
    stub.says("TerminateInstances", stub.refused("RequestLimitExceeded", http=503))
    with pytest.raises(CloudUnavailable):
        await ready.terminate(["i-1"])


# --- clean up ---


async def test_everything_is_deleted_and_looked_for(ready, stub):
    assert await ready.clean_up() == []
    assert stub.asked("DeleteLaunchTemplate") == [{"LaunchTemplateId": "lt-1"}]
    assert stub.asked("DeleteSecurityGroup") == [{"GroupId": "sg-1"}]
    assert not stub.asked("DescribeNetworkInterfaces")


async def test_group_in_use_is_left_and_tried_again(ready, stub):
    stub.says("DeleteSecurityGroup", stub.refused("DependencyViolation"), {"Return": True})
    assert await ready.clean_up() == ["security group sg-1 (DependencyViolation)"]
    assert await ready.clean_up() == []
    assert len(stub.asked("DeleteLaunchTemplate")) == 1


async def test_what_is_gone_already_is_no_trouble(ready, stub):
    stub.says("DeleteSecurityGroup", stub.refused("InvalidGroup.NotFound"))
    stub.says("DeleteLaunchTemplate", stub.refused("InvalidLaunchTemplateId.NotFound"))
    assert await ready.clean_up() == []


def bears(*pairs):
    """Answer DescribeTags: these (id, kind) bear the run's tag, or bore it until they were deleted."""
    return {"Tags": [{"ResourceId": one, "ResourceType": kind, "Value": "r-1"} for one, kind in pairs]}


async def test_leftovers_are_said(ready, stub):
    stub.says("DescribeTags", bears(("vol-1", "volume"), ("vol-2", "volume"), ("key-1", "key-pair")))
    stub.says(
        "DescribeVolumes",
        {"Volumes": [{"VolumeId": "vol-1", "State": "in-use"}, {"VolumeId": "vol-2", "State": "deleting"}]},
    )
    stub.says("DescribeInstances", alive("i-1"))
    assert await ready.clean_up() == ["key pair key-1", "volume vol-1", "instance i-1 (running)"]


async def test_nothing_is_looked_for_that_bears_no_tag_or_was_deleted_just_now(ready, stub):
    stub.says("DescribeTags", bears(("lt-1", "launch-template"), ("sg-1", "security-group")))
    assert await ready.clean_up() == []
    looks = {name: number for name, number in stub.counts().items() if name.startswith("Describe")}
    for name in ("DescribeVolumes", "DescribeSecurityGroups", "DescribeLaunchTemplates", "DescribeKeyPairs"):
        assert name not in looks
    assert (looks["DescribeTags"], looks["DescribeInstances"], looks["DescribeSpotInstanceRequests"]) == (1, 1, 1)


async def test_what_stays_is_said_once(ready, stub):
    stub.says("DeleteSecurityGroup", stub.refused("DependencyViolation"))
    stub.says("DescribeTags", bears(("sg-1", "security-group")))
    assert await ready.clean_up() == ["security group sg-1 (DependencyViolation)"]


async def test_of_a_kind_only_what_is_not_known_yet_is_said(ready, stub):
    """EC2 may still list what it has just deleted, beside what a lost answer left."""
    stub.says("DescribeTags", bears(("lt-1", "launch-template"), ("lt-2", "launch-template")))
    both = [{"LaunchTemplateId": "lt-1"}, {"LaunchTemplateId": "lt-2"}]
    stub.says("DescribeLaunchTemplates", {"LaunchTemplates": both})
    assert await ready.clean_up() == ["launch template lt-2"]
    assert stub.asked("DescribeLaunchTemplates")[0]["MaxResults"] == 200


async def test_spot_requests_are_left_that_may_still_bring_a_machine(ready, stub):
    """One whose machine is said is not said again; one whose machine is ending is there until EC2 closes it."""
    stub.says(
        "DescribeSpotInstanceRequests",
        {
            "SpotInstanceRequests": [
                {"SpotInstanceRequestId": "sir-1", "State": "open"},
                {"SpotInstanceRequestId": "sir-2", "State": "active", "InstanceId": "i-1"},
                {"SpotInstanceRequestId": "sir-3", "State": "active", "InstanceId": "i-2"},
            ]
        },
    )
    stub.says("DescribeInstances", alive("i-1"))
    left = ["spot request sir-1 (open)", "spot request sir-3 (active)", "instance i-1 (running)"]
    assert await ready.clean_up() == left
    (asked,) = stub.asked("DescribeSpotInstanceRequests")
    assert {one["Name"]: one["Values"] for one in asked["Filters"]} == {
        "tag:aspot:run": ["r-7f3a"],
        "state": ["open", "active"],
    }


async def test_interfaces_are_looked_for_where_the_group_is_the_users(cloud, stub, make_plan):
    stub.says("DescribeSecurityGroups", {"SecurityGroups": [{"GroupId": "sg-9", "VpcId": "vpc-9"}]})
    stub.says("DescribeTags", bears(("eni-1", "network-interface")))
    stub.says("DescribeNetworkInterfaces", {"NetworkInterfaces": [{"NetworkInterfaceId": "eni-1"}]})
    await cloud.prepare(make_plan(security_group="sg-9"))
    assert await cloud.clean_up() == ["network interface eni-1"]
    assert not stub.asked("DeleteSecurityGroup")
    assert "network-interface" in stub.asked("DescribeTags")[0]["Filters"][2]["Values"]


async def test_interfaces_are_not_where_the_runs_own_group_is_gone(ready, stub):
    await ready.clean_up()
    assert "network-interface" not in stub.asked("DescribeTags")[0]["Filters"][2]["Values"]


async def test_what_a_kept_instance_needs_stays_and_is_not_left(ready, stub):
    mine, other = {"Attachments": [{"InstanceId": "i-1"}]}, {"Attachments": [{"InstanceId": "i-2"}]}
    on_mine = {"Attachment": {"InstanceId": "i-1"}}
    volumes = [{"VolumeId": "vol-1", "State": "in-use", **mine}, {"VolumeId": "vol-2", "State": "in-use", **other}]
    interfaces = [{"NetworkInterfaceId": "eni-1", **on_mine}, {"NetworkInterfaceId": "eni-2"}]
    kinds = {"vol-1": "volume", "vol-2": "volume", "eni-1": "network-interface", "eni-2": "network-interface"}
    stub.says("DescribeTags", bears(*kinds.items(), ("sg-1", "security-group")))
    stub.says("DescribeVolumes", {"Volumes": volumes})
    stub.says("DescribeNetworkInterfaces", {"NetworkInterfaces": interfaces})
    stub.says("DescribeInstances", alive("i-1", "i-2"))
    left = await ready.clean_up({"i-1"})
    assert left == ["network interface eni-2", "volume vol-2", "instance i-2 (running)"]
    assert stub.asked("DeleteLaunchTemplate")
    assert not stub.asked("DeleteSecurityGroup")
    stub.says("DescribeTags", bears())
    stub.says("DescribeInstances", {"Reservations": []})
    assert await ready.clean_up() == []
    assert stub.asked("DeleteSecurityGroup") == [{"GroupId": "sg-1"}]


async def test_kept_instance_is_marked(ready, stub):
    stub.says("CreateTags", {})
    await ready.mark_kept("i-1", datetime.fromtimestamp(1795000000.2, UTC))
    mark = {"Key": "aspot:kept", "Value": "1795000001"}
    assert stub.asked("CreateTags") == [{"Resources": ["i-1"], "Tags": [mark]}]
    stub.says("CreateTags", stub.refused("UnauthorizedOperation"))
    with pytest.raises(CredentialsExpired):
        await ready.mark_kept("i-1", datetime.fromtimestamp(1795000000, UTC))


async def test_cleaning_up_before_prepare_does_nothing(cloud, stub):
    assert await cloud.clean_up() == []
    assert not stub.calls


async def test_cleaning_up_while_ec2_fails_is_a_pause(ready, stub):
    stub.says("DeleteLaunchTemplate", stub.refused("Unavailable", http=503))
    with pytest.raises(CloudUnavailable):
        await ready.clean_up()


async def test_spot_prices_of_the_runs_pools(ready, stub):
    assert set((await ready.spot_prices()).values()) == {0.0312}
    stub.says("DescribeSpotPriceHistory", stub.refused("Unavailable", http=503))
    with pytest.raises(CloudUnavailable):
        await ready.spot_prices()


# --- another process ---


def tagged(**more):
    tags = {"aspot:run": "r-1", "aspot:name": "study", "aspot:owner": "me", "aspot:expires": "1795000000"} | more
    return {
        "InstanceId": "i-1",
        "State": {"Name": "running"},
        "InstanceType": "c7i.large",
        "Placement": {"AvailabilityZone": "us-east-1a"},
        "PublicIpAddress": "198.51.100.7",
        "LaunchTime": datetime(2026, 11, 23, tzinfo=UTC),
        "InstanceLifecycle": "spot",
        "Tags": [{"Key": key, "Value": value} for key, value in tags.items()],
    }


async def test_instances_of_an_owner(account, stub):
    stub.says("DescribeInstances", {"Reservations": [{"Instances": [tagged()]}]})
    (found,) = await account.instances("me")
    assert (found.name, found.run, found.owner, found.state) == ("study", "r-1", "me", "running")
    assert (found.lifecycle, found.address, found.type, found.zone) == (
        "spot",
        "198.51.100.7",
        "c7i.large",
        "us-east-1a",
    )
    assert found.expires == datetime.fromtimestamp(1795000000, UTC)
    names = [one["Name"] for one in stub.asked("DescribeInstances")[0]["Filters"]]
    assert names == ["tag-key", "tag:aspot:owner"]


@pytest.mark.parametrize("text", ["soon", "1e99", "", "nan", "253402300799"])
async def test_tags_are_not_trusted(account, stub, text):
    stub.says(
        "DescribeInstances", {"Reservations": [{"Instances": [tagged(**{"aspot:expires": text, "aspot:kept": text})]}]}
    )
    (found,) = await account.instances()
    assert found.expires is None
    assert found.kept is None


async def test_run_of_another_process_is_removed(account, stub):
    stub.says("DescribeTags", bears(("lt-7", "launch-template"), ("sg-7", "security-group")))
    stub.says("DescribeInstances", alive("i-1"), alive("i-1", state="shutting-down"), {"Reservations": []})
    stub.says("DeleteSecurityGroup", stub.refused("DependencyViolation"), {"Return": True})
    assert await account.runs() == ["r-1"]
    assert await account.remove_run("r-1") == []
    assert stub.asked("TerminateInstances") == [{"InstanceIds": ["i-1"]}]
    assert stub.asked("DeleteLaunchTemplate") == [{"LaunchTemplateId": "lt-7"}]
    assert len(stub.asked("DeleteSecurityGroup")) == 2


async def test_removal_gives_up_in_time_and_says_what_is_left(account, stub):
    stub.says("DescribeTags", bears(("sg-7", "security-group")))
    stub.says("DeleteSecurityGroup", stub.refused("DependencyViolation"))
    assert await account.remove_run("r-1", seconds=-1.0) == ["security group sg-7 (DependencyViolation)"]


async def test_leftovers_are_those_that_exist(account, stub):
    stub.says("DescribeTags", bears(("vol-1", "volume"), ("vol-2", "volume"), ("key-1", "key-pair")))
    stub.says("DescribeVolumes", {"Volumes": [{"VolumeId": "vol-2"}]})
    stub.says("DescribeKeyPairs", {"KeyPairs": [{"KeyPairId": "key-1"}]})
    assert await account.leftovers_of("r-1") == ["key pair key-1", "volume vol-2"]


async def test_account_that_cannot_be_asked(account, stub):
    for action in ("DescribeInstances", "DescribeTags"):
        stub.says(action, stub.refused("UnauthorizedOperation", http=403))
    for ask in (account.instances(), account.runs(), account.leftovers_of("r"), account.remove_run("r")):
        with pytest.raises(CloudError):
            await ask
    assert (account.region, account.is_loopback) == ("us-east-1", True)
