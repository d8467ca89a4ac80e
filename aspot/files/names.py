"""Names that come from an instance, which may be hostile: only plain relative ones are let in (THREATS T3)."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

DEEPEST = 64
"""Components of a name."""
LONGEST = 255
"""Bytes of a component: what Linux and macOS file systems take."""

_REFUSED_CATEGORIES = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})  # control, format (bidi too), surrogate, separators
_DEVICES = frozenset(
    {"con", "prn", "aux", "nul", *(f"com{number}" for number in range(10)), *(f"lpt{number}" for number in range(10))}
)


class HostileName(Exception):
    """A name that must not be written here.

    Args:
        raw: The name as it came.
        why: What is wrong with it.
    """

    def __init__(self, raw: bytes, why: str) -> None:
        super().__init__(f"{raw[:80]!r}: {why}")
        self.raw = raw
        self.why = why


def check_remote_name(raw: bytes) -> str:
    """Return a name from an instance if it is a plain path below a folder.

    Raises:
        HostileName: If it is not.
    """
    try:
        name = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise HostileName(raw, "not UTF-8") from None
    parts = name.split("/")
    if len(parts) > DEEPEST:
        raise HostileName(raw, f"more than {DEEPEST} levels deep")
    for part in parts:
        why = _trouble(part)
        if why:
            raise HostileName(raw, why)
    return name


def _trouble(part: str) -> str:
    if part in ("", ".", ".."):
        return "an empty, '.' or '..' component"
    if len(part.encode()) > LONGEST:
        return f"a component of more than {LONGEST} bytes"
    if "\\" in part or any(unicodedata.category(letter) in _REFUSED_CATEGORIES for letter in part):
        return "a backslash or control character"
    if part.split(".", maxsplit=1)[0].rstrip(" ").casefold() in _DEVICES:
        return "a device's name on some systems"
    return ""


def clashes(names: Iterable[str]) -> list[str]:
    """Return names that would fall on another one where case and Unicode form make no difference, or on a folder.

    The first of each kind is not in the answer: it can be written.
    """
    files: set[str] = set()
    folders: set[str] = set()
    found = []
    for name in names:
        folded = unicodedata.normalize("NFC", name).casefold()
        parents = {folded[:index] for index, letter in enumerate(folded) if letter == "/"}
        if folded in files or folded in folders or parents & files:
            found.append(name)
            continue
        files.add(folded)
        folders |= parents
    return found
