"""How a run is ended before its time: Ctrl-C once and twice, SIGTERM, `aspot down` from another process."""

import signal
import sys
import time

import pytest
from local_world import until, write
from processes import OnTerminal, Piped

LONG = "echo begun; sleep 300\n"


@pytest.fixture
def script(cloud):
    return write("long.sh", LONG)


def test_ctrl_c_once_ends_everything(cloud, start, script):
    run = start(OnTerminal, "run", script, "-n", "once")
    run.says("1 running")
    run.ctrl_c()
    assert run.end() == 130
    assert "Nothing left (checked)." in run.said
    assert "cancelled" in run.said
    assert "Traceback" not in run.said
    assert "resources" not in run.said


def test_ctrl_c_before_anything_runs(cloud, start, script):
    run = start(OnTerminal, "run", script, "-n", "early")
    run.says("early")
    run.ctrl_c()
    assert run.end() == 130
    assert "Traceback" not in run.said


def test_ctrl_c_twice_leaves_at_once_and_says_how_to_end_it(cloud, start, script, aspot):
    run = start(OnTerminal, "run", script, "-n", "twice")
    run.says("1 running")
    cloud.fault("throttle", action="TerminateInstances")
    run.ctrl_c()
    until(lambda: cloud.calls().get("TerminateInstances"))
    run.ctrl_c()
    began = time.monotonic()
    code = run.end()
    assert time.monotonic() - began < 10
    assert "twice_1" in run.said
    assert "/h" in run.said
    assert "aspot down twice" in run.said
    assert "Traceback" not in run.said
    assert code in (3, 130)
    cloud.clear_faults()
    assert len(cloud.alive()) == 1
    answer = aspot("down", "twice")
    assert answer[0] == 0, answer
    assert "Nothing left (checked)." in answer[1]


def test_two_quick_ctrl_c(cloud, start, script, aspot):
    run = start(OnTerminal, "run", script, "-n", "quick")
    run.says("1 running")
    run.ctrl_c()
    run.ctrl_c()
    run.end()
    assert "Traceback" not in run.said
    answer = aspot("down", "quick")
    assert answer[0] == 0, answer


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_everything(cloud, start, script, number):
    run = start(Piped, "run", script, "-n", "signal")
    run.says("started")
    run.signal(number)
    assert run.end() == 130
    assert "Nothing left (checked)." in run.out
    assert "Traceback" not in run.err


def test_down_from_another_process(cloud, start, script, aspot):
    run = start(Piped, "run", script, "-n", "far", "--json")
    run.says("job_started")
    code, out, _ = aspot("down", "far")
    assert (code, out.splitlines()[-1]) == (0, "Nothing left (checked).")
    assert run.end() == 1


def test_a_killed_run_is_ended_by_down(cloud, start, script, aspot):
    run = start(Piped, "run", script, "-n", "killed")
    run.says("started")
    run.kill()
    code, out, _ = aspot("ls")
    assert code == 0
    assert "aspot attach killed, or down" in out
    code, out, _ = aspot("status", "killed", "--json")
    assert code == 0
    code, out, _ = aspot("run", script, "-n", "killed", "--replace")
    assert code == 2  # the name is taken: machines may still run
    code, out, err = aspot("down", "killed")
    assert (code, out.splitlines()[-1]) == (0, "Nothing left (checked)."), err


def test_a_machine_that_may_not_be_ended_is_left_and_said(cloud, start, aspot):
    """Somebody protected it: everything else is done, and the exit code is 3."""
    run = start(Piped, "run", write("short.sh", "echo begun; sleep 2\n"), "-n", "kept")
    run.says("started")
    (machine,) = cloud.alive()
    ec2 = cloud.client("ec2")
    ec2.modify_instance_attribute(InstanceId=machine["id"], DisableApiTermination={"Value": True})
    assert run.end() == 3
    assert "1 succeeded" in run.out
    left = run.out[run.out.index("Left behind, $") :]
    assert left.count(machine["id"]) <= 2  # once by name, once in AWS's own words
    assert "OperationNotPermitted" in left
    assert left.rstrip().endswith("End it: aspot down kept")
    code, out, _ = aspot("down", "kept")
    assert code == 3
    assert machine["id"] in out
    ec2.modify_instance_attribute(InstanceId=machine["id"], DisableApiTermination={"Value": False})
    assert aspot("down", "kept")[0] == 0


def test_of_two_runs_that_start_together_under_one_name_one_is_refused(cloud, start, aspot):
    script = write("ok.sh", "sleep 1; echo ok\n")
    runs = [start(Piped, "run", script, "-n", "race", "-q") for _ in range(2)]
    assert sorted(run.end() for run in runs) == [0, 2]
    assert "error: fleet race is running" in "".join(run.err for run in runs)
    assert cloud.launches() == 1


def test_down_all(cloud, start, script, aspot):
    runs = [start(Piped, "run", script, "-n", name) for name in ("one", "two")]
    for run in runs:
        run.says("started")
    code, out, _ = aspot("down", "--all", "--json")
    assert (code, out.strip()) == (0, '{"left": [], "stays": []}')
    assert [run.end() for run in runs] == [1, 1]


PROGRAM = """
import asyncio, sys
from aspot import Fleet
asyncio.run(Fleet.run_many(sys.argv[1], sys.argv[2], on_event=lambda event: print(event.message, flush=True)))
"""


def test_ctrl_c_in_a_program_ends_everything(cloud, start, script):
    program = start(Piped, script, "program", program=[sys.executable, "-c", PROGRAM])
    program.says("begun")
    program.signal(signal.SIGINT)
    assert program.end() == -signal.SIGINT
    assert "nothing left (checked)" in program.out
    assert program.err.rstrip().endswith("KeyboardInterrupt")


def test_ctrl_c_twice_in_a_program_leaves_a_trace_that_down_follows(cloud, start, script, aspot):
    program = start(Piped, script, "hasty", program=[sys.executable, "-c", PROGRAM])
    program.says("begun")
    cloud.fault("throttle", action="TerminateInstances")
    program.signal(signal.SIGINT)
    until(lambda: cloud.calls().get("TerminateInstances"))
    program.signal(signal.SIGINT)
    program.end()
    cloud.clear_faults()
    code, out, _ = aspot("ls")
    assert code == 0
    assert "aspot down hasty" in out or "aspot attach hasty, or down" in out  # it had time to say what it left, or not
    code, out, _ = aspot("down", "hasty")
    assert (code, out.splitlines()[-1]) == (0, "Nothing left (checked).")
    assert "hasty" not in aspot("ls")[1]
