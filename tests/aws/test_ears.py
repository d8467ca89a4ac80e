"""How a run hears EC2: its own queue and rule, made where events are set up, read in long polls, and removed."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.aws import channel
from aspot.aws.account import Account
from aspot.aws.cloud import Ec2Cloud
from aspot.aws.ears import Ears, fact_of
from aspot.aws.events import Events
from aspot.errors import AspotError, AuthError, CloudError, QuotaError
from aspot.ports import CloudChange, CloudNotice, CloudRebalance, CloudUnavailable, CredentialsExpired

RUN = "r-7f3a"
NAME = f"aspot-{RUN}"
SHARED_URL = "https://sqs.us-east-1.amazonaws.com/123456789012/aspot"
URL = f"https://sqs.us-east-1.amazonaws.com/123456789012/{NAME}"
MADE = ("CreateQueue", "PutRule", "PutTargets")
GONE = "AWS.SimpleQueueService.NonExistentQueue"


def event(kind=channel.WARNING, **changes):
    found = {
        "version": "0",
        "id": "1e5527d7-bb36-4607-3370-4164db56a40e",
        "detail-type": kind,
        "source": "aws.ec2",
        "account": "123456789012",
        "time": "2026-11-23T15:18:16Z",
        "region": "us-east-1",
        "resources": ["arn:aws:ec2:us-east-1:123456789012:instance/i-1"],
        "detail": {"instance-id": "i-1", "instance-action": "terminate"},
    }
    return found | changes


@pytest.fixture
async def ready(cloud, stub, make_plan):
    """A prepared cloud where events are set up."""
    await cloud.prepare(make_plan())
    stub.says("GetQueueUrl", lambda asked: {"QueueUrl": SHARED_URL if asked["QueueName"] == "aspot" else URL})
    stub.says("CreateQueue", {"QueueUrl": URL})
    stub.says("PutRule", {"RuleArn": f"arn:aws:events:us-east-1:123456789012:rule/{NAME}"})
    stub.says("PutTargets", {"FailedEntryCount": 0, "FailedEntries": []})
    stub.says("ReceiveMessage", {})
    for action in ("RemoveTargets", "DeleteRule", "DeleteQueue"):
        stub.says(action, {})
    stub.calls.clear()
    return cloud


def mail(*events):
    return {"Messages": [{"MessageId": str(n), "Body": json.dumps(one)} for n, one in enumerate(events)]}


async def test_the_queue_comes_first_and_goes_last(ready, stub):
    assert await ready.hear("us-east-1") == []
    assert await ready.hear("us-east-1") == []
    assert [name for name, _ in stub.calls] == ["GetQueueUrl", *MADE, "ReceiveMessage", "ReceiveMessage"]
    (queue,), (rule,), (target,) = (stub.asked(action) for action in MADE)
    assert (queue["QueueName"], rule["Name"], target["Rule"]) == (NAME, NAME, NAME)
    assert queue["tags"]["aspot:run"] == RUN
    assert {"Key": "aspot:run", "Value": RUN} in rule["Tags"]
    assert target["Targets"] == [{"Id": "aspot", "Arn": f"arn:aws:sqs:us-east-1:123456789012:{NAME}"}]
    (allowed,) = json.loads(queue["Attributes"]["Policy"])["Statement"]
    wanted = f"arn:aws:events:us-east-1:123456789012:rule/{NAME}"
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": wanted}}
    assert stub.asked("ReceiveMessage")[0] == {"QueueUrl": URL, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 20}
    stub.calls.clear()
    assert await ready.clean_up() == []
    ended = [name for name, _ in stub.calls if name in ("RemoveTargets", "DeleteRule", "DeleteQueue")]
    assert ended == ["RemoveTargets", "DeleteRule", "DeleteQueue"]
    stub.calls.clear()
    assert await ready.clean_up() == []
    assert stub.asked("DeleteQueue") == []


async def test_without_the_shared_queue_there_is_one_call_and_nothing_to_clean_up(ready, stub):
    stub.says("GetQueueUrl", stub.refused(GONE))
    assert await ready.hear("us-east-1") is None
    assert await ready.clean_up() == []
    asked = {name: n for name, n in stub.counts().items() if "Queue" in name or "Rule" in name}
    assert asked == {"GetQueueUrl": 1}


async def test_before_anything_is_prepared_nothing_is_heard(cloud):
    assert await cloud.hear("us-east-1") is None


async def test_who_may_not_ask_hears_nothing_and_keeps_the_credentials(ready, stub):
    stub.says("GetQueueUrl", stub.refused("AccessDenied", http=403))
    assert await ready.hear("us-east-1") is None
    assert not ready._aws._is_refused


@pytest.mark.parametrize("code", ["RequestThrottled", "InternalError", "AWS.SimpleQueueService.QueueDeletedRecently"])
async def test_a_making_that_may_succeed_later_is_tried_again(ready, stub, code):
    stub.says("CreateQueue", stub.refused(code))
    with pytest.raises(CloudUnavailable):
        await ready.hear("us-east-1")
    stub.says("CreateQueue", {"QueueUrl": URL})
    assert await ready.hear("us-east-1") == []
    assert stub.counts()["GetQueueUrl"] == 1


async def test_expired_credentials_are_a_pause(ready, stub):
    stub.says("ReceiveMessage", stub.refused("ExpiredToken", http=403), {})
    with pytest.raises(CredentialsExpired):
        await ready.hear("us-east-1")
    assert await ready.hear("us-east-1") == []


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ({"FailedEntryCount": 1, "FailedEntries": [{"ErrorCode": "Odd", "ErrorMessage": "no room"}]}, "Odd"),
        ({"FailedEntryCount": 1, "FailedEntries": [{"ErrorCode": "AccessDeniedException"}]}, "events:PutTargets"),
    ],
)
async def test_a_target_that_is_refused_within_an_answer_is_an_error(ready, stub, answer, words):
    stub.says("PutTargets", answer)
    with pytest.raises(CloudError, match=words):
        await ready.hear("us-east-1")


async def test_a_permission_that_is_missing_is_named(ready, stub):
    stub.says("PutRule", stub.refused("AccessDeniedException"))
    with pytest.raises(AuthError, match="events:PutRule") as caught:
        await ready.hear("us-east-1")
    assert "ask for the permission events:PutRule" in caught.value.fix
    assert await ready.clean_up() == []
    assert stub.asked("DeleteQueue") == [{"QueueUrl": URL}]


FULL = "The requested resource exceeds the maximum number allowed."


async def test_where_there_is_no_room_for_another_rule_that_is_said_at_once(ready, stub):
    stub.says("PutRule", stub.refused("LimitExceededException", FULL))
    with pytest.raises(QuotaError, match="no room for another rule") as caught:
        await ready.hear("us-east-1")
    assert "aws events list-rules" in caught.value.fix
    assert len(stub.asked("PutRule")) == 1, "it is no throttling: to ask again is no use"
    assert await ready.clean_up() == []


async def test_the_set_up_of_events_says_so_in_one_line(stub):
    told = "<Arn>arn:aws:iam::123456789012:user/me</Arn><Account>123456789012</Account><UserId>me</UserId>"
    result = f"<GetCallerIdentityResult>{told}</GetCallerIdentityResult>"
    stub.says("GetCallerIdentity", stub.raw(f"<GetCallerIdentityResponse>{result}</GetCallerIdentityResponse>"))
    stub.says("CreateQueue", {"QueueUrl": URL})
    stub.says("PutRule", stub.refused("LimitExceededException", FULL))
    async with await Events.open("us-east-1") as events:
        with pytest.raises(QuotaError) as caught:
            await events.setup("me")
    expected = f"EventBridge has no room for another rule of this account in this region: {FULL}"
    assert (caught.value.message, "\n" in caught.value.fix) == (expected, False)


async def test_a_queue_made_just_now_may_be_found_late_and_one_that_was_read_is_gone(ready, stub):
    stub.says("ReceiveMessage", stub.refused(GONE), {}, stub.refused(GONE))
    with pytest.raises(CloudUnavailable):
        await ready.hear("us-east-1")
    assert await ready.hear("us-east-1") == []
    with pytest.raises(AspotError, match="sqs:ReceiveMessage"):
        await ready.hear("us-east-1")
    assert stub.counts()["CreateQueue"] == 1


async def test_what_cannot_be_deleted_is_left_and_tried_again(ready, stub):
    await ready.hear("us-east-1")
    stub.says("DeleteRule", stub.refused("ConcurrentModificationException"), {})
    assert await ready.clean_up() == [f"rule {NAME} (ConcurrentModificationException)"]
    assert await ready.clean_up() == []
    await ready.hear("us-east-1")
    stub.says("DeleteQueue", stub.refused("AccessDenied", http=403))
    assert await ready.clean_up() == [f"queue {NAME} (AccessDenied)"]


async def test_a_client_that_takes_a_run_up_again_removes_what_the_earlier_one_made(cloud, stub, make_plan):
    for there in (True, False):
        await cloud.prepare(make_plan(is_again=True))
        stub.says("GetQueueUrl", {"QueueUrl": URL} if there else stub.refused(GONE))
        for action in ("RemoveTargets", "DeleteRule", "DeleteQueue"):
            stub.says(action, {})
        stub.calls.clear()
        assert await cloud.clean_up() == []
        assert stub.counts().get("DeleteQueue", 0) == there


async def test_a_client_that_takes_up_and_may_not_look_finds_nothing(cloud, stub, make_plan):
    await cloud.prepare(make_plan(is_again=True))
    stub.says("GetQueueUrl", stub.refused("AccessDenied", http=403))
    stub.says("DescribeRule", stub.refused("AccessDeniedException"))
    assert await cloud.clean_up() == []


async def test_another_process_ends_the_queue_with_the_run(stub):
    account = await Account.open(None)
    stub.says("GetQueueUrl", {"QueueUrl": URL})
    assert f"event queue {NAME}" in await account.leftovers_of(RUN)
    for action in ("RemoveTargets", "DeleteRule", "DeleteQueue"):
        stub.says(action, {})
    assert await account.remove_run(RUN) == []
    assert stub.asked("DeleteQueue") == [{"QueueUrl": URL}]
    stub.says("DeleteQueue", stub.refused("AccessDenied", http=403))
    assert await account.remove_run(RUN) == [f"queue {NAME} (AccessDenied)"]
    stub.says("GetQueueUrl", stub.refused("InvalidAddress"))
    with pytest.raises(CloudError):
        await account.remove_run(RUN)
    await account.aclose()


async def test_a_queue_that_may_not_be_found_is_said_to_stay(ready, stub):
    await ready.hear("us-east-1")
    stub.says("GetQueueUrl", stub.refused("AccessDenied", http=403))
    assert await ready.clean_up() == [f"queue {NAME} (AccessDenied)"]
    stub.says("GetQueueUrl", stub.refused("InternalError"))
    with pytest.raises(CloudUnavailable):
        await ready.clean_up()


async def test_messages_become_facts_and_nonsense_nothing(ready, stub):
    other = {"instance-id": "i-2"}
    stub.says(
        "ReceiveMessage",
        mail(
            event(),
            event(channel.ADVICE, detail=other),
            event(channel.CHANGE, detail=other | {"state": "running"}),
            event(source="me"),
            event("EC2 Spot Instance Request Fulfillment"),
            {"odd": 1},
        ),
    )
    assert await ready.hear("us-east-1") == [
        CloudNotice(instance="i-1", deadline=datetime(2026, 11, 23, 15, 20, 16, tzinfo=UTC)),
        CloudRebalance(instance="i-2"),
        CloudChange(instance="i-2", state="running"),
    ]


@pytest.mark.parametrize(
    "body",
    [
        "", "null", "[]", "{}", "1", '"x"', json.dumps(event(detail=None)), json.dumps(event(detail=["i-1"])),
        json.dumps(event(detail={"instance-id": ["i-1"]})), json.dumps(event(time="yesterday")),
        json.dumps(event(time=None)), json.dumps(event(time="9999-12-31T23:59:59Z")),
        json.dumps(event(channel.CHANGE)), json.dumps(event(**{"detail-type": ["x"]})),
    ],
)  # fmt: skip
def test_a_message_that_makes_no_sense_says_nothing(body):
    assert fact_of(body) is None


KEYS = st.sampled_from(["detail", "detail-type", "source", "time", "instance-id", "state"]) | st.text()
LEAVES = st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["aws.ec2", channel.WARNING])


@given(st.recursive(LEAVES, lambda inner: st.dictionaries(KEYS, inner)))
def test_no_message_breaks_it(value):
    fact_of(json.dumps(value))


async def test_the_local_clouds_and_amazons_addresses_say_whose_they_are(ready):
    for url in (SHARED_URL, "http://127.0.0.1:4566/123456789012/aspot", SHARED_URL + "/"):
        assert channel.place_of(url, ready._aws).rule_arn("x") == "arn:aws:events:us-east-1:123456789012:rule/x"


async def test_nothing_begun_is_nothing_to_remove(stub, make_plan):
    cloud = await Ec2Cloud.open(None)
    assert await Ears(plan=make_plan()).remove(cloud._aws) == []
    await cloud.aclose()
    assert stub.calls == []
