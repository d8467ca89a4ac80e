"""One file copied to another on the machine, from one disk of it to another.

Travels there with `carrier`: plain Python 3.8 of the standard library.
"""

from __future__ import annotations

import os

from aspot.storage import partials, rules
from aspot.storage.lift import NotCopied, Teller


def copy(source: str, dest: str, tell: Teller) -> None:
    """Copy a file, which appears whole, with its time and whether it can be executed."""
    os.makedirs(os.path.dirname(dest), exist_ok=True)
    if os.path.isdir(dest):
        raise NotCopied("a folder of that name is there")
    there, _ = partials.partial(dest)
    with open(source, "rb") as reader, open(there, "wb") as writer:
        before = os.fstat(reader.fileno())
        while True:
            piece = reader.read(rules.MIB)
            if not piece:
                break
            writer.write(piece)
            tell.moved(len(piece))
        writer.flush()
        os.fsync(writer.fileno())
        after = os.fstat(reader.fileno())
        is_whole = os.fstat(writer.fileno()).st_size == after.st_size
    if not is_whole or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
        os.unlink(there)
        raise NotCopied("it changed while it was copied; the same command copies it anew")
    if before.st_mode & 0o100:
        partials.let_run(there)
    partials.place(there, dest, before.st_mtime)


def is_same(source: str, dest: str) -> bool:
    """Tell whether two files of the same size have the same content."""
    with open(source, "rb") as one, open(dest, "rb") as other:
        while True:
            piece = one.read(rules.MIB)
            if piece != other.read(rules.MIB):
                return False
            if not piece:
                return True
