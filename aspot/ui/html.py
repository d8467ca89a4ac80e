"""HTML tables for notebooks. Every text is made safe and escaped here; nothing else builds HTML."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence

from aspot.ui.safe import one_line, safe

_CELL = "padding:0 1em 0 0;white-space:nowrap"


def text(value: str, *, tag: str = "div", style: str = "") -> str:
    """Return a text in an element.

    Args:
        value: What to show, as it came.
        tag: The element.
        style: Its CSS, ours.
    """
    wanted = f' style="{style}"' if style else ""
    return f"<{tag}{wanted}>{html.escape(safe(value) if tag == 'pre' else one_line(value))}</{tag}>"


def table(rows: Sequence[Sequence[str]], *, right: frozenset[int], styles: Iterable[str] = ()) -> str:
    """Return rows (the first is the heading) as a table.

    Args:
        rows: Texts as they came.
        right: Columns aligned to the right.
        styles: CSS of each row below the heading, ours; missing ones are plain.
    """
    looks = ["", *styles]
    looks += [""] * (len(rows) - len(looks))
    body = "".join(_row(row, "td" if index else "th", right, looks[index]) for index, row in enumerate(rows))
    return f"<table>{body}</table>"


def _row(cells: Sequence[str], tag: str, right: frozenset[int], look: str) -> str:
    found = []
    for index, cell in enumerate(cells):
        side = "right" if index in right else "left"
        found.append(text(cell, tag=tag, style=f"text-align:{side};{_CELL};{look}"))
    return f"<tr>{''.join(found)}</tr>"
