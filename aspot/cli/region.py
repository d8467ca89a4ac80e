"""Which region a command is about, where it is not about a run that knows its own."""

from __future__ import annotations

import sys

from aspot.errors import ConfigError
from aspot.ui.safe import one_line


def region_of(given: str | None) -> str | None:
    """Return the region given, else the one that the profile `default` names; None leaves it to AWS's configuration.

    A file of profiles that cannot be used is told of and passed over: what lists and ends things must not need it.
    """
    if given:
        return given
    from aspot.profiles.shelf import DEFAULT, Shelf

    try:
        option = Shelf.open().options(DEFAULT).get("region")
    except ConfigError as error:
        print(f"profiles are not looked at: {one_line(error.message.splitlines()[0])}", file=sys.stderr)
        return None
    return None if option is None else str(option.value)
