"""Names below the working directory, and what is to be sent there: checked here, walked when it is sent."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

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


def check_uploads(pairs: Iterable[tuple[str, str]], base: Path) -> tuple[tuple[str, str], ...]:
    """Return (local, name below `work/`) pairs, home folders filled in, after checking that there is something to send.

    Raises:
        ConfigError: If nothing is there, a pattern matches nothing, a link leads nowhere, or a new name is outside.
    """
    return tuple((_local(local, base), _inside(remote, "upload name") if remote else "") for local, remote in pairs)


def _local(given: str, base: Path) -> str:
    local = os.path.expanduser(given)
    path = base / local
    if os.path.islink(path) and not path.exists():
        raise ConfigError(f"upload {given!r} is a link that leads nowhere", fix="repair or remove the link")
    if not given.strip() or "\0" in given:
        raise ConfigError(f"upload {given!r} is not a path", fix='write upload=["src"]')
    if not path.exists() and not _matches(local, base):
        raise ConfigError(_nothing(given, base), fix="name files or folders that exist here")
    return local


def _matches(pattern: str, base: Path) -> bool:
    return glob.has_magic(pattern) and next(glob.iglob(pattern, root_dir=base, recursive=True), None) is not None


def _nothing(given: str, base: Path) -> str:
    what = "matches nothing" if glob.has_magic(given) else "does not exist"
    return f"upload {given!r} {what} in {base}"
