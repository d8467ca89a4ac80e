"""Names below the job's working directory: relative, inside, in their plain form."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import PurePosixPath

from aspot.errors import ConfigError


def inside(paths: Iterable[str], what: str) -> tuple[str, ...]:
    """Return paths relative to the working directory, in their plain form: no trailing slash, no `./`.

    Raises:
        ConfigError: If one is absolute, leaves the directory, or is no path.
    """
    return tuple(_inside(path, what) for path in paths)


def _inside(path: str, what: str) -> str:
    if not path.strip() or any(ord(letter) < 32 or ord(letter) == 127 for letter in path):
        raise ConfigError(f"{what} {path!r} is not a path", fix=f'write {what}=["out"]')
    if path.startswith(("/", "~")) or ".." in PurePosixPath(path).parts:
        raise ConfigError(
            f"{what} {path!r} is outside the job's working directory", fix="name it relative to that directory"
        )
    return os.path.normpath(path)


def upload_pairs(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return (local, name below `work/` or "") pairs after checking that they are paths, and the names inside.

    Raises:
        ConfigError: If one is not.
    """
    return tuple((_local(local), _inside(remote, "upload name") if remote else "") for local, remote in pairs)


def _local(given: str) -> str:
    if not given.strip() or "\0" in given:
        raise ConfigError(f"upload {given!r} is not a path", fix='write upload=["src"], or ["."] for all that is here')
    return given
