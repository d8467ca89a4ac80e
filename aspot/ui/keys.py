"""Single keys from the terminal while a live view is on; the terminal's mode is always put back."""

from __future__ import annotations

import contextlib
import os
import select
import termios
import tty
from collections.abc import Iterator


@contextlib.contextmanager
def keyboard(fd: int) -> Iterator[Keyboard | None]:
    """Let single keys through for as long as the context lasts; None where `fd` is no terminal of ours.

    Ctrl-C and Ctrl-Z keep their meaning (cbreak, not raw).

    Args:
        fd: File descriptor of standard input.
    """
    if not is_ours(fd):
        yield None
        return
    before = termios.tcgetattr(fd)
    tty.setcbreak(fd, termios.TCSANOW)
    try:
        yield Keyboard(fd)
    finally:
        if is_ours(fd):
            termios.tcsetattr(fd, termios.TCSANOW, before)


class Keyboard:
    """A terminal that gives single keys."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def pressed(self) -> str:
        """Return the keys pressed since the last call, without waiting."""
        if not is_ours(self._fd) or not select.select([self._fd], [], [], 0)[0]:
            return ""
        return os.read(self._fd, 64).decode("ascii", "ignore")


def is_ours(fd: int) -> bool:
    """Tell whether it is a terminal and we are in its foreground: a background job that touches it would be stopped."""
    try:
        return os.isatty(fd) and os.tcgetpgrp(fd) == os.getpgrp()
    except OSError:
        return False
