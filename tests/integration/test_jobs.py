"""The options of `Job`, each seen to work on a machine."""

import hashlib
import json
import os
from pathlib import Path

import anyio
import pytest
from local_world import write

from aspot import Fleet, Job, Profile, grid

SECRET = "correct-horse-battery-staple-4711"


async def test_environment_arguments_and_where_a_script_runs(cloud):
    show = """#!/bin/sh
echo "$0" "$@"
echo "$GREETING/$ASPOT_JOB/$ASPOT_ATTEMPT/$PYTHONUNBUFFERED"
pwd
ls -d out
"""
    write("tools/show.sh", show)
    os.chmod("tools/show.sh", 0o755)
    job = Job("tools/show.sh", args=["a b", 3, "$HOME", "*"], env={"GREETING": "hello; $you"}, params={"lr": 0.1})
    (result,) = await Fleet.run_many(job, "shown", show=False)
    said = result.stdout.splitlines()
    assert said[0].endswith("tools/show.sh a b 3 $HOME *")
    assert said[1] == "hello; $you/show-lr0.1/1/1"
    assert said[2].endswith("/show-lr0.1/a1/work")
    assert said[3] == "out"
    assert (result.name, result.job.params) == ("show-lr0.1", {"lr": 0.1})


async def test_text_commands_and_python(cloud):
    write("say.py", "import sys\nprint(sys.version_info[0], sys.argv[1:])\n")
    jobs = ["echo one\necho two\n", Job(command='printf "%s\\n" "$A" | tr a-z A-Z', env={"A": "x y"}), "say.py"]
    results = await Fleet.run_many(jobs, "kinds", show=False)
    assert [item.stdout for item in results] == ["one\ntwo\n", "X Y\n", "3 []\n"]
    assert len({item.name for item in results}) == 3


async def test_a_secret_is_written_down_nowhere(cloud, monkeypatch, tmp_path):
    """Not here, not in the journal, not in user data or tags, in no command line, not on the machine's disk."""
    monkeypatch.setenv("TOKEN", SECRET)
    write("use.sh", 'printf %s "$TOKEN" | sha256sum > out/sum; echo ready; until [ -e stop ]; do sleep 0.1; done\n')
    async with Fleet("secret", show=False) as fleet:
        handle = fleet.submit(Job("use.sh", secrets=["TOKEN"]))
        async for line in handle.logs():
            assert line == "ready"
            break
        (machine,) = fleet.instances.values()
        ec2 = cloud.client("ec2")
        told = ec2.describe_instance_attribute(InstanceId=machine.id, Attribute="userData")
        told = [told, ec2.describe_instances(), ec2.describe_launch_templates()]
        template = told[2]["LaunchTemplates"][0]["LaunchTemplateId"]
        told.append(ec2.describe_launch_template_versions(LaunchTemplateId=template))
        assert SECRET not in repr(told)
        assert not _holders(cloud.machine(machine.id))
        assert not [pid for pid in _processes() if SECRET.encode() in _read(Path("/proc", pid, "cmdline"))]
        (work,) = cloud.machine(machine.id).glob("home/*/.aspot/*/use/a1/work")
        write(work / "stop", "")
        result = await handle
    assert result.ok
    assert (result.dir / "out/sum").read_text().split()[0] == hashlib.sha256(SECRET.encode()).hexdigest()
    assert not _holders(tmp_path)
    assert not _holders(cloud.control.folder)


def _holders(folder):
    """Return the files below a folder that hold the secret."""
    return [path for path in folder.rglob("*") if path.is_file() and SECRET.encode() in _read(path)]


def _processes():
    return [name for name in os.listdir("/proc") if name.isdigit()]


def _read(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


async def test_uploads_and_downloads(cloud):
    write("src/lib/a.py", "a")
    write("src/.venv/junk", "junk")
    write("data/one.csv", "1")
    write("data/two.csv", "2")
    write("data/three.txt", "3")
    write("../outside.txt", "outside")
    os.symlink("../src/lib/a.py", "data/link.csv")
    script = (
        "find . -type f | sort; mkdir -p logs/deep models; echo l > logs/deep/x.log; echo m > models/m.bin; exit 3\n"
    )
    upload = {"src/": "code", "data/*.csv": "tables", "../outside.txt": ""}
    job = Job(write("list.sh", script), upload=upload, download=["logs/", "models/*.bin", "absent", "*.none"])
    (result,) = await Fleet.run_many(job, "files", show=False)
    assert result.status == "failed"
    listed = result.stdout.split()
    assert {"./code/lib/a.py", "./tables/one.csv", "./tables/two.csv", "./outside.txt", "./list.sh"} <= set(listed)
    assert not [name for name in listed if "junk" in name or "three" in name]
    assert set(result.files) == {"logs/deep/x.log", "models/m.bin"}
    assert set(result.missing) == {"absent", "*.none"}
    assert (result.dir / "logs/deep/x.log").read_text() == "l\n"


async def test_the_current_folder_without_what_is_left_out(cloud):
    write("a.txt", "a")
    write("deep/b.txt", "b")
    write("secret/key", "no")
    write("aspot-results/old/x", "no")
    write(".aspotignore", "secret/\n")
    (result,) = await Fleet.run_many(Job(command="find . -type f | sort", upload=["."]), "here", show=False)
    assert {"./a.txt", "./deep/b.txt"} <= set(result.stdout.split())
    assert not [name for name in result.stdout.split() if "secret" in name or "old" in name]


async def test_a_failure_of_its_own_is_tried_again_when_asked(cloud):
    write("second.sh", 'echo "attempt $ASPOT_ATTEMPT"; ls; touch trace; [ "$ASPOT_ATTEMPT" = 2 ]\n')
    (result,) = await Fleet.run_many(Job("second.sh", attempts=3), "again", show=False)
    assert result.status == "succeeded"
    assert [item.outcome for item in result.attempts] == ["failed", "succeeded"]
    assert result.exit_code == 0
    assert "trace" not in result.stdout, "each attempt has a fresh folder"
    assert (result.dir / "attempts/a1/stdout").read_text().startswith("attempt 1\n")


async def test_a_sweep(cloud):
    write("train.py", "import json, sys\nlr, seed = float(sys.argv[2]), int(sys.argv[4])\n"
          "json.dump({'score': lr * seed}, open('out/m.json', 'w'))\n")  # fmt: skip
    jobs = Job.each("train.py", grid(lr=[0.5, 2], seed=[1, 2]))
    results = await Fleet.run_many(jobs, "sweep", instances=2, show=False)
    assert results.ok
    assert results[0].name == "train-lr0.5-seed1"
    assert [row["score"] for row in results.rows("out/m.json")] == [0.5, 1.0, 2.0, 4.0]
    assert {key: results.rows()[3][key] for key in ("lr", "seed", "status")} == {
        "lr": 2,
        "seed": 2,
        "status": "succeeded",
    }
    assert json.loads((results[3].dir / "result.json").read_text())["params"] == {"lr": 2, "seed": 2}
    frame = pytest.importorskip("pandas") and results.to_dataframe("out/m.json")
    assert list(frame["score"]) == [0.5, 1.0, 2.0, 4.0]
    assert len({item.attempts[0].instance_id for item in results}) <= 2


async def test_setup_runs_once_on_each_machine_before_its_first_job(cloud):
    profile = Profile(setup='echo "ready $(date +%s%N)" >> "$HOME/made"\n')
    jobs = [Job(command='cat "$HOME/made"') for _ in range(3)]
    results = await Fleet.run_many(jobs, "setup", profile=profile, instances=1, show=False)
    assert [item.stdout.count("ready") for item in results] == [1, 1, 1]


async def test_a_setup_that_fails_is_said(cloud):
    news = []
    with anyio.fail_after(60):
        results = await Fleet.run_many(
            Job(command="true"), "broken", profile=Profile(setup="echo no such package >&2; exit 4\n"),
            capacity_timeout=3, show=False, on_event=news.append,
        )  # fmt: skip
    assert not results.ok
    assert any("set-up failed" in item.message for item in news)


async def test_output_can_be_followed(cloud):
    write("talk.sh", "for n in 1 2 3; do echo line $n; sleep 0.2; done\n")
    async with Fleet("talk", show=False) as fleet:
        (handle,) = fleet.map("talk.sh", [()])
        assert handle.status == "queued"
        lines = [line async for line in handle.logs()]
        result = await handle
    assert lines == ["line 1", "line 2", "line 3"]
    assert (handle.status, handle.job.name) == ("succeeded", result.name)
