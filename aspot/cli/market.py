"""`aspot prices`, `types`, `images`: what there is to launch, and what it costs."""

from __future__ import annotations

import argparse
import asyncio
import json
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any

import attrs

from aspot.aws.market import Answer, Market
from aspot.aws.offers import TypeFacts
from aspot.aws.together import together
from aspot.cli.region import region_of
from aspot.errors import ConfigError
from aspot.machine.quantities import dollars
from aspot.profiles import resolve
from aspot.profiles.profile import INSTANCE_TYPE
from aspot.ui import market as shown
from aspot.ui.safe import one_line

MOST_DAYS = 90
"""EC2 keeps prices for so long (EC2 API reference)."""


@attrs.define
class _Notes:
    """What is old or missing, said once each."""

    lines: dict[str, None] = attrs.field(factory=dict)

    def add(self, what: str, answer: Answer) -> None:
        if answer.is_stale:
            self.lines[shown.age_text(what, answer.at, datetime.now(UTC), answer.note)] = None
        elif answer.note:
            self.lines[one_line(answer.note)] = None

    def show(self) -> None:
        for line in self.lines:
            print(line, file=sys.stderr)


# --- prices ---


def prices(args: argparse.Namespace) -> int:
    """Print what types cost, zone by zone: now, over time, on demand."""
    if not 1 <= args.days <= MOST_DAYS:
        raise ConfigError(f"--days must be from 1 to {MOST_DAYS}, not {args.days}", fix="--days 7")
    notes = _Notes()
    found = asyncio.run(_prices(args, notes))
    if args.json:
        print(json.dumps([shown.price_object(row) | _when(answer) for row, answer in found], indent=1))
    else:
        print(shown.prices_text([row for row, _ in found], days=args.days, now=datetime.now(UTC)))
    if not args.quiet:
        notes.show()
    return 0


def _printed(
    args: argparse.Namespace,
    notes: _Notes,
    kept: Sequence[object],
    *,
    objects: Iterable[dict[str, Any]],
    as_text: Callable[..., str],
    none: str,
) -> int:
    """Print what fits, as JSON or as a table that is cut, and what is old or missing; return 0."""
    if args.json:
        print(json.dumps(list(objects), indent=1))
    elif kept:
        print(as_text(kept, most=None if args.all else shown.MOST_ROWS))
    else:
        print(none, file=sys.stderr)
    if not args.quiet:
        notes.show()
    return 0


def _when(answer: Answer) -> dict[str, Any]:
    return {"as_of": answer.at.isoformat(), "stale": answer.is_stale}


async def _prices(args: argparse.Namespace, notes: _Notes) -> list[tuple[shown.PriceRow, Answer]]:
    wanted = _wanted(args.types, list(dict.fromkeys(args.region)))
    calls = (partial(_region_prices, region, types, args, notes) for region, types in wanted.items())
    return [(row, answer) for rows, answer in await together(*calls) for row in rows]


def _wanted(words: Iterable[str], regions: Sequence[str | None]) -> dict[str | None, list[str]]:
    """Return instance types and patterns by region: a profile's name stands for its types, in its region."""
    found: dict[str | None, list[str]] = {}
    for word in words:
        is_plain = INSTANCE_TYPE.fullmatch(word) or "*" in word
        types = (word,) if is_plain else resolve(word).types
        for region in regions or ([region_of(None)] if is_plain else resolve(word).everywhere or [None]):
            listed = found.setdefault(region, [])
            listed += (one for one in types if one not in listed)
    return found


async def _region_prices(
    region: str | None, wanted: Sequence[str], args: argparse.Namespace, notes: _Notes
) -> tuple[list[shown.PriceRow], Answer]:
    async with await Market.open(region, fresh=args.fresh) as market:
        facts: list[TypeFacts] = (await market.types(wanted)).value
        names = [item.name for item in facts]
        history, on_demand, scores, bands = await together(
            partial(market.history, names, days=args.days),
            partial(market.on_demand, names),
            partial(market.scores, names),
            partial(market.bands, names),
        )
    told = {"spot prices": history, "on-demand prices": on_demand, "interruption bands": bands}
    told |= {"placement scores": scores} if len(names) > 1 else {}  # of one type alone, nobody expects a score
    for what, answer in told.items():
        notes.add(f"{market.region}: {what}", answer)
    lacking = [name for name in wanted if INSTANCE_TYPE.fullmatch(name) and name not in names]
    if lacking:
        notes.lines[f"{market.region} has no {', '.join(lacking)}"] = None
    sold = {pool.type for pool in history.value}
    rows = _pool_rows(market.region, history, on_demand=on_demand, scores=scores, bands=bands)
    rows += [
        shown.PriceRow(type=name, zone="", region=market.region, spot_usd=None, on_demand_usd=on_demand.value.get(name))
        for name in names
        if name not in sold
    ]
    order = {name: place for place, name in enumerate(_ordered(wanted, names))}
    return sorted(rows, key=lambda row: (order[row.type], row.spot_usd or 0.0, row.zone)), history


def _pool_rows(
    region: str, history: Answer, *, on_demand: Answer, scores: Answer, bands: Answer
) -> list[shown.PriceRow]:
    return [
        shown.PriceRow(
            type=pool.type,
            zone=pool.zone,
            region=region,
            spot_usd=points[-1][1],
            on_demand_usd=on_demand.value.get(pool.type),
            points=points,
            band=bands.value.get(pool.type, ""),
            score=scores.value.get(pool.zone),
        )
        for pool, points in history.value.items()
    ]


def _ordered(wanted: Sequence[str], names: Iterable[str]) -> list[str]:
    """Return types in the order in which they were asked for; what a pattern stands for comes last."""
    return sorted(names, key=lambda name: (wanted.index(name) if name in wanted else len(wanted), name))


# --- types ---


def types(args: argparse.Namespace) -> int:
    """Print instance types that fit, cheapest first."""
    notes = _Notes()
    limits = {
        "vcpus": _range(args.vcpu, "--vcpu"),
        "memory_gib": _range(args.memory, "--memory"),
        "gpus": _range(args.gpus, "--gpus") if args.gpus else (1.0, float("inf")) if args.gpu else None,
    }
    max_usd = None if args.max_price is None else dollars(args.max_price, "--max-price")
    rows, spot = asyncio.run(_types(args, notes))
    kept = [row for row in rows if _fits(row.facts, args, limits) and _is_cheap(row, max_usd)]
    objects = (shown.type_object(row) | _when(spot) for row in kept)
    return _printed(args, notes, kept, objects=objects, as_text=shown.types_text, none="No instance type fits.")


async def _types(args: argparse.Namespace, notes: _Notes) -> tuple[list[shown.TypeRow], Answer]:
    async with await Market.open(region_of(args.region), fresh=args.fresh) as market:
        facts, spot, on_demand = await together(partial(market.types, args.types), market.spot, market.on_demand)
    for what, answer in {"types": facts, "spot prices": spot, "on-demand prices": on_demand}.items():
        notes.add(what, answer)
    cheapest: dict[str, tuple[float, str]] = {}
    for pool, usd in spot.value.items():
        cheapest[pool.type] = min(cheapest.get(pool.type, (usd, pool.zone)), (usd, pool.zone))
    rows = [_row(item, cheapest.get(item.name), on_demand.value.get(item.name)) for item in facts.value]
    return sorted(rows, key=_by_price), spot


def _row(facts: TypeFacts, cheapest: tuple[float, str] | None, on_demand: float | None) -> shown.TypeRow:
    usd, zone = cheapest or (None, "")
    return shown.TypeRow(facts=facts, spot_usd=usd, zone=zone, on_demand_usd=on_demand)


def _by_price(row: shown.TypeRow) -> tuple[bool, float, str]:
    return row.spot_usd is None, row.spot_usd or row.on_demand_usd or 0.0, row.facts.name


def _range(text: str | None, option: str) -> tuple[float, float] | None:
    """Return the least and most of `8`, `8-16`, `8-` or `-16`."""
    if text is None:
        return None
    match = re.fullmatch(r"(\d+(?:\.\d+)?)?(-)?(\d+(?:\.\d+)?)?", text.strip())
    least, dash, most = match.groups() if match else (None, None, None)
    if least is None and most is None:
        raise ConfigError(f"{option} {text!r} is not a range", fix=f"{option} 8, {option} 8-16, or {option} 8-")
    low = float(least or 0)
    high = float(most) if most else float("inf") if dash else low
    if low > high:
        raise ConfigError(f"{option} {text!r} goes down", fix=f"{option} {high:g}-{low:g}")
    return low, high


def _fits(facts: TypeFacts, args: argparse.Namespace, limits: dict[str, tuple[float, float] | None]) -> bool:
    if args.arch and facts.arch != args.arch:
        return False
    return all(span is None or span[0] <= getattr(facts, name) <= span[1] for name, span in limits.items())


def _is_cheap(row: shown.TypeRow, max_usd: float | None) -> bool:
    return max_usd is None or (row.spot_usd is not None and row.spot_usd <= max_usd)


# --- images ---


def images(args: argparse.Namespace) -> int:
    """Print images: the account's own, and the newest that their makers publish."""
    notes = _Notes()
    found = asyncio.run(_images(args, notes))
    kept = [
        facts
        for facts in found.value
        if (not args.arch or facts.arch == args.arch)
        and (not args.own or facts.is_own)
        and shown.matching(args.words, facts.alias, facts.parameter, facts.name, facts.id, facts.arch)
    ]
    objects = (shown.image_object(facts) | _when(found) for facts in kept)
    return _printed(args, notes, kept, objects=objects, as_text=shown.images_text, none="No image fits.")


async def _images(args: argparse.Namespace, notes: _Notes) -> Answer:
    async with await Market.open(region_of(args.region), fresh=args.fresh) as market:
        found = await market.images()
    notes.add("images", found)
    return found
