"""`aspot fs`: file systems by hand, and `aspot run --filesystem`."""

import json
import re

import pytest
from local_world import until, write
from processes import Piped


@pytest.fixture
def clean(cloud):
    """What a test makes goes at its end."""
    yield cloud
    cloud.clear_faults()
    if left := [item["id"] for item in cloud.alive()]:
        cloud.client("ec2").terminate_instances(InstanceIds=left)
        until(lambda: not cloud.alive())
    cloud._remove_file_systems()
    ec2 = cloud.client("ec2")
    for item in ec2.describe_security_groups()["SecurityGroups"]:
        if item["GroupName"].startswith("aspot-efs-"):
            ec2.delete_security_group(GroupId=item["GroupId"])


def listed(aspot):
    code, out, err = aspot("fs", "ls", "--json")
    assert (code, err) == (0, "")
    return json.loads(out)


def test_made_by_hand_used_by_a_run_and_deleted(aspot, clean):
    assert aspot("fs", "ls") == (
        0,
        "No file systems: aspot fs create NAME, or aspot run --filesystem NAME, makes one.\n",
        "",
    )
    code, out, err = aspot("fs", "create", "data", "--throughput", "elastic")
    assert (code, err) == (0, "")
    assert re.fullmatch(r"Made file system data \(fs-\w+\), encrypted: aspot run --filesystem data mounts it\.\n", out)
    (one,) = listed(aspot)
    assert {key: one[key] for key in one if key not in ("id", "size", "created")} == {
        "name": "data",
        "state": "available",
        "encrypted": True,
        "throughput": "elastic",
        "ours": True,
        "mount_targets": [],
        "instances": [],
    }
    write("job.sh", 'echo kept >"$HOME/efs/file"\n')
    code, out, err = aspot("run", "-q", "-f", "data", "job.sh")
    assert code == 0, err
    assert out.splitlines()[-2] == "Nothing left (checked)."
    assert out.splitlines()[-1].startswith(f"File system data ({one['id']}) stays: 0 bytes metered, about $0.30 a GB")
    assert aspot("clean", "--yes")[0] == 0
    (one,) = listed(aspot)
    assert {target["state"] for target in one["mount_targets"]} == {"available"}
    code, out, _ = aspot("fs", "ls")
    rows = [re.split(r"\s{2,}", line) for line in out.splitlines()]
    assert rows[0] == ["NAME", "ID", "STATE", "SIZE", "ENCRYPTED", "MOUNT TARGETS", "INSTANCES"]
    assert rows[1][:2] == ["data", one["id"]]

    code, _, err = aspot("fs", "rm", "data")
    assert code == 2
    assert "would be deleted for good" in err
    assert "aspot fs rm data --yes" in err
    assert len(listed(aspot)) == 1
    code, out, err = aspot("fs", "rm", "data", "--yes")
    assert (code, err) == (0, "")
    assert out == f"Deleted file system data ({one['id']}) with {len(one['mount_targets'])} mount targets.\n"
    assert listed(aspot) == []


def test_mounted_on_a_machine_that_runs_and_not_deleted_under_it(aspot, clean, start, monkeypatch):
    write("wait.sh", 'echo waits; until [ -e "$HOME/shared/go" ]; do sleep 0.05; done; cat "$HOME/shared/go"\n')
    aspot("fs", "create", "data")
    run = start(Piped, "run", "--json", "-n", "box", "wait.sh")
    run.says("waits")
    code, _, err = aspot("fs", "mount", "nothing", "--on", "box_1")
    assert (code, err.splitlines()[0]) == (2, "error: there is no file system nothing in us-east-1")
    code, _, err = aspot("fs", "mount", "data", "--on", "box_1", "--region", "us-west-2")
    assert (code, err.splitlines()[0]) == (2, "error: box_1 is in us-east-1, not in us-west-2")
    with monkeypatch.context() as patch:
        for variable in ("AWS_REGION", "AWS_DEFAULT_REGION"):
            patch.setenv(variable, "us-west-2")  # the machine's region counts
        code, out, err = aspot("fs", "mount", "data:~/shared", "--on", "box_1")
    assert (code, err) == (0, "")
    (one,) = listed(aspot)
    assert out == f"Mounted file system data ({one['id']}) on box_1 at ~/shared.\n"
    assert [item["id"] for item in clean.alive()] == one["instances"]
    assert len(one["mount_targets"]) == 1

    code, _, err = aspot("fs", "rm", "data", "--yes")
    assert code == 2
    assert f"is in use by {one['instances'][0]}" in err
    assert "aspot down" in err

    (clean.control.folder / "park" / "machines" / "shared" / "disks" / one["id"] / "go").write_text("gone\n")
    assert run.end() == 0
    until(lambda: not clean.alive())
    assert aspot("fs", "rm", one["id"], "--yes", "-q") == (0, "", "")


@pytest.mark.parametrize(
    ("words", "code", "says", "fix"),
    [
        (("fs", "rm", "nothing", "--yes"), 2, "there is no file system nothing", "aspot fs ls"),
        (("fs", "mount", "data", "--on", "x_1"), 2, "nothing called 'x_1' is running", "aspot ls"),
        (("fs", "mount", "data:rel", "--on", "x_1"), 2, "nothing can be mounted at 'rel'", "/mnt/data"),
        (("fs", "create", "da ta"), 2, "file system name 'da ta' cannot be used", "letters"),
        (("fs", "create", "data"), 2, "there is a file system data", "aspot run --filesystem data"),
        (("fs", "rm", "strange", "--yes"), 2, "was not made by aspot", "aws efs delete-file-system"),
        (("fs", "rm", "twins", "--yes"), 2, "2 file systems in us-east-1 are called twins", "give the id of one: fs-"),
        (("run", "job.sh", "--filesystem", "twins"), 2, "2 file systems in us-east-1 are called twins", "fs-"),
        (("run", "job.sh", "--filesystem", "data:/etc"), 2, "/etc belongs to the system", "/mnt/data"),
        (("run", "job.sh", "--filesystem", "fs-00000000"), 2, "there is no file system fs-00000000", "aspot fs ls"),
    ],
)
def test_what_cannot_work_is_one_clear_error(aspot, clean, words, code, says, fix):
    write("job.sh", "true\n")
    aspot("fs", "create", "data")
    efs = clean.client("efs")
    efs.create_file_system(CreationToken="s", Tags=[{"Key": "Name", "Value": "strange"}])
    for token in "ab":
        efs.create_file_system(CreationToken=token, Tags=[{"Key": "Name", "Value": "twins"}])
    found = aspot(*words)
    assert found[0] == code, found
    assert found[2].startswith("error: ")
    assert says in found[2]
    assert fix in found[2]
    assert "Traceback" not in found[2]
    assert clean.launches() == 0
    assert len(clean.file_systems()) == 4


def test_a_permission_that_is_missing_is_named(aspot, clean):
    clean.fault("deny", action="CreateFileSystem")
    code, _, err = aspot("fs", "create", "data")
    assert code == 3
    assert "elasticfilesystem:CreateFileSystem" in err
    assert "aspot doctor" in err
    assert clean.file_systems() == []
