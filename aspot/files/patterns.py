"""Patterns of `download` and `checkpoint`, relative to `work/`: `*`, `?`, `[…]` in a name, `**` over names. Pure."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterable

import attrs

from aspot.files.names import HostileName, components

_WILD = re.compile(r"[*?\[]")


@attrs.frozen
class Pattern:
    """One pattern, taken apart.

    Args:
        text: As the user wrote it.
        parts: Its parts.
    """

    text: str
    parts: tuple[str, ...]

    @property
    def root(self) -> str:
        """Return the deepest folder or file that holds all that it can match: what comes before the first wildcard."""
        plain = []
        for part in self.parts:
            if _WILD.search(part):
                break
            plain.append(part)
        return "/".join(plain)

    def matches(self, parts: tuple[str, ...]) -> bool:
        """Tell whether it names the path or a folder above it (a folder brings all that is in it)."""
        return _matches(self.parts, parts)


def parse(texts: Iterable[str]) -> tuple[tuple[Pattern, ...], tuple[str, ...]]:
    """Return the patterns, and those texts that can name nothing below `work/`."""
    good: list[Pattern] = []
    bad: list[str] = []
    for text in texts:
        plain = (
            "/".join(part for part in text.split("/") if part not in ("", ".")) if not text.startswith("/") else text
        )
        try:
            good.append(Pattern(text, components(plain.encode("utf-8", "surrogateescape")) if plain else ()))
        except HostileName:
            bad.append(text)
    return tuple(good), tuple(bad)


def _matches(pattern: tuple[str, ...], parts: tuple[str, ...]) -> bool:
    """Follow all ways to match at once: the time is the product of the lengths, whatever a machine calls its files."""
    at = _past_stars(pattern, {0})
    for part in parts:
        if len(pattern) in at:
            return True
        stay = {place for place in at if pattern[place] == "**"}
        at = _past_stars(pattern, stay | {place + 1 for place in at - stay if _fits(pattern[place], part)})
    return len(pattern) in at


def _past_stars(pattern: tuple[str, ...], places: set[int]) -> set[int]:
    """Return the places in a pattern that are reached when each `**` may also stand for no part at all."""
    for place in sorted(places):
        while place < len(pattern) and pattern[place] == "**":
            place += 1  # noqa: PLW2901 - walks on
            places.add(place)
    return places


def _fits(text: str, part: str) -> bool:
    return _component(text).fullmatch(part) is not None


@functools.lru_cache(maxsize=1024)
def _component(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text) if _WILD.search(text) else re.escape(text))
