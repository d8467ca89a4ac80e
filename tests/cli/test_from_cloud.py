"""The journal is lost: the run is rebuilt from EC2's tags and what lies on its machines."""

import json
import shutil
from pathlib import Path

import pytest
from local_world import until, write
from processes import Piped

from aspot.journal.runs import newest, replay, runs

COUNTING = """\
mkdir -p ckpt mine
echo "run $ASPOT_ATTEMPT"
n=$(cat ckpt/n 2>/dev/null || echo 0)
while [ "$n" -lt 40 ]; do n=$((n + 1)); echo "$n" >ckpt/n; echo "step $n"; sleep 0.2; done
echo done >mine/log
"""
WHOLE = ["run 1", *(f"step {number}" for number in range(1, 41))]


@pytest.fixture
def script(cloud):
    return write("count.sh", COUNTING)


def steps():
    return sum(path.read_text().count("step") for path in Path().rglob("count/a1/stdout"))


def lose_journal(name):
    folder = newest(name).folder
    for path in folder.path.glob("journal.db*"):
        path.unlink()
    return folder


def finished(out):
    last = json.loads(out.splitlines()[-1])
    assert (last["event"], last["left"]) == ("finished", [])
    return {item["job"]: item for item in last["results"]}


def stopped(cloud, start, name, *words, until_this):
    """Start a run and kill its client once something is true."""
    run = start(Piped, "run", *words, "-n", name, "-q")
    until(until_this, within_s=60)
    run.kill()


def is_final(name, job):
    found = [item for item in runs() if item.name == name and not item.trouble]
    return bool(found) and job in (jobs := replay(found[-1].folder).jobs) and jobs[job].status.is_final


def test_what_runs_what_has_ended_and_what_came_home(cloud, start, script, aspot):
    early = write("early.sh", "echo early; echo early >out/f\n")
    late = write("late.sh", "sleep 4; echo late; echo oh >&2; echo late >out/f; exit 3\n")
    never = write("never.sh", "echo never\n")
    words = (early, late, script, never, "--instances", "2", "--download", "out", "--download", "mine", "--hold", "3h")
    stopped(cloud, start, "lost", *words, until_this=lambda: is_final("lost", "early") and steps() > 2)
    assert len(cloud.alive()) == 2
    folder = lose_journal("lost")
    until(lambda: any(_status(cloud, item, "late") for item in cloud.alive()))
    before = cloud.launches()
    code, _, err = aspot("attach", "lost")
    assert code == 3
    assert "--from-cloud" in err
    code, out, err = aspot("attach", "lost", "--from-cloud", "--json")
    assert code == 1, err
    assert "jobs that had not started are not known any more" in out
    by_job = finished(out)
    assert {job: (item["status"], item["exit_code"]) for job, item in by_job.items()} == {
        "late": ("failed", 3),
        "count": ("succeeded", 0),
    }
    assert by_job["count"]["script"] == script
    assert by_job["count"]["files"] == ["mine/log"]
    assert Path(by_job["count"]["stdout"]).read_text().splitlines() == WHOLE
    assert Path(by_job["late"]["stdout"]).read_text() == "late\n"
    assert Path(by_job["late"]["stderr"]).read_text() == "oh\n"
    assert Path(by_job["late"]["dir"], "out/f").read_text() == "late\n"
    summary = json.loads(Path("aspot-results/lost/results.json").read_text())["results"]
    assert {item["job"]: item["status"] for item in summary}["early"] == "succeeded"
    assert Path("aspot-results/lost/early/out/f").read_text() == "early\n"
    assert by_job["count"]["cost_usd"] > 0
    assert cloud.launches() == before
    assert cloud.alive() == []
    run = replay(folder)
    assert run.spec.hold_s == 3 * 3600
    assert run.spec.max_life_s == 24 * 3600
    # what was not known starts with the same words, and nothing else does
    code, out, err = aspot("run", *words, "-n", "lost", "--resume", "--json")
    assert code == 1, err
    assert set(finished(out)) == {"late", "never"}


def _status(cloud, machine, job):
    return list((cloud.machine(machine["id"])).rglob(f".aspot/*/{job}/a1/status"))


def test_a_damaged_journal_is_kept_beside_the_new_one(cloud, start, script, aspot):
    stopped(cloud, start, "torn", script, until_this=lambda: steps() > 1)
    folder = newest("torn").folder
    for path in folder.path.glob("journal.db-*"):
        path.unlink()
    content = folder.journal.read_bytes()
    folder.journal.write_bytes(b"\xff" * 4096 + content[4096:])
    code, _, err = aspot("attach", "torn")
    assert (code, "is damaged" in err, "--from-cloud" in err) == (3, True, True)
    run = start(Piped, "attach", "torn", "--from-cloud")
    run.says("the journal that could not be read is kept in")
    until(lambda: steps() > 8)
    run.kill()
    assert (folder.path / "journal.db.damaged-1").read_bytes() == b"\xff" * 4096 + content[4096:]
    code, out, err = aspot("attach", "torn")  # it is a run like any other again
    assert code == 0, err
    assert "1 succeeded" in out
    assert (Path("aspot-results") / "torn/count/stdout").read_text().splitlines() == WHOLE


def test_a_job_that_is_interrupted_cannot_start_again_and_its_checkpoint_is_kept(cloud, start, aspot):
    script = write("count.sh", COUNTING.replace("-lt 40", "-lt 400"))  # it does not end before its machine
    words = (script, "--checkpoint", "ckpt", "--checkpoint-every", "1s")
    stopped(cloud, start, "taken", *words, until_this=lambda: steps() > 1)
    lose_journal("taken")
    again = start(Piped, "attach", "taken", "--from-cloud", "--json")
    again.says("checkpoint_saved")
    (machine,) = cloud.alive()
    cloud.interrupt(machine["id"], notice_s=3)
    assert again.end() == 1
    result = finished(again.out)["count"]
    assert result["status"] == "lost"
    assert "cannot start again, for its files are not known any more" in result["reason"]
    assert int(Path(result["dir"], "attempts/checkpoint/ckpt/n").read_text()) > 2
    assert cloud.alive() == []


def test_keys_may_come_from_another_computer(cloud, start, script, aspot, elsewhere):
    early = write("early.sh", "echo early\n")
    stopped(cloud, start, "away", early, script, until_this=lambda: is_final("away", "early") and steps() > 1)
    assert aspot("export", "away", "-q")[0] == 0
    (bundle,) = elsewhere("away.aspot")
    code, _, err = aspot("attach", "away", "--from-cloud")
    assert code == 2
    assert "the keys of fleet away are not here" in err
    assert "--key BUNDLE" in err
    code, out, err = aspot("attach", "away", "--from-cloud", "--key", bundle, "--results", "new", "--json")
    assert code == 0, err
    by_job = finished(out)
    assert by_job["count"]["status"] == "succeeded"
    assert Path(by_job["count"]["stdout"]).read_text().splitlines() == WHOLE


def test_a_machine_on_its_second_attempt_tells_its_number(cloud, start, script, aspot):
    stopped(cloud, start, "twice", script, "--checkpoint", "ckpt", until_this=lambda: steps() > 1)
    (machine,) = cloud.alive()
    cloud.interrupt(machine["id"], notice_s=0)
    until(lambda: not cloud.alive())
    again = start(Piped, "attach", "twice", "-q")
    until(lambda: list(Path().rglob("count/a2/stdout")))
    again.kill()
    lose_journal("twice")
    code, out, err = aspot("attach", "twice", "--from-cloud", "--json")
    assert code == 0, err
    result = finished(out)["count"]
    assert [(item["number"], item["outcome"]) for item in result["attempts"]] == [(1, "interrupted"), (2, "succeeded")]
    assert Path(result["stdout"]).read_text().splitlines()[0] == "run 2"


def test_what_cannot_be_rebuilt_is_one_error_and_changes_nothing(cloud, start, script, aspot):
    code, _, err = aspot("attach", "nobody", "--from-cloud")
    assert (code, "no machine of a fleet 'nobody' runs in us-east-1" in err) == (2, True)
    cloud.client("ec2").create_key_pair(KeyName="ada")
    run = start(Piped, "run", script, "-n", "kept", "--key-pair", "ada")
    run.says("started")
    cloud.client("ec2").delete_key_pair(KeyName="ada")
    code, _, err = aspot("attach", "kept", "--from-cloud")
    assert (code, "is being driven by another process" in err) == (2, True)
    until(lambda: steps() > 1)
    run.kill()
    code, _, err = aspot("attach", "kept", "--from-cloud")
    assert (code, "is here, and whole" in err) == (2, True)
    folder = lose_journal("kept")
    shutil.copytree("aspot-results/kept", "other/kept")
    write("other/kept/count/result.json", '{"run": "another", "status": "succeeded"}')
    code, _, err = aspot("attach", "kept", "--from-cloud", "--results", "other")
    assert (code, "results of another run are in" in err) == (2, True)
    keys = folder.keys.rename(folder.path.parent.parent / "elsewhere")
    code, _, err = aspot("attach", "kept", "--from-cloud")
    assert code == 2
    assert "the keys of fleet kept are not here" in err
    assert "your key pair ada opens them, but EC2 has its public half only" in err
    assert not folder.journal.exists()
    keys.rename(folder.keys)
    code, out, err = aspot("attach", "kept", "--from-cloud")
    assert code == 0, err
    assert "1 succeeded" in out


def test_a_machine_whose_result_cannot_be_had_is_not_given_up(cloud, start, script, aspot):
    """Nothing is written here, and nothing ended there, as long as a machine may have what nobody has brought home."""
    late = write("late.sh", "sleep 3; echo late\n")
    stopped(cloud, start, "liar", late, until_this=lambda: list(Path().rglob("late/a1")) or _begun(cloud, "late"))
    folder = lose_journal("liar")
    (machine,) = cloud.alive()
    (status,) = until(lambda: _status(cloud, machine, "late"))
    work = status.with_name("work").rename(status.with_name("hidden"))
    code, _, err = aspot("attach", "liar", "--from-cloud")
    assert code == 3
    assert f"machine {machine['id']} does not say what it has" in err
    assert "no such attempt" in err
    assert not folder.journal.exists()
    assert [item["id"] for item in cloud.alive()] == [machine["id"]]
    work.rename(work.with_name("work"))
    code, _, err = aspot("attach", "liar", "--from-cloud")
    assert code == 0, err
    assert (Path("aspot-results") / "liar/late/stdout").read_text() == "late\n"


def _begun(cloud, job):
    return [path for item in cloud.alive() for path in cloud.machine(item["id"]).rglob(f".aspot/*/{job}/a1/pid")]


def test_a_machine_that_shows_another_host_key_is_not_believed_and_ended(cloud, start, script, aspot):
    """A client that died between a machine's change of host key and the note of it left one that nobody knows."""
    other = write("other.sh", COUNTING)
    stopped(cloud, start, "alien", script, other, until_this=lambda: steps() > 1 and len(_begun(cloud, "other")) == 1)
    folder = lose_journal("alien")
    (pid,) = _begun(cloud, "other")
    machine = next(item["id"] for item in cloud.alive() if cloud.machine(item["id"]) in pid.parents)
    (pinned,) = folder.keys.glob(f"host-keys/{machine}.pub")
    shutil.copy(next(path for path in folder.keys.glob("host-keys/*.pub") if path != pinned), pinned)
    code, out, err = aspot("attach", "alien", "--from-cloud", "--json")
    assert code == 0, err
    assert {job: item["status"] for job, item in finished(out).items()} == {"count": "succeeded"}
    assert cloud.alive() == []
