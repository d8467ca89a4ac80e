"""Names that an instance sends are an attacker's (THREATS T3): each is taken apart and judged before use. Pure."""

from __future__ import annotations

import unicodedata

MOST_COMPONENT = 255
MOST_PATH = 4096
MOST_DEPTH = 64


class HostileName(ValueError):
    """A name that must not be used here; the text says why."""


def components(raw: bytes) -> tuple[str, ...]:
    """Return the parts of a relative path, each safe to create in a folder.

    Args:
        raw: The path as it came, with `/` between parts; a leading `./` is no part of it.

    Raises:
        HostileName: If it is empty, absolute, too long or too deep, leaves its folder, or has a part with a
            backslash, a control character or bytes that are no UTF-8.
    """
    if len(raw) > MOST_PATH:
        raise HostileName("too long")
    try:
        text = raw.removeprefix(b"./").decode("utf-8")
    except UnicodeDecodeError as error:
        raise HostileName("not UTF-8") from error
    parts = tuple(text.split("/"))
    if len(parts) > MOST_DEPTH:
        raise HostileName("too deep")
    for part in parts:
        _check(part)
    return parts


def _check(part: str) -> None:
    if part in ("", ".", ".."):
        raise HostileName("not a plain relative name")
    if "\\" in part:
        raise HostileName("a backslash in it")
    if any(unicodedata.category(character) in ("Cc", "Cs") for character in part):
        raise HostileName("a control character in it")
    if len(part.encode()) > MOST_COMPONENT:
        raise HostileName("too long")


def shown(raw: bytes) -> str:
    """Return a name as text for people: what is not printable is written as an escape, long ones are cut."""
    safe = printable(raw.removeprefix(b"./").decode("utf-8", "backslashreplace"))
    return safe if len(safe) <= 200 else f"{safe[:197]}..."


def printable(text: str) -> str:
    r"""Return text with escapes for what is not printable: line ends, control characters, bytes that are no UTF-8.

    >>> printable("a\nb")
    'a\\nb'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
