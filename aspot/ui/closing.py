"""The last lines of a run: what came of it, where the results are, and whether anything is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from aspot.machine.model import Run
from aspot.machine.money import cost_per_hour, on_demand_cost
from aspot.machine.quantities import price, short_duration
from aspot.results import Kept, Results
from aspot.ui.safe import COMMAND_LIMIT, one_line

_ORDER = ("succeeded", "failed", "timed_out", "cancelled", "lost", "budget")
_WORDS = {"timed_out": "timed out", "budget": "not finished: budget spent"}
_LEAST_REDONE_S = 0.5
_LEAST_USD = 1e-9


def closing_lines(run: Run, results: Results, left: Sequence[str], kept: Sequence[Kept] = ()) -> tuple[str, ...]:
    """Return the closing lines: what came of the run, where its results are, and what is left.

    Args:
        run: The run, ended or given up.
        results: Its results; their `cost` is the whole run's.
        left: What is still there, as text for people; empty: it was checked that nothing is.
        kept: Machines that stay for a look, on purpose.
    """
    lines = [", ".join(_summary(run, results))]
    if results:
        lines.append(f"Results: {one_line(_shown(results[0].dir.parent))}/")
    return (*lines, *_left(run, left, kept), *kept_lines(run.spec.name, kept))


def _shown(folder: Path) -> str:
    """Return a path as short as it can be typed from here."""
    here = Path.cwd()
    return str(folder.relative_to(here) if folder.is_relative_to(here) else folder)


def _summary(run: Run, results: Results) -> Iterator[str]:
    counts = Counter(result.status for result in results)
    for status in (*_ORDER, *sorted(set(counts) - set(_ORDER))):
        if counts[status]:
            yield f"{counts[status]} {_WORDS.get(status, one_line(status))}"
    unfinished = len(run.jobs) - sum(result.name in run.jobs for result in results)
    if unfinished:
        yield f"{unfinished} not finished"
    elif not results:
        yield "no jobs"
    yield from _interruptions(results)
    yield short_duration((run.now - run.started).total_seconds())
    yield _money(run, results)


def _interruptions(results: Results) -> Iterator[str]:
    count = sum(attempt.outcome == "interrupted" for result in results for attempt in result.attempts)
    if count:
        yield f"{count} {'interruption' if count == 1 else 'interruptions'}"
    redone = sum(result.redone for result in results)
    if redone >= _LEAST_REDONE_S:
        yield f"{short_duration(redone)} redone"
    gaps = [attempt.gap for result in results for attempt in result.attempts if attempt.gap is not None]
    if gaps:
        gap = short_duration(max(gaps)) if max(gaps) >= 1 else "under 1 s"
        yield f"{'longest ' if len(gaps) > 1 else ''}recovery gap {gap}"


def _money(run: Run, results: Results) -> str:
    usual = on_demand_cost(run) if run.instances else None
    return price(results.cost) + (f" (on-demand {price(usual)})" if usual is not None else "")


def _left(run: Run, left: Sequence[str], kept: Sequence[Kept]) -> Iterator[str]:
    if not left:
        asked = {record.spec.region for record in run.requests.values()} if run.spec.regions else set()
        regions = [region for region in run.spec.regions if region in asked]
        checked = f"checked in {' and '.join(regions)}" if len(regions) > 1 else "checked"
        yield f"Nothing left ({checked}){', but for what is kept on purpose' if kept else ''}."
        return
    hourly = cost_per_hour(run) - sum(item.price_per_hour for item in kept)
    yield f"Left behind{f', {price(hourly)}/h' if hourly > _LEAST_USD else ''}:"
    yield from (f"  {one_line(item)}" for item in left)
    yield f"End it: aspot down {one_line(run.spec.name)}"


def kept_lines(name: str, kept: Sequence[Kept]) -> Iterator[str]:
    """Yield what a user has to know of machines that are kept for a look: how to get in, the price, when they end.

    Args:
        name: The fleet's name.
        kept: The machines.
    """
    for item in kept:
        ends = f"{item.until.astimezone():%Y-%m-%d %H:%M:%S}"
        cost = f"{price(item.price_per_hour)}/h, at most {price(item.most)} more"
        yield one_line(f"Kept for a look at {item.job}: {item.name}, {cost}; it ends itself at {ends}")
        if item.ssh:
            yield f"  {one_line(item.ssh, limit=COMMAND_LIMIT)}"
    if kept:
        yield f"End {'it' if len(kept) == 1 else 'them'} sooner: aspot down {one_line(name)}"
