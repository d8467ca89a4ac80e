"""`aspot keys`: what is kept, what it opens, and nothing removed that somebody may still need."""

import json
import os
import shutil
from pathlib import Path

import pytest
from local_world import until, write

from aspot.journal import runs as journals


def keep_keys(name, tmp_path):
    """Put the keys of a run that has ended back, as if something had been left of it."""
    info = next(item for item in journals.runs() if item.name == name)
    info.folder.keys.mkdir(exist_ok=True)
    (info.folder.keys / "client_key").write_text("as good as a key\n")
    return info


@pytest.fixture
def past(aspot, cloud, tmp_path):
    """A run that has ended, whose keys are still there."""
    write("ok.sh", "true\n")
    assert aspot("run", "ok.sh", "-n", "past", "-q")[0] == 0
    info = keep_keys("past", tmp_path)
    yield info
    shutil.rmtree(info.folder.keys, ignore_errors=True)


def test_none(aspot, cloud):
    assert aspot("keys", "ls") == (0, "No keys are kept here.\n", "")
    assert aspot("keys", "clear", "--yes") == (0, "No keys are kept here.\n", "")
    assert aspot("keys", "ls", "--json")[1] == "[]\n"


def test_those_of_ended_runs_are_cleared_when_told(aspot, past, machine):
    code, out, err = aspot("keys", "ls")
    assert (code, err) == (0, "")
    assert out == f"past  open nothing: the run has ended\nbox   open {machine.ids[0]}\n"
    assert aspot("keys", "clear") == (
        0,
        "past  open nothing: the run has ended\nNothing was removed: aspot keys clear --yes does it.\n",
        "",
    )
    assert past.folder.keys.exists()
    listed = json.loads(aspot("keys", "ls", "--json")[1])
    assert [(item["run"], item["use"], item["instances"]) for item in listed] == [
        ("past", "nothing", []),
        ("box", "opens", machine.ids),
    ]
    assert aspot("keys", "clear", "--yes") == (0, "Removed the keys of past.\n", "")
    assert not past.folder.keys.exists()
    assert aspot("ssh", "box", "true")[0] == 0
    assert aspot("keys", "clear", "--yes") == (0, "No keys to clear: each may still be needed.\n", "")


def test_a_run_that_may_be_taken_up_again_keeps_its_keys(aspot, machine, cloud):
    machine.run.kill()
    cloud.client("ec2", tries=5).terminate_instances(InstanceIds=machine.ids)
    until(lambda: not cloud.alive())
    code, out, _ = aspot("keys", "clear", "--yes")
    assert (code, out) == (0, "No keys to clear: each may still be needed.\n")
    assert "aspot attach box would need them" in aspot("keys", "ls")[1]
    assert aspot("down", "box", "-q")[0] == 0
    assert aspot("keys", "ls")[1] == "No keys are kept here.\n"


def test_nothing_is_cleared_unless_ec2_says_what_is_there(aspot, past, monkeypatch):
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(Path("none")))
    code, out, err = aspot("keys", "clear", "--yes")
    assert (code, out) == (3, "")
    assert "EC2 was not asked" in err
    assert past.folder.keys.exists()
    code, out, _ = aspot("keys", "ls")
    assert (code, out) == (0, "past  kept: EC2 could not be asked what they open\n")
