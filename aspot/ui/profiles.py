"""Profiles as tables and as JSON. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from aspot.profiles.shelf import Option, Shelf
from aspot.ui.layout import table
from aspot.ui.safe import one_line

MOST_TYPES = 3


def option_text(key: str, value: Any) -> str:
    """Return an option's value as people read it."""
    if key == "max_price":
        return f"${value:g}"
    if key == "disk":
        return f"{value} GB"
    if key == "firewall":
        return ", ".join(f"{protocol}:{port}:{cidr}" for protocol, port, cidr in value)
    if key == "setup" and not isinstance(value, Path):
        return f"{len(value.splitlines())} lines of shell"
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def profiles_text(shelf: Shelf, names: Iterable[str]) -> str:
    """Return profiles as a table, what is looked for first at the left."""
    lines = [("NAME", "FROM", "TYPES", "IMAGE", "REGION", "MARKET", "MAX $/h", "DISK")]
    for name in names:
        options = shelf.options(name)
        sources = list(dict.fromkeys(entry.source for entry in shelf.layers(name)))
        cells = {key: option_text(key, option.value) for key, option in options.items()}
        types = options["types"].value
        more = f" +{len(types) - MOST_TYPES}" if len(types) > MOST_TYPES else ""
        row = (
            name, " + ".join(sources), ", ".join(types[:MOST_TYPES]) + more, _short_image(cells.get("image", "al2023")),
            cells.get("region", cells.get("regions", "")), cells["market"], cells.get("max_price", ""), cells["disk"],
        )  # fmt: skip
        lines.append(tuple(one_line(cell) for cell in row))  # type: ignore[arg-type]
    return "\n".join(table(lines, right=frozenset((6, 7))))


def _short_image(image: str) -> str:
    """Return the part of a long parameter's path that tells most."""
    parts = [part for part in image.split("/") if part not in ("latest", "ami-id")]
    return image if len(parts) < 3 else f"…/{parts[-1]}"


def profile_text(options: Mapping[str, Option], chain: Sequence[str]) -> str:
    """Return a profile with who says each of its options.

    Args:
        options: As `Shelf.options` has them.
        chain: The profile and those it extends.
    """
    rows = [
        tuple(one_line(cell) for cell in (key, option_text(key, option.value), _where(option, key)))
        for key, option in options.items()
    ]
    head = " extends ".join(one_line(item) for item in chain)
    return "\n".join([head, *table(rows, indent=2)])


def _where(option: Option, key: str) -> str:
    place = option.entry.place(key)
    return f"{place} [{option.entry.name}]" if option.entry.path else f"built-in {option.entry.name}"


def profile_object(shelf: Shelf, name: str) -> dict[str, Any]:
    """Return a profile as JSON knows it: its options, and where each is from."""
    options = shelf.options(name)
    return {
        "name": name,
        "extends": shelf.base_of(name),
        "sources": list(dict.fromkeys(entry.source for entry in shelf.layers(name))),
        "options": {key: _plain(option.value) for key, option in options.items()},
        "from": {key: option.entry.place(key) for key, option in options.items()},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return str(value) if isinstance(value, Path) else value
