"""What a program on a machine that does a client's bidding is like: its lock, its input's end, its failures.

Travels there with `porter`: plain Python 3.8 of the standard library.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import signal
import time

FOLDER = "~/.aspot/s3"
GREETING = "@aspot\n"
"""Said first: a shell's start-up files may say something before it."""
TAKE_S = 20.0
"""How long an earlier one for the same sync may take to end."""
EXIT_USE, EXIT_CLOUD, EXIT_LEFT = 2, 3, 130


class Failure(Exception):
    """The whole sync cannot be.

    Args:
        message: What happened.
        fix: What to do.
        code: Exit code.
    """

    def __init__(self, message: str, fix: str = "", code: int = EXIT_CLOUD) -> None:
        super().__init__(message)
        self.message, self.fix, self.code = message, fix, code


def full(folder: str) -> Failure:
    """Return the failure of a disk without room."""
    return Failure(f"the disk of {folder} is full", "make room; the same command goes on")


def take_lock(what: str) -> int:
    """Take the lock of a sync; an earlier one whose connection broke may still be at it, and is ended.

    Args:
        what: What it is about.

    Raises:
        Failure: If the earlier one does not end.
    """
    folder = os.path.expanduser(FOLDER)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    name = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:32]
    held = os.open(os.path.join(folder, f"{name}.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    until = time.monotonic() + TAKE_S
    while True:
        try:
            fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except OSError:
            if time.monotonic() > until:
                raise Failure("an earlier sync of the same folders does not end") from None
            number = os.pread(held, 20, 0)
            if number.isdigit():
                os.kill(int(number), signal.SIGTERM)
            time.sleep(0.1)
    os.ftruncate(held, 0)
    os.pwrite(held, str(os.getpid()).encode(), 0)
    return held


def leave_with_input() -> None:
    """Leave when nobody waits any more."""
    while os.read(0, 4096):
        pass
    os._exit(EXIT_LEFT)


def read_line() -> bytes:
    """Return the first line of the input, byte by byte: what comes after it is not ours to hold."""
    found = b""
    while not found.endswith(b"\n"):
        piece = os.read(0, 1)
        if not piece:
            os._exit(EXIT_LEFT)
        found += piece
    return found
