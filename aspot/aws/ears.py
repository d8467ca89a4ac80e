"""What EC2 says by itself to one run: messages of the run's own queue, turned into facts.

A run makes its queue (`channel`) only where `aspot events setup` was called in its region, and removes it at its end.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import attrs

from aspot.aws import channel, tags
from aspot.aws.clients import Aws
from aspot.aws.codes import PERMISSION, TRANSIENT, Cause
from aspot.aws.errors import Trouble, to_error
from aspot.aws.sightings import NOTICE
from aspot.ports import CloudChange, CloudFact, CloudNotice, CloudPlan, CloudRebalance

WAIT_S = 20
"""Longest that SQS lets a receiver wait (API reference, ReceiveMessage)."""
BATCH = 10
"""Most messages of one answer (the same)."""
SETTLE_S = 60.0
"""A queue made just now may not be found yet."""


@attrs.define(kw_only=True)
class Ears:
    """How one run hears EC2.

    Args:
        plan: The run's plan.
        name: Of the queue and rule that may be there, and are to be removed; "" for none.
        url: The queue's URL, once it is ours to read.
        place: Where the shared queue is, once it was found.
        has_begun: Whether we began to make them ourselves.
    """

    plan: CloudPlan
    name: str = ""
    url: str = ""
    place: channel.Place | None = None
    has_begun: bool = False
    _made: float = 0.0

    async def hear(self, aws: Aws) -> Sequence[CloudFact] | None:
        """Wait for messages, some seconds at most; None if events are not set up, or we may not know whether they are.

        Raises:
            Trouble: If AWS could not be asked just now: ask again later.
            AspotError: If events cannot be had, now and later.
        """
        if self.place is None and not await self._find(aws):
            return None
        try:
            if not self.url:
                await self._make(aws)
            answer = await aws.once(
                "sqs:ReceiveMessage", QueueUrl=self.url, MaxNumberOfMessages=BATCH, WaitTimeSeconds=WAIT_S
            )
        except Trouble as trouble:
            if trouble.cause in (*TRANSIENT, Cause.BUSY, Cause.EXPIRED) or self._is_early(trouble):
                raise
            raise to_error(await aws.explain(trouble)) from trouble
        self._made = 0.0
        facts = (fact_of(str(message.get("Body", ""))) for message in answer.get("Messages", ()))
        return [fact for fact in facts if fact is not None]

    async def _find(self, aws: Aws) -> bool:
        """Look for the shared queue, which says that events are wanted: one call."""
        try:
            url = await channel.url_of(aws, channel.SHARED)
        except Trouble as trouble:
            if trouble.code in PERMISSION:
                return False
            raise
        self.place = channel.place_of(url, aws) if url else None
        return self.place is not None

    async def _make(self, aws: Aws) -> None:
        assert self.place is not None
        self.name, self.has_begun = channel.name_of(self.plan.run.id), True
        labels = {tag["Key"]: tag["Value"] for tag in tags.tags_of(self.plan)}
        self.url = await channel.make(aws, self.name, self.place, labels)
        self._made = time.monotonic()

    def _is_early(self, trouble: Trouble) -> bool:
        return trouble.cause is Cause.NOT_FOUND and bool(self._made) and time.monotonic() - self._made < SETTLE_S

    async def remove(self, aws: Aws) -> list[str]:
        """Delete queue and rule; return what stays, as text for people.

        Raises:
            Trouble: If AWS could not be asked.
        """
        left: list[str] = []
        if self.name and (self.has_begun or await channel.has(aws, self.name)):
            left = await channel.remove(aws, self.name)
        if not left:
            self.name = self.url = ""
        return left


def fact_of(body: str) -> CloudFact | None:
    """Return what an event says of an instance; None if it says nothing that we know.

    Whoever may write to the account's queues can write anything here.
    """
    try:
        event = json.loads(body)
        detail = event["detail"]
        kind, source, instance = event["detail-type"], event["source"], detail["instance-id"]
        if source != "aws.ec2" or not isinstance(instance, str):
            return None
        return _fact(kind, instance, event, detail)
    except (ValueError, KeyError, TypeError, OverflowError):
        return None


def _fact(kind: str, instance: str, event: dict[str, Any], detail: dict[str, Any]) -> CloudFact | None:
    if kind == channel.WARNING:
        return CloudNotice(instance=instance, deadline=datetime.fromisoformat(event["time"]).astimezone(UTC) + NOTICE)
    if kind == channel.ADVICE:
        return CloudRebalance(instance=instance)
    if kind == channel.CHANGE:
        return CloudChange(instance=instance, state=str(detail["state"]))
    return None
