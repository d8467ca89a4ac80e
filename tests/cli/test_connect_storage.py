"""`aspot connect -f` and `--volume`: mounted on a box, at each of its boots too; what is data stays, and is named."""

import json
import re
import time

import pytest
from local_world import until, write
from processes import Piped


def named_volumes(cloud):
    found = cloud.client("ec2", tries=5).describe_volumes()["Volumes"]
    return [item for item in found if any(tag["Key"] == "aspot:volume" for tag in item.get("Tags", ()))]


def make_volume(cloud, name, zone):
    tags = [{"Key": "aspot:volume", "Value": name}]
    made = cloud.client("ec2", tries=5).create_volume(
        Size=1, AvailabilityZone=zone, TagSpecifications=[{"ResourceType": "volume", "Tags": tags}]
    )
    return made["VolumeId"]


def targets(cloud, name="data"):
    """Ids of a file system's mount targets by zone."""
    (found,) = [item for item in cloud.file_systems() if item["Name"] == name]
    there = cloud.client("efs").describe_mount_targets(FileSystemId=found["FileSystemId"])["MountTargets"]
    return {item["AvailabilityZoneName"]: item["MountTargetId"] for item in there}


def groups(cloud, machine):
    ec2 = cloud.client("ec2", tries=5)
    filters = [{"Name": "attachment.instance-id", "Values": [machine["id"]]}]
    (interface,) = ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    return [item["GroupName"] for item in interface["Groups"]]


@pytest.fixture
def clean(cloud, aspot):
    """Boxes go, and what they mounted."""
    yield cloud
    cloud.clear_faults()
    ec2 = cloud.client("ec2", tries=10)
    if cloud.alive():
        aspot("down", "--all")
    until(lambda: all(item["State"] != "in-use" for item in named_volumes(cloud)))
    for item in named_volumes(cloud):
        ec2.delete_volume(VolumeId=item["VolumeId"])
    cloud._remove_file_systems()
    for item in ec2.describe_security_groups()["SecurityGroups"]:
        if item["GroupName"].startswith("aspot-efs-"):
            ec2.delete_security_group(GroupId=item["GroupId"])


@pytest.fixture
def there(aspot):
    """Run a script on the box; return what it printed."""

    def run(text, name="dev"):
        code, out, err = aspot("connect", "-n", name, "-q", "-s", write("there.sh", text))
        assert code == 0, (out, err)
        return out

    return run


def reboot(cloud):
    (machine,) = cloud.alive()
    boot_id = cloud.machine(machine["id"]) / "boot_id"
    before = boot_id.read_text()
    cloud.client("ec2", tries=5).reboot_instances(InstanceIds=[machine["id"]])
    until(lambda: boot_id.read_text() != before, what="no boot")


LINE = ("connect", "-n", "dev", "-p", "t2.micro", "-f", "data", "-em", "True", "-nm", "False")


def test_the_ancestors_line_mounts_it_and_so_does_every_boot(clean, aspot, there):
    """R3, R8."""
    code, _, err = aspot(*LINE)
    assert code == 0, err
    assert "dev: file system data is at ~/efs, after every boot too" in err
    (made,) = clean.file_systems()
    (machine,) = clean.alive()
    assert (made["Name"], made["Encrypted"]) == ("data", True)
    assert machine["zone"] in targets(clean)
    assert there('mountpoint "$HOME/efs" && echo kept >~/efs/file') == "/home/ec2-user/efs is a mountpoint\n"

    clean.forget_calls()
    code, _, err = aspot(*LINE)
    assert (code, "file system" in err) == (0, False)
    assert clean.calls() == {"DescribeInstances": 1}  # the same words again change nothing

    reboot(clean)
    assert there("mountpoint -q ~/efs && cat ~/efs/file") == "kept\n"
    assert aspot(*LINE)[0] == 0
    assert len(clean.file_systems()) == 1

    code, out, _ = aspot("down", "dev")
    assert code == 0
    receipt = f"File system data ({made['FileSystemId']}) stays: "
    assert out.splitlines()[0] == "Nothing left (checked)."
    assert out.splitlines()[1].startswith(receipt)
    assert out.splitlines()[1].endswith("Delete it with its data: aspot fs rm data --yes")
    assert aspot(*LINE)[0] == 0
    assert there("cat ~/efs/file") == "kept\n"
    code, _, err = aspot("connect", "-n", "dev", "-t")
    assert receipt in err
    assert len(clean.file_systems()) == 1


def test_more_is_mounted_on_a_box_that_is_there(clean, aspot, there):
    assert aspot("connect", "-n", "dev", "-p", "t2.micro")[0] == 0
    (machine,) = clean.alive()
    code, _, err = aspot("connect", "-n", "dev", "-f", "data", "--volume", "disk:2GB:/mnt/disk")
    assert code == 0, err
    assert "dev: volume disk is at /mnt/disk, after every boot too" in err
    assert "\nMounts volume disk at /mnt/disk, file system data at ~/efs\n" in aspot("status", "dev")[1]
    there("echo one >~/efs/file; echo two >/mnt/disk/file")

    code, _, err = aspot("connect", "-n", "dev", "-f", "other")
    assert code == 2
    assert "error: ~/efs on dev is file system data already" in err
    assert "fix:   mount other beside it: -f other:/mnt/other" in err
    assert [item["Name"] for item in clean.file_systems()] == ["data"]
    code, _, err = aspot("connect", "-n", "dev", "-f", "data:/mnt/data")
    assert code == 2
    assert "file system data is mounted on dev already, at ~/efs" in err

    assert aspot("connect", "-n", "dev", "-f", "other:/mnt/other")[0] == 0
    there("echo three >/mnt/other/file")
    reboot(clean)
    assert there("cat ~/efs/file /mnt/disk/file /mnt/other/file") == "one\ntwo\nthree\n"
    assert sorted(name.split("-")[1] for name in groups(clean, machine) if "efs" in name) == ["efs", "efs"]

    code, out, _ = aspot("down", "dev", "--json")
    told = json.loads(out)
    assert (code, told["left"]) == (0, [])
    assert [line.split(" (")[0] for line in told["stays"]] == ["Volume disk", "File system data", "File system other"]
    (volume,) = named_volumes(clean)
    assert (volume["State"], volume["AvailabilityZone"]) == ("available", machine["zone"])


def test_mounted_by_hand_counts_too(clean, aspot, there):
    assert aspot("connect", "-n", "dev", "-p", "t2.micro")[0] == 0
    aspot("fs", "create", "data", "-q")
    assert aspot("fs", "mount", "data", "--on", "dev")[0] == 0
    code, _, err = aspot("connect", "-n", "dev", "-f", "other")
    assert code == 2
    assert "is file system data already" in err
    reboot(clean)
    assert there("mountpoint -q ~/efs && echo there") == "there\n"
    assert "File system data (" in aspot("down", "dev")[1]


def test_not_mounted_when_told_so(clean, aspot, there):
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", "-f", "data", "-em", "False")
    assert code == 0
    assert "-em False: data is not mounted" in err
    assert there("[ -e ~/efs ] || echo none") == "none\n"
    assert clean.file_systems() == []
    assert aspot("down", "dev")[1] == "Nothing left (checked).\n"


def test_a_mount_target_made_anew(clean, aspot):
    """R8: EFS has one a zone, so the one that is there goes first; never under a machine that may use it."""
    assert aspot(*LINE)[0] == 0
    before = targets(clean)
    (machine,) = clean.alive()
    code, _, err = aspot("connect", "-n", "dev", "-f", "data", "-nm")
    assert code == 2
    assert "data is mounted on dev, which would hang" in err
    code, _, err = aspot("connect", "-n", "two", "-p", "t2.micro", "-f", "data", "-nm", "True")
    assert code == 2
    assert f"cannot be made anew: {machine['id']} may be using it" in err
    assert targets(clean) == before
    assert len(clean.alive()) == 1
    assert aspot("down", "dev")[0] == 0
    code, _, err = aspot("connect", "-n", "two", "-p", "t2.micro", "-f", "data", "-nm", "True")
    assert code == 0, err
    after = targets(clean)
    assert set(after) == set(before)
    assert not set(after.values()) & set(before.values())


def test_a_volume_binds_the_box_to_its_zone_and_outlives_it(clean, aspot, there):
    volume = make_volume(clean, "data", "us-east-1b")
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", "--volume", "data:/mnt/data")
    assert code == 0, err
    assert f"only machines in us-east-1b can have volume data ({volume})" in err
    (machine,) = clean.alive()
    assert machine["zone"] == "us-east-1b"
    there("mountpoint -q /mnt/data && echo kept >/mnt/data/file")

    code, _, err = aspot("connect", "-n", "two", "-p", "t2.micro", "--volume", "data")
    assert code == 2
    assert f"volume data ({volume}) is attached to {machine['id']}" in err
    code, out, _ = aspot("down", "dev")
    assert f"Volume data ({volume}) stays in us-east-1b: 1 GB" in out
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", "--volume", "data:/mnt/data")
    assert there("cat /mnt/data/file") == "kept\n"  # it is formatted once
    reboot(clean)
    assert there("cat /mnt/data/file") == "kept\n"


def test_zones_that_do_not_fit_are_one_clear_error(clean, aspot):
    volume = make_volume(clean, "data", "us-east-1b")
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", "--zone", "us-east-1a", "--volume", "data")
    assert code == 2
    assert f"volume data ({volume}) is in us-east-1b, where this box can have no machine" in err
    assert not clean.alive()
    assert aspot("connect", "-n", "dev", "-p", "t2.micro", "--zone", "us-east-1a")[0] == 0
    code, _, err = aspot("connect", "-n", "dev", "--volume", "data")
    assert code == 2
    assert f"volume data ({volume}) is in us-east-1b, and dev in us-east-1a" in err
    assert "aspot connect -n OTHER --zone us-east-1b" in err
    assert aspot("connect", "-n", "dev")[0] == 0  # it is as it was


def test_volumes_go_with_the_box_if_they_are_told_to(clean, aspot, there):
    words = ("--volume", "scratch:1GB", "--volume-policy", "delete")
    assert aspot("connect", "-n", "dev", "-p", "t2.micro", *words)[0] == 0
    there("mountpoint -q ~/scratch")
    assert aspot("connect", "-n", "dev", "--volume", "more:1GB", "--volume-policy", "delete")[0] == 0
    there("mountpoint -q ~/more")
    assert len(named_volumes(clean)) == 2
    assert aspot("down", "dev")[1] == "Nothing left (checked).\n"
    assert named_volumes(clean) == []


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["-f", "data:rel"], "nothing can be mounted at 'rel'"),
        (["-f", "da ta"], "file system name 'da ta' cannot be used"),
        (["-f", "data:/etc"], "/etc belongs to the system"),
        (["-f", "fs-0123456789abcdef0"], "there is no file system fs-0123456789abcdef0"),
        (["-f", "data", "-em", "maybe"], "neither True nor False"),
        (["-em", "True"], "-em True mounts what -f names"),
        (["-nm"], "-nm makes the mount target of what -f mounts"),
        (["-f", "data", "-em", "False", "-nm", "True"], "-nm makes the mount target of what -f mounts"),
        (["--volume", "data"], "there is no volume data"),
        (["--volume", "data:much:/mnt/data"], "the size of volume data"),
        (["--volume", "data:1GB:mnt"], "'data:1GB:mnt' is not a volume"),
        (["--volume", "a:1GB:/mnt/x", "--volume", "b:1GB:/mnt/x"], "/mnt/x is given twice"),
        (["--volume", "data:1GB:~/efs", "-f", "data"], "two things cannot be mounted at ~/efs"),
        (["--volume", "vol-0123456789abcdef0"], "there is no volume vol-0123456789abcdef0"),
        (["--volume-policy", "delete"], "there is none"),
    ],
)
def test_wrong_words_are_one_line_and_nothing_is_made(clean, aspot, words, says):
    code, out, err = aspot("connect", "-n", "dev", "-p", "t2.micro", *words)
    assert code == 2, err
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert says in line
    assert out == ""
    assert clean.launches() == 0
    assert (clean.file_systems(), named_volumes(clean)) == ([], [])


@pytest.mark.parametrize(
    ("action", "words", "permission"),
    [
        ("CreateFileSystem", ["-f", "data"], "elasticfilesystem:CreateFileSystem"),
        ("CreateVolume", ["--volume", "data:1GB"], "ec2:CreateVolume"),
    ],
)
def test_a_permission_that_is_missing_is_named(clean, aspot, action, words, permission):
    clean.fault("deny", action=action)
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", *words)
    assert code == 3
    assert permission in err
    assert clean.launches() == 0
    assert aspot("connect", "-n", "dev", "-p", "t2.micro")[0] == 0
    code, _, err = aspot("connect", "-n", "dev", *words)  # on one that is there, likewise
    assert code == 3
    assert permission in err
    assert (clean.file_systems(), named_volumes(clean)) == ([], [])


def test_what_cannot_be_mounted_on_a_box_is_taken_back(clean, aspot, there):
    assert aspot("connect", "-n", "dev", "-p", "t2.micro")[0] == 0
    (machine,) = clean.alive()
    before = groups(clean, machine)
    there("mkdir ~/efs ~/disk; touch ~/efs/mine ~/disk/mine")
    code, _, err = aspot("connect", "-n", "dev", "-f", "data")
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 3
    assert "could not be mounted at ~/efs: dev: /home/ec2-user/efs is not empty on this machine" in line
    assert "choose a path where nothing lies: data:/PATH" in err
    assert re.search(r"File system data \(fs-\w+\) was made, is empty and stays: aspot fs rm data --yes", err)
    assert groups(clean, machine) == before
    code, _, err = aspot("connect", "-n", "dev", "--volume", "disk:1GB")
    assert code == 3
    assert "is not empty on this machine" in err
    assert "Volume disk (" in err
    until(lambda: named_volumes(clean)[0]["State"] == "available")
    assert there('cat "$ASPOT_FSTAB" 2>/dev/null || :') == ""
    assert aspot("connect", "-n", "dev", "-f", "data:~/elsewhere")[0] == 0


def test_a_new_box_that_cannot_mount_it_is_none(clean, aspot):
    code, _, err = aspot("connect", "-n", "dev", "-p", "t2.micro", "-f", "data:~/.ssh")
    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]
    assert code == 3
    assert "/home/ec2-user/.ssh is not empty on this machine" in line
    assert "Nothing left (checked)." in err
    assert "File system data (" in err
    assert not clean.alive()
    assert aspot("ls")[1] == "Nothing is running.\n"


def test_one_that_ec2_took_names_what_stays_and_the_next_has_it_again(clean, aspot, there):
    assert aspot(*LINE)[0] == 0
    there("echo kept >~/efs/file")
    clean.interrupt(clean.alive()[0]["id"], notice_s=0)
    until(lambda: not clean.alive())
    code, _, err = aspot("connect", "-n", "dev")
    assert code == 3
    assert "EC2 took its machine back" in err
    assert "File system data (" in err
    assert aspot(*LINE)[0] == 0
    assert there("cat ~/efs/file") == "kept\n"
    clean.interrupt(clean.alive()[0]["id"], notice_s=0)
    until(lambda: not clean.alive())
    code, out, _ = aspot("clean", "--yes", "--run", "dev")
    assert code == 0
    assert out.splitlines()[-1].startswith("File system data (")


def test_ctrl_c_while_it_is_made_names_what_stays(clean, start):
    started = start(Piped, "connect", "-n", "dev", "-p", "t2.micro", "-prc", "0.0011", "-f", "data")
    until(lambda: "CreateLaunchTemplate" in clean.calls())
    time.sleep(1)
    started.signal(2)
    assert started.end() == 130
    assert "File system data (" in started.err
    assert not clean.alive()


def test_down_names_what_a_run_that_was_left_had_mounted(clean, aspot):
    code, _, err = aspot(
        "run", "-n", "study", "-q", "-f", "data", "--volume", "disk:1GB", "--detach", "--", "sleep", "60"
    )
    assert code == 0, err
    assert "\nMounts volume disk at ~/disk, file system data at ~/efs\n" in aspot("status", "study")[1]
    told = json.loads(aspot("status", "study", "--json")[1])["mounts"]
    assert told == [
        {"kind": "volume", "name": "disk", "path": "~/disk"},
        {"kind": "file system", "name": "data", "path": "~/efs"},
    ]
    code, out, _ = aspot("down", "study", "-q")
    assert code == 0
    assert [line.split(" (")[0] for line in out.splitlines()] == ["Nothing left", "Volume disk", "File system data"]
