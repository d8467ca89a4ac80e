"""Boxes that are launched together: a live table on a terminal while they are made, and what came of it at the end."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import TracebackType
from typing import Self

import attrs
from rich.console import Console
from rich.live import Live
from rich.text import Text

from aspot.machine.news import InstanceLaunched, InstanceReady, LaunchRefused, News
from aspot.machine.quantities import clock, price
from aspot.ui.layout import line, table, widths
from aspot.ui.safe import one_line

WAITING, ASKING, READY, THERE, FAILED = "waits its turn", "asking EC2", "ready", "was there already", "did not come"
_LIVE = ("NAME", "STATE", "WHERE", "$/h", "TIME")
_END = ("NAME", "STATE", "TYPE", "ZONE", "$/h", "ADDRESS", "OPEN IT")


@attrs.define(kw_only=True)
class Row:
    """One box.

    Args:
        name: Its name; "" while it has none yet.
        state: What is going on with it, in words.
        type, zone: Of its machine; "" while there is none.
        usd_per_hour: What it costs.
        address: Where SSH reaches it, with its port where that is not the usual one.
        began: When its turn came, by the monotonic clock.
    """

    name: str
    state: str = WAITING
    type: str = ""
    zone: str = ""
    usd_per_hour: float = 0.0
    address: str = ""
    began: float | None = None

    @property
    def is_there(self) -> bool:
        """Tell whether it can be used."""
        return self.state in (READY, THERE)

    def begin(self) -> None:
        """Take note that its turn has come."""
        self.state, self.began = ASKING, time.monotonic()

    def hear(self, news: News) -> None:
        """Take note of what happens while it is made."""
        self.name = self.name or news.fleet
        match news:
            case InstanceLaunched():
                self.state, self.type, self.zone = "boots", news.type, news.zone
                self.usd_per_hour = news.price_usd_per_hour
            case InstanceReady():
                self.state = "connecting"
            case LaunchRefused():
                self.state = f"refused: {news.code}"


def live_text(rows: Sequence[Row], now: float, *, height: int) -> str:
    """Return the table while boxes are made, in at most so many lines: what is not ready stands first.

    Args:
        rows: The boxes.
        now: The moment, by the monotonic clock.
        height: Lines there are.
    """
    there = [row for row in rows if row.is_there]
    usd = sum(row.usd_per_hour for row in rows if row.state != FAILED)
    ordered = [row for row in rows if not row.is_there] + there
    cells = [_LIVE, *(_live_cells(row, now) for row in ordered)]
    sizes = widths(cells)
    shown = [line(row, sizes, right=frozenset({3, 4}), indent=2) for row in cells[: max(2, height - 3)]]
    more = [f"  … {len(cells) - len(shown)} more"] if len(cells) > len(shown) else []
    footer = "Ctrl-C ends those that are being made, and leaves the others"
    cost = f", {price(usd)}/h" if usd else ""
    return "\n".join([f"{len(there)}/{len(rows)} ready{cost}", *shown, *more, footer])


def _live_cells(row: Row, now: float) -> tuple[str, ...]:
    where = f"{row.type} {row.zone}".strip()
    rate = price(row.usd_per_hour) if row.usd_per_hour else ""
    waited = clock(now - row.began) if row.began is not None and not row.is_there and row.state != FAILED else ""
    return (one_line(row.name or "-"), one_line(row.state, limit=40), where, rate, waited)


def end_text(rows: Sequence[Row], *, idle: str) -> str:
    """Return what came of it: each box, how to reach it, and how it ends.

    Args:
        rows: The boxes.
        idle: After how long without use each new one ends itself, as text.
    """
    lines = table([_END, *map(_end_cells, rows)], right=frozenset({4}))
    there = [row for row in rows if row.is_there]
    if there:
        cost, names = price(sum(row.usd_per_hour for row in there)), " ".join(row.name for row in there)
        made = any(row.state == READY for row in there)
        ends = f" a new one ends itself after {idle} without use;" if made else ""
        lines.append(f"{len(there)} there, {cost}/h together;{ends} aspot down {names}")
    return "\n".join(lines)


def _end_cells(row: Row) -> tuple[str, ...]:
    name = one_line(row.name or "-")
    if not row.is_there:
        return (name, one_line(row.state), "", "", "", "", "")
    return (name, row.state, row.type, row.zone, price(row.usd_per_hour), row.address, f"aspot ssh {name}")


class Launches:
    """Shows boxes on stderr while a block runs; nothing where that is no terminal.

    Args:
        rows: The boxes, which change meanwhile.
        console: Where to draw; standard error unless given.
    """

    def __init__(self, rows: Sequence[Row], *, console: Console | None = None) -> None:
        self._rows = rows
        self._console = console or Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._live = Live(
            get_renderable=self._picture,
            console=self._console,
            refresh_per_second=4,
            transient=True,
            redirect_stdout=False,  # it is no part of the view
        )

    def _picture(self) -> Text:
        return Text(live_text(self._rows, time.monotonic(), height=self._console.height), no_wrap=True, overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._live.stop()

    def say(self, text: str) -> None:
        """Say a line above the table."""
        self._console.print(one_line(text, limit=1000), markup=False, highlight=False)
