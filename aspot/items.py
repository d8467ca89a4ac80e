"""Lists of parameters: read from a file, cut into parts. Standard library only."""

from __future__ import annotations

import csv
import itertools
import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from aspot.errors import ConfigError

T = TypeVar("T")

KINDS = (".csv", ".tsv", ".json", ".jsonl")


def split(items: Iterable[T], n: int) -> list[list[T]]:
    """Cut a workload into `n` parts of nearly equal length, in order: one for each instance, say.

    Args:
        items: The workload.
        n: Parts, at least 1; the first ones are one longer where it does not come out even, and none is left out: with
            fewer items than parts some are empty.

    Raises:
        ConfigError: If `n` is below 1.

    >>> split(range(7), 3)
    [[0, 1, 2], [3, 4], [5, 6]]
    """
    if not isinstance(n, int) or isinstance(n, bool) or n < 1:
        raise ConfigError(f"a workload is split into at least 1 part, not {n!r}", fix="split(items, 4)")
    everything = list(items)
    size, longer = divmod(len(everything), n)
    ends = [part * size + min(part, longer) for part in range(n + 1)]
    return [everything[start:end] for start, end in itertools.pairwise(ends)]


def read_items(path: str | Path) -> list[Any]:
    """Return one item for each row of a table: `.csv` or `.tsv` with a header line, `.json` (a list) or `.jsonl`.

    Numbers in a CSV become numbers where nothing is lost: `007` stays text.

    Raises:
        ConfigError: If the file cannot be read or holds no such table; it names the line.
    """
    path = Path(path)
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise ConfigError(f"{path} is no table that aspot can read", fix=f"name a file that ends in {', '.join(KINDS)}")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", fix="name a table of parameters") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8: {error}", fix="save it as UTF-8") from error
    read = {".csv": _csv, ".tsv": _tsv, ".json": _json, ".jsonl": _jsonl}[kind]
    found = read(path, text)
    if not found:
        raise ConfigError(f"{path} holds no row", fix="one row is one job")
    return found


def _csv(path: Path, text: str, delimiter: str = ",") -> list[Any]:
    rows = csv.reader(text.splitlines(keepends=True), delimiter=delimiter, strict=True)
    try:
        header = [name.strip() for name in next(rows, [])]
        if "" in header or len(set(header)) < len(header):
            raise ConfigError(f"{path}: its first line has an empty name or the same one twice", fix="name each column")
        return [_record(path, rows.line_num, header, row) for row in rows if any(row)]
    except csv.Error as error:
        raise ConfigError(f"{path}, line {rows.line_num}: {error}", fix="write it as CSV with a header line") from error


def _tsv(path: Path, text: str) -> list[Any]:
    return _csv(path, text, "\t")


def _record(path: Path, line: int, header: list[str], row: list[str]) -> dict[str, Any]:
    if len(row) != len(header):
        raise ConfigError(
            f"{path}, line {line}: it has {len(row)} cells, and the header {len(header)}", fix="one cell a column"
        )
    return {name: number_or_text(cell.strip()) for name, cell in zip(header, row, strict=True)}


def _json(path: Path, text: str) -> list[Any]:
    found = _parsed(path, text, "")
    if not isinstance(found, list):
        raise ConfigError(f"{path} holds no list", fix='write a list: [{"lr": 0.1}, {"lr": 0.01}]')
    return found


def _jsonl(path: Path, text: str) -> list[Any]:
    lines = enumerate(text.split("\n"), 1)
    return [_parsed(path, line, f", line {number}") for number, line in lines if line.strip()]


def _parsed(path: Path, text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{path}{where}: {error}", fix="write it as JSON") from error


def number_or_text(text: str) -> int | float | str:
    """Return the number that a text is, if writing it gives that text again; else the text."""
    for kind in (int, float):
        try:
            number = kind(text)
        except ValueError:
            continue
        if str(number) == text and math.isfinite(number):  # JSON knows no other
            return number
    return text


def table_text(rows: Iterable[Mapping[str, Any]]) -> str:
    """Return rows as CSV, a column for each key in order of first appearance; what is no number or text is JSON."""
    everything = list(rows)
    columns = list(dict.fromkeys(key for row in everything for key in row))
    lines = _Lines()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(row.get(column)) for column in columns] for row in everything)
    return "".join(lines)


class _Lines(list[str]):
    def write(self, line: str) -> None:
        self.append(line)


def _cell(value: Any) -> Any:
    return value if value is None or isinstance(value, str | int | float) else json.dumps(value)
