"""The terminal here, handed over to a machine: raw for as long as that lasts, and put back whatever happens."""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
import sys
import termios
import tty
from collections.abc import Iterator, Mapping

import attrs

from aspot.ui.keys import is_ours

ESCAPE = ord("~")

CALM = b"\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l\x1b[?1004l\x1b[?1l\x1b>\x1b[?25h\x1b[0m"
"""Undoes what a full-screen program switched on that was cut off: other screen, mouse, paste marks, focus, keypad."""

LAST_LINE = b"\x1b[999;1H\r\n"
"""Leaving the other screen moves the cursor to where it was once saved: what is said next belongs below everything."""

_CHARACTERS = {1: "VINTR", 2: "VQUIT", 3: "VERASE", 4: "VKILL", 5: "VEOF", 10: "VSUSP"}
"""Special characters by RFC 4254's numbers (section 8)."""

_IUTF8 = 42
"""RFC 8160: so that one Backspace takes one letter, however many bytes it has."""


def has_terminal() -> bool:
    """Tell whether stdin and stdout are a terminal, and ours to use."""
    return is_ours(0) and os.isatty(1)


def size() -> tuple[int, int, int, int]:
    """Return the size of the terminal on stdin: columns, rows, and the same in pixels."""
    try:
        rows, columns, width, height = struct.unpack("HHHH", fcntl.ioctl(0, termios.TIOCGWINSZ, bytes(8)))
    except OSError:
        return 80, 24, 0, 0
    return columns or 80, rows or 24, width, height


def modes() -> Mapping[int, int]:
    """Return the special characters of the terminal on stdin, by RFC 4254's numbers."""
    characters = termios.tcgetattr(0)[6]
    found = {number: characters[getattr(termios, name)][0] for number, name in _CHARACTERS.items()}
    return {**found, _IUTF8: 1}


@contextlib.contextmanager
def raw() -> Iterator[None]:
    """Pass every key on as it is, for the length of the block."""
    before = termios.tcgetattr(0)
    tty.setraw(0, termios.TCSADRAIN)
    try:
        yield
    finally:
        with contextlib.suppress(termios.error):  # the terminal may be gone
            termios.tcsetattr(0, termios.TCSADRAIN, before)


def calm() -> None:
    """Bring the terminal out of what a program was doing to it when the connection broke."""
    with contextlib.suppress(OSError):
        os.write(sys.stdout.fileno(), CALM + LAST_LINE)


@attrs.define
class Escapes:
    r"""Finds `~.` at the beginning of a line among what is typed: it leaves, as in OpenSSH; `~~` sends one `~`.

    >>> escapes = Escapes()
    >>> escapes(b"ls ~."), escapes(b"\r~"), escapes(b"~x"), escapes(b"\r~."), escapes(b"more")
    (b'ls ~.', b'\r', b'~x', None, b'more')
    """

    _is_start: bool = True
    _is_held: bool = False

    def __call__(self, typed: bytes) -> bytes | None:
        """Return what of it is to be sent; None to leave."""
        sent = bytearray()
        for byte in typed:
            if self._is_held:
                self._is_held = False
                if byte == ord("."):
                    self._is_start = True
                    return None
                sent += b"" if byte == ESCAPE else b"~"
            elif self._is_start and byte == ESCAPE:
                self._is_held = True
                continue
            sent.append(byte)
            self._is_start = byte in b"\r\n"
        return bytes(sent)
