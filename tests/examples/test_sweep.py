"""The sweep is what it says: it learns, and killed anywhere it ends with the bytes of an undisturbed run."""

import json
import random
import subprocess
import sys
from pathlib import Path

import pytest

SWEEP = Path(__file__).parents[2] / "examples" / "sweep"
OPTIONS = ("--hidden", "8", "--epochs", "12")


def start(folder, *options):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, str(SWEEP / "train.py"), *options]
    env = {"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}
    return subprocess.Popen(command, cwd=folder, env=env, stdout=subprocess.PIPE, text=True)


def finish(folder, *options):
    process = start(folder, *options)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return said


def outputs(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in (folder / "out").iterdir()}


def metrics(folder):
    return json.loads((folder / "out" / "metrics.json").read_text())


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    assert finish(folder, *OPTIONS).count("\n") == 12
    return outputs(folder)


def killed_after_line(folder, lines):
    process = start(folder, *OPTIONS)
    for _ in range(lines):
        process.stdout.readline()
    process.kill()
    process.communicate()


@pytest.mark.parametrize("lines", [1, 6, 12])
def test_killed_after_an_epoch_it_resumes_to_the_same_bytes(tmp_path, undisturbed, lines):
    killed_after_line(tmp_path, lines)
    said = finish(tmp_path, *OPTIONS)
    assert said.startswith("resumed after epoch ")
    assert int(said.split()[3].rstrip(".")) >= lines
    assert outputs(tmp_path) == undisturbed


def killed_within(folder, seconds):
    process = start(folder, *OPTIONS)
    try:
        process.wait(timeout=seconds)
    except subprocess.TimeoutExpired:
        process.kill()
    process.communicate()


@pytest.mark.parametrize("seed", range(4))
def test_killed_at_random_points_it_ends_with_the_same_bytes(tmp_path, undisturbed, seed):
    generator = random.Random(seed)
    for _ in range(4):
        killed_within(tmp_path, generator.uniform(0.03, 0.4))
    finish(tmp_path, *OPTIONS)
    assert outputs(tmp_path) == undisturbed


def test_a_checkpoint_of_other_settings_is_not_used(tmp_path, undisturbed):
    finish(tmp_path, "--hidden", "4", "--epochs", "2")
    assert "resumed" not in finish(tmp_path, *OPTIONS)
    assert outputs(tmp_path) == undisturbed


def test_it_learns_and_the_hyperparameters_matter(tmp_path):
    found = {}
    for lr in ("0.003", "0.05"):
        finish(tmp_path / lr, "--lr", lr)
        found[lr] = metrics(tmp_path / lr)
    chance = 1 / 3
    assert found["0.05"]["accuracy"] > 0.95
    assert chance + 0.3 < found["0.003"]["accuracy"] < found["0.05"]["accuracy"] - 0.1
    curve = [point["loss"] for point in found["0.05"]["curve"]]
    assert len(curve) == 25
    assert curve[-1] < curve[0] / 4


def test_outputs_hold_no_times_hosts_or_paths(undisturbed):
    assert set(json.loads(undisturbed["out/metrics.json"])) == {
        "lr",
        "hidden",
        "seed",
        "epochs",
        "epoch",
        "loss",
        "accuracy",
        "curve",
    }
    assert set(json.loads(undisturbed["out/model.json"])) == {"classes", "weights"}
    assert not any(b"/" in content for content in undisturbed.values())


def test_pace_changes_no_output(tmp_path, undisturbed):
    finish(tmp_path, *OPTIONS, "--pace", "0.01")
    assert outputs(tmp_path) == undisturbed


def test_the_data_can_be_made_again():
    made = subprocess.run([sys.executable, str(SWEEP / "make_data.py")], capture_output=True, check=True).stdout
    assert made == (SWEEP / "data.csv").read_bytes()


@pytest.mark.parametrize("options", [("--epochs", "0"), ("--hidden", "0"), ("--lr", "fast")])
def test_wrong_options_are_refused(tmp_path, options):
    process = subprocess.run(
        [sys.executable, str(SWEEP / "train.py"), *options], cwd=tmp_path, capture_output=True, check=False
    )
    assert process.returncode == 2
