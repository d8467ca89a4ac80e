"""EC2's events on EventBridge, to queues of SQS: AWS.md 4."""

import json
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest

KINDS = {
    "warning": "EC2 Spot Instance Interruption Warning",
    "advice": "EC2 Instance Rebalance Recommendation",
    "change": "EC2 Instance State-change Notification",
}
ACCOUNT = "123456789012"


class Ear:
    """A rule with a queue behind it."""

    def __init__(self, aws, name="ear", *, kinds=None):
        self.events, self.sqs, self.name = aws.client("events"), aws.client("sqs"), name
        pattern = {"source": ["aws.ec2"], "detail-type": kinds or list(KINDS.values())}
        self.rule = self.events.put_rule(Name=name, EventPattern=json.dumps(pattern))["RuleArn"]
        self.url = self.sqs.create_queue(QueueName=name)["QueueUrl"]
        arn = f"arn:aws:sqs:{aws.region}:{ACCOUNT}:{name}"
        self.events.put_targets(Rule=name, Targets=[{"Id": "ear", "Arn": arn}])

    def receive(self, wait_s=5, **more):
        asked = {"QueueUrl": self.url, "MaxNumberOfMessages": 10, **more}
        if wait_s is not None:
            asked["WaitTimeSeconds"] = wait_s
        return [json.loads(item["Body"]) for item in self.sqs.receive_message(**asked).get("Messages", ())]

    def hears(self, count):
        heard = []
        while len(heard) < count:
            new = self.receive()
            assert new, heard
            heard += new
        return heard


def test_a_machines_states_and_its_notice_are_told_as_ec2_does(aws):
    ear = Ear(aws)
    before = datetime.now(UTC)
    (machine,) = aws.launch()
    aws.reach(machine, "running")
    told = ear.hears(2)
    assert [event["detail"] for event in told] == [
        {"instance-id": machine, "state": "pending"},
        {"instance-id": machine, "state": "running"},
    ]
    said = aws.control.call("POST", "interrupt", {"instance": machine, "notice_s": 2.0})
    (warning,) = ear.hears(1)
    assert set(warning) == {
        "version", "id", "detail-type", "source", "account", "time", "region", "resources", "detail",
    }  # fmt: skip
    assert warning["detail-type"] == KINDS["warning"]
    assert warning["detail"] == {"instance-id": machine, "instance-action": "terminate"}
    assert (warning["version"], warning["source"], warning["account"]) == ("0", "aws.ec2", ACCOUNT)
    assert (warning["region"], warning["resources"]) == (
        aws.region, [f"arn:aws:ec2:{aws.region}:{ACCOUNT}:instance/{machine}"],
    )  # fmt: skip
    dated = datetime.strptime(warning["time"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    assert abs(dated + timedelta(seconds=120) - datetime.fromisoformat(said["time"])) <= timedelta(seconds=1)
    ended = ear.hears(2)
    assert [event["detail"]["state"] for event in ended] == ["shutting-down", "terminated"]
    assert all(event["detail-type"] == KINDS["change"] for event in (*told, *ended))
    assert datetime.fromisoformat(told[0]["time"]) >= before.replace(microsecond=0)
    assert len({event["id"] for event in (*told, warning, *ended)}) == 5


def test_a_rebalance_recommendation_is_told(aws):
    ear = Ear(aws, kinds=[KINDS["advice"]])
    (machine,) = aws.launch()
    aws.control.call("POST", "rebalance", {"instance": machine})
    (advice,) = ear.hears(1)
    assert (advice["detail-type"], advice["detail"]) == (KINDS["advice"], {"instance-id": machine})


def test_disabled_rules_and_rules_for_other_things_send_nothing(aws):
    off, other, on = Ear(aws, "off"), Ear(aws, "other", kinds=["EC2 Instance Launch"]), Ear(aws, "on")
    off.events.disable_rule(Name="off")
    aws.launch()
    assert on.hears(1)
    assert (off.receive(0), other.receive(0)) == ([], [])


@pytest.mark.parametrize("wait_s", [20, None], ids=["asked for", "the queue's own"])
def test_a_long_poll_ends_when_a_message_comes_and_keeps_nobody_else_waiting(aws, wait_s):
    ear = Ear(aws, f"ear-{wait_s}")
    ear.sqs.set_queue_attributes(QueueUrl=ear.url, Attributes={"ReceiveMessageWaitTimeSeconds": "20"})
    heard = []
    waiting = threading.Thread(target=lambda: heard.extend([*ear.receive(wait_s), time.monotonic()]))
    waiting.start()
    began = time.monotonic()
    aws.ec2.describe_subnets()
    ear.sqs.get_queue_attributes(QueueUrl=ear.url, AttributeNames=["All"])
    assert time.monotonic() - began < 5
    assert waiting.is_alive()
    sent = time.monotonic()
    ear.sqs.send_message(QueueUrl=ear.url, MessageBody='{"hello": 1}')
    waiting.join(10)
    assert heard[0] == {"hello": 1}
    assert heard[1] - sent < 3


def test_a_long_poll_for_nothing_lasts_as_long_as_it_was_asked_to(aws):
    ear = Ear(aws, kinds=["nothing"])
    began = time.monotonic()
    assert ear.receive(1) == []
    assert 0.9 < time.monotonic() - began < 5


def test_a_wait_that_sqs_does_not_take_is_refused(aws, refused):
    ear = Ear(aws)
    code, _, _ = refused(ear.sqs.receive_message, QueueUrl=ear.url, WaitTimeSeconds=21)
    assert code == "InvalidParameterValue"


def test_notices_show_late_everywhere_but_in_events(aws, until):
    ear = Ear(aws, kinds=[KINDS["warning"]])
    (machine,) = aws.launch()
    aws.reach(machine, "running")
    aws.fault("late-notice", delay_s=1.5)
    aws.control.call("POST", "interrupt", {"instance": machine, "notice_s": 60.0})
    assert ear.hears(1)
    assert aws.request_of(machine)["Status"]["Code"] == "fulfilled"
    shown = {item["id"]: item for item in aws.control.call("GET", "instances")}[machine]
    assert shown["notice"] is None
    until(lambda: aws.request_of(machine)["Status"]["Code"] != "fulfilled")
    assert {item["id"]: item for item in aws.control.call("GET", "instances")}[machine]["notice"]


@pytest.mark.parametrize(
    ("service", "call", "params", "said"),
    [
        ("sqs", "get_queue_url", {"QueueName": "x"}, ("AccessDenied", 403)),
        ("events", "put_rule", {"Name": "x", "EventPattern": "{}"}, ("AccessDeniedException", 400)),
        ("ec2", "describe_subnets", {}, ("UnauthorizedOperation", 403)),
    ],
)
def test_an_action_may_be_denied(aws, refused, service, call, params, said):
    action = {"get_queue_url": "GetQueueUrl", "put_rule": "PutRule", "describe_subnets": "DescribeSubnets"}[call]
    aws.fault("deny", action=action, count=1)
    code, status, _ = refused(getattr(aws.client(service), call), **params)
    assert (code, status) == said
    if service == "ec2":
        assert aws.ec2.describe_subnets()["Subnets"]
