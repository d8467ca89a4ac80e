"""What EC2 shows, merged: states, addresses, why instances ended, and notices."""

import math
from datetime import UTC, datetime, timedelta

import pytest

from aspot.aws.lean import Reader
from aspot.aws.sightings import NOTICED, TAKEN, Eyes, sight
from aspot.errors import CloudError
from aspot.machine.model import EndReason
from aspot.machine.pool import Market, Pool
from aspot.ports import CloudUnavailable, CredentialsExpired

AT = datetime(2026, 11, 23, 15, 0, tzinfo=UTC)


def instance(number=1, *, state="running", reason="", **more):
    found = {
        "InstanceId": f"i-{number:017x}",
        "State": {"Code": 16, "Name": state},
        "InstanceType": "c7i.large",
        "Placement": {"AvailabilityZone": "us-east-1a", "Tenancy": "default"},
        "PublicIpAddress": "198.51.100.7",
        "PrivateIpAddress": "10.0.0.7",
        "LaunchTime": AT,
        "InstanceLifecycle": "spot",
        "SpotInstanceRequestId": f"sir-{number}",
        "BlockDeviceMappings": [{"DeviceName": "/dev/xvda", "Ebs": {"VolumeId": "vol-1"}}],
        "SecurityGroups": [{"GroupId": "sg-1"}],
        "Tags": [{"Key": "aspot:request", "Value": "r1"}, {"Key": "Name", "Value": 'a & b <c> "d"'}],
    }
    if reason:
        found["StateReason"] = {"Code": reason, "Message": reason}
    return found | more


def request(number=1, code="fulfilled", *, message="", at=AT):
    status = {"Code": code, "UpdateTime": at, "Message": message}
    return {
        "SpotInstanceRequestId": f"sir-{number}",
        "InstanceId": f"i-{number:017x}",
        "State": "active",
        "Status": status,
    }


def shown(*instances):
    return {"Reservations": [{"ReservationId": "r-1", "Groups": [], "Instances": list(instances)}]}


def eyes(**more):
    return Eyes(**({"run": "r-1", "is_local": False} | more))


@pytest.fixture
async def ready(cloud, make_plan):
    await cloud.prepare(make_plan())
    return cloud


async def test_running_instance(ready, stub):
    stub.says("DescribeInstances", shown(instance()))
    stub.says("DescribeSpotInstanceRequests", {"SpotInstanceRequests": [request()]})
    (seen,) = await ready.sightings()
    assert (seen.instance, seen.request, seen.state) == ("i-00000000000000001", "r1", "running")
    assert (seen.pool, seen.market) == (Pool("c7i.large", "us-east-1a"), Market.SPOT)
    assert (seen.address, seen.port, seen.launched) == ("198.51.100.7", 22, AT)
    assert seen.end_reason is seen.notice is None


async def test_all_are_asked_for_by_tag_in_pages(ready, stub):
    pages = [shown(instance(1)) | {"NextToken": "more"}, shown(instance(2)) | {"NextToken": ""}]
    stub.says("DescribeInstances", *pages)
    assert [seen.instance[-1] for seen in await ready.sightings()] == ["1", "2"]
    first, second = stub.asked("DescribeInstances")
    assert first == {"Filters": [{"Name": "tag:aspot:run", "Values": ["r-7f3a"]}], "MaxResults": 1000}
    assert second["NextToken"] == "more"


async def test_before_prepare_there_is_nothing(cloud, stub):
    assert await cloud.sightings() == []
    assert not stub.calls


async def test_on_demand_runs_ask_for_no_spot_requests(ready, stub):
    plain = instance()
    del plain["InstanceLifecycle"], plain["SpotInstanceRequestId"]
    stub.says("DescribeInstances", shown(plain))
    (seen,) = await ready.sightings()
    assert seen.market is Market.ON_DEMAND
    assert not stub.asked("DescribeSpotInstanceRequests")


async def test_two_calls_a_look_and_only_requests_in_trouble(ready, stub):
    stub.says("DescribeInstances", shown(*(instance(number) for number in range(300))))
    stub.says("DescribeSpotInstanceRequests", {"SpotInstanceRequests": [request(number) for number in range(300)]})
    await ready.sightings()
    stub.says("DescribeSpotInstanceRequests", {"SpotInstanceRequests": [request(7, "marked-for-termination")]})
    stub.calls.clear()
    await ready.sightings()
    assert stub.counts() == {"DescribeInstances": 1}  # spot requests are asked for at their own pace
    ready._eyes.due = -math.inf
    stub.calls.clear()
    seen = await ready.sightings()
    assert stub.counts() == {"DescribeInstances": 1, "DescribeSpotInstanceRequests": 1}
    assert {one["Name"] for one in stub.asked("DescribeSpotInstanceRequests")[0]["Filters"]} == {
        "tag:aspot:run",
        "status-code",
    }
    assert [one.instance[-1] for one in seen if one.notice] == ["7"]
    assert [one.instance[-1] for one in await ready.sightings() if one.notice] == ["7"]  # as last heard


async def test_an_instance_that_ends_has_its_spot_request_asked_at_once(ready, stub):
    stub.says("DescribeInstances", shown(instance(1)), shown(instance(1, state="shutting-down")))
    stub.says("DescribeSpotInstanceRequests", {"SpotInstanceRequests": [request(1)]})
    await ready.sightings()
    stub.says("DescribeSpotInstanceRequests", {"SpotInstanceRequests": [request(1, "instance-terminated-no-capacity")]})
    (seen,) = await ready.sightings()
    assert seen.end_reason is EndReason.INTERRUPTED


async def test_requests_without_the_tag_are_found_by_their_ids(ready, stub):
    stub.says("DescribeInstances", shown(instance(1), instance(2)))
    tagless = {"SpotInstanceRequests": [request(1, "marked-for-termination"), request(2)]}
    stub.says("DescribeSpotInstanceRequests", {"SpotInstanceRequests": []}, tagless)
    first, second = await ready.sightings()
    assert (first.notice, second.notice) == (AT + timedelta(seconds=120), None)
    assert stub.asked("DescribeSpotInstanceRequests")[1]["Filters"] == [
        {"Name": "spot-instance-request-id", "Values": ["sir-1", "sir-2"]}
    ]


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        ("RequestLimitExceeded", CloudUnavailable),
        ("InternalError", CloudUnavailable),
        ("RequestExpired", CredentialsExpired),
        ("UnauthorizedOperation", CredentialsExpired),
    ],
)
async def test_trouble_is_a_pause(ready, stub, code, kind):
    stub.says("DescribeInstances", stub.refused(code))
    with pytest.raises(kind):
        await ready.sightings()
    assert len(stub.asked("DescribeInstances")) <= 2


async def test_wrong_question_is_no_pause(ready, stub):
    stub.says("DescribeInstances", stub.refused("InvalidParameterValue"))
    with pytest.raises(CloudError):
        await ready.sightings()


async def test_expired_credentials_are_read_afresh(ready, stub, monkeypatch):
    stub.says("DescribeInstances", stub.refused("RequestExpired"), shown())
    with pytest.raises(CredentialsExpired):
        await ready.sightings()
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    with pytest.raises(CredentialsExpired, match="no AWS credentials"):
        await ready.sightings()
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIANEW")
    assert await ready.sightings() == []


# --- one instance ---


@pytest.mark.parametrize(
    ("reason", "status", "ended", "expected"),
    [
        ("Server.SpotInstanceTermination", "", False, EndReason.INTERRUPTED),
        ("Server.SpotInstanceShutdown", "", False, EndReason.INTERRUPTED),
        ("Client.UserInitiatedShutdown", "", True, EndReason.OURS),
        ("Client.UserInitiatedShutdown", "", False, EndReason.SOMEONE),
        ("Client.UserInitiatedShutdown", "instance-terminated-by-experiment", False, EndReason.INTERRUPTED),
        ("Client.InstanceInitiatedShutdown", "", False, EndReason.ITSELF),
        ("Server.InsufficientInstanceCapacity", "", False, EndReason.NO_CAPACITY),
        ("Server.InternalError", "", False, EndReason.HARDWARE),
        ("Server.ScheduledStop", "", False, EndReason.HARDWARE),
        ("Client.VolumeLimitExceeded", "", False, EndReason.ACCOUNT),
        ("Client.InternalError", "", False, EndReason.ACCOUNT),
        ("", "instance-terminated-no-capacity", False, EndReason.INTERRUPTED),
        ("", "", False, EndReason.UNKNOWN),
    ],
)
@pytest.mark.parametrize("state", ["shutting-down", "terminated"])
def test_end_reasons(state, reason, status, ended, expected):
    item = instance(state=state, reason=reason)
    seen = sight(item, {"Code": status, "UpdateTime": AT}, eyes(ended={item["InstanceId"]} if ended else set()))
    assert seen.end_reason is expected
    assert seen.notice is None


@pytest.mark.parametrize("code", sorted(NOTICED | TAKEN))
def test_status_of_a_living_instance_is_a_notice(code):
    seen = sight(instance(), {"Code": code, "UpdateTime": AT}, eyes())
    assert seen.notice == AT + timedelta(seconds=120)
    assert seen.end_reason is None


def test_no_notice_without_a_time_or_a_reason():
    assert sight(instance(), {"Code": "marked-for-termination"}, eyes()).notice is None
    assert sight(instance(), {"Code": "fulfilled", "UpdateTime": AT}, eyes()).notice is None


def test_only_the_local_cloud_may_say_when_a_short_notice_ends():
    status = {"Code": "marked-for-termination", "UpdateTime": AT, "Message": "at 2026-11-23T15:00:09Z."}
    assert sight(instance(), status, eyes(is_local=True)).notice == AT + timedelta(seconds=9)
    assert sight(instance(), status, eyes()).notice == AT + timedelta(seconds=120)


@pytest.mark.parametrize(
    ("said", "is_local", "port"),
    [("40123", True, 40123), ("40123", False, 22), ("0", True, 22), ("99999", True, 22), ("x", True, 22)],
)
def test_port_tag_counts_on_loopback_only(said, is_local, port):
    item = instance(Tags=[{"Key": "aspot-local:ssh-port", "Value": said}])
    assert sight(item, {}, eyes(is_local=is_local)).port == port


def test_private_address_counts_where_there_will_be_no_public_one():
    item = instance(PublicIpAddress="")
    assert sight(item, {}, eyes(is_public=True)).address == ""
    assert sight(item, {}, eyes(is_public=False)).address == "10.0.0.7"


# --- the lean reader ---


def answer(wire, *instances, **more):
    return wire.answer("DescribeInstances", shown(*instances) | more, request_id="x").encode()


def test_lean_reader_reads_what_botocore_reads(wire):
    import botocore.session
    from botocore.parsers import create_parser

    model = botocore.session.get_session().get_service_model("ec2")
    bodies = (instance(1), instance(2, state="terminated", reason="Client.UserInitiatedShutdown"))
    body = answer(wire, *bodies)
    shape = model.operation_model("DescribeInstances").output_shape
    full = create_parser("ec2").parse({"body": body, "headers": {}, "status_code": 200}, shape)
    expected = [sight(item, {}, eyes()) for item in full["Reservations"][0]["Instances"]]
    assert [sight(item, {}, eyes()) for item in Reader().instances(body)] == expected


def test_lean_reader_reads_several_reservations_and_indented_answers(wire):
    two = {"Reservations": [shown(instance(1))["Reservations"][0], shown(instance(2))["Reservations"][0]]}
    body = wire.answer("DescribeInstances", two, request_id="x").replace("><", ">\n   <").encode()
    assert [item["InstanceId"][-1] for item in Reader().instances(body)] == ["1", "2"]


def test_lean_reader_parses_only_what_changed(wire):
    reader = Reader()
    (first, second) = reader.instances(answer(wire, instance(1), instance(2)))
    (again, changed) = reader.instances(answer(wire, instance(1), instance(2, state="shutting-down")))
    assert again is first
    assert changed is not second
    assert changed["State"]["Name"] == "shutting-down"


def test_lean_reader_forgets(wire, monkeypatch):
    monkeypatch.setattr("aspot.aws.lean.LEAST_KEPT", 2)
    reader = Reader()
    for number in range(20):
        reader.instances(answer(wire, instance(number)))
    assert len(reader._known) <= 6


def test_lean_reader_leaves_to_botocore_what_it_does_not_know(wire):
    strange = answer(wire, instance(1)).replace(b"<item><instanceId>", b"<item><new/><instanceId>")
    assert Reader().instances(strange) is None
    for body, status in ((strange, 200), (answer(wire, instance(1)), 503), (b"<html/>", 200)):
        response, customized = {"body": body, "status_code": status}, {}
        Reader()(response_dict=response, customized_response_dict=customized)
        assert not customized
        assert response["body"] == body
