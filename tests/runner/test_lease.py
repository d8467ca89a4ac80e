"""The dead-man's lease: what ends the machine, and what keeps it."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from waiting import until

from tests.runner.conftest import RUN

LONG = 1_000_000


def arm(machine, *, term=LONG, idle=LONG, hold=LONG, life=LONG, env=None):
    """Arm with hundredths of a second; return when there is somebody who sees to it."""
    machine.begin("arm", term, idle, hold, life, stdin=b"serve\n", env=env)
    pid_of(machine, "lease.pid")


def pid_of(machine, name):
    path = machine.home / ".aspot/.machine" / name
    return int(until(lambda: path.exists() and path.read_text().split())[0])  # it is written in place: empty at first


def test_a_machine_nobody_cares_for_ends_itself(machine):
    arm(machine, term=40, idle=20)
    until(machine.off.exists)


def test_renewing_keeps_it(machine):
    arm(machine, term=120, idle=1)
    deadline = time.monotonic() + 3
    while time.monotonic() < deadline:
        assert machine.run("lease").said == "renewed\n"
        assert not machine.off.exists()
    until(machine.off.exists)


def test_a_running_job_is_never_ended_by_the_lease(machine):
    arm(machine, term=30, idle=30, hold=LONG)
    machine.start("sleep 2; echo done")
    assert machine.ended().code == 0
    assert (machine.attempt() / "stdout").read_text() == "done\n"
    assert not machine.off.exists()


def test_results_that_wait_hold_the_machine_until_they_are_home(machine):
    arm(machine, term=30, idle=30, hold=LONG)
    machine.start("exit 0")
    machine.ended()
    time_out = time.monotonic() + 1.5
    while time.monotonic() < time_out:
        assert not machine.off.exists()
        machine.run("status", RUN, "job", 1)
    machine.run("release", RUN, "job", 1)
    until(machine.off.exists)


def test_results_hold_it_only_for_so_long(machine):
    arm(machine, term=30, idle=LONG, hold=60)
    machine.start("exit 0")
    machine.ended()
    until(machine.off.exists)


def test_max_life_ends_it_whatever_runs(machine):
    arm(machine, life=100)
    machine.start('trap "exit 9" TERM; while :; do sleep 0.1; done')
    until(machine.off.exists)
    found = machine.ended()
    assert found.why == "ttl"


def test_arming_again_starts_nothing_twice_and_changes_the_terms(machine):
    arm(machine)
    pid = pid_of(machine, "lease.pid")
    machine.begin("arm", LONG, LONG, LONG, 1, stdin=b"keep\n")
    until(lambda: (machine.home / ".aspot/.machine/lease").read_text().endswith(" 1\n"))
    assert pid_of(machine, "lease.pid") == pid


def test_a_lease_keeper_that_was_killed_is_replaced(machine):
    arm(machine)
    pid = pid_of(machine, "lease.pid")
    os.kill(pid, signal.SIGKILL)
    machine.begin("arm", LONG, LONG, LONG, LONG, stdin=b"serve\n")
    until(lambda: pid_of(machine, "lease.pid") != pid)


def test_without_a_way_to_power_off_it_says_so(machine):
    (machine.bin / "poweroff").unlink()
    number = machine.begin("arm", LONG, LONG, LONG, LONG, stdin=b"serve\n")
    machine.kill(machine.home / ".aspot/.machine/watcher")
    assert "off=no\n" in machine.wait(number).said


def test_a_guest_never_takes_the_hosts_own_poweroff(machine):
    (machine.bin / "poweroff").unlink()
    number = machine.begin(
        "arm", LONG, LONG, LONG, LONG, stdin=b"serve\n", env={"PATH": f"{machine.bin}:/usr/sbin:/usr/bin:/sbin:/bin"}
    )
    machine.kill(machine.home / ".aspot/.machine/watcher")
    assert "off=no\n" in machine.wait(number).said


def test_the_one_configured_command_is_used(machine):
    (machine.bin / "poweroff").unlink()
    configured = machine.folder / "my off"
    configured.write_text(f"#!/bin/sh\necho mine >'{machine.off}'\n")
    configured.chmod(0o755)
    arm(machine, term=30, idle=10, env={"ASPOT_POWEROFF": str(configured)})
    until(lambda: machine.off.exists() and machine.off.read_text() == "mine\n")


def test_arming_makes_a_host_key_once_and_hands_it_to_the_server(machine):
    arm(machine)
    public = machine.home / ".aspot/.machine/host.pub"
    served = machine.folder / "etc/ssh_host_ed25519_key.pub"
    until(lambda: public.exists() and served.exists() and served.read_text() == public.read_text())
    until(lambda: not (machine.home / ".aspot/.machine/host").exists())
    before = pid_of(machine, "watcher")
    number = machine.begin("arm", LONG, LONG, LONG, LONG, stdin=b"serve\n")
    machine.kill(machine.home / ".aspot/.machine/watcher", unlike=before)
    assert f"key={public.read_text()}" in machine.wait(number).said


def test_a_server_that_does_not_reload_keeps_its_key(machine):
    machine.shim("systemctl", "exit 1")
    number = machine.begin("arm", LONG, LONG, LONG, LONG, stdin=b"serve\n")
    machine.kill(machine.home / ".aspot/.machine/watcher")
    said = machine.wait(number).said
    assert said.startswith("boot=")
    assert "\nend\nkept\n" in said
    assert not (machine.home / ".aspot/.machine/host.pub").exists()  # the next arm makes another


def test_a_key_that_nobody_wrote_down_is_not_served(machine):
    gone = machine.run("arm", LONG, LONG, LONG, LONG)  # the client was killed: no word comes
    assert gone.code == 0
    assert "key=ssh-ed25519 " in gone.said
    served = machine.folder / "etc/ssh_host_ed25519_key.pub"
    assert not served.exists()
    number = machine.begin("arm", LONG, LONG, LONG, LONG, stdin=b"serve\n")
    until(served.exists)
    machine.kill(machine.home / ".aspot/.machine/watcher")
    said = machine.wait(number).said
    assert f"key={served.read_text()}" in gone.said  # it is the key that was made then
    assert f"key={served.read_text()}" in said
    assert "\nend\nserved\n" in said


def test_a_kept_machine_ends_itself_at_its_time_and_no_lease_ends_it_before(machine):
    arm(machine, term=20, idle=1, hold=1)
    began = time.monotonic()
    assert machine.run("keep", 300).said == "kept\n"
    until(machine.off.exists)
    assert 2.9 < time.monotonic() - began < 8


def test_keeping_wakes_a_lease_keeper_that_sleeps(machine):
    arm(machine)  # it looks every 30 s
    pid = pid_of(machine, "lease.pid")
    until(lambda: "sleep" in commands_below(pid))
    began = time.monotonic()
    assert machine.run("keep", 50).said == "kept\n"
    until(machine.off.exists)
    assert time.monotonic() - began < 10
    assert pid_of(machine, "lease.pid") == pid


def commands_below(pid):
    """Return the names of a process's children."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [Path(f"/proc/{child}/comm").read_text().strip() for child in children]


def is_dead(pid):
    """Tell whether a process has ended, though perhaps nobody reaps it."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_keeping_again_changes_the_time(machine):
    arm(machine)
    machine.run("keep", 100)
    machine.run("keep", LONG)
    deadline = time.monotonic() + 2
    while time.monotonic() < deadline:
        assert not machine.off.exists()
        time.sleep(0.1)
    machine.run("keep", 1)
    until(machine.off.exists)


def test_max_life_ends_a_kept_machine_too(machine):
    arm(machine, life=150)
    machine.run("keep", LONG)
    until(machine.off.exists)


def test_arming_a_kept_machine_again_leaves_its_end(machine):
    arm(machine)
    machine.run("keep", 200)
    machine.begin("arm", LONG, LONG, LONG, LONG)
    until(machine.off.exists)


def test_a_kept_machine_whose_lease_keeper_was_killed_gets_another(machine):
    arm(machine)
    pid = pid_of(machine, "lease.pid")
    os.kill(pid, signal.SIGKILL)
    until(lambda: is_dead(pid))
    assert machine.run("keep", 50).said == "kept\n"
    until(machine.off.exists)


def test_what_was_kept_in_an_earlier_boot_does_not_count(machine):
    arm(machine, term=40, idle=20)
    machine.run("keep", LONG)
    kept = machine.home / ".aspot/.machine/keep"
    kept.write_text(kept.read_text().split()[0] + " another-boot\n")
    until(machine.off.exists)
