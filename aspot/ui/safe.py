"""The display edge: every string that an instance, AWS or a user's script may have written passes here (THREATS T4).

rich 15 lets ESC, OSC, C1 and bidi overrides through (FAULTS, finding 3), so nothing else may be relied on. Imports
nothing of aspot. What cannot be printed is shown, not dropped: a reader sees that something was there.
"""

from __future__ import annotations

import re
import unicodedata

_SUSPECT = re.compile(r"[^ -~\n\t]")
_PICTURES = 0x2400  # U+2400..U+241F show the C0 characters 0x00..0x1F; U+2421 shows DEL
_DELETE = 0x7F

COMMAND_LIMIT = 4000
"""Most characters of a line that is to be copied word for word."""


def safe(text: str | bytes) -> str:
    r"""Return the text with everything that could steer a terminal, or hide, in a visible form.

    Newline and tab stay. Other C0 characters and DEL become control pictures (`␛`); C1, bidi and other format
    characters, lone surrogates, private and unassigned ones become `\x9b`, `\u202e` or `\U000e0001`.

    Args:
        text: What to show; bytes are read as UTF-8, undecodable ones replaced.

    >>> safe("\x1b]0;owned\x07 ünïcode")
    '␛]0;owned␇ ünïcode'
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return _SUSPECT.sub(_visible, text)


def _visible(found: re.Match[str]) -> str:
    character = found[0]
    code = ord(character)
    if character.isprintable() or unicodedata.category(character) == "Zs":
        return character
    if code < 0x20:
        return chr(_PICTURES + code)
    if code == _DELETE:
        return "␡"
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def one_line(text: str | bytes, *, limit: int = 500) -> str:
    """Return the text made safe as a single line: line ends are shown as `␊`, tabs become spaces, the rest is cut.

    Args:
        text: What to show.
        limit: Most characters, at least 1; a longer text ends in `…`.
    """
    size = limit * 4 if isinstance(text, bytes) else limit
    line = safe(text[: size + 1]).replace("\n", "␊").replace("\t", "    ")
    return line if len(line) <= limit else f"{line[: limit - 1]}…"


def log_line(text: str | bytes, *, limit: int = 500) -> str:
    """Return one line of a job's output as a terminal may show it: without its line end, safe and cut.

    Args:
        text: The line as the job wrote it.
        limit: Most characters.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return one_line(text.rstrip("\r\n"), limit=limit)
