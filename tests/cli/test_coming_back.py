"""Leaving a run and coming back: kill -9, `--detach`, the key `d`, a second client; nothing runs twice, logs go on."""

import asyncio
import json
import os
import signal
import socket
from pathlib import Path

import pytest
from local_world import until, write
from processes import OnTerminal, Piped

from aspot import Fleet
from aspot.journal.runs import newest, replay, runs

COUNTING = """\
mkdir -p ckpt; n=$(cat ckpt/n 2>/dev/null || echo 0)
echo "run $ASPOT_ATTEMPT from $n" | tee -a out/log
while [ "$n" -lt 20 ]; do n=$((n + 1)); echo "$n" >ckpt/n; echo "step $n"; sleep 0.2; done
echo done >>out/log
"""


@pytest.fixture
def script(cloud):
    return write("count.sh", COUNTING)


def steps(fleet: str, job: str = "count") -> list[str]:
    return (Path("aspot-results") / fleet / job / "stdout").read_text().splitlines()


WHOLE = ["run 1 from 0", *(f"step {number}" for number in range(1, 21))]


def test_a_killed_client_comes_back_and_misses_nothing(cloud, start, script, aspot):
    run = start(Piped, "run", script, write("short.sh", "sleep 1; echo short\n"), "-n", "night", "-q")
    until(
        lambda: any(path.read_text().count("step") > 3 for path in Path("aspot-results").rglob("a1/stdout")),
        within_s=40,
    )
    run.kill()
    before = cloud.launches()
    code, out, err = aspot("attach", "night")
    assert code == 0, err
    assert "2 succeeded" in out
    assert "Nothing left (checked)." in out
    assert steps("night") == WHOLE
    assert (Path("aspot-results") / "night/count/out/log").read_text() == "run 1 from 0\ndone\n"
    assert cloud.launches() == before == 1
    assert cloud.alive() == []
    summary = json.loads((Path("aspot-results") / "night/results.json").read_text())
    assert [item["status"] for item in summary["results"]] == ["succeeded", "succeeded"]


def test_a_client_killed_as_it_launches_launches_once(cloud, start, script, aspot):
    before = {item["id"] for item in cloud.instances()}
    run = start(Piped, "run", script, "-n", "dawn", "-q")
    until(lambda: cloud.calls().get("CreateFleet"))
    run.kill()
    cloud.fault("deny", action="CreateLaunchTemplate")
    code, _, err = aspot("attach", "dawn")
    assert code == 3
    assert "CreateLaunchTemplate" in err
    cloud.clear_faults()
    code, out, err = aspot("attach", "dawn", "--json")  # what the machine needs was not deleted by the failed one
    assert code == 0, err
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["left"]) == ("finished", [])
    assert [len(result["attempts"]) for result in last["results"]] == [1]
    assert len({item["id"] for item in cloud.instances()} - before) == 1
    assert steps("dawn") == WHOLE


def test_detach_leaves_when_the_jobs_run_and_says_until_when(cloud, start, script, aspot):
    run = start(Piped, "run", script, "-n", "away", "--detach", "--max-life", "2h")
    assert run.end() == 0, run.err
    assert "away goes on without this process: 1 machine, $" in run.out
    assert "at the latest, with $" in run.out
    assert "aspot attach away" in run.out
    assert len(cloud.alive()) == 1
    assert "aspot attach away" in aspot("ls")[1]
    code, _, err = aspot("run", script, "-n", "away", "--replace")
    assert code == 2
    assert "aspot attach away goes on with it" in err
    code, out, err = aspot("attach", "away", "--json")
    assert code == 0, err
    events = [json.loads(line)["event"] for line in out.splitlines()]
    assert events[-1] == "finished"
    assert "instance_launched" not in events
    assert steps("away") == WHOLE
    assert cloud.alive() == []


def test_more_jobs_than_machines_wait_for_somebody_to_come_back(cloud, start, aspot):
    scripts = [write(f"j{number}.sh", "sleep 1; echo $ASPOT_JOB\n") for number in range(3)]
    run = start(Piped, "run", *scripts, "-n", "queue", "--instances", "1", "--detach", "--json")
    assert run.end() == 0, run.err
    assert json.loads(run.out.splitlines()[-1])["event"] == "fleet_detached"
    assert "2 jobs wait" in run.out
    code, out, err = aspot("attach", "queue")
    assert code == 0, err
    assert "3 succeeded" in out
    assert cloud.alive() == []


def test_the_key_d_leaves_it_running(cloud, start, script, aspot):
    run = start(OnTerminal, "run", script, "-n", "key")
    run.says("d leaves it running")
    run.says("1 running")
    run.press("d")
    assert run.end() == 0
    assert "key goes on without this process" in run.said
    assert len(cloud.alive()) == 1
    assert aspot("attach", "key", "-q")[0] == 0
    assert steps("key") == WHOLE


def test_a_second_client_is_told(cloud, start, script, aspot):
    run = start(Piped, "run", script, "-n", "mine")
    run.says("started")
    code, _, err = aspot("attach", "mine")
    assert code == 2
    assert f"fleet mine is being driven by another process: process {run.pid} on {socket.gethostname()}, since" in err
    assert "aspot attach mine --take-over" in err
    assert run.end() == 0


def test_attach_to_what_is_not_there_says_what_is(cloud, start, script, aspot):
    code, _, err = aspot("attach", "nobody")
    assert code == 2
    assert "no run that has not ended is known here" in err
    run = start(Piped, "run", script, "-n", "somebody", "--detach", "-q")
    assert run.end() == 0, run.err
    code, _, err = aspot("attach", "nobody")
    assert code == 2
    assert "these have not ended: somebody" in err
    code, _, err = aspot("attach", "somebody", "--region", "eu-west-1")
    assert code == 2
    assert "runs in us-east-1" in err
    assert aspot("down", "somebody")[0] == 0
    code, _, err = aspot("attach", "somebody")
    assert code == 2
    assert "has ended" in err


def test_interrupted_while_nobody_was_there_it_goes_on_from_its_checkpoint(cloud, start, script, aspot):
    run = start(Piped, "run", script, "-n", "gone", "-q", "--checkpoint", "ckpt", "--checkpoint-every", "1s")
    until(lambda: _has_checkpoint("gone", "count"))
    run.kill()
    (machine,) = cloud.alive()
    cloud.interrupt(machine["id"], notice_s=0)
    until(lambda: not cloud.alive())
    code, out, err = aspot("attach", "gone", "--json")
    assert code == 0, err
    (result,) = json.loads(out.splitlines()[-1])["results"]
    assert [attempt["outcome"] for attempt in result["attempts"]] == ["interrupted", "succeeded"]
    first = steps("gone")[0]
    assert first.startswith("run 2 from ")
    assert first != "run 2 from 0"


def test_ctrl_c_after_coming_back_ends_everything(cloud, start, script):
    run = start(Piped, "run", script, "-n", "twice", "--detach", "-q")
    assert run.end() == 0, run.err
    again = start(Piped, "attach", "twice")
    until(lambda: _is_driven("twice"))
    again.signal(signal.SIGINT)
    assert again.end() == 130
    assert "Nothing left (checked)." in again.out
    assert cloud.alive() == []


def _has_checkpoint(name: str, job: str) -> bool:
    """Whether the journal knows of one."""
    found = [item for item in runs() if item.name == name and not item.trouble]  # not while it is being made
    return bool(found) and job in (jobs := replay(found[-1].folder).jobs) and jobs[job].checkpoint is not None


def _is_driven(name: str) -> bool:
    return newest(name).is_live


def test_a_program_takes_a_fleet_up_again(cloud, start, script):
    assert start(Piped, "run", script, "-n", "prog", "--detach", "-q").end() == 0

    async def see_through():
        async with Fleet.attach("prog") as fleet:
            assert fleet.name == "prog"
            results = await fleet.wait()
        return results, fleet.results

    first, last = asyncio.run(see_through())
    assert first[0].ok
    assert last.left == ()
    assert os.path.exists(first[0].dir / "out/log")
    assert cloud.alive() == []
