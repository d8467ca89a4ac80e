"""`aspot volume`, and `aspot run --volume`."""

import json
import re

import pytest
from local_world import until, write
from processes import Piped


@pytest.fixture
def clean(cloud):
    """What a test makes goes at its end."""
    yield cloud
    ec2 = cloud.client("ec2")
    if left := [item["id"] for item in cloud.alive()]:
        ec2.terminate_instances(InstanceIds=left)
        until(lambda: not cloud.alive())
    for item in ec2.describe_volumes()["Volumes"]:
        ec2.delete_volume(VolumeId=item["VolumeId"])


def test_made_by_a_run_listed_and_deleted(aspot, clean):
    assert aspot("volume", "ls") == (0, "No volumes: aspot run --volume NAME:SIZE:/PATH makes one.\n", "")
    write("job.sh", "echo kept >/mnt/data/file\n")
    code, out, err = aspot("run", "-q", "--volume", "data:2GB:/mnt/data", "job.sh")
    assert code == 0, err
    assert out.splitlines()[-2] == "Nothing left (checked)."
    assert "Volume data (vol-" in out.splitlines()[-1]
    assert aspot("clean", "--yes", "-q") == (0, "", "")
    (one,) = json.loads(aspot("volume", "ls", "--json")[1])
    known = {"name": "data", "state": "available", "size_gb": 2, "encrypted": True, "instance": None}
    assert {key: one[key] for key in known} == known
    code, out, _ = aspot("volume", "ls")
    rows = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    assert rows == [
        ["NAME", "ID", "STATE", "SIZE", "ZONE", "INSTANCE"],
        ["data", one["id"], "available", "2 GB", one["zone"], "-"],
    ]
    code, _, err = aspot("volume", "rm", "data")
    assert code == 2
    assert "would be deleted for good" in err
    assert "aspot volume rm data --yes" in err
    assert aspot("volume", "rm", "data", "--yes") == (0, f"Deleted volume data ({one['id']}) of 2 GB.\n", "")
    assert json.loads(aspot("volume", "ls", "--json")[1]) == []


def test_one_in_use_stays_and_what_a_killed_client_was_to_delete_is_deleted_by_down(aspot, clean, start):
    write("wait.sh", "echo waits; sleep 60\n")
    run = start(Piped, "run", "-n", "big", "--volume", "scratch:1GB", "--volume-policy", "delete", "wait.sh")
    until(lambda: [item for item in json.loads(aspot("volume", "ls", "--json")[1]) if item["state"] == "in-use"])
    code, _, err = aspot("volume", "rm", "scratch", "--yes")
    assert code == 2
    assert f"is in use by {clean.alive()[0]['id']}" in err
    run.kill()
    code, out, err = aspot("down", "big")
    assert code == 0, (out, err)
    assert json.loads(aspot("volume", "ls", "--json")[1]) == []


@pytest.mark.parametrize(
    ("words", "says", "fix"),
    [
        (("volume", "rm", "nothing", "--yes"), "there is no volume nothing", "aspot volume ls"),
        (("run", "job.sh", "--volume", "data"), "there is no volume data", "NAME:SIZE:/PATH"),
        (
            ("run", "job.sh", "--volume", "data:1GB", "--instances", "2"),
            "one machine at a time, not to 2",
            "--filesystem",
        ),
        (("run", "job.sh", "--volume", "data:much"), "the size of volume data 'much' is not a size", "20 GB"),
        (("run", "job.sh", "--volume", "data:1GB:/proc/x"), "/proc/x belongs to the system", "/mnt/data"),
        (("run", "job.sh", "--volume-policy", "delete"), "there is none", "--volume"),
    ],
)
def test_what_cannot_work_is_one_clear_error(aspot, clean, words, says, fix):
    write("job.sh", "true\n")
    code, _, err = aspot(*words)
    assert code == 2
    assert err.startswith("error: ")
    assert says in err
    assert fix in err
    assert clean.launches() == 0


def test_a_client_that_comes_back_has_both_mounted_still(aspot, clean, start):
    write("wait.sh", "echo waits; until [ -e ~/efs/go ]; do sleep 0.05; done; mountpoint -q ~/data && cat ~/efs/go\n")
    run = start(Piped, "run", "--json", "-n", "away", "--volume", "data:1GB", "--filesystem", "data", "wait.sh")
    run.says("waits")
    run.kill()
    (one,) = clean.file_systems()
    disks = clean.control.folder / "park" / "machines" / "shared" / "disks"
    (disks / one["FileSystemId"] / "go").write_text("gone\n")
    code, out, err = aspot("attach", "away", "-q")
    assert code == 0, err
    assert "1 succeeded" in out
    assert "Volume data (" in out
    assert "File system data (" in out
    assert aspot("fs", "rm", "data", "--yes", "-q") == (0, "", "")


def test_clean_deletes_what_was_to_go_with_a_run_and_spares_what_is_kept(aspot, clean, start):
    write("wait.sh", "echo waits; sleep 60\n")
    words = ("--volume", "scratch:1GB", "--volume-policy", "delete", "wait.sh")
    run = start(Piped, "run", "--json", "-n", "lost", *words)
    run.says("waits")
    run.kill()
    zone = clean.client("ec2").describe_volumes()["Volumes"][0]["AvailabilityZone"]
    tags = [{"Key": "aspot:volume", "Value": "data"}]
    clean.client("ec2").create_volume(
        Size=1, AvailabilityZone=zone, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}]
    )
    code, out, err = aspot("clean", "--yes", "--all", "--run", "lost")
    assert code == 0, (out, err)
    assert [item["name"] for item in json.loads(aspot("volume", "ls", "--json")[1])] == ["data"]
