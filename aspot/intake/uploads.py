"""What is sent with jobs: found once for all jobs that have the same uploads, with a digest of its content.

Contents are always read when jobs are handed in: the digest goes into `result.json`, where a later `resume` compares
it, so it cannot wait until somebody asks. Delivery needs the same hashes and does not read the files again.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from pathlib import Path

import attrs

from aspot.errors import ConfigError
from aspot.files.parcel import content_hash
from aspot.files.scan import Kind, Scan, scan_script, scan_uploads
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
    _scans: dict[Pairs, Scan] = attrs.field(init=False, factory=dict)
    _digests: dict[Pairs, str] = attrs.field(init=False, factory=dict)
    _fits: set[tuple[Pairs, str, str]] = attrs.field(init=False, factory=set)

    def digest(self, pairs: Pairs) -> str:
        """Return the digest of names and contents of what uploads stand for, after checking that all can be sent.

        Raises:
            ConfigError: If something is not there, cannot be read or cannot be sent.
        """
        if pairs not in self._digests:
            with _explained():
                self._digests[pairs] = _digest(self._scan(pairs))
        return self._digests[pairs]

    def check_script(self, pairs: Pairs, source: str, name: str) -> None:
        """Check that a script can be sent beside the uploads, under the name it will be run by.

        Raises:
            ConfigError: If the uploads put something else there.
        """
        if (pairs, source, name) not in self._fits:
            with _explained():
                scan_script(Scan(entries=dict(self._scan(pairs).entries)), Path(source), name)
            self._fits.add((pairs, source, name))

    def _scan(self, pairs: Pairs) -> Scan:
        if pairs not in self._scans:
            skip = () if self.skip is None else (self.skip,)
            self._scans[pairs] = scan_uploads(self.base, pairs, skip=skip)
        return self._scans[pairs]


@contextlib.contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except Undeliverable as error:
        raise ConfigError(error.reason, fix="name what exists here; .aspotignore leaves things out") from error


def _digest(scan: Scan) -> str:
    found = hashlib.sha256()
    for name, entry in sorted(scan.entries.items()):
        content = content_hash(entry.source, entry.stamp) if entry.kind is Kind.FILE else ""
        found.update(repr((name, entry.kind.value, entry.is_executable, entry.target, content)).encode())
    return found.hexdigest()
