"""Looking for what earlier runs left, and ending it, in few calls: one lists a kind of thing, of all runs at once.

Which things may be ended is not decided here: the caller judges what was seen, right before it is ended.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import UTC
from functools import partial
from itertools import chain
from typing import Any

import anyio
import attrs

from aspot.aws import channel, cleanup, tags
from aspot.aws.clients import PAGE, TEMPLATES_PAGE, Aws, named
from aspot.aws.codes import PERMISSION, Cause
from aspot.aws.errors import Trouble
from aspot.aws.together import together
from aspot.machine.pool import Pool
from aspot.machine.remains import Kind, Thing

Judge = Callable[[Sequence[Thing]], Sequence[Thing]]
"""Takes things that bear aspot's tag; returns those to end. It remembers: what shows later may say less of its run."""
FIRST_S, MOST_S = 2.0, 16.0
"""Between two looks whether machines are gone: each pause is twice the last."""
IN_USE = "DependencyViolation"


@attrs.frozen(kw_only=True)
class _Look:
    """How EC2 lists a kind of thing.

    Args:
        action: The call.
        items: The answer's member.
        id: An item's id.
        title: Takes EC2's own name of an item, or of its group.
        states: The filter for its state, and the states looked for: what belongs to a machine goes with it.
        tags: An item's tags.
        page: Most items a page.
    """

    action: str
    items: str
    id: str
    title: Callable[[Mapping[str, Any]], str] = lambda _: ""
    states: tuple[str, tuple[str, ...]] = ("", ())
    tags: str = "Tags"
    page: int = PAGE


def _group_of(item: Mapping[str, Any]) -> str:
    groups = item.get("Groups") or [{}]
    return str(groups[0].get("GroupName", "")) if len(groups) == 1 else ""


_LOOKS = {
    Kind.INSTANCE: _Look(
        action="DescribeInstances",
        items="Reservations",
        id="InstanceId",
        states=("instance-state-name", cleanup.COSTLY),
    ),
    Kind.REQUEST: _Look(
        action="DescribeSpotInstanceRequests",
        items="SpotInstanceRequests",
        id="SpotInstanceRequestId",
        states=("state", ("open",)),
    ),
    Kind.VOLUME: _Look(
        action="DescribeVolumes",
        items="Volumes",
        id="VolumeId",
        states=("status", ("available", "error")),
    ),
    Kind.INTERFACE: _Look(
        action="DescribeNetworkInterfaces",
        items="NetworkInterfaces",
        id="NetworkInterfaceId",
        title=_group_of,
        states=("status", ("available",)),
        tags="TagSet",
    ),
    Kind.GROUP: _Look(
        action="DescribeSecurityGroups",
        items="SecurityGroups",
        id="GroupId",
        title=lambda item: str(item.get("GroupName", "")),
    ),
    Kind.TEMPLATE: _Look(
        action="DescribeLaunchTemplates",
        items="LaunchTemplates",
        id="LaunchTemplateId",
        title=lambda item: str(item.get("LaunchTemplateName", "")),
        page=TEMPLATES_PAGE,
    ),
}
_DELETES = {
    Kind.VOLUME: ("ec2:DeleteVolume", "VolumeId"),
    Kind.INTERFACE: ("ec2:DeleteNetworkInterface", "NetworkInterfaceId"),
    Kind.GROUP: ("ec2:DeleteSecurityGroup", "GroupId"),
    Kind.TEMPLATE: ("ec2:DeleteLaunchTemplate", "LaunchTemplateId"),
}


async def look_everywhere(aws: Aws) -> list[Thing]:
    """Return everything that bears aspot's tag and does not go away with a machine.

    An interface is aspot's only in a group of aspot's: without one, none is looked for.

    Raises:
        Trouble: If EC2 could not be asked.
    """
    found = await look(aws, [kind for kind in Kind if kind is not Kind.INTERFACE])
    if any(thing.kind is Kind.GROUP for thing in found):
        found += await look(aws, [Kind.INTERFACE])
    return found


async def look(aws: Aws, kinds: Collection[Kind]) -> list[Thing]:
    """Return what bears aspot's tag, whoever made it: one call a kind and thousand things."""
    return list(chain.from_iterable(await together(*(partial(_look, aws, kind) for kind in kinds))))


async def _look(aws: Aws, kind: Kind) -> list[Thing]:
    if kind is Kind.CHANNEL:
        return await _channels(aws)
    how = _LOOKS[kind]
    name, states = how.states
    filters = [named("tag-key", [tags.RUN]), *([named(name, states)] if name else [])]
    found = await aws.pages(f"ec2:{how.action}", how.items, size=how.page, Filters=filters)
    items = [item for one in found for item in one["Instances"]] if kind is Kind.INSTANCE else found
    return [_thing(kind, how, item) for item in items]


async def _channels(aws: Aws) -> list[Thing]:
    """Return the event queues of runs: one call for all, and one for each that there is; none if we may not ask."""
    try:
        urls = await aws.pages("sqs:ListQueues", "QueueUrls", QueueNamePrefix=channel.OWN)
        found = await together(*(partial(_channel, aws, str(url)) for url in urls))
    except Trouble as trouble:
        if trouble.code in PERMISSION:
            return []  # then no run of ours could make any
        raise
    return [thing for thing in found if thing is not None]


async def _channel(aws: Aws, url: str) -> Thing | None:
    try:
        seen = (await aws.call("sqs:ListQueueTags", QueueUrl=url)).get("Tags", {})
    except Trouble as trouble:
        if trouble.cause is Cause.NOT_FOUND:
            return None  # listed still, and deleted
        raise
    name = url.rpartition("/")[2]
    return Thing(kind=Kind.CHANNEL, id=name, title=name, **_said(seen)) if tags.RUN in seen else None


def _thing(kind: Kind, how: _Look, item: Mapping[str, Any]) -> Thing:
    return Thing(
        kind=kind,
        id=item[how.id],
        title=how.title(item),
        **_said(tags.read({"Tags": item.get(how.tags, ())})),
        **(_machine(item) if kind is Kind.INSTANCE else {"state": str(item.get("State") or item.get("Status") or "")}),
    )


def _said(seen: Mapping[str, str]) -> dict[str, Any]:
    """Return what a thing's tags say."""
    return {
        "run": seen.get(tags.RUN, ""),
        "name": seen.get(tags.NAME, ""),
        "owner": seen.get(tags.OWNER, ""),
        "version": seen.get(tags.VERSION, ""),
        "request": seen.get(tags.REQUEST, ""),
        "expires": tags.moment(seen.get(tags.EXPIRES, "")),
        "kept": tags.moment(seen.get(tags.KEPT, "")),
    }


def _machine(item: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "state": item["State"]["Name"],
        "pool": Pool(item["InstanceType"], item["Placement"]["AvailabilityZone"]),
        "is_spot": item.get("InstanceLifecycle") == "spot",
        "launched": item["LaunchTime"].astimezone(UTC),
    }


async def sweep(aws: Aws, judge: Judge, *, owner: str, until: float) -> list[str]:
    """End what the judge says, see machines gone, and delete what they leave behind.

    For one run of a thousand machines these are nine calls, and one each time that machines are looked at; five more
    for each event queue.

    Args:
        aws: The gateway.
        judge: Decides; asked again about what machines left behind.
        owner: Whose things the judge may choose from.
        until: By the monotonic clock: how long to wait until they are gone.

    Returns:
        What is still there, as text for people.

    Raises:
        Trouble: If EC2 could not be asked.
    """
    doomed = judge(await look(aws, (Kind.INSTANCE, Kind.REQUEST, Kind.GROUP, Kind.TEMPLATE, Kind.CHANNEL)))
    left = await _cancel(aws, _of(doomed, Kind.REQUEST))
    machines = {thing.id for thing in _of(doomed, Kind.INSTANCE)}
    refused = await cleanup.terminate(aws, machines)
    left += [_text(thing, refused[thing.id]) for thing in doomed if thing.id in refused]
    left += await _delete(aws, _of(doomed, Kind.TEMPLATE))
    left += chain.from_iterable(await together(*(partial(_close, aws, one) for one in _of(doomed, Kind.CHANNEL))))
    staying = await _until_gone(aws, machines - set(refused), owner, until)
    left += [_text(thing, staying[thing.id]) for thing in doomed if thing.id in staying]
    left += await _delete(aws, judge(await look(aws, [Kind.VOLUME])))
    held = {thing.run for thing in doomed if thing.id in refused or thing.id in staying}
    return left + await _delete_groups(aws, _of(doomed, Kind.GROUP), judge, held=held, until=until)


def _of(things: Iterable[Thing], kind: Kind) -> list[Thing]:
    return [thing for thing in things if thing.kind is kind]


def _text(thing: Thing, why: str) -> str:
    return f"{thing.kind.words} {thing.id} of {thing.name} ({why})"


async def _cancel(aws: Aws, requests: Sequence[Thing]) -> list[str]:
    """Cancel spot requests before they bring machines; return those that stay."""
    if not requests:
        return []
    ids = {"SpotInstanceRequestIds": sorted(thing.id for thing in requests)}
    why = await cleanup.delete_one(aws, "ec2:CancelSpotInstanceRequests", ids)
    return [_text(thing, why) for thing in requests if why]


async def _close(aws: Aws, thing: Thing) -> list[str]:
    """Delete an event queue with its rule; return what of them stays."""
    return [f"{item} of {thing.name}" for item in await channel.remove(aws, thing.id)]


async def _delete(aws: Aws, things: Sequence[Thing]) -> list[str]:
    """Delete things; return those that stay, with AWS's code for why."""
    return [_text(thing, why) for thing, why in await _tried(aws, things)]


async def _tried(aws: Aws, things: Sequence[Thing]) -> list[tuple[Thing, str]]:
    reasons = await together(*(partial(_delete_one, aws, thing) for thing in things))
    return [(thing, why) for thing, why in zip(things, reasons, strict=True) if why]


async def _delete_one(aws: Aws, thing: Thing) -> str:
    action, key = _DELETES[thing.kind]
    return await cleanup.delete_one(aws, action, {key: thing.id})


async def _until_gone(aws: Aws, machines: Collection[str], owner: str, until: float) -> dict[str, str]:
    """Wait until EC2 shows the machines as terminated; return those that it does not, with its word for their state."""
    pause_s = FIRST_S
    while machines:
        await anyio.sleep(pause_s)
        pause_s = min(2 * pause_s, MOST_S)
        seen = await aws.pages(
            "ec2:DescribeInstances",
            "Reservations",
            Filters=[
                named("tag-key", [tags.RUN]),
                named(f"tag:{tags.OWNER}", [owner]),
                named("instance-state-name", (*cleanup.COSTLY, "shutting-down")),
            ],
        )
        states = {item["InstanceId"]: item["State"]["Name"] for one in seen for item in one["Instances"]}
        there = {one: states[one] for one in machines if one in states}
        if not there or time.monotonic() + pause_s > until:
            return there
    return {}


async def _delete_groups(
    aws: Aws, groups: Sequence[Thing], judge: Judge, *, held: Collection[str], until: float
) -> list[str]:
    """Delete groups, and interfaces that are left in them; EC2 may see a machine's interface for a while yet."""
    pause_s = FIRST_S
    while True:
        stay = await _tried(aws, groups)
        is_worth_it = any(why == IN_USE and thing.run not in held for thing, why in stay)
        if not is_worth_it or time.monotonic() + pause_s > until:
            return [_text(thing, why) for thing, why in stay]
        groups = [thing for thing, _ in stay]
        await _delete(aws, judge(await look(aws, [Kind.INTERFACE])))
        await anyio.sleep(pause_s)
        pause_s = min(2 * pause_s, MOST_S)
