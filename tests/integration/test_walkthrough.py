"""The article's walk-through, whole, on the local cloud: results in the bucket, and nothing left but data."""

import contextlib
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "walkthrough"
NOTEBOOK = ROOT / "docs" / "walkthrough.ipynb"
MANY = range(10, 70, 10)


def served(folder):
    """The example's own way to serve its repository."""
    spec = importlib.util.spec_from_file_location("walkthrough_serve", EXAMPLE / "serve.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.served(folder)


def aspot(*words):
    command = [sys.executable, "-m", "aspot", *words]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture
def bucket(cloud):
    """The article's bucket, and the right to write there; both go after the test, and so does the file system."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="bucket-data")
    aspot("roles", "create", "lab", "--bucket", "bucket-data")
    yield "bucket-data"
    if cloud.alive():
        aspot("down", "--all")
    if cloud.file_systems():
        aspot("fs", "rm", "data", "--yes")
    for name in held(cloud):
        s3.delete_object(Bucket="bucket-data", Key=name)
    s3.delete_bucket(Bucket="bucket-data")
    aspot("roles", "rm", "lab")


def held(cloud):
    """What is in the bucket, by name."""
    s3 = cloud.client("s3")
    names = [item["Key"] for item in s3.list_objects_v2(Bucket="bucket-data").get("Contents", ())]
    return {name: s3.get_object(Bucket="bucket-data", Key=name)["Body"].read() for name in names}


def trained_here(folder):
    """What the training gives here, by the names it has in the bucket."""
    for n in MANY:
        command = [sys.executable, EXAMPLE / "training" / "train.py", "--clusters", str(n), "--results", folder]
        subprocess.run(command, check=True, capture_output=True)
    return {f"results/{path.name}": path.read_bytes() for path in Path(folder).iterdir()}


def left(cloud):
    """What is left but for the file system and the group by which machines reach it."""
    (made,) = cloud.file_systems()
    own = (f"file system {made['FileSystemId']}", f"security group aspot-efs-{made['FileSystemId']}")
    return [item for item in cloud.leftovers() if item not in own]


def replay(repository, *words):
    command = [sys.executable, EXAMPLE / "walkthrough.py", "--repo", repository, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_the_script_from_end_to_end(cloud, bucket, tmp_path):
    with served(EXAMPLE / "training") as repository:
        said = replay(repository, "--bucket", bucket, "--instance-profile", "lab")
        assert held(cloud) == trained_here(tmp_path / "here-too")
        assert left(cloud) == []

        lines = [line for line in said.splitlines() if line.startswith("{'DTC_")]
        names = [re.findall(r"'(DTC_\d)'", line) for line in lines]
        assert names == [[f"DTC_{number}" for number in range(1, 7)]] * 6  # as the article's instances were called
        assert "terminating" in lines[-1]
        told = json.loads(Path("aspot-results/DTC/results.json").read_text())
        assert len({item["attempts"][0]["instance_id"] for item in told["results"]}) == 6  # a machine each
        assert "Nothing left (checked)." in said
        assert "6 files copied to s3://bucket-data/results" in said


@pytest.mark.slow
@pytest.mark.timeout(300)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")  # of the kernel's client, not ours
def test_the_notebook_from_top_to_bottom(tmp_path, monkeypatch):
    """On a local cloud of its own, which its first cell starts and its last one ends."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("cloud", "state", "config", "cache"):
        monkeypatch.setenv({"cloud": "ASPOT_LOCAL_DIR"}.get(name, f"ASPOT_{name.upper()}_DIR"), str(tmp_path / name))
    monkeypatch.setenv("PYTHONWARNINGS", "default")
    shutil.copytree(EXAMPLE, tmp_path / "examples" / "walkthrough")
    (tmp_path / "docs").mkdir()
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    stored = texts(notebook)
    try:
        NotebookClient(notebook, timeout=200, resources={"metadata": {"path": str(tmp_path / "docs")}}).execute()
    finally:
        with contextlib.suppress(subprocess.CalledProcessError):
            aspot("local", "down")
    check(texts(notebook))
    check(stored)  # what readers see


def texts(notebook):
    found = []
    for cell in notebook.cells:
        if cell.cell_type == "code":
            parts = [output.get("text", "") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
            found.append("".join(parts))
    return found


def check(told):
    _, _, monitor, training, results, copied, end, last, gone = told
    assert "monitor: file system data is at ~/efs, after every boot too" in monitor
    assert "efs/training:\ndays.csv\nmake_data.py\ntrain.py\n" in monitor
    assert len(re.findall(r"^clusters-\d0 succeeded \d0 clusters: inertia ", training, re.MULTILINE)) == 6
    assert "'DTC_6': 'terminating'" in training
    assert "6 succeeded" in results
    assert "Nothing left (checked).\nFile system data (fs-" in results
    assert re.findall(r"results/clusters-(\d0)\.json", copied) == [str(n) for n in MANY]
    assert "True 6 files copied" in copied
    assert "monitor has ended. Nothing left (checked).\nFile system data (fs-" in end
    assert "Nothing is running." in last
    assert re.search(r"^data +fs-", last, re.MULTILINE)
    assert "Deleted file system data" in gone
    assert not re.search(r"/(home|root|work|tmp)/(?!ec2-user)", "".join(told))
