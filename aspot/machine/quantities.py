"""Durations, sizes and money as people write them, turned into plain numbers."""

from __future__ import annotations

import math
import re
from datetime import timedelta

from aspot.errors import ConfigError

Duration = float | int | str | timedelta
"""Seconds, `"1h30m"` or a `timedelta`."""

_UNITS_S = {"d": 86400.0, "h": 3600.0, "m": 60.0, "min": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|min|d|h|m|s)")
_SIZES_GB = {"MB": 0.001, "GB": 1.0, "TB": 1000.0}
_BYTES = {None: 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}


def seconds(value: Duration, what: str = "duration") -> float:
    """Return a duration in seconds.

    Raises:
        ConfigError: If it is negative, not finite or not understood.
    """
    number = _text_seconds(value, what) if isinstance(value, str) else _plain_seconds(value)
    if not math.isfinite(number) or number < 0:
        raise ConfigError(f"{what} must be zero or more seconds, not {value!r}", fix='write seconds, or "1h30m"')
    return number


def _plain_seconds(value: float | timedelta) -> float:
    return value.total_seconds() if isinstance(value, timedelta) else float(value)


def _text_seconds(value: str, what: str) -> float:
    text = value.strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not text or _PART.sub("", text).strip():
        raise ConfigError(f"{what} {value!r} is not a duration", fix='write seconds, or "1h30m", "90s", "2d"')
    return sum(float(number) * _UNITS_S[unit] for number, unit in _PART.findall(text))


def dollars(value: float | str, what: str = "price") -> float:
    """Return an amount in US dollars.

    Raises:
        ConfigError: If it is not a number above zero.
    """
    try:
        number = float(str(value).strip().removeprefix("$"))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or number <= 0:
        raise ConfigError(f"{what} must be US dollars above 0, not {value!r}", fix=f"for no limit, leave {what} out")
    return number


def gigabytes(value: float | str, what: str = "disk") -> int:
    """Return a size in whole GB (EBS counts GiB and calls them GB), at least 1.

    Raises:
        ConfigError: If it is not a size.
    """
    text = str(value).strip().upper().removesuffix("IB").removesuffix("B") + "B"
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(MB|GB|TB|B)", text)
    if not found:
        raise ConfigError(f"{what} {value!r} is not a size", fix='write "20 GB"')
    size = float(found[1]) * _SIZES_GB.get(found[2], 1.0)
    if size <= 0:
        raise ConfigError(f"{what} must be above 0, not {value!r}", fix='write "20 GB"')
    return math.ceil(size)


def byte_count(value: float | str, what: str, *, least: int) -> int:
    """Return a size in bytes; units are powers of 1000, as everywhere in aspot but for disks.

    Raises:
        ConfigError: If it is not a size of at least `least` bytes.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(B|KB|MB|GB|TB)?", str(value).strip().upper())
    size = round(float(found[1]) * _BYTES[found[2]]) if found else 0
    if size < least:
        raise ConfigError(f"{what} must be a size of at least {least:,} bytes, not {value!r}", fix='write "500 MB"')
    return size


def short_duration(value_s: float) -> str:
    """Return seconds as people read them: `58 s`, `5 min 12 s`, `1 h 48 min`."""
    whole = max(0, round(value_s))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def round_duration(value_s: float) -> str:
    """Return seconds as people say a length of time that they chose: `2 h`, `1 h 30 min`, `1 min`."""
    return short_duration(value_s).removesuffix(" 0 min").removesuffix(" 0 s")


def clock(value_s: float) -> str:
    """Return seconds as a stopwatch shows them: `1:02`, `1:00:05`."""
    whole = max(0, int(value_s))
    hours, minutes, rest = whole // 3600, whole % 3600 // 60, whole % 60
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def price(usd: float) -> str:
    """Return dollars with as many digits as matter: `$0.0004`, `$0.13`, `$12.80`."""
    if usd >= 0.1 or usd == 0:
        return f"${usd:.2f}"
    return f"${usd:.3f}" if usd >= 0.001 else f"${usd:.4f}"
