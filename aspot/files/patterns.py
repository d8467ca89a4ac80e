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
    if not pattern:
        return True
    if pattern[0] == "**":
        return any(_matches(pattern[1:], parts[skipped:]) for skipped in range(len(parts) + 1))
    return bool(parts) and _component(pattern[0]).fullmatch(parts[0]) is not None and _matches(pattern[1:], parts[1:])


@functools.lru_cache(maxsize=1024)
def _component(text: str) -> re.Pattern[str]:
    return re.compile(fnmatch.translate(text) if _WILD.search(text) else re.escape(text))
