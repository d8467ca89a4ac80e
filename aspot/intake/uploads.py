"""What is sent with jobs: found once for all jobs that have the same uploads, with a digest of its content."""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Iterable
from pathlib import Path

import attrs

from aspot.errors import ConfigError
from aspot.files.scan import Entry, Kind, scan_uploads
from aspot.ports import Undeliverable

Pairs = tuple[tuple[str, str], ...]


@attrs.frozen
class Uploads:
    """The uploads of the jobs that are handed in together.

    Args:
        base: The folder that relative paths are relative to.
        skip: The folder of results: never sent.
    """

    base: Path
    skip: Path | None
    _digests: dict[Pairs, str] = attrs.field(init=False, factory=dict)

    def digest(self, pairs: Pairs) -> str:
        """Return the digest of names and contents of what uploads stand for, after checking that all can be sent.

        Raises:
            ConfigError: If something is not there, cannot be read or cannot be sent.
        """
        if pairs not in self._digests:
            self._digests[pairs] = self._digest(pairs)
        return self._digests[pairs]

    def _digest(self, pairs: Pairs) -> str:
        skip = () if self.skip is None else (self.skip,)
        try:
            return _digest(scan_uploads(self.base, pairs, skip=skip).entries.values())
        except Undeliverable as error:
            raise ConfigError(error.reason, fix="name what exists here; .aspotignore leaves things out") from error
        except OSError as error:
            raise ConfigError(f"cannot read {error.filename}: {error.strerror}", fix="make it readable") from error


def _digest(entries: Iterable[Entry]) -> str:
    found = hashlib.sha256()
    for entry in sorted(entries, key=lambda entry: entry.name):
        found.update(repr((entry.name, entry.kind.value, entry.is_executable, entry.target)).encode())
        if entry.kind is Kind.FILE:
            found.update(_content(entry.source, entry.stamp))
    return found.hexdigest()


@functools.lru_cache(maxsize=65536)
def _content(source: str, stamp: tuple[int, ...]) -> bytes:  # noqa: ARG001 - part of the key: a changed file is read anew
    with open(source, "rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
