"""Aligned columns of plain text, measured in terminal cells. Cheap: 200 jobs are laid out four times a second."""

from __future__ import annotations

from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

GAP = 2


def fit(text: str, width: int) -> str:
    """Return the text cut to `width` cells, with `…` at the cut."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + "…" if width > 0 else ""


def pad(text: str, width: int, *, right: bool) -> str:
    """Return the text cut or filled to exactly `width` cells."""
    text = fit(text, width)
    blank = " " * (width - cell_len(text))
    return blank + text if right else text + blank


def widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Return each column's natural width in cells."""
    return [max(map(cell_len, column)) for column in zip(*rows, strict=True)]


def shrink(natural: Sequence[int], *, total: int, floors: Sequence[int]) -> list[int]:
    """Return widths that fit in `total` cells, gaps included: the widest column above its floor gives way first.

    Args:
        natural: Natural widths.
        total: Cells to fit in.
        floors: What each column keeps at least (or its natural width, if that is less).
    """
    found = list(natural)
    spare = sum(found) + GAP * (len(found) - 1) - total
    while spare > 0:
        loose = [index for index, width in enumerate(found) if width > floors[index]]
        if not loose:
            break
        found[max(loose, key=found.__getitem__)] -= 1
        spare -= 1
    return found


def line(cells: Sequence[str], sizes: Sequence[int], *, right: frozenset[int], indent: int = 0) -> str:
    """Return one row of a table, without blanks at its end.

    Args:
        cells: One text a column; already safe, one line each.
        sizes: One width a column.
        right: Columns that are aligned to the right.
        indent: Blanks before the row.
    """
    sized = enumerate(zip(cells, sizes, strict=True))
    padded = (pad(cell, size, right=index in right) for index, (cell, size) in sized)
    return (" " * indent + (" " * GAP).join(padded)).rstrip()


def table(rows: Sequence[Sequence[str]], *, right: frozenset[int] = frozenset(), indent: int = 0) -> list[str]:
    """Return the rows (the first is the heading) as aligned lines of their natural width."""
    sizes = widths(rows)
    return [line(row, sizes, right=right, indent=indent) for row in rows]
