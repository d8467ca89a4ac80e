"""A real `kill -9` of the client, and `aspot attach`: every result once, from one attempt, nothing left."""

import random
import sys
import time
from pathlib import Path

import pytest
from local_world import json_lines, until, write

sys.path.insert(0, str(Path(__file__).parents[1] / "cli"))

from processes import Piped

from tests import killsweep

JOB = 'echo "$ASPOT_JOB begun"; sleep 1.5; seq 1 5000; echo "$ASPOT_JOB" >out/name\n'
NUMBERS = "".join(f"{number}\n" for number in range(1, 5001))
JOBS = ("a", "b", "c")


@pytest.fixture
def start(request):
    """Start `aspot` as a process; whatever the test forgets is killed."""

    def call(*words):
        started = Piped(*words)
        request.addfinalizer(started.kill)
        return started

    return call


def ids(cloud) -> set[str]:
    return {item["id"] for item in cloud.instances()}


def see_through(start, name: str) -> list[dict]:
    """Attach and wait for the end; return each job's result."""
    again = start("attach", name, "--json")
    assert again.end() == 0, again.out + again.err
    ended = [item for item in json_lines(again.out) if item.get("event") == "job_ended"]
    return [item["result"] for item in ended]


def check(results: list[dict], name: str) -> None:
    assert sorted(result["job"] for result in results) == list(JOBS)
    for result in results:
        assert result["status"] == "succeeded", result
        assert len(result["attempts"]) == 1
        folder = Path("aspot-results", name, result["job"])
        assert (folder / "stdout").read_text() == f"{result['job']} begun\n{NUMBERS}"
        assert (folder / "out/name").read_text() == f"{result['job']}\n"


@pytest.mark.parametrize(
    "said",
    [
        "instance_launched",
        "instance_ready",  # the other two machines may be in it
        "job_started",
        "job_ended",
    ],
)
def test_killed_when_it_has_just_said_something(cloud, start, said):
    before = ids(cloud)  # those that ended long ago are forgotten meanwhile
    run = start("run", *(write(f"{job}.sh", JOB) for job in JOBS), "-n", "killed", "--json")
    run.says(said)
    run.kill()
    check(see_through(start, "killed"), "killed")
    assert len(ids(cloud) - before) == 3


@pytest.mark.parametrize("seed", range(5))
def test_killed_at_any_moment_twice(cloud, start, seed):
    chance = random.Random(seed)
    before = ids(cloud)  # those that ended long ago are forgotten meanwhile
    run = start("run", *(write(f"{job}.sh", JOB) for job in JOBS), "-n", "again", "--json")
    until(cloud.launches)
    time.sleep(chance.choice((0.0, 0.05, chance.uniform(0.0, 2.5))))
    run.kill()
    again = start("attach", "again", "--json")
    time.sleep(chance.uniform(0.5, 3.0))
    again.kill()
    check(see_through(start, "again"), "again")
    assert len(ids(cloud) - before) == 3


@pytest.mark.parametrize(
    "moment",
    [
        "after ec2:CreateFleet",  # EC2 has answered, and nothing here knows it
        "after host-key propose",  # the machine's new key is written down, and not yet served
        "before journal: ResultAccepted",  # the job's folder is in place, and its result not accepted
    ],
)
def test_killed_at_a_moment_of_the_sweep(cloud, tmp_path, moment):
    """Three of the moments that `python -m tests.killsweep` goes through."""
    told = killsweep.play(killsweep.world_of(cloud, tmp_path), moment)
    assert told.outcome == "taken up", told
    assert told.wrong == [], told


@pytest.mark.parametrize("moment", ["after journal: the beginning", "before journal: JobsSubmitted"])
def test_killed_before_its_jobs_were_written_down(cloud, tmp_path, moment):
    """Nothing ran, nothing is left, and whoever comes back is told: exit code 1."""
    told = killsweep.play(killsweep.world_of(cloud, tmp_path), moment)
    assert told.outcome == "without jobs", told
    assert told.wrong == [], told
