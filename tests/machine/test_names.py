"""Names: which are allowed, how they are made, and how news are called."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.errors import ConfigError
from aspot.machine import news as nw
from aspot.machine.names import NAME, check_env_key, check_name, fleet_name, job_name, safe, shorten

NOW = datetime(2026, 11, 23, 16, 7, tzinfo=UTC)


@pytest.mark.parametrize("name", ["a", "train-2", "A.b_c-9", "x" * 63])
def test_names_that_are_allowed(name) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize("name", ["", "-a", "a b", "a/b", "a;b", "$(x)", "a..b", "x" * 64, "ü", "a\n"])
def test_names_that_are_not(name) -> None:
    with pytest.raises(ConfigError, match="fleet"):
        check_name(name, "fleet")


def test_environment_keys() -> None:
    assert check_env_key("PATH_2") == "PATH_2"
    for key in ("2A", "A-B", "", "A\n", 5):
        with pytest.raises(ConfigError, match="not a name"):
            check_env_key(key)
    with pytest.raises(ConfigError, match="aspot's own"):
        check_env_key("ASPOT_JOB")


@given(st.text())
def test_safe_names_are_allowed(text) -> None:
    assert NAME.fullmatch(safe(text))
    assert check_name(safe(text))


@given(st.text(min_size=1), st.dictionaries(st.text(min_size=1, max_size=5), st.integers(), max_size=4))
def test_job_names_are_allowed_and_unlike_those_taken(stem, params) -> None:
    first = job_name(stem, params, set())
    second = job_name(stem, params, {first})
    assert second != first
    assert check_name(first)
    assert check_name(second)


def test_job_names_tell_their_params() -> None:
    assert job_name("ok one", {}, set()) == "ok-one"
    assert job_name("train", {"lr": 0.1, "seed": 3}, set()) == "train-lr0.1-seed3"
    assert job_name("a", {"item": "x"}, set()) == "a-x"
    assert job_name("a", {}, {"a", "a-2"}) == "a-3"


def test_long_names_are_cut_with_a_hash() -> None:
    assert shorten("x" * 63) == "x" * 63
    assert len(shorten("x" * 200)) == 63
    assert shorten("x" * 200) != shorten("x" * 201)


def test_a_fleet_is_called_after_its_first_job_and_the_time() -> None:
    assert fleet_name("train", NOW) == "train-1123-1607"


def test_news_are_called_in_snake_case() -> None:
    assert (
        nw.InstanceLaunched(time=NOW, fleet="f", instance_id="i", type="t", zone="z", price_usd_per_hour=0).name
        == "instance_launched"
    )
    assert nw.Warned(time=NOW, fleet="f").name == "warned"
