"""The life of an attempt on the machine, in each shell."""

from __future__ import annotations

import os
import signal
import uuid

import pytest
from waiting import until

from tests.runner.conftest import BOOT, RUN, order, processes_with


def test_an_exit_code_and_both_outputs_are_kept_and_a_second_start_does_nothing(machine):
    folder = machine.start("echo hi; echo oh >&2; echo run >>../count; exit 7")
    found = machine.ended()
    assert (found.code, found.why, found.boot_id) == (7, "exit", BOOT)
    assert (folder / "stdout").read_text() == "hi\n"
    assert (folder / "stderr").read_text() == "oh\n"
    assert (found.out, found.err) == (3, 3)
    again = machine.run("start", RUN, "job", 1, stdin=order("echo run >>../count"))
    assert again.said.startswith("started\n")
    assert (folder / "count").read_text() == "run\n"
    assert machine.status().startswith("v1 rc=7 ")
    assert until(lambda: [line for line in machine.events() if line.startswith("exited job 1 v1 rc=7 ")])


def test_of_eight_starts_at_once_one_runs(machine):
    folder = machine.ready()
    numbers = [machine.begin_start("echo run >>../count; sleep 0.3; exit 4") for _ in range(8)]
    answers = [machine.wait(number) for number in numbers]
    assert {answer.code for answer in answers} == {0}, answers
    assert machine.ended().code == 4
    assert (folder / "count").read_text() == "run\n"


def test_start_says_what_it_is_doing_and_then_carries_the_output(machine):
    number = machine.begin_start("echo hi; echo oh >&2; exit 3")
    answer = machine.wait(number)
    assert answer.said.startswith("started\n@aspot\n0 0\nhi\n"), answer
    assert answer.err == "@aspot\n0 0\noh\n"


def test_the_job_sees_its_environment_and_nothing_of_ours_by_accident(machine):
    values = {"A": "one", "D": "b'c\nd", "N": "$(id)", "M": "`id`", "IFS": "x", "JOB": "mine", "P": ""}
    machine.start(
        'printf "%s|" "$A" "$D" "$N" "$M" "$JOB" "$P" "$SECRET"; env | sort >out/env',
        env=values, secret_env={"SECRET": "s3cret"}, checkpoint=("ckpt/",),
    )  # fmt: skip
    machine.ended()
    folder = machine.attempt()
    assert (folder / "stdout").read_text() == "one|b'c\nd|$(id)|`id`|mine||s3cret|"
    env = dict(line.split("=", 1) for line in (folder / "work/out/env").read_text().splitlines() if "=" in line)
    assert env["ASPOT_JOB"] == "job"
    assert env["ASPOT_ATTEMPT"] == "1"
    assert env["ASPOT_RUN"] == RUN
    assert env["PYTHONUNBUFFERED"] == "1"
    assert env["ASPOT_CHECKPOINT_DIR"] == str(folder / "work/ckpt")
    assert (folder / "work/ckpt").is_dir()
    assert env["ASPOT_NOTICE_FILE"] == str(machine.home / ".aspot/notice")
    assert not (folder / "env").exists()
    kept = [path for path in folder.iterdir() if path.is_file() and path.name != "stdout"]
    assert not any("s3cret" in path.read_text(errors="replace") for path in kept)


def test_a_timeout_ends_the_job_and_its_children(machine):
    mark = f"3{uuid.uuid4().int % 10**6}"
    machine.start(f"sleep {mark} & sleep {mark}", timeout_s=0.4)
    found = machine.ended()
    assert (found.why, found.code) == ("timeout", 143)
    assert not processes_with(f"sleep {mark}")


def test_a_job_that_ends_in_time_leaves_no_timer_behind(machine):
    seconds = 5000 + uuid.uuid4().int % 10**4
    machine.start("exit 0", timeout_s=seconds)
    assert machine.ended().why == "exit"
    until(lambda: not processes_with(f"sleep {seconds}"))


def test_a_job_that_ignores_term_is_killed_after_the_grace(machine):
    machine.start('trap "" TERM; echo up; while :; do sleep 0.1; done')
    until(lambda: (machine.attempt() / "stdout").read_text() == "up\n")
    answer = machine.run("stop", RUN, "job", 1, "cancel", 30)
    assert answer.said == "stopped\n"
    found = machine.ended()
    assert (found.code, found.why) == (137, "cancel")


def test_a_stopped_job_may_finish_its_own_way_and_the_reason_is_kept(machine):
    folder = machine.start('trap "echo saved; exit 3" TERM; echo up; while :; do sleep 0.1; done')
    until(lambda: (folder / "stdout").read_text() == "up\n")
    machine.run("stop", RUN, "job", 1, "interrupt", 500)
    found = machine.ended()
    assert (found.code, found.why) == (3, "interrupt")
    assert (folder / "stdout").read_text() == "up\nsaved\n"
    assert machine.run("stop", RUN, "job", 1, "cancel", 500).said == "stopped\n"
    assert machine.ended().why == "interrupt"


def test_a_job_that_is_killed_says_by_which_signal(machine):
    machine.start("kill -9 $$")
    assert machine.ended().code == 137


def test_an_interrupt_reaches_a_job_as_it_would_at_home(machine):
    if machine.shell == "busybox":
        pytest.skip("busybox's env cannot undo what a background child inherits")
    machine.start("kill -INT $$; echo survived")
    assert machine.ended().code == 130


def test_a_child_that_leaves_group_and_session_is_ended_with_the_job(machine):
    mark = f"3{uuid.uuid4().int % 10**6}"
    machine.start(f"setsid sleep {mark} & sleep 0.2; exit 0")
    assert machine.ended().code == 0
    assert not processes_with(f"sleep {mark}")


def test_nothing_is_written_after_the_status(machine):
    folder = machine.start("(while :; do echo late; sleep 0.05; done) & sleep 0.3; exit 0")
    found = machine.ended()
    assert found.out == (folder / "stdout").stat().st_size


def test_a_lost_supervisor_takes_its_job_along_when_asked(machine):
    mark = f"3{uuid.uuid4().int % 10**6}"
    folder = machine.start(f"sleep {mark}")
    until(lambda: processes_with(f"sleep {mark}"))
    os.kill(int((folder / "pid").read_text().split()[0]), signal.SIGKILL)
    until(lambda: machine.status() != "running")  # it takes its time to die
    assert machine.status() == "gone its supervisor was killed"
    assert not processes_with(f"sleep {mark}")
    assert machine.run("start", RUN, "job", 1, stdin=order("echo again >>../count")).code == 121
    assert not (folder / "count").exists()


def test_stop_ends_a_job_without_a_supervisor_too(machine):
    mark = f"3{uuid.uuid4().int % 10**6}"
    folder = machine.start(f"sleep {mark}")
    until(lambda: processes_with(f"sleep {mark}"))
    pid = int((folder / "pid").read_text().split()[0])
    os.kill(pid, signal.SIGKILL)
    until(lambda: not os.path.exists(f"/proc/{pid}/exe"))
    assert machine.run("stop", RUN, "job", 1, "cancel", 100).said == "stopped\n"
    assert not processes_with(f"sleep {mark}")
    assert machine.status() == "gone it was told to stop"


def test_a_hangup_does_not_end_the_supervisor(machine):
    folder = machine.start("sleep 0.5; exit 5")
    os.kill(int((folder / "pid").read_text().split()[0]), signal.SIGHUP)
    assert machine.ended().code == 5


def test_a_terminated_supervisor_says_so(machine):
    folder = machine.start("echo up; sleep 60")
    until(lambda: (folder / "stdout").read_text() == "up\n")
    os.kill(int((folder / "pid").read_text().split()[0]), signal.SIGTERM)
    found = machine.ended()
    assert (found.code, found.why) == (143, "term")


def test_after_a_reboot_nothing_is_signalled_and_the_attempt_is_gone(machine):
    machine.start("exit 0")
    machine.ended()
    folder = machine.ready("two")
    (folder / "lock").mkdir()
    (folder / "pid").write_text(f"{os.getpid()} 1 {BOOT}\n")  # ids are used again after a reboot: these are ours
    (folder / ".pg").write_text(f"{os.getpgrp()} 1 {BOOT}\n")
    machine.boot_file.write_text("bbbbbbbb-1111-2222-3333-444444444444\n")
    assert machine.status("two") == "gone the machine was rebooted"
    assert machine.run("stop", RUN, "two", 1, "cancel", 10).said == "stopped\n"
    assert machine.status().startswith("v1 rc=0 ")


def test_a_stop_before_the_start_prevents_it(machine):
    machine.ready()
    assert machine.run("stop", RUN, "job", 1, "cancel", 100).said == "stopped\n"
    assert machine.run("start", RUN, "job", 1, stdin=order("echo run >>../count")).code == 121
    assert machine.status() == "gone it was told to stop"
    assert not (machine.attempt() / "count").exists()


def test_an_attempt_that_never_was_is_gone(machine):
    assert machine.status() == "gone it was never started"


def test_half_an_order_starts_nothing_and_the_whole_one_does_later(machine):
    machine.ready()
    whole = order("echo run >>../count")
    answer = machine.run("start", RUN, "job", 1, stdin=whole[:-10])
    assert answer.code == 122, answer
    assert not (machine.attempt() / "lock").exists()
    machine.start("echo run >>../count")
    assert machine.ended().code == 0


def test_what_was_not_delivered_is_not_started(machine):
    assert machine.run("start", RUN, "job", 1, stdin=order("true")).code == 122


@pytest.mark.parametrize("word", ["..", "a b", "a/b", "-x", "", "a;b", "$HOME", ".hidden"])
def test_names_that_are_not_plain_are_refused(machine, word):
    assert machine.run("status", RUN, word, 1).code == 120


def test_a_damaged_status_is_no_status(machine):
    folder = machine.ready()
    (folder / "lock").mkdir()
    (folder / "pid").write_text(f"1 1 {BOOT}\n")
    (folder / "status").write_text("v1 rc=0 why=exit end=1 boot=x out=0 er")
    assert machine.status() == "gone its supervisor was killed"


SYSTEMD_RUN = r"""
echo "$@" >>"$HOME/units"
while :; do
  case $1 in
    -p) shift 2 ;;
    --setenv=*) export "${1#--setenv=}"; shift ;;
    -*) shift ;;
    *) break ;;
  esac
done
setsid "$@" </dev/null >/dev/null 2>&1 &
"""


def test_on_ec2_the_supervisor_is_a_unit_of_its_own_where_systemd_takes_it(machine):
    if machine.shell == "busybox":
        return  # a unit's program is one word; no instance's /bin/sh is two
    dmi = machine.folder / "dmi"
    dmi.mkdir()
    (dmi / "sys_vendor").write_text("Amazon EC2\n")
    machine.env = {key: value for key, value in machine.env.items() if key != "ASPOT_LOCAL_GUEST"}
    machine.env |= {"ASPOT_DMI": str(dmi), "ASPOT_SH": "/bin/sh"}
    machine.shim("systemd-run", SYSTEMD_RUN)
    machine.start("exit 3")
    assert machine.ended().code == 3
    (unit,) = (machine.home / "units").read_text().splitlines()
    assert "--unit=aspot-job-a1 -p Type=exec -p KillMode=control-group -p OOMPolicy=continue" in unit
    machine.shim("systemd-run", "exit 1")  # refused: its own session does
    machine.start("exit 4", job="two")
    assert machine.ended("two").code == 4
