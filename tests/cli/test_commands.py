"""What each command prints and returns: `run`, `ls`, `status`, `logs`, `doctor`, `local`."""

import argparse
import csv
import json
import os
import shutil
import subprocess
import sys
from datetime import datetime
from pathlib import Path

import pytest
from local_world import json_lines, write
from processes import ASPOT, Piped

from aspot import Job
from aspot.cli.arguments import build
from aspot.cli.run import job_options

ATTEMPT = {
    "number", "instance_id", "type", "zone", "outcome", "started", "ended", "cost_usd", "boot_s", "idle_s", "useful_s",
    "redone_s", "gap_s", "saved", "lost",
}  # fmt: skip
RESULT = {
    "job", "script", "status", "exit_code", "reason", "stdout", "stderr", "dir", "files", "missing", "attempts",
    "cost_usd", "redone_s", "recovery_gap_s",
}  # fmt: skip
INSTANCE = {
    "name", "instance_id", "state", "phase", "type", "zone", "address", "lifecycle", "run", "job", "cost_usd",
    "kept_until",
}  # fmt: skip


@pytest.fixture
def scripts(cloud):
    """One that succeeds, and one that fails."""
    return [write("ok.sh", "echo fine; echo result > out/r.txt\n"), write("bad.sh", "echo oh no >&2; exit 3\n")]


def test_each_command_is_parsed_alone_as_among_all():
    everything = _commands(build())
    for name, parser in everything.items():
        alone = _commands(build(name))
        assert alone.keys() <= everything.keys()
        assert alone[name].format_help() == parser.format_help()
        assert len(alone) < 10
    for first in ("--help", "nonsense"):
        assert _commands(build(first)).keys() == everything.keys()


def _commands(parser):
    return next(action.choices for action in parser._actions if isinstance(action, argparse._SubParsersAction))


def test_what_is_to_be_evacuated_is_named_path_by_path(cloud):
    words = ["run", "x.sh", "--evacuate", "best.pt", "--evacuate", "logs/"]
    assert job_options(build().parse_args(words))["evacuate"] == ["best.pt", "logs/"]
    assert Job("x.sh", **job_options(build().parse_args(words))).evacuate == ("best.pt", "logs/")


def test_run_as_json_line_by_line(aspot, scripts):
    code, out, err = aspot("run", *scripts, "-n", "lines", "--download", "out", "--download", "nothing", "--json")
    assert code == 1
    assert err == ""
    *events, finished = json_lines(out)
    for event in events:
        assert set(event) >= {"event", "time", "fleet", "job", "instance", "message"}
        assert event["fleet"] == "lines"
        assert datetime.fromisoformat(event["time"]).tzinfo is not None
    order = [event["event"] for event in events if event["job"] in ("", "ok")]
    wanted = ["instance_launched", "instance_ready", "files_sent", "job_started", "files_received", "job_ended"]
    assert [name for name in dict.fromkeys(order) if name in wanted] == wanted
    assert {event["event"] for event in events} >= {"log_line", "instance_ended"}
    lines = [(event["job"], event["stream"], event["line"]) for event in events if event["event"] == "log_line"]
    assert set(lines) == {("ok", "stdout", "fine"), ("bad", "stderr", "oh no")}
    assert set(finished) == {"event", "run", "results", "left", "kept"}
    assert (finished["event"], finished["run"], finished["left"]) == ("finished", "lines", [])
    ok, bad = finished["results"]
    assert set(ok) == set(bad) == RESULT
    assert set(ok["attempts"][0]) == ATTEMPT
    assert (ok["job"], ok["script"], ok["status"], ok["exit_code"], ok["reason"]) == ("ok", "ok.sh", "succeeded", 0, "")
    assert (ok["files"], ok["missing"]) == (["out/r.txt"], ["nothing"])
    assert Path(ok["stdout"]).read_text() == "fine\n"
    assert Path(ok["stderr"]).read_text() == ""
    assert (Path(ok["dir"]) / ok["files"][0]).read_text() == "result\n"
    assert (bad["status"], bad["exit_code"], bad["attempts"][0]["outcome"]) == ("failed", 3, "failed")
    assert ok["cost_usd"] > 0


def test_resume_runs_only_what_has_not_succeeded_with_the_same_inputs(aspot, cloud):
    good, bad = write("good.sh", "echo $RANDOM$RANDOM >out/n; date +%N >>out/n\n"), write("bad.sh", "exit 3\n")
    assert aspot("run", good, bad, "-n", "again", "-q")[0] == 1
    first = Path("aspot-results/again/good/out/n").read_text()
    write("bad.sh", "echo mended\n")
    code, out, err = aspot("run", good, bad, "-n", "again", "--resume")
    assert code == 0, err
    assert "2 succeeded" in out
    assert Path("aspot-results/again/good/out/n").read_text() == first
    assert Path("aspot-results/again/bad/stdout").read_text() == "mended\n"
    code, _, err = aspot("run", good, "-n", "again", "--resume", "--replace")
    assert code == 2
    assert "not allowed with" in err


def test_a_refused_run_as_json(aspot, cloud):
    code, out, err = aspot("run", "nothing.sh", "--json")
    assert code == 2
    assert err.startswith("error: no such file")
    (error,) = json_lines(out)
    assert error == {
        "event": "error",
        "error": "ConfigError",
        "message": error["message"],
        "fix": "for a command: aspot run -- nothing.sh",
    }


def test_no_character_is_worth_a_crash(cloud, start, monkeypatch):
    """Names that are no text, and a terminal that knows ASCII alone."""
    monkeypatch.setenv("PYTHONIOENCODING", "ascii")
    name = os.fsdecode(b"na\xefve \xff.sh")
    run = start(Piped, "run", write(name, "echo ok\n"), "-n", "odd")
    assert run.end() == 0, run.err
    looked = start(Piped, "ls", "--all")
    assert looked.end() == 0, looked.err


def test_run_for_people(aspot, scripts):
    code, out, err = aspot("run", *scripts, "-n", "people")
    assert code == 1
    assert out.splitlines()[0].split() == ["JOB", "STATUS", "EXIT", "ATTEMPTS", "TIME", "COST"]
    assert "oh no" in out, "the last lines of a job that failed are shown"
    assert "1 succeeded, 1 failed" in out
    assert "Results: aspot-results/people/\nNothing left (checked)." in out
    assert "2 machines launched" in err
    assert "ok: succeeded" in err
    assert "bad: failed (exit code 3)" in err


def test_quiet_keeps_the_results_and_drops_the_progress(aspot, scripts):
    code, out, err = aspot("run", scripts[0], "-n", "quiet", "-q")
    assert (code, err) == (0, "")
    assert "1 succeeded" in out


def test_results_that_exist_are_moved_aside_when_asked(aspot, scripts):
    assert aspot("run", scripts[0], "-n", "again", "-q")[0] == 0
    write("aspot-results/again/mine.txt", "mine")
    code, _, err = aspot("run", scripts[0], "-n", "again", "-q")
    assert code == 2
    assert "--replace" in err
    assert aspot("run", scripts[0], "-n", "again", "-q", "--replace")[0] == 0
    assert Path("aspot-results/again.1/mine.txt").read_text() == "mine"
    assert Path("aspot-results/again/ok/out/r.txt").read_text() == "result\n"


def test_options_reach_the_job(aspot, cloud):
    write("conf/a.yaml", "a: 1\n")
    write("src/lib.txt", "lib\n")
    script = write(
        "show.sh", 'echo "$@"; echo "$GREETING"; cat conf/a.yaml lib/lib.txt; echo x > out.txt; echo y > deep.log\n'
    )
    files = ("--upload", "conf/", "--upload", "src=lib", "--download", "*.txt")
    machine = ("--type", "c7i.large", "--zone", "us-east-1b", "--market", "on-demand")
    rest = ("--env", "GREETING=hello you", "-n", "options", "--json", "--", "--lr", "a b")
    code, out, _ = aspot("run", script, *files, *machine, *rest)
    assert code == 0
    (result,) = json_lines(out)[-1]["results"]
    assert Path(result["stdout"]).read_text() == "--lr a b\nhello you\na: 1\nlib\n"
    assert result["files"] == ["out.txt"]
    assert (result["attempts"][0]["type"], result["attempts"][0]["zone"]) == ("c7i.large", "us-east-1b")
    machine = result["attempts"][0]["instance_id"]
    assert {item["lifecycle"] for item in cloud.instances() if item["id"] == machine} == {"on-demand"}


def test_a_command_in_place_of_a_script(aspot, cloud):
    code, out, _ = aspot("run", "-n", "command", "--json", "--", "echo a | tr a b")
    assert code == 0
    (result,) = json_lines(out)[-1]["results"]
    assert Path(result["stdout"]).read_text() == "b\n"


def test_a_grid(aspot, cloud):
    script = write("train.sh", 'echo "$@"\n')
    code, out, _ = aspot("run", script, "--grid", "lr=0.1,0.01", "--grid", "seed=1..2", "--instances", "2", "--json")
    assert code == 0
    finished = json_lines(out)[-1]
    assert finished["run"].startswith("train-")
    assert [Path(item["stdout"]).read_text() for item in finished["results"]] == [
        f"--lr {lr} --seed {seed}\n" for lr in ("0.1", "0.01") for seed in (1, 2)
    ]
    assert [item["job"] for item in finished["results"]] == [
        f"train-lr{lr}-seed{seed}" for lr in ("0.1", "0.01") for seed in (1, 2)
    ]
    assert len({item["attempts"][0]["instance_id"] for item in finished["results"]}) <= 2


def test_a_table_of_parameters_and_what_came_of_each(aspot, cloud):
    script = write("measure.sh", 'echo "$@"; echo "{\\"loss\\": $2, \\"layers\\": [1, 2]}" >out/m.json\n')
    write("points.csv", "lr,name\n0.1,a b\n1e-3,007\n")
    words = ("--params", "points.csv", "--grid", "seed=1..2", "wide=yes", "--instances", "2", "--collect", "out/m.json")
    code, out, _ = aspot("run", script, *words, "-n", "points", "--json")
    assert code == 0
    assert [Path(item["stdout"]).read_text() for item in json_lines(out)[-1]["results"]] == [
        f"--lr {lr} --name {name} --seed {seed} --wide yes\n"
        for lr, name in (("0.1", "a b"), ("1e-3", "007"))
        for seed in (1, 2)
    ]
    table = list(csv.DictReader(Path("aspot-results/points/table.csv").read_text().splitlines()))
    assert [(row["lr"], row["name"], row["seed"], row["loss"], row["layers"]) for row in table] == [
        (lr, name, seed, f"{float(lr)}" if lr == "0.1" else "0.001", "[1, 2]")
        for lr, name in (("0.1", "a b"), ("1e-3", "007"))
        for seed in ("1", "2")
    ]
    assert {row["status"] for row in table} == {"succeeded"}


def test_looking_at_a_run_from_another_process(aspot, cloud, start):
    script = write("talk.sh", "echo begun; echo oops >&2; until [ -e stop ]; do sleep 0.1; done; echo end\n")
    run = start(Piped, "run", script, "-n", "look")
    run.says("started")

    code, out, _ = aspot("ls", "--json")
    (item,) = json.loads(out)
    assert code == 0
    assert set(item) == INSTANCE
    (there,) = cloud.alive()
    assert item == {
        **item, "name": "look_1", "instance_id": there["id"], "state": "running", "phase": "job", "type": there["type"],
        "zone": there["zone"], "address": there["address"], "lifecycle": "spot", "run": "look", "job": "talk",
    }  # fmt: skip
    assert item["cost_usd"] > 0

    code, out, _ = aspot("ls")
    head, row = out.splitlines()
    assert head.split() == ["NAME", "KIND", "STATE", "MACHINES", "$/h", "SPENT", "ENDS"]
    assert row.startswith("look")
    assert "1 of 1 running" in row
    assert "when done" in row

    code, out, _ = aspot("status", "look")
    assert code == 0
    assert "talk" in out
    assert "running" in out
    code, out, _ = aspot("status", "look", "--json")
    assert json.loads(out)["jobs"][0]["status"] == "running"
    assert json.loads(out)["live"] is True

    code, out, err = aspot("logs", "look/talk")
    assert (code, out, err) == (0, "begun\n", "oops\n")
    following = start(Piped, "logs", "look/talk", "-f")
    following.says("begun")
    write(_work(cloud, "talk") / "stop", "")
    assert following.end() == 0
    assert (following.out, following.err) == ("begun\nend\n", "oops\n")
    assert run.end() == 0

    code, out, err = aspot("logs", "look/talk", "--stdout", "--json")
    assert [item["line"] for item in json_lines(out)] == ["begun", "end"]
    code, out, _ = aspot("status", "look", "--json")
    assert json.loads(out)["ended"] is not None
    shutil.rmtree("aspot-results")
    code, out, err = aspot("logs", "look/talk")
    assert (code, out) == (0, "")
    assert "No output of look/talk is kept" in err
    code, out, _ = aspot("ls")
    assert "look" not in out
    code, out, _ = aspot("ls", "--all")
    assert "look" in out
    assert aspot("ls", "--json")[1].strip() == "[]"


def _work(cloud, job):
    """Return the working directory of a job on the one machine there is."""
    (there,) = cloud.alive()
    (found,) = cloud.machine(there["id"]).glob(f"home/*/.aspot/*/{job}/a1/work")
    return found


def test_instances_that_nobody_here_knows_are_listed(aspot, cloud, start, monkeypatch, tmp_path):
    run = start(Piped, "run", write("long.sh", "sleep 300\n"), "-n", "far")
    run.says("started")
    run.kill()
    mine = os.environ["ASPOT_STATE_DIR"]
    monkeypatch.setenv("ASPOT_STATE_DIR", str(tmp_path / "elsewhere"))
    code, out, _ = aspot("ls")
    assert code == 0
    assert "no journal here" in out
    assert "aspot down far" in out
    assert aspot("down", "far")[0] == 0
    monkeypatch.setenv("ASPOT_STATE_DIR", mine)
    assert aspot("down", "far")[0] == 0


def test_doctor(aspot, cloud):
    code, out, _ = aspot("doctor")
    assert code == 0
    for name in ("credentials", "clock", "network", "permissions", "quota", "own address"):
        assert name in out
    code, out, _ = aspot("doctor", "--json")
    assert code == 0
    assert all(set(item) == {"name", "verdict", "detail", "fix"} for item in json.loads(out))
    cloud.fault("quota", code="L-34B43A08", number=1)
    code, out, _ = aspot("doctor", "--json")
    assert code == 3
    (failed,) = [item for item in json.loads(out) if item["verdict"] == "failed"]
    assert failed["name"] == "quota"
    assert "request more" in failed["fix"]


def test_doctor_without_credentials(aspot, cloud, monkeypatch):
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    code, out, err = aspot("doctor")
    assert code == 3
    assert "aws configure" in out
    assert "Traceback" not in out + err


def test_local_commands(aspot, cloud):
    code, out, _ = aspot("local", "up")
    assert code == 0
    assert f"AWS_ENDPOINT_URL={cloud.env['AWS_ENDPOINT_URL']}" in out.replace("export ", "")
    assert aspot("local", "up", "--env-file", "cloud.env")[0] == 0
    lines = dict(line.split("=", 1) for line in Path("cloud.env").read_text().splitlines())
    names = ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_DEFAULT_REGION")
    for name in (*names, "ASPOT_LOCAL_SSH_CONFIG"):
        assert lines[name] == cloud.env[name]
    assert aspot("local", "ls", "--json")[0] == 0
    assert aspot("local", "fault", "throttle", "RunInstances", "--count", "1")[0] == 0
    assert "throttle" in aspot("local", "fault", "list")[1]
    assert aspot("local", "fault", "clear")[0] == 0


def test_help_names_every_command(aspot):
    done = subprocess.run([*ASPOT, "--help"], capture_output=True, text=True, check=True)
    for command in ("run", "ls", "status", "logs", "down", "clean", "doctor", "demo", "local"):
        assert f"\n    {command} " in done.stdout
        words = [sys.executable, "-m", "aspot", command, "--help"]
        assert subprocess.run(words, capture_output=True, text=True, check=True).stdout.startswith("usage: aspot")


def test_wrong_use(aspot):
    for words in ([], ["nothing"], ["ls", "--colour"], ["status"], ["ls", "--", "x"]):
        code, out, err = aspot(*words)
        assert (code, out) == (2, "")
        assert err.startswith("error: ")
        assert "--help" in err


@pytest.mark.slow
@pytest.mark.timeout(170)
def test_demo(cloud, start):
    """All of it, as the README has it: on a cloud of its own, with an interruption, byte for byte the same."""
    demo = start(Piped, "demo", "--json")
    assert demo.end(within_s=160) == 0, demo.out + demo.err
    finished = json_lines(demo.out)[-1]
    assert [item["status"] for item in finished["results"]] == ["succeeded"] * 8
    assert sorted(len(item["attempts"]) for item in finished["results"]) == [1] * 7 + [2]
    assert "byte for byte: yes" in demo.err
    assert "nothing left" in demo.err
