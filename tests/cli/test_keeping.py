"""`--keep-failed`: a failed job's machine stays for a look, can be entered as printed, and is gone in time."""

import json
import shlex
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from local_world import json_lines, until, write
from processes import ASPOT, Piped

from aspot.journal.runs import newest


@pytest.fixture
def bad(cloud):
    return write("bad.sh", "echo found me >out/why; exit 3\n")


def way_in(text):
    """Return the printed command that opens the machine."""
    (line,) = [line.strip() for line in text.splitlines() if line.startswith("  ssh ")]
    return line


def entered(command, *words):
    """Run the printed command word for word, with a command for the machine behind it; return what it says."""
    answer = subprocess.run([*shlex.split(command), *words], capture_output=True, text=True, timeout=30, check=False)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout


def test_it_stays_can_be_entered_and_down_ends_it(aspot, cloud, bad):
    good = write("good.sh", "echo ok\n")
    code, out, err = aspot("run", bad, good, "-n", "look", "--keep-failed", "30m")
    assert code == 1, err  # the job failed; nothing else is wrong
    assert "1 succeeded, 1 failed" in out
    assert "Nothing left (checked), but for what is kept on purpose." in out
    assert "Kept for a look at bad: look_" in out
    assert "/h, at most $0.0" in out
    assert "aspot down look" in out.splitlines()[-1]
    (machine,) = cloud.alive()
    command = way_in(out)
    assert "StrictHostKeyChecking=yes" in command
    assert entered(command, "cat .aspot/*/bad/a1/work/out/why") == "found me\n"
    assert entered(shlex.join([*ASPOT, "ssh", "look"]), "cat .aspot/*/bad/a1/work/out/why") == "found me\n"

    ec2 = cloud.client("ec2")
    (told,) = ec2.describe_instances(InstanceIds=[machine["id"]])["Reservations"][0]["Instances"]
    (mark,) = [tag["Value"] for tag in told["Tags"] if tag["Key"] == "aspot:kept"]
    rest = datetime.fromtimestamp(int(mark), UTC) - datetime.now(UTC)
    assert timedelta(minutes=25) < rest <= timedelta(minutes=30)
    assert not ec2.describe_launch_templates()["LaunchTemplates"]

    assert "kept until" in aspot("ls")[1]
    (row,) = json.loads(aspot("ls", "--json")[1])
    assert (row["phase"], row["kept_until"][:4]) == ("kept", "2026")
    assert command in aspot("status", "look")[1]
    assert json.loads(aspot("status", "look", "--json")[1])["kept"][0]["ssh"] == command

    code, out, _ = aspot("down", "look")
    assert (code, out) == (0, "Nothing left (checked).\n")
    assert cloud.left_for_good() == []
    assert not newest("look").folder.keys.exists()
    assert "look" not in aspot("ls")[1]


def test_it_ends_itself_with_the_client_gone_and_clean_takes_what_it_needed(aspot, cloud, bad):
    code, out, err = aspot("run", bad, "-n", "brief", "--keep-failed", "12s", "--json")
    assert code == 1, err
    last = json_lines(out)[-1]
    (kept,) = last["kept"]
    assert last["left"] == []
    assert (kept["job"], kept["instance_id"]) == ("bad", cloud.alive()[0]["id"])
    assert kept["usd_per_hour"] > 0
    assert kept["most_usd"] <= kept["usd_per_hour"] * 12 / 3600
    until_ = datetime.fromisoformat(kept["until"])
    assert json.loads(Path("aspot-results/brief/results.json").read_text())["kept"] == [kept]

    code, out, _ = aspot("clean", "--yes")
    assert code == 0
    assert "kept until" in out
    assert "aspot down brief ends it" in out
    assert len(cloud.alive()) == 1

    until(lambda: not cloud.alive())
    late = datetime.now(UTC) - until_
    assert timedelta(0) < late < timedelta(seconds=10)
    assert "brief" not in aspot("ls")[1]
    code, out, _ = aspot("clean", "--yes")
    assert (code, out.splitlines()[-1]) == (0, "Nothing left (checked).")
    assert cloud.left_for_good() == []
    assert not newest("brief").folder.keys.exists()


def test_clean_ends_it_when_told_to(aspot, cloud, bad):
    assert aspot("run", bad, "-n", "look", "--keep-failed", "30m", "-q")[0] == 1
    assert aspot("clean", "--yes", "-q") == (0, "", "")
    assert len(cloud.alive()) == 1
    code, out, _ = aspot("clean", "--yes", "--all")
    assert (code, out.splitlines()[-1]) == (0, "Nothing left (checked).")
    assert cloud.alive() == []


def test_other_computers_leave_it_too(aspot, cloud, bad, monkeypatch, tmp_path):
    """The tag on the machine says so where there is no journal of the run."""
    assert aspot("run", bad, "-n", "look", "--keep-failed", "30m", "-q")[0] == 1
    with monkeypatch.context() as patch:
        patch.setenv("ASPOT_STATE_DIR", str(tmp_path / "elsewhere"))
        code, out, _ = aspot("clean", "--yes", "--run", "look")
        assert (code, len(cloud.alive())) == (0, 1)
        assert "kept until" in out
        assert "kept until" in aspot("ls")[1]
    assert aspot("down", "look")[0] == 0


def test_it_is_just_gone_when_ec2_takes_it(aspot, cloud, bad):
    assert aspot("run", bad, "-n", "look", "--keep-failed", "30m", "-q")[0] == 1
    cloud.interrupt(cloud.alive()[0]["id"], notice_s=0)
    until(lambda: not cloud.alive())
    assert "look" not in aspot("ls")[1]
    assert aspot("down", "look")[0] == 0


def test_down_ends_it_while_the_run_goes_on(aspot, cloud, bad, start):
    long = write("long.sh", "sleep 300\n")
    run = start(Piped, "run", bad, long, "-n", "both", "--keep-failed", "30m")
    run.says("kept for")
    assert entered(way_in(aspot("status", "both")[1]), "echo here") == "here\n"  # while the other job runs
    code, out, _ = aspot("down", "both")
    assert (code, out) == (0, "Nothing left (checked).\n")
    assert run.end() == 1
    assert "Kept for a look" not in run.out


def test_what_does_not_fit_the_budget_is_not_kept(aspot, cloud, bad):
    code, out, err = aspot("run", bad, "-n", "dear", "--keep-failed", "10h", "--budget", "0.02")
    assert code == 1
    assert "not kept for a look at bad: it would cost $0." in err
    assert out.endswith("Nothing left (checked).\n")


def test_jobs_that_succeed_or_are_cancelled_leave_nothing(aspot, cloud, start):
    assert aspot("run", write("good.sh", "exit 0\n"), "-n", "good", "--keep-failed", "1h")[0] == 0
    run = start(Piped, "run", write("long.sh", "sleep 300\n"), "-n", "long", "--keep-failed", "1h")
    run.says("started")
    assert aspot("down", "long")[0] == 0
    assert run.end() == 1
    assert cloud.alive() == []


def test_wrong_use(aspot, cloud, bad):
    code, _, err = aspot("run", bad, "--keep-failed", "soon")
    assert code == 2
    assert "keep_failed 'soon' is not a duration" in err
    assert aspot("run", bad, "--keep-failed", "0")[0] == 2


PROGRAM = """
import asyncio, sys
from aspot import Fleet

async def main():
    async with Fleet("program", keep_failed="30m", show=False) as fleet:
        fleet.submit(sys.argv[1])
        (await fleet.wait()).check()

asyncio.run(main())
"""


def test_an_exception_in_a_program_leaves_it(aspot, cloud, bad, start):
    program = start(Piped, bad, program=[sys.executable, "-c", PROGRAM])
    assert program.end() == 1
    assert "JobsFailed" in program.err
    assert len(cloud.alive()) == 1
    assert entered(way_in(aspot("status", "program")[1]), "echo here") == "here\n"
    assert aspot("down", "program") == (0, "Nothing left (checked).\n", "ending program\n")


def test_a_signal_ends_it(cloud, bad, start):
    run = start(Piped, "run", bad, write("long.sh", "sleep 300\n"), "-n", "ended", "--keep-failed", "30m")
    run.says("kept for")
    run.signal(signal.SIGTERM)
    assert run.end() == 130
    assert "Nothing left (checked).\n" in run.out
    assert cloud.alive() == []
