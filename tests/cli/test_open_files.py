"""Few file descriptors (FAULTS C7): the limit is raised where it may be, else fewer machines do it; nothing is lost."""

from pathlib import Path

from local_world import json_lines, until, write
from processes import ASPOT, Piped

JOB = """\
mkdir -p ckpt out/a/b/c/d; for n in 1 2 3 4; do echo "$n" >ckpt/n; sleep 0.1; done
for n in $(seq 40); do echo "$ASPOT_JOB" >"out/a/b/c/d/$n"; done; echo done
"""
JOBS = [f"job{number}" for number in range(6)]
FLAGS = ("--instances", "6", "--checkpoint", "ckpt", "--json")


def limited(words):
    """`aspot` as a process after an `ulimit`."""
    return ("sh", "-c", f'ulimit {words} && exec "$@"', "sh", *ASPOT)


def scripts(text=JOB):
    return [write(f"{job}.sh", text) for job in JOBS]


def check(run, fleet):
    """Every result is there, whole and once."""
    assert run.end() == 0, run.out + run.err
    ended = [item["result"] for item in json_lines(run.out) if item.get("event") == "job_ended"]
    assert sorted(result["job"] for result in ended) == JOBS
    for result in ended:
        assert result["status"] == "succeeded", result
        assert len(result["attempts"]) == 1
        files = list(Path("aspot-results", fleet, result["job"], "out/a/b/c/d").iterdir())
        assert len(files) == 40
        assert {file.read_text() for file in files} == {f"{result['job']}\n"}


def most_at_once(run):
    """The most instances that were alive at once, by the run's own account."""
    alive, most = 0, 0
    for item in json_lines(run.out):
        alive += {"instance_launched": 1, "instance_ended": -1}.get(item.get("event"), 0)
        most = max(most, alive)
    return most


def warnings(run):
    return [item["message"] for item in json_lines(run.out) if item.get("event") == "warned"]


def test_a_low_limit_is_raised_where_that_is_allowed(cloud, start):
    run = start(Piped, "run", *scripts(), "-n", "raised", *FLAGS, program=limited("-S -n 64"))
    run.says("job_started")
    (limits,) = [line for line in Path(f"/proc/{run.pid}/limits").read_text().splitlines() if "open files" in line]
    assert int(limits.split()[3]) > 64
    check(run, "raised")
    assert most_at_once(run) == 6
    assert not [message for message in warnings(run) if "open files" in message]


def test_under_a_low_limit_that_stays_fewer_machines_do_the_work(cloud, start):
    run = start(Piped, "run", *scripts(), "-n", "few", *FLAGS, program=limited("-n 90"))
    check(run, "few")
    (said,) = [message for message in warnings(run) if "open files" in message]
    assert said.startswith("6 instances need up to ")
    assert "this process may have 90: " in said
    assert "ulimit -n " in said
    assert 1 <= most_at_once(run) <= 4


def test_under_the_lowest_limit_one_machine_does_the_work(cloud, start):
    run = start(Piped, "run", *scripts(), "-n", "one", *FLAGS, program=limited("-n 64"))
    check(run, "one")
    assert most_at_once(run) == 1


def test_without_room_for_one_machine_nothing_is_launched(cloud, start):
    run = start(Piped, "run", *scripts(), "-n", "none", program=limited("-n 40"))
    assert run.end() == 2
    assert "this process may have 40 files open" in run.err
    assert "ulimit -n" in run.err
    assert "Traceback" not in run.err
    assert cloud.launches() == 0


def test_whoever_cannot_hold_a_run_may_not_take_it_up(cloud, start):
    run = start(Piped, "run", *scripts(JOB + "sleep 4\n"), "-n", "wide", *FLAGS)
    until(lambda: run.out.count('"job_started"') == 6, within_s=40, what=lambda: run.out)
    run.kill()
    again = start(Piped, "attach", "wide", "--json", program=limited("-n 64"))
    assert again.end() == 2
    assert "fleet wide has 6 instances" in again.err
    assert "its machines go on meanwhile" in again.err
    check(start(Piped, "attach", "wide", "--json"), "wide")
    assert cloud.launches() == 1
