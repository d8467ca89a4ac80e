"""How EC2's events come to us: a queue of SQS, and a rule of EventBridge that sends to it. Both have one name.

The queue is made first and deleted last, so that whoever finds no queue knows that there is nothing (`aspot clean`).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import attrs

from aspot.aws import tags
from aspot.aws.cleanup import delete_one
from aspot.aws.clients import Aws
from aspot.aws.codes import PERMISSION, Cause
from aspot.aws.errors import Trouble, cause_of

SHARED = "aspot"
"""The name that `aspot events setup` makes: it says that events are wanted in this region."""
OWN = "aspot-"
"""Before a run's id: the name of what the run makes for itself."""
TARGET = "aspot"
WARNING = "EC2 Spot Instance Interruption Warning"
ADVICE = "EC2 Instance Rebalance Recommendation"
CHANGE = "EC2 Instance State-change Notification"
PATTERN: Mapping[str, Any] = {"source": ["aws.ec2"], "detail-type": [WARNING, ADVICE, CHANGE]}
RETENTION_S = 300
"""An older notice is of no use: the machine is gone."""
ONCE_S = 600
"""A message that was received is not shown again for this long, so never: its only reader need not delete it."""
USE = "aspot:use"
USED = "events"
DELETED_LATELY = ("AWS.SimpleQueueService.QueueDeletedRecently", "QueueDeletedRecently")
"""SQS gives a name free 60 s after its queue was deleted (API reference, CreateQueue)."""


def name_of(run: str) -> str:
    """Return the name of a run's own queue and rule."""
    return OWN + run


@attrs.frozen(kw_only=True)
class Place:
    """Whose account and where, as ARNs say it."""

    partition: str
    region: str
    account: str

    def queue_arn(self, name: str) -> str:
        """Return the ARN of a queue."""
        return f"arn:{self.partition}:sqs:{self.region}:{self.account}:{name}"

    def rule_arn(self, name: str) -> str:
        """Return the ARN of a rule on the default bus."""
        return f"arn:{self.partition}:events:{self.region}:{self.account}:rule/{name}"


async def here(aws: Aws) -> Place:
    """Return where we are.

    Raises:
        Trouble: If AWS could not be asked.
    """
    answer = await aws.call("sts:GetCallerIdentity", tries=3)
    partition = answer["Arn"].split(":")[1]
    return Place(partition=partition, region=aws.region, account=answer["Account"])


def place_of(url: str, aws: Aws) -> Place:
    """Return where a queue is: the last but one part of its URL is its account (SQS developer guide)."""
    return Place(partition=aws.partition, region=aws.region, account=url.rstrip("/").split("/")[-2])


def attributes(name: str, place: Place) -> dict[str, str]:
    """Return how a queue is to be: short of memory, encrypted, and open to its rule alone."""
    allowed = {
        "Sid": "aspot",
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": place.queue_arn(name),
        "Condition": {"ArnEquals": {"aws:SourceArn": place.rule_arn(name)}},
    }
    return {
        "MessageRetentionPeriod": str(RETENTION_S),
        "VisibilityTimeout": str(ONCE_S),
        "SqsManagedSseEnabled": "true",
        "Policy": json.dumps({"Version": "2012-10-17", "Statement": [allowed]}),
    }


async def make(aws: Aws, name: str, place: Place, labels: Mapping[str, str], *, patience_s: float = 0.0) -> str:
    """Make queue, rule and target, or see that they are there; return the queue's URL.

    Args:
        aws: The gateway.
        name: Of queue and rule.
        place: Where.
        labels: Tags.
        patience_s: How long to wait for a name whose queue was deleted just now.

    Raises:
        Trouble: If one of them cannot be made; what was made stays.
    """
    url = await make_queue(aws, name, place, labels, patience_s=patience_s)
    await make_rule(aws, name, labels)
    await aim(aws, name, place)
    return url


async def make_queue(aws: Aws, name: str, place: Place, labels: Mapping[str, str], *, patience_s: float = 0.0) -> str:
    """Make the queue, and return its URL; the same one again is no harm."""
    answer = await aws.call(
        "sqs:CreateQueue",
        awaited=DELETED_LATELY,
        awaited_s=patience_s,
        QueueName=name,
        Attributes=attributes(name, place),
        tags=dict(labels),
    )
    return str(answer["QueueUrl"])


async def make_rule(aws: Aws, name: str, labels: Mapping[str, str]) -> None:
    """Make the rule, or put it right."""
    listed = [{"Key": key, "Value": value} for key, value in labels.items()]
    await aws.call("events:PutRule", Name=name, EventPattern=json.dumps(PATTERN), State="ENABLED", Tags=listed)


async def aim(aws: Aws, name: str, place: Place) -> None:
    """Make the queue the rule's target."""
    targets = [{"Id": TARGET, "Arn": place.queue_arn(name)}]
    answer = await aws.call("events:PutTargets", Rule=name, Targets=targets)
    for failed in answer.get("FailedEntries", ()):
        code, why = failed.get("ErrorCode", ""), failed.get("ErrorMessage", "")
        raise Trouble(cause_of(code), code, why, operation="events:PutTargets")


@attrs.frozen(kw_only=True)
class Seen:
    """What there is under a name. Empty members: it is not there.

    Args:
        url: The queue's URL.
        queue: Its attributes.
        labels: Tags of the queue, then those of the rule.
        arn: The rule's ARN.
        rule: EventBridge's description of the rule.
        targets: ARN of each of its targets, by id.
    """

    url: str = ""
    queue: Mapping[str, str] = attrs.field(factory=dict)
    labels: tuple[Mapping[str, str], Mapping[str, str]] = ({}, {})
    arn: str = ""
    rule: Mapping[str, Any] = attrs.field(factory=dict)
    targets: Mapping[str, str] = attrs.field(factory=dict)


async def look(aws: Aws, name: str) -> Seen:
    """Return what there is under a name, in detail.

    Raises:
        Trouble: If AWS could not be asked, or may not be.
    """
    url, rule = await url_of(aws, name), await _or_none(aws, "events:DescribeRule", Name=name)
    seen = Seen(url=url)
    if url:
        said = await aws.call("sqs:GetQueueAttributes", QueueUrl=url, AttributeNames=["All"])
        queue_tags = (await aws.call("sqs:ListQueueTags", QueueUrl=url)).get("Tags", {})
        seen = attrs.evolve(seen, queue=said.get("Attributes", {}), labels=(queue_tags, {}))
    if rule:
        arn = str(rule["Arn"])
        targets = (await aws.call("events:ListTargetsByRule", Rule=name)).get("Targets", [])
        rule_tags = tags.read(await aws.call("events:ListTagsForResource", ResourceARN=arn))
        seen = attrs.evolve(seen, arn=arn, rule=rule, targets={one["Id"]: one["Arn"] for one in targets})
        seen = attrs.evolve(seen, labels=(seen.labels[0], rule_tags))
    return seen


async def url_of(aws: Aws, name: str) -> str:
    """Return the queue's URL; "" if there is none."""
    return str((await _or_none(aws, "sqs:GetQueueUrl", QueueName=name)).get("QueueUrl", ""))


async def _or_none(aws: Aws, operation: str, **params: Any) -> Mapping[str, Any]:
    try:
        return await aws.call(operation, tries=3, **params)
    except Trouble as trouble:
        if trouble.cause is Cause.NOT_FOUND:
            return {}
        raise


async def has(aws: Aws, name: str) -> bool:
    """Tell whether there is a queue or a rule of this name, as far as we may know: what we may not see is not ours.

    Raises:
        Trouble: If AWS could not be asked.
    """
    for operation, params in (("sqs:GetQueueUrl", {"QueueName": name}), ("events:DescribeRule", {"Name": name})):
        try:
            if await _or_none(aws, operation, **params):
                return True
        except Trouble as trouble:
            if trouble.code not in PERMISSION:
                raise
    return False


async def remove(aws: Aws, name: str) -> list[str]:
    """Take the target off, delete the rule, then the queue; return what keeps the next from going, as text for people.

    Raises:
        Trouble: If AWS could not be asked.
    """
    left = await remove_rule(aws, name)
    return left or await remove_queue(aws, name)


async def remove_rule(aws: Aws, name: str) -> list[str]:
    """Take the target off and delete the rule; return it, as text for people, if it stays."""
    stays = await release(aws, name)
    why = "" if stays else await delete_one(aws, "events:DeleteRule", {"Name": name})
    return [f"rule {name} ({why})"] if why else stays


async def release(aws: Aws, name: str) -> list[str]:
    """Take our target off the rule; return the rule, as text for people, if that cannot be done."""
    why = await delete_one(aws, "events:RemoveTargets", {"Rule": name, "Ids": [TARGET]})
    return [f"rule {name} ({why})"] if why else []


async def remove_queue(aws: Aws, name: str) -> list[str]:
    """Delete the queue; return it, as text for people, if it stays."""
    try:
        url = await url_of(aws, name)
    except Trouble as trouble:
        if trouble.code not in PERMISSION:
            raise
        return [f"queue {name} ({trouble.code})"]
    why = await delete_one(aws, "sqs:DeleteQueue", {"QueueUrl": url}) if url else ""
    return [f"queue {name} ({why})"] if why else []
