"""Prices and dice are the same for the same seed, and differ otherwise. Pure."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from aspot.local.catalog import quota_class
from aspot.local.prices import PriceBook, share
from aspot.local.records import Pool

POOL = Pool("m5.large", "us-east-1a")
NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


@given(seed=st.integers(0, 2**32), hours=st.integers(0, 24 * 90))
def test_prices_are_seeded_and_stay_within_reason(seed, hours):
    at = NOW - timedelta(hours=hours)
    price = PriceBook(seed).spot(POOL, on_demand=0.1, at=at)
    assert price == PriceBook(seed).spot(POOL, on_demand=0.1, at=at)
    assert 0.02 <= price <= 0.07


@given(seed=st.integers(0, 2**32))
def test_the_last_change_is_the_price(seed):
    book = PriceBook(seed)
    changes = list(book.changes(POOL, on_demand=0.1, start=NOW - timedelta(days=2), end=NOW))
    assert changes[0][0] <= NOW
    assert changes[0][1] == book.spot(POOL, on_demand=0.1, at=NOW)
    assert changes[-1][0] <= NOW - timedelta(days=2) < changes[-2][0]


def test_seeds_and_pools_differ():
    prices = {PriceBook(seed).spot(POOL, on_demand=1.0, at=NOW) for seed in range(20)}
    zones = {PriceBook(0).spot(Pool("m5.large", f"us-east-1{z}"), on_demand=1.0, at=NOW) for z in "abcdef"}
    assert len(prices) > 15
    assert len(zones) > 3


@given(st.lists(st.integers()))
def test_dice_fall_between_zero_and_one(parts):
    assert 0 <= share(*parts) < 1


def test_families_count_against_their_quota():
    names = {
        "m5.large": "standard",
        "c7g.medium": "standard",
        "g5.xlarge": "g",
        "p4d.24xlarge": "p",
        "inf2.xlarge": "inf",
    }
    names |= {"vt1.3xlarge": "g", "f1.2xlarge": "f", "x2idn.16xlarge": "x", "u-6tb1.metal": "standard"}
    assert {name: quota_class(name).name for name in names} == names
