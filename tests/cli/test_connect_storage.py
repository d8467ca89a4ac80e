"""`aspot connect -f` and `--volume`: mounted on a box, still there after a reboot, and data stays when the box has gone."""

import json

import pytest
from local_world import until, write


def volumes(cloud):
    found = cloud.client("ec2", tries=5).describe_volumes()["Volumes"]
    return [item for item in found if any(tag["Key"] == "aspot:volume" for tag in item.get("Tags", ()))]


@pytest.fixture
def clean(cloud, aspot):
    """The box goes, and what it mounted."""
    yield cloud
    cloud.clear_faults()
    ec2 = cloud.client("ec2", tries=10)
    if cloud.alive():
        aspot("down", "--all")
    for item in volumes(cloud):
        until(lambda: all(one["State"] != "in-use" for one in volumes(cloud)))
        ec2.delete_volume(VolumeId=item["VolumeId"])
    cloud._remove_file_systems()
    for item in ec2.describe_security_groups()["SecurityGroups"]:
        if item["GroupName"].startswith("aspot-efs-"):
            ec2.delete_security_group(GroupId=item["GroupId"])


def reboot(cloud, boot):
    (machine,) = cloud.alive()
    ec2 = cloud.client("ec2", tries=5)
    ec2.reboot_instances(InstanceIds=[machine["id"]])
    until(lambda: f"boot {boot}" in ec2.get_console_output(InstanceId=machine["id"])["Output"], what="no boot")


def on(aspot, *words):
    return aspot("ssh", "dev", *words)


def test_the_ancestors_own_line_with_a_file_system(clean, aspot):
    write("put.sh", 'mountpoint -q "$HOME/efs" && echo kept >"$HOME/efs/file"; echo "$HOME"\n')
    line = ("connect", "-n", "dev", "-p", "t2.micro", "-f", "data", "-em", "True", "-nm", "False")
    code, out, err = aspot(*line, "-s", "put.sh")
    assert (code, out) == (0, "/home/ec2-user\n"), err
    (made,) = clean.file_systems()
    assert (made["Name"], made["Encrypted"]) == ("data", True)
    assert "dev: file system data is at ~/efs, after every boot too" in err
    (machine,) = clean.alive()
    targets = clean.client("efs").describe_mount_targets(FileSystemId=made["FileSystemId"])["MountTargets"]
    assert machine["zone"] in {item["AvailabilityZoneName"] for item in targets}
    print(err)
    clean.forget_calls()
    code, out, err = aspot(*line)
    print(code, err, clean.calls())
    reboot(clean, 2)
    print(aspot("connect", "-n", "dev", "-s", write("get.sh", "mountpoint ~/efs; cat ~/efs/file; cat $ASPOT_FSTAB")))
    print(aspot(*line))
    print(aspot(*line))
    print(aspot("connect", "-n", "dev", "-f", "other"))
    print(aspot("connect", "-n", "dev", "-f", "other:/mnt/other", "--volume", "disk:2GB", "-q"))
    print(aspot("connect", "-n", "dev", "-s", write("get.sh", "mount | head -4; cat $ASPOT_FSTAB; lsblk -dno NAME,SERIAL")))
    reboot(clean, 3)
    print(aspot("connect", "-n", "dev", "-s", write("get.sh", "mount | head -4")))
    print(aspot("down", "dev"))
    print(aspot("down", "dev"))
    assert 0
