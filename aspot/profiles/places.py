"""Where profiles are kept: one file for the user, one for the project."""

from __future__ import annotations

import os
from pathlib import Path

from aspot.errors import ConfigError

CONFIG_VARIABLE = "ASPOT_CONFIG_DIR"
USER_FILE = "profiles.toml"
PROJECT_FILE = "aspot.toml"


def user_file() -> Path:
    """Return where the user's profiles are, or would be: in `ASPOT_CONFIG_DIR`, else the platform's usual folder."""
    given = os.environ.get(CONFIG_VARIABLE)
    if given:
        return Path(given).expanduser().absolute() / USER_FILE
    import platformdirs

    return Path(platformdirs.user_config_dir("aspot", appauthor=False)) / USER_FILE


def project_file(folder: Path | None = None) -> Path | None:
    """Return the nearest `aspot.toml` of the folder or one above it; None if there is none.

    Args:
        folder: Where to begin; None for the working directory.

    Raises:
        ConfigError: If it is someone else's: it could launch what they like, in your account.
    """
    try:
        start = Path.cwd() if folder is None else folder.absolute()
    except FileNotFoundError:
        return None  # the working directory was deleted
    for place in (start, *start.parents):
        path = place / PROJECT_FILE
        if path.is_file():
            if place != start:
                _refuse_strange(path)
            return path
    return None


def _refuse_strange(path: Path) -> None:
    """Refuse a file of another user in a folder above: who works in a folder knows its own file, not that one."""
    owner = path.stat().st_uid
    if owner not in (os.geteuid(), 0):
        raise ConfigError(
            f"{path} belongs to someone else (user {owner})",
            fix=f"if you trust it, work in {path.parent}, or take it over; else work outside of it",
        )
