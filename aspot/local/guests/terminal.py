"""Terminals of SSH sessions: opened here, handed to a guest process as its controlling terminal.

May import: asyncssh's numbers of terminal modes and the standard library.
"""

from __future__ import annotations

import fcntl
import os
import struct
import termios
from collections.abc import Mapping

import attrs
from asyncssh import constants

from aspot.local.guests.shared import Owner

__all__ = ["Terminal"]

_INPUT, _OUTPUT, _CONTROL, _LOCAL, _CHARACTERS = 0, 1, 2, 3, 6  # places in termios.tcgetattr's list
# Opcode ranges of RFC 4254 section 8.
_PLACES = {range(1, 19): _CHARACTERS, range(30, 43): _INPUT, range(50, 63): _LOCAL, range(70, 76): _OUTPUT,
           range(90, 94): _CONTROL}  # fmt: skip
_NAMES: dict[int, str] = {
    number: name.removeprefix("PTY_")
    for name, number in vars(constants).items()
    if name.startswith("PTY_") and isinstance(number, int)
}


@attrs.define
class Terminal:
    """An open terminal: `master` is ours, `name` is what the guest process opens.

    `_slave` stays open until the process runs, or a read of the master would end at once.
    """

    kind: str
    master: int
    name: str
    _slave: int = attrs.field(repr=False)

    @classmethod
    def open(cls, kind: str, *, modes: Mapping[int, int], owner: Owner | None) -> Terminal:
        """Open a terminal of a kind ("xterm-256color") with the client's modes, for a guest to own."""
        master, slave = os.openpty()
        if owner:
            os.fchown(slave, owner.uid, owner.gid)
        _apply(slave, modes)
        return cls(kind, master, os.ttyname(slave), slave)

    def resize(self, columns: int, rows: int, width: int, height: int) -> None:
        """Set the size in characters and pixels; the kernel tells the foreground process."""
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, width, height))

    def release(self) -> None:
        """Close our hold on the guest's side."""
        if self._slave >= 0:
            os.close(self._slave)
            self._slave = -1


def _apply(fd: int, modes: Mapping[int, int]) -> None:
    attributes = termios.tcgetattr(fd)
    for opcode, value in modes.items():
        place = next((place for opcodes, place in _PLACES.items() if opcode in opcodes), None)
        flag = getattr(termios, _NAMES.get(opcode, ""), None)
        if place is None or flag is None:
            continue
        if place == _CHARACTERS:
            attributes[_CHARACTERS][flag] = bytes([value & 0xFF]) if value != 0xFF else b"\0"
        else:
            attributes[place] = attributes[place] | flag if value else attributes[place] & ~flag
    termios.tcsetattr(fd, termios.TCSANOW, attributes)
