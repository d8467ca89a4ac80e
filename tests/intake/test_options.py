"""Options of a fleet: each wrong one is refused before anything is launched, with the fix."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.errors import ConfigError
from aspot.intake.names import default_fleet_name, new_run_id, owner, run_id
from aspot.intake.options import FleetOptions
from aspot.jobs import Job
from aspot.profiles import Profile


def check(name=None, profile="default", **options):
    return FleetOptions.check(name, profile, options)


WRONG = [
    *({"instances": value} for value in (0, -1, 10_000, 1001, 1.5, "5", True, math.nan)),
    *({"budget": value} for value in (math.nan, 0, -1, math.inf, "cheap")),
    *({option: -1} for option in ("idle", "hold", "max_life", "deadline", "capacity_timeout")),
    *({option: "soon"} for option in ("idle", "hold", "max_life", "deadline", "capacity_timeout")),
    *({"idle": value} for value in (None, [], {}, math.inf, math.nan)),
    {"deadline": 0},
    {"max_life": 0},
    {"existing": "append"},
    {"existing": None},
    {"rebalance": "stay"},
    {"on_demand_base": -1},
    {"on_demand_base": True},
    {"results": ""},
    {"results": None},
    {"results": 3},
    {"results": "a\0b"},
    {"uplaod": ["src"]},
    {"colour": "blue"},
]


@pytest.mark.parametrize("options", WRONG, ids=str)
def test_a_wrong_option_is_refused_by_name(options):
    with pytest.raises(ConfigError) as caught:
        check(**options)
    assert str(next(iter(options))) in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize("name", ["a;b", "$(x)", "-x", "", "a b", "ü", "x" * 64, "a..b", 3, "a/b", "a\n"])
def test_a_wrong_name_is_refused(name):
    with pytest.raises(ConfigError):
        check(name)


@pytest.mark.parametrize("profile", ["gpu-unknown", "", 3, None, "m5.large; ls"])
def test_an_unknown_profile_is_refused(profile):
    with pytest.raises(ConfigError):
        check(profile=profile)


def test_a_typing_error_is_met_with_a_guess():
    with pytest.raises(ConfigError) as caught:
        check(instnces=3)
    assert caught.value.fix == "did you mean 'instances'?"


def test_the_usual_values_are_those_of_the_documentation():
    spec = check().run_spec("id", "name", "us-east-1")
    assert (spec.limit, spec.budget_usd, spec.deadline_s) == (50, None, None)
    assert (spec.max_life_s, spec.idle_s, spec.hold_s, spec.capacity_timeout_s) == (86400, 60, 7200, 3600)
    assert (spec.market, spec.max_price_usd, spec.disk_gb) == ("spot", None, 8)


def test_none_means_no_limit_where_there_may_be_none():
    options = check(instances=None, budget=None, deadline=None)
    assert (options.instances, options.budget_usd, options.deadline_s) == (None, None, None)


def test_everything_reaches_the_machine():
    profile = Profile("c7g.large", max_price=0.5, market="spot-first", disk="20 GB")
    options = check(
        "lr-study", profile, instances=8, budget="$5", deadline="1h30m", max_life=timedelta(hours=2), idle=0, hold="1h"
    )
    spec = options.run_spec("id", "lr-study", "eu-west-1")
    assert (spec.limit, spec.budget_usd, spec.deadline_s, spec.max_life_s) == (8, 5.0, 5400, 7200)
    assert (spec.idle_s, spec.hold_s, spec.market, spec.max_price_usd, spec.disk_gb) == (0, 3600, "spot-first", 0.5, 20)
    assert options.profile.types == ("c7g.large",)
    assert check(on_demand_base=2).run_spec("id", "n", "r").on_demand_base == 2
    assert check(on_demand_base=0).run_spec("id", "n", "r").on_demand_base == 0
    assert [check(rebalance=wish).run_spec("id", "n", "r").moves_when_advised for wish in ("save", "move")] == [
        False,
        True,
    ]


@given(st.integers(0, 3000), st.one_of(st.none(), st.integers(1, 1000)))
def test_the_size_is_one_per_job_at_most_fifty_unless_asked_for(jobs, instances):
    found = check(instances=instances).sized_for(range(jobs)).instances
    assert found == (instances or max(1, min(jobs, 50)))


def test_the_results_folder_is_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", "/home/me")
    assert check().results == tmp_path / "aspot-results"
    assert check(results="r").results == tmp_path / "r"
    assert check(results=Path("~/r")).results == Path("/home/me/r")


def test_run_ids_sort_by_time_and_differ():
    moments = [datetime(2026, 11, 23, 16, 7, second, tzinfo=UTC) for second in range(5)]
    ids = [run_id(moment, bytes([255 - number] * 10)) for number, moment in enumerate(moments)]
    assert ids == sorted(ids)
    assert len({new_run_id() for _ in range(100)}) == 100
    assert {len(item) for item in (*ids, new_run_id())} == {26}
    assert all(item.isalnum() and item == item.lower() for item in ids)


def test_the_owner_is_safe_and_there_without_any_account(monkeypatch):
    monkeypatch.setenv("LOGNAME", "me; rm rf /")
    user, _, host = owner().partition("@")
    assert user == "me-rm-rf"
    assert host
    import getpass

    def none():
        raise KeyError("no account")

    monkeypatch.setattr(getpass, "getuser", none)
    assert owner().startswith("uid-")


@pytest.mark.parametrize(
    ("first", "name"),
    [
        ("ok one.sh", "ok-one-1123-1607"),
        (Path("a/train.py"), "train-1123-1607"),
        (Job(command="make"), "make-1123-1607"),
        (Job("x.sh", name="own"), "own-1123-1607"),
        ("#!/bin/sh\n", "script-1123-1607"),
    ],
)
def test_a_fleet_without_a_name_is_named_after_its_first_job(first, name):
    assert default_fleet_name(first, datetime(2026, 11, 23, 16, 7, tzinfo=UTC)) == name
