"""`aspot down`: end runs and everything they launched, from any terminal."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from functools import partial
from typing import TYPE_CHECKING

import attrs

from aspot.cli.region import usual_regions
from aspot.errors import AspotError, ConfigError
from aspot.journal import runs as journals
from aspot.journal.runs import RunInfo
from aspot.ui.safe import one_line

if TYPE_CHECKING:
    from aspot.aws.account import Account

CLIENT_S = 150.0
"""How long the process that drives a run may take to end it, after it was asked."""


@attrs.frozen(kw_only=True)
class _Goal:
    """A run to end: its journal here, if there is one, its id, and the regions where it may have anything."""

    name: str
    run: str
    regions: frozenset[str]
    info: RunInfo | None = None


def main(args: argparse.Namespace) -> int:
    """End the runs; return 0 when nothing of them is left, 3 otherwise."""
    if bool(args.names) == args.all:
        raise ConfigError("name the runs to end, or use --all", fix="aspot ls shows what there is")
    left, stay = asyncio.run(_down(args))
    if args.json:
        print(json.dumps({"left": left, "stays": stay}))
    elif left:
        print("Left behind:", *(f"  {item}" for item in left), sep="\n")
    else:
        print("Nothing left (checked).")
    for line in () if args.json else stay:
        print(one_line(line, limit=1000))
    return 3 if left else 0


async def _down(args: argparse.Namespace) -> tuple[list[str], list[str]]:
    """End the runs; return what is left of them, and what stays since it is data, as text for people."""
    from aspot.aws.together import together

    goals = _known(args.names, args.region)
    regions = [args.region] if args.region else sorted({one for goal in goals for one in goal.regions})
    async with AsyncExitStack() as stack:
        doors = _Doors(stack)
        for region in regions or usual_regions():
            await doors.open(region)
        goals += await _strangers(args, doors, {goal.run for goal in goals})
        _refuse_unknown(args.names, goals)
        for region in sorted({one for goal in goals for one in goal.regions}):
            await doors.open(region)
        ended = await together(*(partial(_end, doors, goal, quiet=args.quiet) for goal in goals))
    return [item for left in ended for item in left], await data_of([goal.info for goal in goals if goal.info])


async def data_of(ended: Iterable[RunInfo]) -> list[str]:
    """Return what runs that have ended had mounted and what is still there, each thing once, as text for people."""
    from aspot.boxes.storage import stays

    found = [line for info in ended for line in await stays(info)]
    return list(dict.fromkeys(found))


@attrs.define
class _Doors:
    """Each region that is asked, by name; closed with the stack."""

    stack: AsyncExitStack
    accounts: dict[str, Account] = attrs.field(init=False, factory=dict)

    async def open(self, region: str | None) -> None:
        """Have a region asked, too; None for AWS's own choice."""
        from aspot.aws.account import Account

        if region not in self.accounts:
            account = await self.stack.enter_async_context(await Account.open(region))
            self.accounts.setdefault(account.region, account)


def _known(names: list[str], region: str | None) -> list[_Goal]:
    """Return the runs of these names (of all, if none is given) that have not ended, as the journals here tell.

    Raises:
        ConfigError: If one that was named is not in the region that was.
    """
    wanted = [
        item
        for item in journals.runs()
        if (not names or item.name in names) and (item.ended is None or item.left or item.kept)
    ]
    for item in wanted if region and names else ():
        if item.regions and region not in item.regions:
            raise ConfigError(
                f"{item.kind} {item.name} is in {', '.join(item.regions)}, not in {region}", fix="leave --region out"
            )
    goals = [_Goal(name=item.name, run=item.id, regions=frozenset(item.regions), info=item) for item in wanted]
    return [goal for goal in goals if not region or region in goal.regions or not goal.regions]


async def _strangers(args: argparse.Namespace, doors: _Doors, known: set[str]) -> list[_Goal]:
    """Return the runs that are meant, have machines of this user, and no journal here."""
    from aspot.aws.together import together
    from aspot.intake.names import owner

    accounts = list(doors.accounts.items())
    there = await together(*(partial(account.instances, owner()) for _, account in accounts))
    found: dict[str, _Goal] = {}
    for (region, _), items in zip(accounts, there, strict=True):
        for item in items:
            is_alive = item.state not in ("terminated", "shutting-down")
            if is_alive and item.run not in known and (args.all or item.name in args.names):
                goal = found.get(item.run) or _Goal(name=item.name, run=item.run, regions=frozenset())
                found[item.run] = attrs.evolve(goal, regions=goal.regions | {region, *item.regions})
    return list(found.values())


def _refuse_unknown(names: list[str], goals: list[_Goal]) -> None:
    ended = {item.name for item in journals.runs()}
    for name in names:
        if name not in {goal.name for goal in goals} and name not in ended:
            raise ConfigError(f"nothing called {name!r} is running", fix="aspot ls shows what there is")


async def _end(doors: _Doors, goal: _Goal, *, quiet: bool) -> list[str]:
    from aspot.aws.together import together

    if goal.info is not None and goal.info.is_live:
        _say(f"asking the process that drives {goal.name} to end it", quiet=quiet)
        if await _asked(goal.info):
            ended = journals.info(goal.info.folder)
            if not ended.kept:
                return list(ended.left)
        else:
            _say(f"it did not end within {CLIENT_S:.0f} s: ending its machines from here", quiet=quiet)
    _say(f"ending {goal.name}", quiet=quiet)
    accounts = [one for region, one in doors.accounts.items() if region in goal.regions or not goal.regions]
    if goal.info is not None and goal.info.is_box and not goal.info.trouble and goal.info.ended is None:
        from aspot.boxes.known import Known, end

        return await end(accounts[0], Known.of(goal.info), look=None, is_asked=True)
    parts = await together(*(partial(account.remove_run, goal.run) for account in accounts))
    left = [
        f"{item} in {account.region}" if len(accounts) > 1 else item
        for account, part in zip(accounts, parts, strict=True)
        for item in part
    ]
    if goal.info is not None and not goal.info.trouble and not goal.info.folder.is_live:
        await mark_ended(goal.info, left)
    return left


async def _asked(info: RunInfo) -> bool:
    """Ask the process that drives a run to end it; return whether it did in time."""
    try:
        journals.ask(info.folder, "stop")
    except AspotError:
        return False  # it ended meanwhile, or crashed: the caller looks at what is there
    until = time.monotonic() + CLIENT_S
    while time.monotonic() < until:
        if not info.folder.is_live:
            return journals.info(info.folder).ended is not None
        await asyncio.sleep(0.3)
    return False


async def mark_ended(info: RunInfo, left: list[str]) -> None:
    """Write into a run's journal that it has ended, and what was left of it.

    Raises:
        AspotError: If it cannot be written, or a process drives the run.
    """
    from aspot.journal.sqlite import SqliteJournal

    journal = SqliteJournal.open(info.folder)
    try:
        await journal.finish(left)
    finally:
        await journal.aclose()


def _say(text: str, *, quiet: bool) -> None:
    if not quiet:
        print(text, file=sys.stderr)
