"""`aspot events`: what it makes, says, puts right and removes; nothing that is not aspot's is touched."""

import asyncio
import json

import pytest
from local_world import write
from processes import Piped

from aspot.aws import channel
from aspot.aws.clients import Aws
from aspot.intake.names import owner
from aspot.journal import runs as journals

RULE, QUEUE = "aspot", "aspot"


@pytest.fixture
def aws(cloud):
    """EventBridge and SQS as boto3 sees them; what a test forgets is removed."""

    class Aws:
        events, sqs = cloud.client("events"), cloud.client("sqs")

        @property
        def url(self):
            return self.sqs.get_queue_url(QueueName=QUEUE)["QueueUrl"]

        def names(self):
            rules = [item["Name"] for item in self.events.list_rules()["Rules"]]
            return rules, [url.rpartition("/")[2] for url in self.sqs.list_queues().get("QueueUrls", ())]

    found = Aws()
    yield found
    cloud.clear_faults()
    for name in found.names()[0]:
        targets = [item["Id"] for item in found.events.list_targets_by_rule(Rule=name)["Targets"]]
        if targets:
            found.events.remove_targets(Rule=name, Ids=targets)
        found.events.delete_rule(Name=name)
    for url in found.sqs.list_queues().get("QueueUrls", ()):
        found.sqs.delete_queue(QueueUrl=url)


def status(aspot):
    code, out, err = aspot("events", "status", "--json")
    assert err == ""
    return code, json.loads(out)


def test_set_up_twice_said_and_taken_down_twice(aspot, cloud, aws):
    assert aspot("events", "status") == (0, "Events are not set up in us-east-1: aspot events setup does it.\n", "")
    assert status(aspot)[1]["state"] == "absent"

    code, out, err = aspot("events", "setup")
    assert (code, err) == (0, "")
    assert out.splitlines()[:3] == ["Made queue aspot.", "Made rule aspot.", "Made the queue the rule's target."]
    assert "$0.40" in out
    code, out, _ = aspot("events", "setup", "--json")
    again = json.loads(out)
    assert (code, again["done"], again["state"]) == (0, [], "ready")
    assert status(aspot) == (0, {key: again[key] for key in again if key != "done"})

    code, out, _ = aspot("events", "teardown")
    assert (code, out) == (0, "Removed rule aspot.\nRemoved queue aspot.\n")
    assert aws.names() == ([], [])
    assert aspot("events", "teardown") == (0, "Events were not set up in us-east-1.\n", "")
    code, out, _ = aspot("events", "teardown", "--json")
    assert json.loads(out) == {"region": "us-east-1", "removed": [], "left": []}


def test_what_it_makes_is_short_of_memory_encrypted_and_open_to_the_rule_alone(aspot, aws):
    aspot("events", "setup")
    rule = aws.events.describe_rule(Name=RULE)
    assert json.loads(rule["EventPattern"]) == {
        "source": ["aws.ec2"],
        "detail-type": [
            "EC2 Spot Instance Interruption Warning",
            "EC2 Instance Rebalance Recommendation",
            "EC2 Instance State-change Notification",
        ],
    }
    found = aws.sqs.get_queue_attributes(QueueUrl=aws.url, AttributeNames=["All"])["Attributes"]
    assert (found["MessageRetentionPeriod"], found["SqsManagedSseEnabled"]) == ("300", "true")
    (allowed,) = json.loads(found["Policy"])["Statement"]
    assert allowed["Principal"] == {"Service": "events.amazonaws.com"}
    assert (allowed["Action"], allowed["Resource"]) == ("sqs:SendMessage", found["QueueArn"])
    assert allowed["Condition"] == {"ArnEquals": {"aws:SourceArn": rule["Arn"]}}
    (target,) = aws.events.list_targets_by_rule(Rule=RULE)["Targets"]
    assert target["Arn"] == found["QueueArn"]
    for labels in (
        aws.sqs.list_queue_tags(QueueUrl=aws.url)["Tags"],
        {item["Key"]: item["Value"] for item in aws.events.list_tags_for_resource(ResourceARN=rule["Arn"])["Tags"]},
    ):
        assert (labels["aspot:use"], labels["aspot:v"]) == ("events", "1")


def test_events_that_came_are_counted(aspot, cloud, aws):
    aspot("events", "setup")
    aws.events.put_events(
        Entries=[{"Source": "aws.ec2", "DetailType": "EC2 Instance State-change Notification", "Detail": "{}"}]
    )
    assert status(aspot)[1]["events"] == 1


BREAKS = {
    "the rule is disabled": lambda aws: aws.events.disable_rule(Name=RULE),
    "the rule is for other events": lambda aws: aws.events.put_rule(Name=RULE, EventPattern='{"source": ["aws.s3"]}'),
    "the rule does not send to the queue": lambda aws: aws.events.remove_targets(Rule=RULE, Ids=["aspot"]),
    "there is no queue": lambda aws: aws.sqs.delete_queue(QueueUrl=aws.url),
    "the queue's policy does not let the rule alone send to it": lambda aws: aws.sqs.set_queue_attributes(
        QueueUrl=aws.url, Attributes={"Policy": '{"Version": "2012-10-17", "Statement": []}'}
    ),
    "the queue does not keep messages for 300 s": lambda aws: aws.sqs.set_queue_attributes(
        QueueUrl=aws.url, Attributes={"MessageRetentionPeriod": "60"}
    ),
    "the queue is not encrypted by SQS": lambda aws: aws.sqs.set_queue_attributes(
        QueueUrl=aws.url, Attributes={"SqsManagedSseEnabled": "false"}
    ),
    "there is no rule": lambda aws: (
        aws.events.remove_targets(Rule=RULE, Ids=["aspot"]),
        aws.events.delete_rule(Name=RULE),
    ),
}


@pytest.mark.parametrize("flaw", BREAKS)
def test_what_is_broken_is_said_and_put_right(aspot, aws, flaw):
    aspot("events", "setup")
    BREAKS[flaw](aws)
    code, said = status(aspot)
    assert (code, said["state"], said["fix"]) == (3, "incomplete", "aspot events setup puts it right")
    assert flaw in said["flaws"]
    code, out, _ = aspot("events", "status")
    assert code == 3
    assert f"  {flaw}\n" in out
    code, out, _ = aspot("events", "setup", "--json")
    assert code == 0
    assert json.loads(out)["done"]
    assert status(aspot)[1]["state"] == "ready"


def test_strangers_of_the_same_name_are_left_alone(aspot, aws):
    url = aws.sqs.create_queue(QueueName=QUEUE)["QueueUrl"]
    code, out, err = aspot("events", "setup")
    assert (code, out) == (2, "")
    assert "queue aspot" in err
    assert "fix:" in err
    code, said = status(aspot)
    assert (code, said["state"]) == (3, "incomplete")
    assert "queue aspot is not aspot's: it bears none of its tags" in said["flaws"]
    code, out, _ = aspot("events", "teardown")
    assert (code, out) == (3, "Left: queue aspot: not aspot's\n")
    assert aws.names() == ([], [QUEUE])
    assert aws.sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"].get("Policy", "") == ""


def test_a_rule_with_somebody_elses_target_stays(aspot, aws):
    aspot("events", "setup")
    other = aws.sqs.create_queue(QueueName="other")["QueueUrl"]
    arn = aws.sqs.get_queue_attributes(QueueUrl=other, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    aws.events.put_targets(Rule=RULE, Targets=[{"Id": "theirs", "Arn": arn}])
    code, out, _ = aspot("events", "teardown", "--json")
    done = json.loads(out)
    assert (code, done["removed"]) == (3, ["queue aspot"])
    assert "theirs" in done["left"][0]
    assert [item["Id"] for item in aws.events.list_targets_by_rule(Rule=RULE)["Targets"]] == ["theirs"]


@pytest.mark.parametrize("action", ["CreateQueue", "PutRule", "PutTargets", "GetQueueUrl", "DescribeRule"])
def test_a_missing_permission_is_named_and_a_repeat_goes_on(aspot, cloud, aws, action):
    cloud.fault("deny", action=action)
    code, out, err = aspot("events", "setup")
    assert (code, out) == (3, "")
    service = "sqs" if "Queue" in action else "events"
    assert f"ask for the permission {service}:{action}" in err
    assert "Traceback" not in err
    cloud.clear_faults()
    assert aspot("events", "setup")[0] == 0
    assert status(aspot)[1]["state"] == "ready"


def test_throttled_for_a_moment_it_goes_on(aspot, cloud, aws):
    cloud.fault("throttle", action="PutRule", count=2)
    assert aspot("events", "setup", "-q")[0] == 0
    assert status(aspot)[1]["state"] == "ready"


def test_a_teardown_that_is_denied_says_what_stays(aspot, cloud, aws):
    aspot("events", "setup")
    cloud.fault("deny", action="DeleteQueue")
    code, out, _ = aspot("events", "teardown")
    assert code == 3
    assert out == "Removed rule aspot.\nLeft: queue aspot (AccessDenied)\n"


def test_doctor_says_whether_they_are_set_up(aspot, cloud, aws):
    def said():
        return {item["name"]: item for item in json.loads(aspot("doctor", "--json")[1])}["events"]

    assert (said()["verdict"], "aspot events setup" in said()["detail"]) == ("ok", True)
    aspot("events", "setup")
    assert said()["verdict"] == "ok"
    cloud.fault("deny", action="GetQueueUrl")
    assert (said()["verdict"], "sqs:GetQueueUrl" in said()["detail"]) == ("skipped", True)


def test_the_queue_of_a_run_that_was_left_goes_with_it(aspot, cloud, aws, start, monkeypatch):
    """By `clean`, by `down`, and by `attach` at the end of the run, though nobody listens any more."""
    script = write("long.sh", "echo begun; sleep 4\n")
    aspot("events", "setup")
    for name, words in {
        "swept": ("clean", "--yes", "--all"),
        "ended": ("down", "ended"),
        "taken": ("attach", "taken"),
    }.items():
        run = start(Piped, "run", script, "-n", name)
        run.says("started")
        run.kill()
        info = next(item for item in journals.runs() if item.name == name)
        asyncio.run(make_channel(info))
        assert f"aspot-{info.id}" in aws.names()[0]
        if name == "swept":
            code, out, _ = aspot("clean", "--all")
            assert "event queue" in out
        code, out, err = aspot(*words)
        assert code == 0, err
        assert aws.names() == (["aspot"], ["aspot"])
    assert aspot("events", "teardown")[0] == 0


async def make_channel(info):
    """Make what a run that listens makes."""
    aws = await Aws.open(info.region)
    labels = {"Name": info.name, "aspot:run": info.id, "aspot:name": info.name, "aspot:owner": owner(), "aspot:v": "1"}
    await channel.make(aws, channel.name_of(info.id), await channel.here(aws), labels)
    await aws.aclose()


def test_another_region(aspot, aws):
    assert aspot("events", "setup", "--region", "eu-west-1", "-q")[0] == 0
    assert status(aspot)[1]["state"] == "absent"
    assert "eu-west-1" in aspot("events", "status", "--region", "eu-west-1")[1]
    assert aspot("events", "teardown", "--region", "eu-west-1")[0] == 0
