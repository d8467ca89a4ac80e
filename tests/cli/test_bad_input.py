"""Bad input: refused before anything is launched, with one clear message that names the fix, and no traceback."""

import asyncio
import os
import pickle
import socket
from pathlib import Path

import pytest
from local_world import write

from aspot import AspotError, ConfigError, Fleet, Job, Profile


@pytest.fixture
def script(cloud):
    return write("ok.sh", "echo ok\n")


def refused(answer, cloud, *, code, says, fix):
    """Check that a command was refused as it should be."""
    assert answer[0] == code, answer
    lines = answer[2].strip().splitlines()
    assert lines[0].startswith("error: "), answer
    assert says in answer[2], answer
    assert fix in answer[2], answer
    assert "Traceback" not in answer[1] + answer[2]
    assert len(lines) <= 6, answer
    assert cloud.launches() == 0
    cloud.clear_faults()
    assert not cloud.leftovers()


def test_a_missing_script(cloud, aspot):
    refused(aspot("run", "nothing.sh"), cloud, code=2, says="nothing.sh", fix="command")


def test_an_empty_script(cloud, aspot):
    write("empty.sh", "")
    refused(aspot("run", "empty.sh"), cloud, code=2, says="empty", fix="fix:")


def test_a_script_with_windows_line_ends(cloud, aspot):
    Path("crlf.sh").write_bytes(b"#!/bin/sh\r\necho hello\r\n")
    refused(aspot("run", "crlf.sh"), cloud, code=2, says="crlf.sh", fix="sed -i")


def test_a_folder_as_script(cloud, aspot):
    os.mkdir("folder")
    refused(aspot("run", "folder"), cloud, code=2, says="folder", fix="fix:")


def test_no_script_at_all(cloud, aspot):
    refused(aspot("run"), cloud, code=2, says="no script", fix="aspot run train.sh")


@pytest.mark.parametrize(
    ("words", "code", "says", "fix"),
    [
        (["-p", "no-such-profile"], 2, "no-such-profile", "default"),
        (["--type", "t9.gigantic"], 2, "t9.gigantic", "fix:"),
        (["--region", "mars-north-1"], 2, "mars-north-1", "fix:"),
        (["--max-price", "cheap"], 2, "cheap", "leave max_price out"),
        (["--max-price", "-1"], 2, "-1", "leave max_price out"),
        (["--budget", "nan"], 2, "nan", "leave budget out"),
        (["--budget", "0"], 2, "0", "leave budget out"),
        (["--name", "a;rm -rf $HOME"], 2, "a;rm", "letters, digits"),
        (["--name", "../up"], 2, "../up", "letters, digits"),
        (["--instances", "0"], 2, "0", "1 to 1,000"),
        (["--instances", "10000", "--yes"], 2, "10000", "several fleets"),
        (["--instances", "100"], 2, "100", "--yes"),
        (["--instances", "many"], 2, "many", "--help"),
        (["--timeout", "soon"], 2, "soon", "1h30m"),
        (["--image", "ami-00000000000000000"], 2, "ami-00000000000000000", "fix:"),
        (["--upload", "nowhere"], 2, "nowhere", "fix:"),
        (["--env", "PATH"], 2, "PATH", "--env PATH="),
        (["--env", "A-B=1"], 2, "A-B", "letters, digits"),
        (["--disk", "big"], 2, "big", "20 GB"),
        (["--zone", "us-east-1z"], 2, "us-east-1z", "fix:"),
        (["--grid", "lr"], 2, "lr", "KEY=A,B,C"),
        (["--grid", "lr=1", "--grid", "lr=2"], 2, "lr is given 2 times", "--grid lr=A,B,C"),
        (["--allocation", "cheapest"], 2, "cheapest", "price-capacity-optimized"),
        (["--on-demand-base", "-1"], 2, "on_demand_base", "leave it out"),
        (["--rebalance", "stay"], 2, "stay", "--help"),
        (["--params", "nowhere.csv"], 2, "nowhere.csv cannot be read", "table of parameters"),
        (["--params", "points.xls"], 2, "points.xls is no table", ".jsonl"),
        (["--table", "points.xls"], 2, "points.xls is no table", ".csv"),
        (["--table", "no/where.csv"], 2, "no folder no", "make the folder"),
        (["--table", "points.csv", "--detach"], 2, "end of the run", "--detach"),
        (["--results", "/proc/nowhere"], 2, "/proc/nowhere", "--results"),
        (["--download", "/etc"], 2, "/etc", "relative"),
        (["--firewall", "everyone"], 2, "everyone", "203.0.113.7/32"),
        (["--security-group", "sg-0123456789abcdef0"], 2, "sg-0123456789abcdef0", "fix:"),
        (["--instance-profile", "nobody"], 2, "nobody", "fix:"),
        (["--key-pair", "nobody"], 2, "nobody", "fix:"),
        (["--colour"], 2, "--colour", "--help"),
    ],
)
def test_an_option_that_cannot_work(cloud, aspot, script, words, code, says, fix):
    refused(aspot("run", script, *words), cloud, code=code, says=says, fix=fix)


def test_no_credentials(cloud, aspot, script, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    refused(aspot("run", script), cloud, code=3, says="credentials", fix="aws")


def test_expired_credentials(cloud, aspot, script):
    cloud.fault("expire-credentials")
    refused(aspot("run", script), cloud, code=3, says="expired", fix="aws sso login")


def test_no_region(cloud, aspot, script, monkeypatch):
    monkeypatch.delenv("AWS_REGION")
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    refused(aspot("run", script), cloud, code=2, says="region", fix="--region")


def test_an_unreachable_endpoint(cloud, aspot, script, monkeypatch):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{unused.getsockname()[1]}")
        refused(aspot("run", script), cloud, code=3, says="127.0.0.1", fix="fix:")


def test_a_results_folder_that_cannot_be_written(cloud, aspot, script):
    write("file", "in the way")
    refused(aspot("run", script, "--results", "file"), cloud, code=2, says="file", fix="fix:")


def test_a_state_folder_that_cannot_be_made(cloud, aspot, script, monkeypatch):
    monkeypatch.setenv("ASPOT_STATE_DIR", "/proc/nowhere")
    refused(aspot("run", script), cloud, code=2, says="/proc/nowhere", fix="ASPOT_STATE_DIR")


def test_results_that_are_there_already(cloud, aspot, script):
    os.makedirs("aspot-results/taken/ok")
    refused(aspot("run", script, "-n", "taken"), cloud, code=2, says="taken", fix="--replace")


def test_a_quota_that_is_too_small(cloud, aspot, script):
    cloud.fault("quota", code="L-34B43A08", number=32)
    answer = aspot("run", script, "--instances", "20", "--type", "c7i.large")
    refused(answer, cloud, code=3, says="32", fix="--instances 16, or request more: https://")


def test_unknown_names(cloud, aspot):
    refused(aspot("status", "nobody"), cloud, code=2, says="nobody", fix="aspot ls")
    refused(aspot("logs", "nobody/job"), cloud, code=2, says="nobody", fix="aspot ls")
    refused(aspot("down", "nobody"), cloud, code=2, says="nobody", fix="aspot ls")
    refused(aspot("down"), cloud, code=2, says="--all", fix="aspot ls")


# --- the same from Python ---


def raised(cloud, jobs, *, says, fix="", kind=ConfigError, **options):
    """Check that `Fleet.run_many` refuses this with an error of ours that says what to do."""
    with pytest.raises(AspotError) as caught:
        asyncio.run(Fleet.run_many(jobs, show=False, **options))
    error = caught.value
    assert isinstance(error, kind), repr(error)
    assert says in str(error)
    assert error.fix
    assert fix in error.fix
    assert str(pickle.loads(pickle.dumps(error))) == str(error)
    cloud.clear_faults()
    assert cloud.launches() == 0
    assert not cloud.leftovers()
    return error


@pytest.mark.parametrize(
    ("jobs", "says", "fix"),
    [
        ("nothing.sh", "nothing.sh", "command="),
        ("python3 train.py", "python3 train.py", "command="),
        (Path("nothing.sh"), "nothing.sh", ""),
        ([Path("ok.sh"), "nothing.sh"], "nothing.sh", "command="),
        ([3], "3", "path"),
        (7, "7", "path"),
        ("", "", ""),
    ],
)
def test_jobs_that_are_none(cloud, script, jobs, says, fix):
    raised(cloud, jobs, says=says, fix=fix)


@pytest.mark.parametrize(
    ("options", "says", "fix"),
    [
        ({"budget": float("nan")}, "nan", "leave budget out"),
        ({"budget": -3}, "-3", "leave budget out"),
        ({"instances": 0}, "0", "leave it out"),
        ({"instances": 10_000}, "10000", "several fleets"),
        ({"instances": "8"}, "'8'", "leave it out"),
        ({"profile": "gigantic"}, "gigantic", "default"),
        ({"profile": Profile(types="t9.gigantic")}, "t9.gigantic", "spelling"),
        ({"profile": Profile(region="mars-north-1")}, "mars-north-1", ""),
        ({"name": "a/b"}, "a/b", ""),
        ({"name": "$(reboot)"}, "$(reboot)", ""),
        ({"results": ""}, "results", "leave results out"),
        ({"deadline": "soon"}, "soon", "1h30m"),
        ({"existing": "perhaps"}, "perhaps", ""),
        ({"bugdet": 3}, "bugdet", "budget"),
        ({"upload": ["nowhere"]}, "nowhere", ""),
        ({"secrets": ["NOT_SET_HERE"]}, "NOT_SET_HERE", "export NOT_SET_HERE"),
        ({"env": {"A B": "1"}}, "A B", ""),
        ({"timeout": 0}, "0", "leave timeout out"),
        ({"attempts": 0}, "attempts", ""),
        ({"download": ["../up"]}, "../up", ""),
        ({"checkpoint": ["/tmp"]}, "/tmp", ""),
    ],
)
def test_options_that_cannot_work(cloud, script, options, says, fix):
    raised(cloud, script, says=says, fix=fix, **options)


def test_two_jobs_of_one_name(cloud, script):
    raised(cloud, [Job(script, name="a"), Job(script, name="a")], says="'a'")


def test_expired_credentials_from_python(cloud, script):
    cloud.fault("expire-credentials")
    raised(cloud, script, says="expired", fix="aws sso login", kind=AspotError)


def test_a_fleet_that_was_refused_can_be_used_again(cloud, script):
    """What was wrong outside can be put right, and the same call works."""
    write("aspot-results", "in the way")
    raised(cloud, script, says="aspot-results", name="again")
    Path("aspot-results").unlink()
    assert asyncio.run(Fleet.run_many(script, "again", show=False)).ok
