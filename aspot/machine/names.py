"""Names: which are allowed, and how they are made from scripts and parameters."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime

from aspot.errors import ConfigError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
ENV_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
LONGEST = 63
ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
"""Of run ids: Crockford's base 32, no i, l, o or u."""
RUN_ID = re.compile(f"[0-7][{ALPHABET}]{{25}}")


def check_name(name: str, what: str = "name") -> str:
    """Return the name if it is safe in paths, tags and shells.

    Raises:
        ConfigError: If it is not.
    """
    if not NAME.fullmatch(name) or ".." in name:
        raise ConfigError(
            f"{what} {name!r} cannot be used",
            fix=f"use letters, digits, '.', '_' and '-', at most {LONGEST}, for example {safe(name)!r}",
        )
    return name


def check_env_key(key: str) -> str:
    """Return the key if a POSIX shell takes it as a variable's name and aspot does not set it itself.

    Raises:
        ConfigError: If it is not.
    """
    if not isinstance(key, str) or not ENV_KEY.fullmatch(key):
        raise ConfigError(f"environment variable {key!r} is not a name", fix="use letters, digits and '_'")
    if key.startswith("ASPOT_"):
        raise ConfigError(f"environment variable {key} is aspot's own", fix="use a name without ASPOT_")
    return key


def safe(text: str) -> str:
    """Return the text as a safe name: other characters become `-`; never empty."""
    cleaned = re.sub(r"\.{2,}", ".", re.sub(r"[^A-Za-z0-9._-]+", "-", text)).strip("-._")
    return shorten(cleaned or "job")


def shorten(name: str) -> str:
    """Return the name, cut with a hash if it is too long."""
    if len(name) <= LONGEST:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{name[: LONGEST - 9].rstrip('-._')}-{digest}"


def job_name(stem: str, params: Mapping[str, object], taken: Collection[str]) -> str:
    """Return a job's name from its script's stem and its params, unlike those taken.

    >>> job_name("ok one", {}, set()), job_name("train", {"lr": 0.1, "seed": 3}, set()), job_name("a", {}, {"a"})
    ('ok-one', 'train-lr0.1-seed3', 'a-2')
    """
    parts = [stem, *(f"{key}{value}" if key != "item" else str(value) for key, value in params.items())]
    wanted = safe("-".join(parts))
    name, number = wanted, 1
    while name in taken:
        number += 1
        name = f"{shorten(wanted)[: LONGEST - len(str(number)) - 1]}-{number}"
    return name


def fleet_name(first_job: str, now: datetime) -> str:
    """Return a fleet's default name: `train-1123-1607`."""
    return f"{safe(first_job)[:50]}-{now:%m%d-%H%M}"


def run_began(run: str) -> datetime | None:
    """Return when a run began, as its id says; None if that is no run id.

    >>> run_began("01m82v7m000000000000000000"), run_began("r-1")
    (datetime.datetime(2026, 11, 23, 0, 0, tzinfo=datetime.timezone.utc), None)
    """
    if not RUN_ID.fullmatch(run):
        return None
    number = 0
    for character in run:
        number = number << 5 | ALPHABET.index(character)
    try:
        return datetime.fromtimestamp((number >> 80) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None
