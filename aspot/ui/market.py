"""Prices, types and images as tables and as JSON. Pure: what to show comes in, time too."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import attrs

from aspot.aws.gallery import ImageFacts
from aspot.aws.offers import TypeFacts, saving
from aspot.machine.quantities import short_duration
from aspot.ui.layout import table
from aspot.ui.safe import one_line

BARS = "▁▂▃▄▅▆▇█"
BUCKETS = 24
FLAT = 0.01
"""Prices that differ by less than this share of themselves are drawn level: a sparkline has no scale."""
MOST_ROWS = 40
NONE = "–"

Points = Sequence[tuple[datetime, float]]


@attrs.frozen(kw_only=True)
class PriceRow:
    """One pool's price.

    Args:
        type, zone, region: The pool.
        spot_usd: Now, an hour; None where it is not sold as spot.
        on_demand_usd: None where AWS does not say.
        points: Price changes, oldest first.
        band: How often interrupted last month; "" where nobody says.
        score: Placement score of all types asked for, in the zone; None where AWS does not say.
    """

    type: str
    zone: str
    region: str
    spot_usd: float | None
    on_demand_usd: float | None = None
    points: Points = ()
    band: str = ""
    score: int | None = None

    @property
    def saving(self) -> float | None:
        """Return the share of the on-demand price that is saved; None where one price is not known."""
        return None if self.spot_usd is None else saving(self.spot_usd, self.on_demand_usd)


@attrs.frozen(kw_only=True)
class TypeRow:
    """One instance type with its cheapest zone.

    Args:
        facts: What it is.
        spot_usd: Spot price in the cheapest zone, an hour; None where it is not sold as spot.
        zone: That zone.
        on_demand_usd: None where AWS does not say.
    """

    facts: TypeFacts
    spot_usd: float | None = None
    zone: str = ""
    on_demand_usd: float | None = None


def usd(value: float | None) -> str:
    """Return an hourly price with the digits by which pools differ."""
    return NONE if value is None else f"${value:.4f}" if value < 10 else f"${value:.2f}"


def percent(value: float | None) -> str:
    """Return a share in whole percent."""
    return NONE if value is None else f"{100 * value:.0f} %"


def sampled(points: Points, *, start: datetime, end: datetime, count: int = BUCKETS) -> list[float]:
    """Return the price in force at `count` moments, evenly from start to end; what began later is left out.

    Args:
        points: Price changes, oldest first.
        start: The first moment.
        end: The last one.
        count: How many, at least 2.
    """
    found, at = [], 0
    for step in range(count):
        moment = start + (end - start) * (step / (count - 1))
        while at < len(points) and points[at][0] <= moment:
            at += 1
        if at:
            found.append(points[at - 1][1])
    return found


def sparkline(values: Sequence[float]) -> str:
    """Return values as bars from the lowest to the highest; level ones in the middle."""
    if not values:
        return ""
    low, high = min(values), max(values)
    if high - low <= FLAT * high:
        return BARS[3] * len(values)
    top = len(BARS) - 1
    return "".join(BARS[min(top, math.floor((value - low) / (high - low) * len(BARS)))] for value in values)


# --- prices ---


def prices_text(rows: Sequence[PriceRow], *, days: int, now: datetime) -> str:
    """Return pools as a table; a column that nothing is known for is left out.

    Args:
        rows: In order.
        days: How far back the points go.
        now: The right end of the sparklines.
    """
    heading = ["TYPE", "ZONE", "SPOT", "ON-DEMAND", "SAVING", "LOW", "HIGH", f"{days} DAYS" if days > 1 else "1 DAY"]
    heading += ["INTERRUPTED"] * any(row.band for row in rows) + ["SCORE"] * any(row.score for row in rows)
    lines = [tuple(heading)]
    for row in rows:
        values = sampled(row.points, start=now - timedelta(days=days), end=now)
        cells = [one_line(row.type), one_line(row.zone), usd(row.spot_usd), usd(row.on_demand_usd)]
        cells += [percent(row.saving), *(map(usd, (min(values), max(values))) if values else (NONE, NONE))]
        cells.append(sparkline(values).rjust(BUCKETS))
        cells += [one_line(row.band or NONE)] * ("INTERRUPTED" in heading)
        cells += [str(row.score or NONE)] * ("SCORE" in heading)
        lines.append(tuple(cells))
    return "\n".join(table(lines, right=frozenset((2, 3, 4, 5, 6, 9))))


def price_object(row: PriceRow) -> dict[str, Any]:
    """Return a pool as JSON knows it."""
    return {
        "type": row.type,
        "zone": row.zone,
        "region": row.region,
        "spot_usd_per_hour": row.spot_usd,
        "on_demand_usd_per_hour": row.on_demand_usd,
        "saving": None if row.saving is None else round(row.saving, 4),
        "interrupted": row.band or None,
        "score": row.score,
        "history": [[moment.isoformat(), price] for moment, price in row.points],
    }


# --- types ---


def types_text(rows: Sequence[TypeRow], *, most: int | None) -> str:
    """Return types as a table, cut after `most` rows."""
    heading = ("TYPE", "VCPU", "CORES", "MEMORY", "ARCH", "GPU", "SPOT", "ZONE", "ON-DEMAND", "SAVING")
    lines = [heading, *map(_type_cells, rows[:most])]
    text = "\n".join(table(lines, right=frozenset((1, 2, 3, 6, 8, 9))))
    return text + _more(len(rows), most)


def _type_cells(row: TypeRow) -> tuple[str, ...]:
    facts = row.facts
    gpu = f"{facts.gpus} × {facts.gpu}, {facts.gpu_memory_gib:.3g} GiB" if facts.gpus else ""
    part = None if row.spot_usd is None else saving(row.spot_usd, row.on_demand_usd)
    return (
        one_line(facts.name), str(facts.vcpus), str(facts.cores), f"{facts.memory_gib:g} GiB", one_line(facts.arch),
        one_line(gpu), usd(row.spot_usd), one_line(row.zone), usd(row.on_demand_usd), percent(part),
    )  # fmt: skip


def type_object(row: TypeRow) -> dict[str, Any]:
    """Return a type as JSON knows it."""
    prices = {"spot_usd_per_hour": row.spot_usd, "zone": row.zone or None, "on_demand_usd_per_hour": row.on_demand_usd}
    return {"type": row.facts.name, **attrs.asdict(row.facts, filter=lambda field, _: field.name != "name"), **prices}


# --- images ---


def images_text(rows: Sequence[ImageFacts], *, most: int | None) -> str:
    """Return images as a table, cut after `most` rows: what to write in a profile comes first."""
    lines = [("IMAGE", "ARCH", "CREATED", "DISK", "USER", "ID", "NAME")]
    for facts in rows[:most]:
        disk = f"{facts.disk_gb} GB"
        cells = (facts.word, facts.arch, facts.created[:10], disk, facts.user, facts.id, facts.name)
        lines.append(tuple(one_line(cell) for cell in cells))  # type: ignore[arg-type]
    return "\n".join(table(lines, right=frozenset((3,)))) + _more(len(rows), most)


def image_object(facts: ImageFacts) -> dict[str, Any]:
    """Return an image as JSON knows it; `image` is what to write in a profile."""
    return {"image": facts.word, **attrs.asdict(facts)}


def _more(count: int, most: int | None) -> str:
    return f"\n… and {count - most} more: --all shows them" if most is not None and count > most else ""


# --- age ---


def age_text(what: str, at: datetime, now: datetime, why: str) -> str:
    """Return that something is old, how old, and why there is nothing newer."""
    return f"{what} are {short_duration((now - at).total_seconds())} old: {one_line(why)}"


def matching(words: Iterable[str], *texts: str) -> bool:
    """Tell whether each word is found in one of the texts, whatever the case."""
    haystack = "\n".join(texts).casefold()
    return all(word.casefold() in haystack for word in words)
