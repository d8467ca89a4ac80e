"""Two clients on one run: the second takes over; the first leaves, or learns of it when it wakes up, without harm."""

import json
import os
import signal
import socket
from pathlib import Path

import pytest
from local_world import until, write
from processes import OnTerminal, Piped

from aspot.journal.runs import load_events, newest
from tests.cli.test_coming_back import COUNTING, WHOLE, steps

HOST = socket.gethostname()
HELD = COUNTING.replace("sleep 0.2;", '[ "$n" != 10 ] || until [ -e ~/go ]; do sleep 0.1; done;')


def go(cloud) -> None:
    """Let the job that waits at its tenth step go on."""
    for machine in cloud.alive():
        (cloud.machine(machine["id"]) / "home" / "ec2-user" / "go").touch()


@pytest.fixture
def script(cloud):
    return write("count.sh", HELD)


def is_at(fleet: str, step: str):
    """Whether the job's output has come this far."""
    return lambda: any(step in path.read_text() for path in Path("aspot-results", fleet).rglob("a1/stdout"))


def is_driven_by(fleet: str, pid: int):
    def check() -> bool:
        driver = newest(fleet).driver
        return driver is not None and driver.pid == pid

    return check


def statuses(fleet: str) -> list[str]:
    summary = json.loads((Path("aspot-results") / fleet / "results.json").read_text())
    return [item["status"] for item in summary["results"]]


def test_the_first_leaves_in_order(cloud, start, script):
    first = start(Piped, "run", script, "-n", "mine", "-q")
    until(is_at("mine", "step 3"))
    second = start(Piped, "attach", "mine", "--take-over")
    until(is_driven_by("mine", second.pid))
    go(cloud)
    assert first.end() == 0, first.err
    assert f"mine was taken over by process {second.pid} on {HOST} at " in first.out
    assert "nothing more is done here" in first.out
    assert second.end() == 0, second.err
    assert "Nothing left (checked)." in second.out
    assert steps("mine") == WHOLE
    assert statuses("mine") == ["succeeded"]
    assert cloud.launches() == 1
    assert cloud.alive() == []


@pytest.mark.parametrize("wakes", ["while the second works", "when all is over"])
def test_a_first_that_sleeps_is_shut_out_and_does_no_harm(cloud, start, script, wakes):
    first = start(Piped, "run", script, write("more.sh", "sleep 2\n"), "-n", "nap", "--instances", "1", "--json")
    until(is_at("nap", "step 3"))
    first.signal(signal.SIGSTOP)
    second = start(Piped, "attach", "nap", "--take-over", "-q")
    until(is_driven_by("nap", second.pid))
    if wakes == "when all is over":
        go(cloud)
        assert second.end() == 0, second.err
        assert cloud.alive() == []
    calls = dict(cloud.calls())
    first.signal(signal.SIGCONT)
    assert first.end() == 0, first.err
    last = json.loads(first.out.splitlines()[-1])
    assert (last["event"], last["by"]) == ("fleet_taken_over", f"process {second.pid} on {HOST}")
    if wakes == "when all is over":
        told = {name: count - calls.get(name, 0) for name, count in cloud.calls().items()}
        assert not any(told.get(name) for name in ("CreateFleet", "RunInstances", "TerminateInstances")), told
    else:
        go(cloud)
    assert second.end() == 0, second.err
    assert steps("nap") == WHOLE
    assert statuses("nap") == ["succeeded", "succeeded"]
    assert cloud.launches() == 1
    assert cloud.alive() == []
    assert not newest("nap").left
    assert load_events(newest("nap").folder)  # it is whole


def test_on_a_terminal_it_asks(cloud, start, script):
    first = start(Piped, "run", script, "-n", "asked", "-q")
    until(is_at("asked", "step 3"))
    shy = start(OnTerminal, "attach", "asked")
    shy.says(f"asked is being driven by another process: process {first.pid} on {HOST}, since ")
    shy.says("Take over? [y/N]")
    shy.press("\r")
    assert shy.end() == 2
    bold = start(OnTerminal, "attach", "asked")
    bold.says("Take over? [y/N]")
    bold.press("y\r")
    assert first.end() == 0, first.err
    go(cloud)
    assert "asked was taken over by process " in first.out
    assert bold.end() == 0, bold.said
    assert steps("asked") == WHOLE
    assert cloud.alive() == []


def test_taking_over_what_nobody_drives_is_attaching(cloud, start, script, aspot):
    first = start(Piped, "run", script, "-n", "free", "-q")
    until(is_at("free", "step 3"))
    first.kill()
    go(cloud)
    code, _, err = aspot("attach", "free", "--take-over")
    assert code == 0, err
    assert steps("free") == WHOLE
    assert newest("free").driver.pid == os.getpid()
