"""The terminal handed over: what is typed, and what is put back."""

import contextlib
import os
import pty
import termios

import pytest

from aspot.ui import raw
from aspot.ui.progress import progress_line


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ([b"ls ~."], [b"ls ~."]),
        ([b"~."], [None]),
        ([b"ls\r~."], [None]),
        ([b"\r", b"~", b"."], [b"\r", b"", None]),
        ([b"\r~~"], [b"\r~"]),
        ([b"\r~x"], [b"\r~x"]),
        ([b"\r~", b"\r~."], [b"\r", None]),
        ([b"cd ~\r"], [b"cd ~\r"]),
        (["é~.\r".encode()], ["é~.\r".encode()]),
    ],
)
def test_a_tilde_and_a_dot_at_the_beginning_of_a_line_leave(typed, sent):
    escapes = raw.Escapes()
    assert [escapes(piece) for piece in typed] == sent


@pytest.fixture
def terminal():
    """A terminal in place of stdin."""
    here, there = pty.openpty()
    before = os.dup(0)
    os.dup2(there, 0)
    yield there
    os.dup2(before, 0)
    for fd in (before, here, there):
        os.close(fd)


def test_raw_is_undone_whatever_happens(terminal):
    before = termios.tcgetattr(terminal)
    with contextlib.suppress(ZeroDivisionError), raw.raw():
        assert not termios.tcgetattr(terminal)[3] & (termios.ICANON | termios.ECHO | termios.ISIG)
        raise ZeroDivisionError
    assert termios.tcgetattr(terminal) == before


def test_size_and_special_characters(terminal):
    termios.tcsetwinsize(terminal, (40, 132))
    assert raw.size() == (132, 40, 0, 0)
    assert raw.modes()[3] == termios.tcgetattr(terminal)[6][termios.VERASE][0]
    assert raw.modes()[42] == 1


def test_without_a_terminal_the_usual_size(terminal):
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
        assert raw.size() == (80, 24, 0, 0)
        assert not raw.has_terminal()


def test_how_far_a_copy_is():
    assert progress_line("to box_1", 3_000_000, 12_000_000, 1.5) == "to box_1: 3 MB of 12 MB, 2 MB/s"
    assert progress_line("to box_1", 0, 812, 0) == "to box_1: 0 B of 812 B"
