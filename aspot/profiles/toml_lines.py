"""On which line each key of a TOML document stands; the standard library's parser does not say."""

from __future__ import annotations

import re
import tomllib

Path = tuple[str, ...]

_BLANK = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_SPACE = re.compile(r"[ \t]*")
_KEY = re.compile(r'"(?:\\.|[^"\\])*"|\'[^\']*\'|[A-Za-z0-9_-]+')
_TOKEN = re.compile(
    r'"""(?:\\.|[^\\])*?"""(?!")|\'\'\'.*?\'\'\'(?!\')|"(?:\\.|[^"\\])*"|\'[^\']*\'|#[^\n]*|.', re.DOTALL
)
_DEEPER = {"[": 1, "{": 1, "]": -1, "}": -1}


def lines_of(text: str) -> dict[Path, int]:
    """Return the line of each table and key, by its path; lines count from 1.

    Keys inside inline tables have none of their own: the nearest path above them has.

    Args:
        text: A document that the parser took.
    """
    found: dict[Path, int] = {}
    table: Path = ()
    at = _after(_BLANK, text, 0)
    while at < len(text):
        line = text.count("\n", 0, at) + 1
        is_header = text[at] == "["
        path, at = _key(text, at + len(text[at : at + 2]) - len(text[at : at + 2].lstrip("[")))
        table, whole = (path, path) if is_header else (table, table + path)
        for length in range(1, len(whole) + 1):
            found.setdefault(whole[:length], line)
        if is_header:
            found[whole] = line
        at = _after(_BLANK, text, _end(text, at, is_header=is_header))
    return found


def line_of(lines: dict[Path, int], path: Path) -> int:
    """Return the line of a path, or of what holds it; 1 for the document itself."""
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _after(pattern: re.Pattern[str], text: str, at: int) -> int:
    match = pattern.match(text, at)
    return match.end() if match else at


def _key(text: str, at: int) -> tuple[Path, int]:
    """Read a dotted key; return it and what follows it."""
    parts: list[str] = []
    while True:
        match = _KEY.match(text, _after(_SPACE, text, at))
        if match is None:
            return tuple(parts), at
        word = match[0]
        parts.append(tomllib.loads(f"k = {word}")["k"] if word[0] in "\"'" else word)
        at = _after(_SPACE, text, match.end())
        if not text.startswith(".", at):
            return tuple(parts), at
        at += 1


def _end(text: str, at: int, *, is_header: bool) -> int:
    """Return where the line ends, or the value if it goes on over several."""
    if is_header:
        end = text.find("\n", at)
        return end if end >= 0 else len(text)
    depth = 0
    for token in _TOKEN.finditer(text, at):
        depth += _DEEPER.get(token[0], 0)
        if token[0] == "\n" and depth == 0:
            return token.start()
    return len(text)
