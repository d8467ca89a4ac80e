"""A fleet goes on at another computer: export there, attach with the file here. Real machines, real files."""

import asyncio
import json
import os
import shutil
import stat
from pathlib import Path

import pytest
from local_world import until, write
from processes import Piped

from aspot import AspotError, ConfigError, Fleet
from aspot.carry.bundle import Bundle
from aspot.journal.runs import newest, replay, runs

COUNTING = """\
mkdir -p ckpt; n=$(cat ckpt/n 2>/dev/null || echo 0)
echo "run $ASPOT_ATTEMPT from $n with $(cat data/input.txt) and $(cat data/link)" | tee -a out/log
while [ "$n" -lt 20 ]; do n=$((n + 1)); echo "$n" >ckpt/n; echo "step $n"; sleep 0.2; done
echo done >>out/log
"""
LONG = COUNTING.replace("-lt 20", "-lt 75")
"""It works while a test is slow."""
WAITING = "echo $ASPOT_JOB ran with $(cat data/input.txt)\n"
FIRST = "run 1 from 0 with gold and gold"
WHOLE = [FIRST, *(f"step {number}" for number in range(1, 21))]


@pytest.fixture
def script(cloud):
    write("data/input.txt", "gold\n")
    os.symlink("input.txt", "data/link")
    return write("count.sh", COUNTING)


def _steps():
    """How many steps of the job that counts are in its output here."""
    return sum(path.read_text().count("step") for path in Path().rglob("count/a1/stdout"))


def _is_final(name, job):
    """Whether the journal knows of the job's result."""
    found = [item for item in runs() if item.name == name and not item.trouble]
    return bool(found) and job in (jobs := replay(found[-1].folder).jobs) and jobs[job].status.is_final


def detached(start, *words):
    run = start(Piped, "run", *words, "--upload", "data", "--detach", "-q")
    assert run.end() == 0, run.err


def lines(fleet, job="count"):
    return (Path("aspot-results") / fleet / job / "stdout").read_text().splitlines()


def test_a_fleet_goes_on_at_another_computer(cloud, start, script, aspot, elsewhere):
    later = [write(f"later{number}.sh", WAITING) for number in (1, 2)]
    detached(start, script, *later, "-n", "moving", "--instances", "1")
    code, out, err = aspot("export", "moving")
    assert code == 0, err
    assert "moving.aspot" in out
    assert "can log in to its machines" in out
    assert "aspot attach moving --key moving.aspot" in err
    assert stat.S_IMODE(os.stat("moving.aspot").st_mode) == 0o600
    before = cloud.launches()
    (bundle,) = elsewhere("moving.aspot")
    code, out, err = aspot("attach", "moving", "--key", bundle)
    assert code == 0, err
    assert "3 succeeded" in out
    assert "Nothing left (checked)." in out
    assert lines("moving") == WHOLE
    assert [lines("moving", f"later{number}") for number in (1, 2)] == [
        ["later1 ran with gold"],
        ["later2 ran with gold"],
    ]
    assert (Path("aspot-results") / "moving/count/out/log").read_text() == f"{FIRST}\ndone\n"
    assert cloud.launches() == before == 1
    assert cloud.alive() == []
    assert not newest("moving").folder.carried.exists()


def test_an_interrupted_job_starts_again_from_what_was_carried(cloud, start, script, aspot, elsewhere):
    write(script, LONG)
    detached(start, script, "-n", "ckpt", "--checkpoint", "ckpt", "--checkpoint-every", "1s", "--results", "first")
    again = start(Piped, "attach", "ckpt", "-q")
    until(lambda: replay(newest("ckpt").folder).jobs["count"].checkpoint)
    again.kill()
    (machine,) = cloud.alive()
    cloud.interrupt(machine["id"], notice_s=0)
    until(lambda: not cloud.alive())
    assert aspot("export", "ckpt", "file.aspot", "-q")[0] == 0
    (bundle,) = elsewhere("file.aspot")
    code, out, err = aspot("attach", "ckpt", "--key", bundle, "--results", "second", "--json")
    assert code == 0, err
    (result,) = json.loads(out.splitlines()[-1])["results"]
    assert [attempt["outcome"] for attempt in result["attempts"]] == ["interrupted", "succeeded"]
    begun = Path(result["stdout"]).read_text().splitlines()[0]
    assert begun.startswith("run 2 from ")
    assert not begun.startswith("run 2 from 0 ")
    assert begun.endswith("with gold and gold")
    assert Path(result["dir"]) == Path.cwd() / "second/ckpt/count"
    first = (Path(result["dir"]) / "attempts/a1/stdout").read_text().splitlines()
    assert first[0] == FIRST


def test_it_is_carried_on_from_there_and_while_it_is_driven(cloud, start, script, aspot, elsewhere):
    run = start(Piped, "run", script, write("wait.sh", WAITING), "-n", "far", "--instances", "1", "--upload", "data")
    until(lambda: _steps() > 1)
    code, _, err = aspot("export", "far", "one.aspot")
    assert code == 0, err
    assert "is driven here now" in err
    run.kill()
    (bundle,) = elsewhere("one.aspot")
    there = start(Piped, "attach", "far", "--key", bundle)
    until(lambda: _steps() > 8)
    there.kill()
    assert aspot("export", "far", "two.aspot")[0] == 0
    (bundle,) = elsewhere("two.aspot")
    code, out, err = aspot("attach", "far", "--key", bundle)
    assert code == 0, err
    assert "2 succeeded" in out
    assert lines("far") == WHOLE
    assert lines("far", "wait") == ["wait ran with gold"]


def test_results_stay_or_travel_as_wished(cloud, start, script, aspot, elsewhere):
    quick = write("quick.sh", "echo quick; echo file >out/f\n")
    run = start(Piped, "run", quick, script, "-n", "part", "--upload", "data", "-q")
    until(lambda: _is_final("part", "quick"))
    run.kill()
    code, _, err = aspot("export", "part", "without.aspot")
    assert code == 0, err
    assert "1 result stays here" in err
    code, out, err = aspot("export", "part", "with.aspot", "--with-results", "--json")
    assert code == 0, err
    assert json.loads(out)["stayed"] == []
    with Bundle(Path("without.aspot")) as without, Bundle(Path("with.aspot")) as full:
        more = {item.name for item in full.items} - {item.name for item in without.items}
        assert without.cover.stayed == ("quick",)
    assert {"here/quick/stdout", "here/quick/result.json", "here/quick/out/f"} <= more
    bundle, small = elsewhere("with.aspot", "without.aspot")
    again = start(Piped, "attach", "part", "--key", small)
    again.says("results that came home earlier are in ")
    until(lambda: _steps() > 0)
    again.kill()
    listed = json.loads(aspot("ls", "--json")[1])
    assert ("part", "count") in {(item["run"], item["job"]) for item in listed if item["state"] == "running"}
    (bundle,) = elsewhere(bundle)
    code, out, err = aspot("attach", "part", "--key", bundle, "-q")
    assert code == 0, err
    assert "2 succeeded" in out
    assert lines("part", "quick") == ["quick"]
    assert lines("part") == WHOLE


def test_files_that_are_gone_are_said_and_only_their_job_suffers(cloud, start, script, aspot, elsewhere):
    write("other/thing", "x\n")
    late = write("late.sh", "cat other/thing\n")
    run = start(
        Piped, "run", script, late, "-n", "lost", "--instances", "1", "--upload", "data", "--upload", "other", "-q"
    )
    until(lambda: _steps() > 1)
    run.kill()
    shutil.rmtree("other")
    code, _, err = aspot("export", "lost")
    assert code == 0
    assert "late: its files are not in it, so it cannot start there" in err
    assert "'other' is not there" in err
    (bundle,) = elsewhere("lost.aspot")
    code, out, err = aspot("attach", "lost", "--key", bundle, "--json")
    assert code == 1
    by_job = {item["job"]: item for item in json.loads(out.splitlines()[-1])["results"]}
    assert by_job["count"]["status"] == "succeeded"
    assert by_job["late"]["status"] == "failed"
    assert "its files are not on this computer" in by_job["late"]["reason"]


def test_what_cannot_be_used_is_one_error_and_changes_nothing(cloud, start, script, aspot, elsewhere):
    detached(start, script, "-n", "right")
    assert aspot("export", "right")[0] == 0
    code, _, err = aspot("export", "right")
    assert (code, "is there already" in err) == (2, True)
    code, _, err = aspot("export", "nobody")
    assert (code, "no fleet 'nobody' is known here" in err) == (2, True)
    code, _, err = aspot("export", "right", "no/such/folder/x")
    assert (code, "there is no folder" in err) == (2, True)
    code, _, err = aspot("attach", "right", "--key", "right.aspot")
    assert (code, "is known here already" in err) == (2, True)
    code, _, err = aspot("attach", "right", "--results", "there")
    assert (code, "goes with" in err) == (2, True)

    (bundle,) = elsewhere("right.aspot")
    whole = Path(bundle).read_bytes()
    cut, bent, foreign, newer = (Path(name) for name in ("cut", "bent", "foreign", "newer"))
    cut.write_bytes(whole[:-700])
    bent.write_bytes(whole.replace(b"OPENSSH PRIVATE KEY", b"OPENSSH PRIVATE KEX", 1))
    foreign.write_bytes(b"x" * 5000)
    newer.write_bytes(_newer(whole))
    for name, path, code, said in (
        ("wrong", bundle, 2, "is of fleet right, not of wrong"),
        ("right", "missing", 2, "cannot read missing"),
        ("right", cut, 3, "is damaged (it has"),
        ("right", bent, 3, "is damaged (run/keys/client_key)"),
        ("right", foreign, 2, "is no bundle of aspot's"),
        ("right", newer, 2, "was made by a newer aspot"),
    ):
        found, _, err = aspot("attach", name, "--key", path)
        assert (found, said in err) == (code, True), err
        assert runs() == []
        assert not Path("aspot-results").exists()
    write("aspot-results/right/count/mine", "mine")
    code, _, err = aspot("attach", "right", "--key", bundle)
    assert (code, "results of another right are in" in err) == (2, True)
    assert runs() == []
    assert aspot("attach", "right", "--key", bundle, "--results", "other")[0] == 0
    code, _, err = aspot("attach", "right", "--key", bundle)
    assert (code, "has ended here" in err) == (2, True)
    code, _, err = aspot("export", "right", "again.aspot")
    assert (code, "has ended" in err) == (2, True)


def _newer(whole):
    """The same bundle, its list of a version that is not known yet."""
    import hashlib

    from aspot.files import tar

    size = int(whole[124:135], 8)
    text = whole[512 : 512 + size].split(b"\n", 1)[1].replace(b'"version": 1', b'"version": 2')
    content = hashlib.sha256(text).hexdigest().encode() + b"\n" + text
    return tar.header(b"aspot-bundle", size=len(content)) + content + whole[512 + size :]


def test_a_run_that_went_on_since_is_not_taken_up_from_an_old_file(cloud, start, script, aspot, elsewhere):
    write(script, LONG)
    detached(start, script, "-n", "stale")
    assert aspot("export", "stale", "-q")[0] == 0
    (machine,) = cloud.alive()
    cloud.interrupt(machine["id"], notice_s=0)
    until(lambda: not cloud.alive())
    again = start(Piped, "attach", "stale", "-q")
    until(cloud.alive)
    again.kill()
    fresh = shutil.copy(_exported(aspot, "stale", "fresh.aspot"), "kept.aspot")
    old, fresh = elsewhere("stale.aspot", fresh)
    code, _, err = aspot("attach", "stale", "--key", old)
    assert (code, "went on after" in err) == (2, True)
    assert runs() == []
    assert aspot("attach", "stale", "--key", fresh, "-q")[0] == 0


def _exported(aspot, name, path):
    assert aspot("export", name, path, "-q")[0] == 0
    return path


def test_a_program_exports_and_goes_on(cloud, start, script, elsewhere):
    detached(start, script, "-n", "prog")
    found = asyncio.run(Fleet.export("prog", "p.aspot"))
    assert found.path == Path("p.aspot").absolute()
    assert (found.jobs, found.lost, found.secrets, found.is_driven) == (1, {}, (), False)
    (bundle,) = elsewhere("p.aspot")

    async def see_through():
        with pytest.raises(ConfigError, match="goes with key="):
            Fleet.attach("prog", results="x")
        async with Fleet.attach("prog", key=bundle, results="out") as fleet:
            return await fleet.wait()

    (result,) = asyncio.run(see_through())
    assert result.ok
    assert result.dir == Path("out/prog/count").absolute()
    with pytest.raises(AspotError, match="has ended"):
        asyncio.run(Fleet.export("prog"))
