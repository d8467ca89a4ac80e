"""Bad input: refused before anything is launched, with one clear message that names the fix, and no traceback."""

import os
import socket

import pytest


@pytest.fixture
def script(cloud):
    with open("ok.sh", "w") as file:
        file.write("echo ok\n")
    return "ok.sh"


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
    assert not cloud.alive()


def test_a_missing_script(cloud, aspot):
    refused(aspot("run", "nothing.sh"), cloud, code=2, says="nothing.sh", fix="command")


def test_an_empty_script(cloud, aspot):
    open("empty.sh", "w").close()
    refused(aspot("run", "empty.sh"), cloud, code=2, says="empty", fix="fix:")


def test_a_script_with_windows_line_ends(cloud, aspot):
    with open("crlf.sh", "wb") as file:
        file.write(b"#!/bin/sh\r\necho hello\r\n")
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
    with open("file", "w") as file:
        file.write("in the way")
    refused(aspot("run", script, "--results", "file"), cloud, code=2, says="file", fix="fix:")


def test_results_that_are_there_already(cloud, aspot, script):
    os.makedirs("aspot-results/taken/ok")
    refused(aspot("run", script, "-n", "taken"), cloud, code=2, says="taken", fix="--replace")


def test_a_quota_that_is_too_small(cloud, aspot, script):
    cloud.fault("quota", code="L-34B43A08", value=32)
    answer = aspot("run", script, "--instances", "20", "--type", "c7i.large")
    cloud.clear_faults()
    assert answer[0] in (0, 3)


def test_unknown_names(cloud, aspot):
    refused(aspot("status", "nobody"), cloud, code=2, says="nobody", fix="aspot ls")
    refused(aspot("logs", "nobody/job"), cloud, code=2, says="nobody", fix="aspot ls")
    refused(aspot("down", "nobody"), cloud, code=2, says="nobody", fix="aspot ls")
    refused(aspot("down"), cloud, code=2, says="--all", fix="aspot ls")
