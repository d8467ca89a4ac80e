"""What AWS said, kept in the user's cache folder for a while: prices, types and images, no secrets. Works without."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Self

import attrs

log = logging.getLogger(__name__)

CACHE_VARIABLE = "ASPOT_CACHE_DIR"
FORGOTTEN_S = 30 * 86400.0
"""Entries that nobody renewed for this long are deleted."""


@attrs.frozen(kw_only=True)
class Kept:
    """An answer of AWS and when it was given (seconds since 1970)."""

    value: Any
    at: float


@attrs.frozen
class Cache:
    """Answers of AWS, each in a file of its own.

    Args:
        folder: Where they are.
        now: The clock, seconds since 1970.
    """

    folder: Path
    now: Callable[[], float] = time.time

    @classmethod
    def open(cls) -> Self:
        """Return the user's: in `ASPOT_CACHE_DIR`, else the platform's usual folder."""
        given = os.environ.get(CACHE_VARIABLE)
        if given:
            return cls(Path(given).expanduser().absolute())
        import platformdirs

        return cls(Path(platformdirs.user_cache_dir("aspot", appauthor=False)))

    def read(self, kind: str, parts: Sequence[Any]) -> Kept | None:
        """Return what is kept of a question; None if nothing is, it cannot be read, or somebody else put it there.

        Args:
            kind: What was asked for, in a word.
            parts: All that the answer depends on, as JSON knows it.
        """
        try:
            with self._path(kind, parts).open(encoding="utf-8") as file:
                if os.fstat(file.fileno()).st_uid != os.geteuid():
                    return None
                found = json.load(file)
            return Kept(value=found["value"], at=min(float(found["at"]), self.now()))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def write(self, kind: str, parts: Sequence[Any], value: Any) -> Kept:
        """Keep an answer, and return it; a folder that cannot be written to is no failure."""
        kept = Kept(value=value, at=self.now())
        try:
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._forget()
            with tempfile.NamedTemporaryFile("w", dir=self.folder, delete=False, encoding="utf-8") as file:
                json.dump({"at": kept.at, "parts": parts, "value": value}, file)
            os.replace(file.name, self._path(kind, parts))
        except OSError as error:
            log.debug("nothing is cached", extra={"folder": str(self.folder), "error": str(error)})
        return kept

    def _path(self, kind: str, parts: Sequence[Any]) -> Path:
        digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
        return self.folder / f"{kind}-{digest}.json"

    def _forget(self) -> None:
        for path in self.folder.iterdir():
            with contextlib.suppress(OSError):
                if path.is_file() and self.now() - path.stat().st_mtime > FORGOTTEN_S:
                    path.unlink()
