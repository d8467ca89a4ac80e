"""The article's walk-through, whole, on the local cloud: results in the bucket, and nothing left but data."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "walkthrough"
sys.path.insert(0, str(EXAMPLE))

from serve import served

ASPOT = [sys.executable, "-m", "aspot"]
NAMES = [f"results/clusters-{n}.json" for n in range(10, 70, 10)]


def aspot(*words):
    return subprocess.run([*ASPOT, *words], capture_output=True, text=True, check=True, timeout=120).stdout


@pytest.fixture
def bucket(cloud):
    """The article's bucket, and the right to write there; both go after the test, and so does the file system."""
    s3 = cloud.client("s3")
    s3.create_bucket(Bucket="bucket-data")
    aspot("roles", "create", "lab", "--bucket", "bucket-data")
    yield "bucket-data"
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
    for n in range(10, 70, 10):
        command = [sys.executable, EXAMPLE / "training" / "train.py", "--clusters", str(n), "--results", folder]
        subprocess.run(command, check=True, capture_output=True)
    return {f"results/{path.name}": path.read_bytes() for path in Path(folder).iterdir()}


def left(cloud):
    """What is left but for the file system and the group by which machines reach it."""
    (made,) = cloud.file_systems()
    own = (f"file system {made['FileSystemId']}", f"security group aspot-efs-{made['FileSystemId']}")
    return [item for item in cloud.leftovers() if item not in own]


@pytest.mark.timeout(300)
def test_the_script_from_end_to_end(cloud, bucket, tmp_path):
    with served(EXAMPLE / "training") as repository:
        words = ["--repo", repository, "--bucket", bucket, "--instance-profile", "lab"]
        done = subprocess.run(
            [sys.executable, EXAMPLE / "walkthrough.py", *words], capture_output=True, text=True, check=False
        )
    assert done.returncode == 0, done.stderr
    print(done.stdout, done.stderr)
    assert held(cloud) == trained_here(tmp_path / "here-too")
    assert left(cloud) == []
    assert 0
