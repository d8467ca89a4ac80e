"""Which regions a command is about, where it is not about a run that knows its own."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from aspot.errors import ConfigError
from aspot.journal.runs import RunInfo
from aspot.ui.safe import one_line


def region_of(given: str | None) -> str | None:
    """Return the region given, else the first one that the profile `default` names; None leaves it to AWS's own choice.

    A file of profiles that cannot be used is told of and passed over: what lists and ends things must not need it.
    """
    return given or usual_regions()[0]


def usual_regions() -> list[str | None]:
    """Return the regions that the profile `default` names, as `region_of` does: one at least."""
    from aspot.profiles.shelf import DEFAULT, Shelf

    try:
        options = Shelf.open().options(DEFAULT)
    except ConfigError as error:
        print(f"profiles are not looked at: {one_line(error.message.splitlines()[0])}", file=sys.stderr)
        return [None]
    if "regions" in options:
        return list(options["regions"].value)
    return [str(options["region"].value) if "region" in options else None]


def regions_of(given: str | None, runs: Iterable[RunInfo]) -> list[str | None]:
    """Return the regions to look in: the one given, else the usual ones and those of these runs."""
    if given:
        return [given]
    usual = usual_regions()
    return [*usual, *sorted({region for item in runs for region in item.regions} - set(usual))]
