"""The disk's side of a copy here: pieces read and written, and the notes by which a broken upload goes on.

May import: `rules`, `address`, `aspot.journal.folders`.
"""

from __future__ import annotations

import hashlib
import json
import mimetypes
import os
from pathlib import Path
from typing import Any

import attrs

from aspot.journal.folders import state_dir
from aspot.storage import rules
from aspot.storage.address import Address
from aspot.storage.partials import Note
from aspot.storage.rules import Part


class NotCopied(Exception):
    """One file that was not copied, and why; others go on."""


@attrs.frozen
class UploadNote:
    """Where it is noted which upload belongs to a file, so that a broken one goes on."""

    path: Path
    what: str

    @classmethod
    def of(cls, endpoint: str, where: Address, path: Path, found: os.stat_result) -> UploadNote:
        """Return the note of a file in the state it is in: of one that changed meanwhile, nothing is known."""
        return cls._of(f"{endpoint} {where} {path.absolute()} {found.st_size} {found.st_mtime_ns}", where)

    @classmethod
    def between(cls, endpoint: str, source: Address, etag: str, each: int, dest: Address) -> UploadNote:
        """Return the note of an object that is copied to another in parts of a size."""
        return cls._of(f"{endpoint} {dest} {source} {etag} {each}", dest)

    @classmethod
    def _of(cls, what: str, where: Address) -> UploadNote:
        name = hashlib.sha256(what.encode("utf-8", "surrogateescape")).hexdigest()[:32]
        return cls(state_dir() / "uploads" / f"{name}.json", str(where))

    def read(self) -> str:
        """Return the upload's id; "" for none."""
        try:
            return str(json.loads(self.path.read_text("utf-8"))["upload"])
        except (OSError, ValueError, KeyError, TypeError):
            return ""

    def write(self, upload: str) -> None:
        """Note an upload."""
        self.path.parent.mkdir(mode=0o700, exist_ok=True)
        self.path.write_text(json.dumps({"upload": upload, "object": self.what}), "utf-8")

    def remove(self) -> None:
        """Forget it."""
        self.path.unlink(missing_ok=True)


def read(path: Path, part: Part) -> bytes:
    """Return a part of a file.

    Raises:
        NotCopied: If the file has become shorter.
    """
    with path.open("rb") as source:
        source.seek(part.start)
        content = source.read(part.length)
    if len(content) != part.length:
        raise NotCopied("it became shorter while it was copied")
    return content


def is_same(content: bytes, checksum: str, there: dict[str, Any]) -> bool:
    """Tell whether S3 has this part already; its ETag is no MD5 where KMS encrypts, its checksum always is one."""
    if there.get("ChecksumSHA256"):
        return bool(there["ChecksumSHA256"] == checksum)
    return bool(there["ETag"].strip('"') == rules.md5(content).hexdigest())


def kind(path: Path) -> dict[str, str]:
    """Return the content type that a file's name tells, as a request has it; nothing where it tells none."""
    found, encoding = mimetypes.guess_type(path.name)
    return {"ContentType": found} if found and not encoding else {}


def empty(there: str, note: Note, size: int) -> None:
    """Begin a partial file, with its note."""
    with open(there, "wb") as target:
        target.truncate(size)
    note.begin()


def write(there: str, part: Part, content: bytes) -> str:
    """Write a part into its place; return its MD5."""
    with open(there, "r+b") as target:
        target.seek(part.start)
        target.write(content)
    return rules.md5(content).hexdigest()
