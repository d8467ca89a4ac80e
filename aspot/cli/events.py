"""`aspot events`: let the runs of a region hear EC2's own events, see whether they do, or end it."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, TypeVar

import attrs

from aspot.cli.region import region_of
from aspot.intake.names import owner
from aspot.ui.safe import one_line

if TYPE_CHECKING:
    from aspot.aws.events import Events, Removed, Standing

T = TypeVar("T")
COST = (
    "EventBridge takes nothing for AWS's own events. SQS takes $0.40 for a million requests, after the first million of"
    " each month: one for each event and queue, and 180 an hour for each run."
)
"""Prices of us-east-1 (aws.amazon.com/eventbridge/pricing, aws.amazon.com/sqs/pricing, 2026-11); a waiting receiver
asks every 20 s."""


def setup(args: argparse.Namespace) -> int:
    """Make what is missing; return 0 when all is whole."""
    done, standing = asyncio.run(_with(args, _set_up))
    if args.json:
        print(json.dumps({**_object(standing), "done": done}, indent=1))
        return _code(standing)
    for text in done:
        print(one_line(f"{text[0].upper()}{text[1:]}."))
    print(*_told(standing), sep="\n")
    if not args.quiet:
        print(COST)
    return _code(standing)


async def _set_up(events: Events) -> tuple[list[str], Standing]:
    return await events.setup(owner()), await events.status()


def status(args: argparse.Namespace) -> int:
    """Say how events stand; return 3 if they are there in part only, else 0."""
    standing = asyncio.run(_with(args, lambda events: events.status()))
    if args.json:
        print(json.dumps(_object(standing), indent=1))
    else:
        print(*_told(standing), sep="\n")
    return _code(standing)


def teardown(args: argparse.Namespace) -> int:
    """Remove what is aspot's; return 3 if something that has its name stays, else 0."""
    done: Removed = asyncio.run(_with(args, lambda events: events.teardown()))
    if args.json:
        print(json.dumps(attrs.asdict(done), indent=1))
    else:
        for text in done.removed:
            print(one_line(f"Removed {text}."))
        print(*(one_line(f"Left: {text}") for text in done.left), sep="\n", end="\n" if done.left else "")
        if not (done.removed or done.left):
            print(f"Events were not set up in {done.region}.")
    return 3 if done.left else 0


async def _with(args: argparse.Namespace, act: Callable[[Events], Awaitable[T]]) -> T:
    from aspot.aws.events import Events

    async with await Events.open(region_of(args.region)) as events:
        return await act(events)


def _object(standing: Standing) -> dict[str, object]:
    return {
        key: value or None if key in ("rule", "queue", "fix") else value
        for key, value in attrs.asdict(standing).items()
    }


def _told(standing: Standing) -> list[str]:
    """Return lines for people."""
    where = standing.region
    if standing.state == "absent":
        return [f"Events are not set up in {where}: {standing.fix} does it."]
    lines = [f"Events are set up in {where}: runs of more than a minute hear EC2 by them, too."]
    if standing.state == "incomplete":
        lines = [
            f"Events are set up in part in {where}:",
            *(f"  {flaw}" for flaw in standing.flaws),
            f"fix:   {standing.fix}",
        ]
    if standing.events is not None:
        lines.append(f"About {standing.events} events came in the last 5 minutes.")
    return [one_line(line) for line in lines]


def _code(standing: Standing) -> int:
    return 3 if standing.state == "incomplete" else 0
