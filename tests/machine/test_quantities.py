"""Durations, money and sizes as people write and read them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from aspot.errors import ConfigError
from aspot.machine.quantities import (
    byte_count,
    clock,
    dollars,
    gigabytes,
    price,
    round_duration,
    seconds,
    short_duration,
)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, 5.0),
        (0, 0.0),
        ("90", 90.0),
        ("1.5", 1.5),
        ("1h30m", 5400.0),
        ("1h 30m", 5400.0),
        ("2d", 172800.0),
        ("500ms", 0.5),
        ("5min", 300.0),
        (timedelta(minutes=2), 120.0),
    ],
)
def test_durations(value, expected) -> None:
    assert seconds(value) == expected


@pytest.mark.parametrize("value", ["", "soon", "5x", "1h30", -1, float("nan"), float("inf"), "-5s"])
def test_durations_that_are_none(value) -> None:
    with pytest.raises(ConfigError, match="idle"):
        seconds(value, "idle")


@pytest.mark.parametrize(("value", "expected"), [(1, 1.0), ("$0.25", 0.25), (" 3 ", 3.0)])
def test_dollars(value, expected) -> None:
    assert dollars(value) == expected


@pytest.mark.parametrize("value", [0, -1, "much", float("nan"), float("inf")])
def test_dollars_that_are_none(value) -> None:
    with pytest.raises(ConfigError, match="budget"):
        dollars(value, "budget")


@pytest.mark.parametrize(
    ("value", "expected"), [("20 GB", 20), ("8gb", 8), (10, 10), ("1 TB", 1000), ("500 MB", 1), ("8 GiB", 8)]
)
def test_sizes(value, expected) -> None:
    assert gigabytes(value) == expected


@pytest.mark.parametrize(
    ("value", "expected"),
    [(2_000_000, 2_000_000), ("500 MB", 500_000_000), ("1.5gb", 1_500_000_000), ("4000 kB", 4_000_000)],
)
def test_bytes(value, expected) -> None:
    assert byte_count(value, "max_output", least=1) == expected


@pytest.mark.parametrize("value", ["much", "999999", 0, "-1 GB", "1 PB"])
def test_bytes_that_are_none_or_too_few(value) -> None:
    with pytest.raises(ConfigError, match="max_output must be a size of at least 1,000,000 bytes"):
        byte_count(value, "max_output", least=1_000_000)


@pytest.mark.parametrize("value", ["big", "0 GB", "-1"])
def test_sizes_that_are_none(value) -> None:
    with pytest.raises(ConfigError, match="disk"):
        gigabytes(value)


@pytest.mark.parametrize(("value", "text"), [(-3, "0 s"), (58.4, "58 s"), (312, "5 min 12 s"), (6480, "1 h 48 min")])
def test_short_durations(value, text) -> None:
    assert short_duration(value) == text


@pytest.mark.parametrize(("value", "text"), [(-1, "0:00"), (62.9, "1:02"), (3605, "1:00:05")])
def test_stopwatch(value, text) -> None:
    assert clock(value) == text


@pytest.mark.parametrize(("usd", "text"), [(0, "$0.00"), (0.0004, "$0.0004"), (0.011, "$0.011"), (12.8, "$12.80")])
def test_prices(usd, text) -> None:
    assert price(usd) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [(7200, "2 h"), (5400, "1 h 30 min"), (60, "1 min"), (90, "1 min 30 s"), (0, "0 s"), (3600, "1 h")],
)
def test_durations_that_somebody_chose_have_no_empty_part(value, text) -> None:
    assert round_duration(value) == text
