"""`aspot clean`: show what earlier runs left, and end it when told to."""

from __future__ import annotations

import argparse
import asyncio
import json
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import attrs

from aspot.cli.down import data_of, mark_ended
from aspot.cli.region import regions_of
from aspot.errors import AspotError
from aspot.intake.names import owner
from aspot.journal import runs as journals
from aspot.journal.runs import RunInfo
from aspot.machine.pool import Pool
from aspot.machine.quantities import seconds
from aspot.machine.remains import Findings, Standing, Terms, Thing, merged, sort_out
from aspot.ui.remains import found_json, found_text, notes_text, what
from aspot.ui.safe import one_line

if TYPE_CHECKING:
    from aspot.aws.account import Account


@attrs.frozen(kw_only=True)
class _Outcome:
    """What was found in a region, what of it could not be ended, and what stays of it since it is data."""

    region: str
    findings: Findings = attrs.field(factory=Findings)
    spot: Mapping[Pool, float] = attrs.field(factory=dict)
    left: Sequence[str] = ()
    stays: Sequence[str] = ()


def main(args: argparse.Namespace) -> int:
    """Show or end what earlier runs left; return 3 if anything that was to be ended is still there, else 0."""
    older_than = timedelta(seconds=seconds(args.older_than or 0, "--older-than"))
    outcomes = asyncio.run(_clean(args, older_than))
    left = [item for outcome in outcomes for item in outcome.left]
    notes = notes_text(merged(outcome.findings for outcome in outcomes))
    if args.json:
        print(json.dumps({"found": list(_found_json(outcomes)), "left": left}, indent=1))
    else:
        for text in _receipt(args, outcomes, left) if args.yes else _list(args, outcomes):
            print(text)
    if notes and not args.quiet:
        print(notes, file=sys.stderr if args.json else sys.stdout)
    return 3 if left else 0


async def _clean(args: argparse.Namespace, older_than: timedelta) -> list[_Outcome]:
    outcomes: list[_Outcome] = []
    for region in regions_of(args.region, journals.runs()):
        if region in {outcome.region for outcome in outcomes}:
            continue
        try:
            outcomes.append(await _clean_region(region, args, older_than))
        except AspotError as error:
            if not outcomes:
                raise
            outcomes.append(_Outcome(region=region or "", left=[f"{region} could not be checked: {error.message}"]))
    return outcomes


async def _clean_region(region: str | None, args: argparse.Namespace, older_than: timedelta) -> _Outcome:
    from aspot.aws.account import Account

    async with await Account.open(region) as account:
        judge = _Judge(args=args, older_than=older_than)
        return await (_end(account, judge) if args.yes else _look(account, judge))


@attrs.define(kw_only=True)
class _Judge:
    """Chooses what is ended. What shows later is judged with what was seen before, by the same clock and journals.

    So a run that was spared stays spared: its disks alone would not say that it launched something just now.
    """

    args: argparse.Namespace
    older_than: timedelta
    findings: Findings = attrs.field(factory=Findings)
    now: datetime = attrs.field(factory=lambda: datetime.now(UTC))
    _known: dict[str, Standing] = attrs.field(factory=dict)
    _kept: dict[str, datetime] = attrs.field(factory=dict)
    _things: dict[str, Thing] = attrs.field(factory=dict)

    def __call__(self, things: Sequence[Thing]) -> list[Thing]:
        runs = journals.runs()
        self._known = {item.id: _standing(item) for item in runs} | self._known
        self._kept |= {kept.instance_id: kept.until for item in runs for kept in item.kept}
        self._things |= {thing.id: thing for thing in things}
        self.findings = sort_out(self._things.values(), self._terms())
        shown = {thing.id for thing in things}
        doomed = [thing for thing in self.findings.doomed if thing.id in shown]
        if self.args.yes and not self.args.quiet:
            self._tell({thing.id for thing in doomed})
        return doomed

    def _terms(self) -> Terms:
        return Terms(
            now=self.now,
            owner=owner(),
            known=self._known,
            older_than=self.older_than,
            names=frozenset(self.args.run),
            is_all=self.args.all,
            kept=self._kept,
        )

    def _tell(self, doomed: set[str]) -> None:
        for remains in self.findings.found:
            now = attrs.evolve(remains, things=tuple(thing for thing in remains.things if thing.id in doomed))
            if now.things:
                print(one_line(f"ending {now.name}: {what(now)}"), file=sys.stderr)


def _standing(info: RunInfo) -> Standing:
    if info.is_live:
        return Standing.DRIVEN
    if info.is_box and info.ended is None:
        return Standing.BOX
    return Standing.OPEN if info.ended is None else Standing.ENDED


async def _look(account: Account, judge: _Judge) -> _Outcome:
    judge(await account.remains())
    findings = judge.findings
    types = sorted({thing.pool.type for thing in findings.doomed if thing.pool is not None and thing.is_spot})
    return _Outcome(region=account.region, findings=findings, spot=await account.spot_prices(types))


async def _end(account: Account, judge: _Judge) -> _Outcome:
    left = await account.sweep(judge, owner=owner())
    findings = judge.findings
    runs = {remains.run for remains in findings.found}
    if not left:
        await _mark_ended(runs)
    stays = await data_of(item for item in journals.runs() if item.id in runs)
    return _Outcome(region=account.region, findings=findings, left=left, stays=stays)


async def _mark_ended(ended: set[str]) -> None:
    """Write the end of runs that were swept into their journals here, so that their names are free again."""
    for item in journals.runs():
        is_over = item.ended is not None and not item.left and not item.kept
        if item.id in ended and not (is_over or item.trouble or item.is_live):
            await mark_ended(item, [])


def _found_json(outcomes: Sequence[_Outcome]) -> Iterator[object]:
    now = datetime.now(UTC)
    for outcome in outcomes:
        for remains in outcome.findings.found:
            yield found_json(remains, region=outcome.region, now=now, spot=outcome.spot)


def _list(args: argparse.Namespace, outcomes: Sequence[_Outcome]) -> Iterator[str]:
    now = datetime.now(UTC)
    for outcome in outcomes:
        if outcome.findings.found:
            yield from [f"{outcome.region}:"] if len(outcomes) > 1 else []
            yield found_text(outcome.findings.found, now=now, spot=outcome.spot)
        yield from outcome.left
    if any(outcome.findings.found for outcome in outcomes):
        yield f"Nothing was ended: {_command(args)} ends it."
    elif not args.quiet:
        yield _nothing(outcomes)


def _command(args: argparse.Namespace) -> str:
    """Return the command that ends what this one listed."""
    words = ["aspot", "clean", "--yes", *(["--all"] if args.all else [])]
    words += [word for name in args.run for word in ("--run", name)]
    given = (("--older-than", args.older_than), ("--region", args.region))
    return shlex.join([*words, *(word for option, value in given if value for word in (option, value))])


def _receipt(args: argparse.Namespace, outcomes: Sequence[_Outcome], left: Sequence[str]) -> Iterator[str]:
    if left:
        yield "\n".join(["Left behind:", *(one_line(f"  {item}") for item in left)])
    elif not args.quiet:
        ended = [one_line(f"Ended {one.name}: {what(one)}.") for out in outcomes for one in out.findings.found]
        yield from ended
        yield "Nothing left (checked)." if ended else _nothing(outcomes)
    if not args.quiet:
        yield from (one_line(line, limit=1000) for out in outcomes for line in out.stays)


def _nothing(outcomes: Sequence[_Outcome]) -> str:
    return f"Nothing to clean (checked {', '.join(outcome.region for outcome in outcomes)})."
