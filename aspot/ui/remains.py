"""What earlier runs left, as text: what may be ended, what is spared, what is ignored."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from aspot.machine.pool import Pool
from aspot.machine.quantities import price, short_duration
from aspot.machine.remains import Findings, Kind, Remains, Thing
from aspot.ui.layout import table
from aspot.ui.safe import one_line

_HEADING = ("RUN", "AGE", "WHAT", "$/h")
_RIGHT = frozenset((1, 3))
_TOLD_THINGS = 5
_TOLD_IGNORED = 10


def found_text(found: Sequence[Remains], *, now: datetime, spot: Mapping[Pool, float]) -> str:
    """Return runs and what is left of each, the first few things by name.

    Args:
        found: The runs.
        now: The moment shown; aware UTC.
        spot: Spot prices in US dollars an hour, as far as they are known.
    """
    rows = [_HEADING, *(_cells(remains, now, spot) for remains in found)]
    head, *lines = table(rows, right=_RIGHT)
    told = [head]
    for remains, line in zip(found, lines, strict=True):
        told += [line, *(f"  {text}" for text in _things(remains.things))]
    return "\n".join(told)


def _cells(remains: Remains, now: datetime, spot: Mapping[Pool, float]) -> tuple[str, ...]:
    cost = remains.usd_per_hour(spot)
    age = short_duration((now - remains.began).total_seconds())
    return one_line(remains.name), age, what(remains), "" if cost is None else price(cost)


def what(remains: Remains) -> str:
    """Return what is left of a run, counted: `2 × c7g.large, security group`."""
    counts = Counter(_sort(thing) for thing in remains.things)
    return ", ".join(f"{count} × {one_line(sort)}" if count > 1 else one_line(sort) for sort, count in counts.items())


def _sort(thing: Thing) -> str:
    return thing.pool.type if thing.pool is not None else thing.kind.words


def _things(things: Sequence[Thing]) -> Iterator[str]:
    order = sorted(things, key=lambda thing: thing.kind is not Kind.INSTANCE)
    for thing in order[:_TOLD_THINGS]:
        place = f" {thing.pool}" if thing.pool is not None else ""
        state = f" ({thing.state})" if thing.state else ""
        yield one_line(f"{thing.kind.words} {thing.id}{place}{state}")
    if len(order) > _TOLD_THINGS:
        yield f"… and {len(order) - _TOLD_THINGS} more (--json lists all)"


def notes_text(findings: Findings) -> str:
    """Return what is left alone, and why; "" if nothing is."""
    lines = ["Left alone:"] if findings.spared else []
    lines += [one_line(f"  {one.name} ({what(one)}): {one.reprieve}") for one in findings.spared]
    lines += ["Ignored, as not provably yours:"] if findings.ignored else []
    told = findings.ignored[:_TOLD_IGNORED]
    lines += [one_line(f"  {thing.kind.words} {thing.id}: {why}") for thing, why in told]
    more = len(findings.ignored) - len(told)
    return "\n".join([*lines, *([f"  … and {more} more"] if more else [])])


def found_json(remains: Remains, *, region: str, now: datetime, spot: Mapping[Pool, float]) -> dict[str, Any]:
    """Return what is left of a run as an object for scripts."""
    return {
        "run": remains.name,
        "id": remains.run,
        "region": region,
        "age_s": round((now - remains.began).total_seconds()),
        "usd_per_hour": remains.usd_per_hour(spot),
        "things": [_thing_json(thing) for thing in remains.things],
    }


def _thing_json(thing: Thing) -> dict[str, Any]:
    type_name, zone = (thing.pool.type, thing.pool.zone) if thing.pool is not None else (None, None)
    return {"kind": thing.kind.value, "id": thing.id, "state": thing.state or None, "type": type_name, "zone": zone}
