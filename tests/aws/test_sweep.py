"""What earlier runs left, listed and ended in few calls; what is not provably ours is never touched."""

from datetime import UTC, datetime, timedelta

import pytest

from aspot.aws import sweep
from aspot.aws.account import Account
from aspot.errors import CloudError
from aspot.machine.remains import Kind, Terms, sort_out

RUN = "01m82v7m000000000000000000"
BEGAN = datetime(2026, 11, 23, tzinfo=UTC)
TAGS = {
    "aspot:run": RUN,
    "aspot:name": "study",
    "aspot:owner": "me",
    "aspot:v": "1",
    "aspot:request": "r1",
    "aspot:expires": "1795000000",
}


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """Look again sooner than real machines need."""
    monkeypatch.setattr(sweep, "FIRST_S", 0.01)


@pytest.fixture
async def account(stub):
    found = await Account.open("us-east-1")
    yield found
    await found.aclose()


def tagged(**tags):
    return [{"Key": key, "Value": value} for key, value in (TAGS | tags).items() if value is not None]


def machine(name, **tags):
    return {
        "InstanceId": name,
        "State": {"Name": "running"},
        "InstanceType": "c7i.large",
        "Placement": {"AvailabilityZone": "us-east-1a"},
        "LaunchTime": BEGAN + timedelta(minutes=1),
        "InstanceLifecycle": "spot",
        "Tags": tagged(**tags),
    }


class Ec2:
    """What the stub has: machines go when they are terminated, and groups when nothing uses them."""

    def __init__(self, stub):
        self.machines, self.stub = {}, stub
        self.lists = {"Volumes": [], "NetworkInterfaces": [], "SpotInstanceRequests": []}
        self.lists["SecurityGroups"] = [{"GroupId": "sg-1", "GroupName": f"aspot-{RUN}", "Tags": tagged()}]
        self.lists["LaunchTemplates"] = [
            {"LaunchTemplateId": "lt-1", "LaunchTemplateName": f"aspot-{RUN}", "Tags": tagged()}
        ]
        stub.says("DescribeInstances", self.pages)
        for name in self.lists:
            stub.says(f"Describe{name}", lambda _, name=name: {name: self.lists[name]})
        stub.says("TerminateInstances", self.terminate)
        stub.says("DeleteNetworkInterface", self.free)

    def add(self, *machines):
        self.machines |= {item["InstanceId"]: item for item in machines}

    def pages(self, asked):
        at, size = int(asked.get("NextToken") or 0), asked["MaxResults"]
        items = list(self.machines.values())
        more = {"NextToken": str(at + size)} if at + size < len(items) else {}
        return {"Reservations": [{"Instances": items[at : at + size]}], **more}

    def terminate(self, asked):
        for name in asked["InstanceIds"]:
            self.machines.pop(name, None)
        return {"TerminatingInstances": []}

    def free(self, asked):
        self.lists["NetworkInterfaces"] = []
        self.stub.says("DeleteSecurityGroup", {"Return": True})
        return {}


@pytest.fixture
def ec2(stub):
    return Ec2(stub)


def judge(things):
    return sort_out(things, Terms(now=BEGAN + timedelta(hours=1), owner="me")).doomed


async def swept(account, **more):
    return await account.sweep(judge, owner="me", **more)


async def test_a_thousand_machines_are_ended_in_ten_calls(account, stub, ec2):
    ec2.add(*(machine(f"i-{number}") for number in range(1000)))
    stub.calls.clear()
    assert await swept(account) == []
    assert ec2.machines == {}
    assert [len(asked["InstanceIds"]) for asked in stub.asked("TerminateInstances")] == [1000]
    assert stub.asked("DeleteSecurityGroup") == [{"GroupId": "sg-1"}]
    assert stub.asked("DeleteLaunchTemplate") == [{"LaunchTemplateId": "lt-1"}]
    assert len(stub.calls) <= 10, stub.counts()


async def test_a_thousand_machines_are_listed_in_eight_calls(account, stub, ec2):
    ec2.add(*(machine(f"i-{number}") for number in range(1000)))
    stub.calls.clear()
    found = judge(await account.remains())
    prices = await account.spot_prices(["c7i.large"])
    assert len(stub.calls) <= 8, stub.counts()
    assert len(found) == 1002
    assert all(thing.pool in prices for thing in found if thing.kind is Kind.INSTANCE)
    assert not [name for name in stub.counts() if not name.startswith(("Describe", "List"))]


def queues(stub, names):
    """Let there be these queues, with these tags."""
    url = "http://sqs/123456789012/{}".format
    stub.says("ListQueues", {"QueueUrls": [url(name) for name in names]})
    stub.says("ListQueueTags", lambda asked: {"Tags": names[asked["QueueUrl"].rpartition("/")[2]]})
    stub.says("GetQueueUrl", lambda asked: {"QueueUrl": url(asked["QueueName"])})
    for action in ("RemoveTargets", "DeleteRule", "DeleteQueue"):
        stub.says(action, {})
    return url


async def test_an_event_queue_goes_with_its_rule(account, stub, ec2):
    own, strange = f"aspot-{RUN}", "aspot-like"
    url = queues(stub, {own: TAGS, strange: TAGS, "aspot-else": {"team": "x"}})
    (found,) = [thing for thing in judge(await account.remains()) if thing.kind is Kind.CHANNEL]
    assert (found.id, found.kind.words) == (own, "event queue")
    stub.calls.clear()
    assert await swept(account) == []
    assert stub.asked("ListQueues") == [{"QueueNamePrefix": "aspot-", "MaxResults": 1000}]
    assert stub.asked("RemoveTargets") == [{"Rule": own, "Ids": ["aspot"]}]
    assert stub.asked("DeleteRule") == [{"Name": own}]
    assert stub.asked("DeleteQueue") == [{"QueueUrl": url(own)}]


async def test_an_event_queue_whose_rule_stays_stays_too_and_is_said(account, stub, ec2):
    queues(stub, {f"aspot-{RUN}": TAGS})
    stub.says("DeleteRule", stub.refused("AccessDeniedException"))
    assert await swept(account) == [f"rule aspot-{RUN} (AccessDeniedException) of study"]
    assert stub.asked("DeleteQueue") == []


async def test_a_queue_that_is_gone_when_its_tags_are_read_is_none(account, stub, ec2):
    queues(stub, {f"aspot-{RUN}": TAGS})
    stub.says("ListQueueTags", stub.refused("AWS.SimpleQueueService.NonExistentQueue"))
    assert [thing for thing in await account.remains() if thing.kind is Kind.CHANNEL] == []


async def test_who_may_not_list_queues_has_none(account, stub, ec2):
    stub.says("ListQueues", stub.refused("AccessDenied", http=403))
    assert await swept(account) == []


async def test_queues_that_cannot_be_listed_are_an_error(account, stub, ec2):
    stub.says("ListQueues", stub.refused("InvalidAddress"))
    with pytest.raises(CloudError, match="sqs:ListQueues"):
        await account.remains()


async def test_only_what_is_provably_ours_is_touched(account, stub, ec2):
    ec2.add(
        machine("i-ours"),
        machine("i-copied", **{"aspot:request": None}),
        machine("i-theirs", **{"aspot:owner": "you"}),
        machine("i-malformed", **{"aspot:run": "r-1"}),
        machine("i-bare", **{"aspot:v": None}),
        machine("i-old") | {"LaunchTime": BEGAN - timedelta(days=3)},
    )
    ec2.lists["SecurityGroups"].append({"GroupId": "sg-web", "GroupName": "web", "Tags": tagged()})
    ec2.lists["LaunchTemplates"].append({"LaunchTemplateId": "lt-w", "LaunchTemplateName": "web", "Tags": tagged()})
    ec2.lists["Volumes"] = [
        {"VolumeId": "vol-copied", "State": "available", "Tags": tagged(**{"aspot:request": None})},
        {"VolumeId": "vol-ours", "State": "available", "Tags": tagged()},
    ]
    ec2.lists["SpotInstanceRequests"] = [
        {"SpotInstanceRequestId": "sir-ours", "State": "open", "Tags": tagged()},
        {"SpotInstanceRequestId": "sir-theirs", "State": "open", "Tags": tagged(**{"aspot:owner": "you"})},
    ]
    stub.says("DeleteVolume", {})
    stub.says("CancelSpotInstanceRequests", {"CancelledSpotInstanceRequests": []})
    assert await swept(account) == []
    assert stub.asked("TerminateInstances") == [{"InstanceIds": ["i-ours"]}]
    assert stub.asked("DeleteSecurityGroup") == [{"GroupId": "sg-1"}]
    assert stub.asked("DeleteLaunchTemplate") == [{"LaunchTemplateId": "lt-1"}]
    assert stub.asked("DeleteVolume") == [{"VolumeId": "vol-ours"}]
    assert stub.asked("CancelSpotInstanceRequests") == [{"SpotInstanceRequestIds": ["sir-ours"]}]


async def test_interface_that_holds_a_group_is_deleted_if_it_is_in_that_group(account, stub, ec2):
    interface = {"NetworkInterfaceId": "eni-1", "Status": "available", "TagSet": tagged()}
    ours = interface | {"Groups": [{"GroupId": "sg-1", "GroupName": f"aspot-{RUN}"}]}
    web = [{"GroupId": "sg-2", "GroupName": "web"}]
    both = interface | {"NetworkInterfaceId": "eni-3", "Groups": ours["Groups"] + web}
    ec2.lists["NetworkInterfaces"] = [interface | {"NetworkInterfaceId": "eni-2", "Groups": web}, ours, both]
    stub.says("DeleteSecurityGroup", stub.refused("DependencyViolation"))
    assert await swept(account) == []
    assert stub.asked("DeleteNetworkInterface") == [{"NetworkInterfaceId": "eni-1"}]
    assert len(stub.asked("DeleteSecurityGroup")) == 2


async def test_interfaces_are_not_listed_where_no_group_is(account, stub, ec2):
    ec2.lists["SecurityGroups"] = []
    assert {thing.kind for thing in await account.remains()} == {Kind.TEMPLATE}
    assert not stub.asked("DescribeNetworkInterfaces")


async def test_machine_that_may_not_be_ended_is_left_and_its_group_is_tried_once(account, stub, ec2):
    ec2.add(machine("i-1"))
    stub.says("TerminateInstances", stub.refused("OperationNotPermitted", "protected"))
    stub.says("DeleteSecurityGroup", stub.refused("DependencyViolation"))
    assert await swept(account) == [
        "instance i-1 of study (OperationNotPermitted: protected)",
        "security group sg-1 of study (DependencyViolation)",
    ]
    assert len(stub.asked("DeleteSecurityGroup")) == 1


async def test_machine_that_does_not_go_is_left_in_time(account, stub, ec2):
    ec2.add(machine("i-1") | {"State": {"Name": "shutting-down"}})
    stub.says("TerminateInstances", {"TerminatingInstances": []})
    stub.says("DeleteSecurityGroup", stub.refused("DependencyViolation"))
    left = await swept(account, seconds=0.0)
    assert left == ["instance i-1 of study (shutting-down)", "security group sg-1 of study (DependencyViolation)"]


async def test_request_that_may_not_be_cancelled_keeps_nothing_else_from_its_end(account, stub, ec2):
    ec2.add(machine("i-1"))
    ec2.lists["SpotInstanceRequests"] = [{"SpotInstanceRequestId": "sir-1", "State": "open", "Tags": tagged()}]
    stub.says("CancelSpotInstanceRequests", stub.refused("UnauthorizedOperation", http=403))
    assert await swept(account) == ["spot request sir-1 of study (UnauthorizedOperation)"]
    assert ec2.machines == {}


async def test_what_is_gone_meanwhile_is_no_trouble(account, stub, ec2):
    ec2.lists["Volumes"] = [{"VolumeId": "vol-1", "State": "available", "Tags": tagged()}]
    stub.says("DeleteVolume", stub.refused("InvalidVolume.NotFound"))
    stub.says("DeleteSecurityGroup", stub.refused("InvalidGroup.NotFound"))
    stub.says("DeleteLaunchTemplate", stub.refused("InvalidLaunchTemplateId.NotFound"))
    assert await swept(account) == []


async def test_nothing_to_do_changes_nothing(account, stub, ec2):
    ec2.lists["SecurityGroups"] = ec2.lists["LaunchTemplates"] = []
    assert await swept(account) == []
    assert not [name for name in stub.counts() if not name.startswith(("Describe", "List"))]


async def test_what_goes_with_a_machine_is_not_asked_for(account, stub, ec2):
    await account.remains()
    states = {
        "Instances": ("instance-state-name", ["pending", "running", "stopping", "stopped"]),
        "SpotInstanceRequests": ("state", ["open"]),
        "Volumes": ("status", ["available", "error"]),
        "NetworkInterfaces": ("status", ["available"]),
    }
    for name, (key, values) in states.items():
        (asked,) = stub.asked(f"Describe{name}")
        assert asked["Filters"] == [
            {"Name": "tag-key", "Values": ["aspot:run"]},
            {"Name": key, "Values": values},
        ]


async def test_templates_are_asked_for_in_pages_that_ec2_allows(account, stub, ec2):
    await account.remains()
    assert [asked["MaxResults"] for asked in stub.asked("DescribeLaunchTemplates")] == [200]


async def test_account_that_cannot_be_asked(account, stub, ec2):
    stub.says("DescribeLaunchTemplates", stub.refused("UnauthorizedOperation", http=403))
    for ask in (account.remains(), swept(account)):
        with pytest.raises(CloudError):
            await ask
    assert not stub.asked("TerminateInstances")
    stub.says("DescribeSpotPriceHistory", stub.refused("UnauthorizedOperation", http=403))
    assert await account.spot_prices(["c7i.large"]) == {}
