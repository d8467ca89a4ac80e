"""`aspot events`: the shared queue and rule of a region, which say that runs there are to hear EC2's own events."""

from __future__ import annotations

import json
from collections.abc import Mapping

import attrs

from aspot.aws import channel, tags
from aspot.aws.channel import SHARED, Seen
from aspot.aws.clients import Aws
from aspot.aws.service import Service
from aspot.errors import ConfigError
from aspot.machine.remains import VERSION

AGAIN_S = 75.0
"""After a teardown SQS keeps the queue's name for 60 s: a setup waits for it."""
SETUP = "aspot events setup"


@attrs.frozen(kw_only=True)
class Standing:
    """How events stand in a region.

    Args:
        region: Where.
        state: `ready`, `absent`, or `incomplete`.
        rule: The rule's ARN; "" for none.
        queue: The queue's URL; "" for none.
        events: How many events came in the last 5 minutes, about; None without a queue.
        flaws: What is wrong, each as text for people.
        fix: What to do about it; "" for nothing.
    """

    region: str
    state: str
    rule: str = ""
    queue: str = ""
    events: int | None = None
    flaws: tuple[str, ...] = ()
    fix: str = ""


@attrs.frozen(kw_only=True)
class Removed:
    """What a teardown did: what is gone, and what stays, each as text for people."""

    region: str
    removed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()


class Events(Service):
    """The shared queue and rule of one region. Make it with `Events.open`, close it with `aclose`."""

    async def status(self) -> Standing:
        """Return what is there, and what is wrong with it.

        Raises:
            CloudError: If AWS could not be asked, or may not be.
        """
        return await self._explained(self._status())

    async def _status(self) -> Standing:
        seen = await channel.look(self._aws, SHARED)
        flaws = flaws_of(seen, self._aws)
        strange = foreign(seen)
        there = seen.url or seen.arn
        fix = f"{SETUP} puts it right" if there and flaws else "" if there else SETUP
        if strange:
            fix = f"delete {' and '.join(strange)}, or use another region; then {SETUP}"
        return Standing(
            region=self._aws.region,
            state="incomplete" if there and flaws else "ready" if there else "absent",
            rule=seen.arn,
            queue=seen.url,
            events=int(seen.queue.get("ApproximateNumberOfMessages", 0)) if seen.url else None,
            flaws=tuple(flaws) if there else (),
            fix=fix,
        )

    async def setup(self, owner: str) -> list[str]:
        """Make what is missing, put right what is wrong; return what was done, as text for people.

        Args:
            owner: Who asks, for the tag `aspot:owner`.

        Raises:
            ConfigError: If there are things of this name that are not aspot's.
            CloudError: If AWS refuses; what was made stays, and a repeat goes on from there.
        """
        return await self._explained(self._setup(owner))

    async def _setup(self, owner: str) -> list[str]:
        aws, seen = self._aws, await channel.look(self._aws, SHARED)
        strange = foreign(seen)
        if strange:
            raise ConfigError(
                f"{' and '.join(strange)} in {aws.region} bear no tag of aspot's",
                fix="delete them, or use another region",
            )
        labels = {"Name": SHARED, channel.USE: channel.USED, tags.OWNER: owner, tags.VERSION: VERSION}
        place, done = await channel.here(aws), list[str]()
        wanted = channel.attributes(SHARED, place)
        if not seen.url:
            await channel.make_queue(aws, SHARED, place, labels, patience_s=AGAIN_S)
            done.append(f"made queue {SHARED}")
        elif _queue_flaws(seen.queue, wanted):
            await aws.call("sqs:SetQueueAttributes", QueueUrl=seen.url, Attributes=wanted)
            done.append(f"put queue {SHARED} right")
        if _rule_flaws(seen):
            await channel.make_rule(aws, SHARED, labels)
            done.append(f"put rule {SHARED} right" if seen.arn else f"made rule {SHARED}")
        if seen.targets.get(channel.TARGET) != place.queue_arn(SHARED):
            await channel.aim(aws, SHARED, place)
            done.append("made the queue the rule's target")
        return done

    async def teardown(self) -> Removed:
        """Remove target, rule and queue, as far as they are aspot's. Runs under way keep their own to their end.

        Raises:
            CloudError: If AWS could not be asked, or may not be.
        """
        return await self._explained(self._teardown())

    async def _teardown(self) -> Removed:
        seen = await channel.look(self._aws, SHARED)
        strange = foreign(seen)
        left = [f"{what}: not aspot's" for what in strange]
        has = {f"rule {SHARED}": bool(seen.arn), f"queue {SHARED}": bool(seen.url)}
        doomed = [what for what, is_there in has.items() if is_there and what not in strange]
        others = sorted(set(seen.targets) - {channel.TARGET})
        if f"rule {SHARED}" in doomed and others:
            left.append(f"rule {SHARED}: it has targets that are not aspot's ({', '.join(others)})")
            left += await channel.release(self._aws, SHARED)
            doomed.remove(f"rule {SHARED}")
        if f"rule {SHARED}" in doomed:
            left += await channel.remove_rule(self._aws, SHARED)
        if f"queue {SHARED}" in doomed:
            left += await channel.remove_queue(self._aws, SHARED)
        stays = " ".join(left)
        return Removed(
            region=self._aws.region,
            removed=tuple(what for what in doomed if what not in stays),
            left=tuple(left),
        )


def foreign(seen: Seen) -> list[str]:
    """Return what has our name and not our tag."""
    there = ((f"queue {SHARED}", seen.url, seen.labels[0]), (f"rule {SHARED}", seen.arn, seen.labels[1]))
    return [what for what, is_there, labels in there if is_there and labels.get(channel.USE) != channel.USED]


def flaws_of(seen: Seen, aws: Aws) -> list[str]:
    """Return what is wrong, as text for people."""
    flaws = [f"{what} is not aspot's: it bears none of its tags" for what in foreign(seen)]
    if not seen.url:
        flaws.append("there is no queue")
    flaws += _rule_flaws(seen)
    if seen.url:
        place = channel.place_of(seen.url, aws)
        flaws += _queue_flaws(seen.queue, channel.attributes(SHARED, place))
        if seen.arn and seen.targets.get(channel.TARGET) != place.queue_arn(SHARED):
            flaws.append("the rule does not send to the queue")
    return flaws


def _rule_flaws(seen: Seen) -> list[str]:
    if not seen.arn:
        return ["there is no rule"]
    flaws = [] if seen.rule.get("State") == "ENABLED" else ["the rule is disabled"]
    is_right = _same(seen.rule.get("EventPattern", ""), channel.PATTERN)
    return flaws if is_right else [*flaws, "the rule is for other events"]


def _queue_flaws(found: Mapping[str, str], wanted: Mapping[str, str]) -> list[str]:
    words = {
        "MessageRetentionPeriod": f"the queue does not keep messages for {channel.RETENTION_S} s",
        "SqsManagedSseEnabled": "the queue is not encrypted by SQS",
        "VisibilityTimeout": "the queue shows messages again",
    }
    flaws = [text for key, text in words.items() if found.get(key, "").lower() != wanted[key]]
    is_right = _same(found.get("Policy", ""), json.loads(wanted["Policy"]))
    return flaws if is_right else [*flaws, "the queue's policy does not let the rule alone send to it"]


def _same(text: str, wanted: object) -> bool:
    try:
        return bool(json.loads(text) == wanted)
    except ValueError:
        return False
