"""What lies on the disk of a download that is not whole, and how it is taken up again. Travels with `rules`."""

from __future__ import annotations

import hashlib
import os

from aspot.storage.rules import LEFT, Part, md5


def partial(path: str) -> tuple[str, str]:
    """Return where a download goes until it is whole, and where it is noted which parts came."""
    folder, name = os.path.split(path)
    short = name if len(os.fsencode(name)) < 200 else hashlib.sha256(os.fsencode(name)).hexdigest()
    there = os.path.join(folder, f".{short}{LEFT[0]}")
    return there, os.path.join(folder, f".{short}{LEFT[1]}")


class Note:
    """Which parts of a download have come, in a file beside it: its first line says of what object.

    Args:
        path: Of the partial file's note.
        what: The object: anything that changes when its content does.
    """

    def __init__(self, path: str, what: str) -> None:
        self._path, self._what = path, what

    def read(self) -> dict[int, str]:
        """Return the MD5 of each part that came, by number; nothing if the note is of another object."""
        try:
            with open(self._path, encoding="utf-8", errors="replace") as source:
                lines = source.read().split("\n")
        except OSError:
            return {}
        if lines[0] != self._what:
            return {}
        rows = [line.split(" ") for line in lines[1:-1]]
        return {int(row[0]): row[1] for row in rows if len(row) == 2 and row[0].isdigit()}

    def begin(self) -> None:
        """Write a new note."""
        with open(self._path, "w", encoding="utf-8") as target:
            target.write(self._what + "\n")

    def add(self, number: int, digest: str) -> None:
        """Note a part."""
        with open(self._path, "a", encoding="utf-8") as target:
            target.write(f"{number} {digest}\n")


def came(path: str, note: Note, wanted: list[Part]) -> dict[int, str]:
    """Return the parts that a partial file has, each read again; none if note and file do not go together."""
    noted = note.read()
    found: dict[int, str] = {}
    try:
        with open(path, "rb") as source:
            for part in wanted:
                if part.number in noted:
                    source.seek(part.start)
                    if md5(source.read(part.length)).hexdigest() == noted[part.number]:
                        found[part.number] = noted[part.number]
    except OSError:
        return {}
    return found


def let_run(path: str) -> None:
    """Let those execute a file who may read it."""
    mode = os.stat(path).st_mode
    os.chmod(path, mode | (mode & 0o444) >> 2)


def place(partial_path: str, path: str, modified: float | None) -> None:
    """Give a whole download its name and time."""
    if modified is not None:
        os.utime(partial_path, (modified, modified))
    os.replace(partial_path, path)
