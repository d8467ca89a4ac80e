"""Tables of prices, types and images; sparklines."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.aws.gallery import ImageFacts
from aspot.aws.offers import TypeFacts
from aspot.ui.market import (
    BARS,
    PriceRow,
    TypeRow,
    age_text,
    images_text,
    matching,
    price_object,
    prices_text,
    sampled,
    sparkline,
    type_object,
    types_text,
    usd,
)

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def at(hours):
    return NOW + timedelta(hours=hours)


@pytest.mark.parametrize(
    ("values", "drawn"),
    [
        ([], ""),
        ([1.0], "▄"),
        ([1.0, 1.005, 1.0], "▄▄▄"),
        ([1, 2], "▁█"),
        ([2, 1], "█▁"),
        ([0, 1, 2, 3, 4, 5, 6, 7], BARS),
    ],
)
def test_a_sparkline_goes_from_lowest_to_highest(values, drawn):
    assert sparkline(values) == drawn


@given(st.lists(st.floats(0.0001, 100), min_size=1))
def test_a_sparkline_has_a_bar_for_each_value_and_keeps_their_order(values):
    drawn = sparkline(values)
    assert len(drawn) == len(values)
    pairs = sorted(zip(values, drawn, strict=True))
    assert [bar for _, bar in pairs] == sorted(bar for _, bar in pairs)


def test_a_price_holds_until_the_next():
    points = [(at(-30), 1.0), (at(-10), 2.0), (at(-1), 3.0)]
    assert sampled(points, start=at(-20), end=NOW, count=3) == [1.0, 2.0, 3.0]
    assert sampled(points[1:], start=at(-20), end=NOW, count=5) == [2.0, 2.0, 3.0]
    assert sampled([], start=at(-20), end=NOW) == []


def test_prices_show_what_is_known_and_leave_out_what_is_not():
    row = PriceRow(
        type="c7g.large", zone="us-east-1a", region="us-east-1", spot_usd=0.03, points=[(at(-30), 0.02), (at(-1), 0.03)]
    )
    dear = PriceRow(type="p5.48xlarge", zone="", region="us-east-1", spot_usd=None, on_demand_usd=98.32)
    plain = prices_text([row, dear], days=1, now=NOW).splitlines()
    assert plain[0].split() == ["TYPE", "ZONE", "SPOT", "ON-DEMAND", "SAVING", "LOW", "HIGH", "1", "DAY"]
    assert plain[1].split() == ["c7g.large", "us-east-1a", "$0.0300", "–", "–", "$0.0200", "$0.0300", "▁" * 23 + "█"]
    assert plain[2].split() == ["p5.48xlarge", "–", "$98.32", "–", "–", "–"]
    full = PriceRow(
        type="c7g.large", zone="us-east-1a", region="us-east-1", spot_usd=0.03, on_demand_usd=0.12, band="<5%", score=7
    )
    text = prices_text([full], days=7, now=NOW).splitlines()
    assert text[0].endswith("7 DAYS                    INTERRUPTED  SCORE")
    assert text[1].split()[4:6] == ["75", "%"]
    assert text[1].split()[-2:] == ["<5%", "7"]
    assert price_object(full)["saving"] == 0.75
    assert price_object(row)["history"][0] == [at(-30).isoformat(), 0.02]
    assert (price_object(row)["interrupted"], price_object(row)["saving"]) == (None, None)


def test_types_show_their_cheapest_zone():
    gpu = TypeFacts(
        name="g5.xlarge",
        arch="x86_64",
        vcpus=4,
        cores=2,
        memory_gib=16,
        gpus=1,
        gpu="NVIDIA A10G",
        gpu_memory_gib=22.35,
    )
    rows = [TypeRow(facts=gpu, spot_usd=0.4, zone="us-east-1b", on_demand_usd=1.0), TypeRow(facts=gpu)]
    lines = types_text(rows, most=None).splitlines()
    assert lines[1].split()[-5:] == ["$0.4000", "us-east-1b", "$1.0000", "60", "%"]
    assert "1 × NVIDIA A10G, 22.4 GiB" in lines[1]
    assert lines[2].split()[-3:] == ["–", "–", "–"]
    assert types_text(rows, most=1).endswith("… and 1 more: --all shows them")
    assert type_object(rows[0])["type"] == "g5.xlarge"
    assert type_object(rows[1])["zone"] is None


def test_what_others_named_cannot_steer_the_terminal():
    facts = ImageFacts(id="ami-1", name="evil\x1b[2J\nname", arch="x86_64", created="2026-11-01", is_own=True)
    text = images_text([facts], most=None)
    assert "\x1b" not in text
    assert len(text.splitlines()) == 2


def test_age_is_told_with_the_reason():
    assert age_text("spot prices", at(-3), NOW, "no network") == "spot prices are 3 h 0 min old: no network"


def test_words_match_in_any_order_and_case():
    assert matching(["UBUNTU", "arm"], "ubuntu/noble", "arm64")
    assert not matching(["ubuntu", "x86"], "ubuntu/noble", "arm64")
    assert matching([], "anything")


def test_prices_keep_the_digits_by_which_pools_differ():
    assert (usd(None), usd(0.0312), usd(98.324)) == ("–", "$0.0312", "$98.32")
