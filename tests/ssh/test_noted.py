"""What a machine keeps of a job comes back; what a hostile one says instead is bounded, and names no file here."""

from __future__ import annotations

import json

import pytest

from aspot.machine.model import JobSpec
from aspot.ssh.noted import MOST, note_of, spec_of

SPEC = JobSpec(
    name="job",
    script="train.py",
    source="/home/me/train.py",
    base="/home/me",
    upload=(("src", ""),),
    secrets=("TOKEN",),
    env={"A": "secret"},
    params={"lr": 0.1, "seed": 3, "flag": True, "none": None},
    download=("out", "*.txt"),
    checkpoint=("ckpt",),
    checkpoint_every_s=60.0,
    evacuate=("model",),
    timeout_s=5.0,
    inputs="a" * 64,
)


def test_what_is_needed_to_bring_it_home_comes_back_and_nothing_that_lies_here():
    line = note_of(SPEC)
    assert "\n" not in line
    assert "secret" not in line
    assert "/home/me" not in line
    found = spec_of("job", line)
    assert (found.source, found.base, found.upload, found.secrets, dict(found.env)) == ("", ".", (), (), {})
    same = (
        "name",
        "script",
        "params",
        "download",
        "checkpoint",
        "checkpoint_every_s",
        "evacuate",
        "timeout_s",
        "inputs",
    )
    assert [getattr(found, name) for name in same] == [getattr(SPEC, name) for name in same]


def test_a_note_that_is_too_long_is_none():
    assert note_of(JobSpec(name="job", script="x", params={"big": "x" * MOST})) == ""


@pytest.mark.parametrize(
    "change",
    [
        {"download": "out"},
        {"download": ["a\nb"]},
        {"download": ["x"] * 1001},
        {"params": []},
        {"timeout_s": -1},
        {"timeout_s": "soon"},
        {"checkpoint_every_s": 1e12},
        {"checkpoint_every_s": "nan"},
        {"checkpoint": None},
    ],
)
def test_a_note_that_makes_no_sense_leaves_the_name(change):
    line = json.dumps(json.loads(note_of(SPEC)) | change)
    assert spec_of("job", line) == JobSpec(name="job", script="job")


@pytest.mark.parametrize("line", ["", "[]", "5", "{}", "{", "[" * 100_000, '"x"', "null"])
def test_what_is_no_note_leaves_the_name(line):
    assert spec_of("job", line) == JobSpec(name="job", script="job")


def test_local_files_and_digests_cannot_be_named():
    told = json.loads(note_of(SPEC)) | {
        "source": "/etc/passwd",
        "upload": [["/etc", ""]],
        "base": "/",
        "inputs": "../x",
    }
    found = spec_of("job", json.dumps(told))
    assert (found.source, found.upload, found.base, found.inputs) == ("", (), ".", "")
    assert spec_of("job", json.dumps(told | {"params": {"x": [1]}})).params == {"x": "[1]"}
