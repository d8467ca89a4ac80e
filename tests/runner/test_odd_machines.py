"""Machines that are not as usual: cloud-init is still at work, a home without execution, a wall clock that jumps."""

from __future__ import annotations

import subprocess
import time

import pytest
from waiting import until

from tests.runner.conftest import RUN, Machine, order

NOEXEC = 'mount --bind "$1" "$1" && mount -o remount,bind,noexec "$1" && shift && exec "$@"'


def is_ec2(machine) -> None:
    """Have the machine say that it is EC2's, where systemd starts no unit."""
    dmi = machine.folder / "dmi"
    dmi.mkdir()
    (dmi / "sys_vendor").write_text("Amazon EC2\n")
    machine.env = {key: value for key, value in machine.env.items() if key != "ASPOT_LOCAL_GUEST"}
    machine.env |= {"ASPOT_DMI": str(dmi)}
    machine.shim("systemd-run", "exit 1")


def test_the_set_up_waits_until_cloud_init_has_finished(machine):
    """cloud-init holds apt's lock until then (FAULTS I1)."""
    is_ec2(machine)
    (machine.folder / "cloud-init").mkdir()
    finished = machine.folder / "boot-finished"
    machine.env |= {"ASPOT_CLOUD_INIT": str(machine.folder / "cloud-init"), "ASPOT_BOOT_FINISHED": str(finished)}
    asked = machine.begin("setup", "0123abcd", stdin=order("echo set up", job="setup"))
    until(lambda: list(machine.home.rglob("ready")))
    time_out = time.monotonic() + 1.2
    while time.monotonic() < time_out:
        assert not list(machine.home.rglob("pid"))
    finished.touch()
    assert "set up" in machine.wait(asked).said


@pytest.fixture
def strict(machine, tmp_path):
    """A machine at whose home nothing may be executed; where mounting is not allowed, there is none."""
    home = tmp_path / "strict" / "ho me"
    words = ["unshare", "-rm", "sh", "-c", NOEXEC, "sh", str(tmp_path), "true"]
    if subprocess.run(words, capture_output=True, check=False).returncode:
        pytest.skip("this system allows no mounts in a namespace")
    made = Machine(tmp_path / "strict", machine.shell, within=["unshare", "-rm", "sh", "-c", NOEXEC, "sh", str(home)])
    yield made
    made.close()


def test_nothing_at_home_need_be_executable(strict):
    """FAULTS I10: scripts are given to their interpreter; and nothing of ours lies in /tmp."""
    folder = strict.start("printf '#!/bin/sh\\n' >y; chmod +x y; ./y || echo refused; exit 5")
    assert strict.ended().code == 5
    assert (folder / "stdout").read_text() == "refused\n"
    assert strict.run("release", RUN, "job", 1).code == 0


def test_no_step_of_the_wall_clock_changes_a_duration(machine):
    """FAULTS I14: each look at the wall clock finds it an hour later, and the next a day earlier."""
    count = machine.folder / "looks"
    machine.shim(
        "date",
        f'echo look >>"{count}"; n=$(grep -c look "{count}"); '
        'echo $((1700000000 + n * 3600 - n % 2 * 86400))',
    )  # fmt: skip
    machine.begin("arm", 1_000_000, 1_000_000, 1_000_000, 1_000_000)
    began = time.monotonic()
    machine.start("sleep 60", timeout_s=2)
    found = machine.ended()
    assert found.why == "timeout"
    assert 1.5 < time.monotonic() - began < 12
    assert count.read_text().count("look") >= 1  # the status bears the wall clock's time, which nothing else uses
    assert not machine.off.exists()
