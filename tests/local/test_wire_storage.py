"""Volumes and file systems on the wire: what EC2 and EFS refuse, and in which words."""

import pytest
from botocore.exceptions import ClientError


def test_a_volume_is_attached_once_in_its_zone_to_a_machine_that_runs(aws, refused):
    instance = aws.launch()[0]
    zone = aws.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]["Placement"]
    zones = [item["ZoneName"] for item in aws.ec2.describe_availability_zones()["AvailabilityZones"]]
    other = next(name for name in zones if name != zone["AvailabilityZone"])
    near, far = (
        aws.ec2.create_volume(Size=1, AvailabilityZone=name)["VolumeId"] for name in (zone["AvailabilityZone"], other)
    )
    wish = {"InstanceId": instance, "Device": "/dev/sdf"}
    if aws.state(instance) == "pending":
        assert refused(aws.ec2.attach_volume, VolumeId=near, **wish)[0] in ("IncorrectState", "VolumeInUse")
    aws.reach(instance, "running")
    assert refused(aws.ec2.attach_volume, VolumeId=far, **wish)[0] == "InvalidVolume.ZoneMismatch"
    aws.ec2.attach_volume(VolumeId=near, **wish)
    assert refused(aws.ec2.attach_volume, VolumeId=near, **wish)[0] == "VolumeInUse"
    assert refused(aws.ec2.attach_volume, VolumeId="vol-0123456789abcdef0", **wish)[0] == "InvalidVolume.NotFound"
    (found,) = aws.ec2.describe_volumes(VolumeIds=[near])["Volumes"]
    assert (found["State"], found["Attachments"][0]["InstanceId"]) == ("in-use", instance)
    shown = aws.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
    assert near in [disk["Ebs"]["VolumeId"] for disk in shown["BlockDeviceMappings"]]
    aws.ec2.terminate_instances(InstanceIds=[instance])
    aws.reach(instance, "terminated")
    assert aws.ec2.describe_volumes(VolumeIds=[near])["Volumes"][0]["State"] == "available"
    for volume in (near, far):
        aws.ec2.delete_volume(VolumeId=volume)


def test_groups_of_a_machine_can_be_changed(aws):
    instance = aws.launch()[0]
    group = aws.ec2.create_security_group(GroupName="more", Description="x")["GroupId"]
    aws.ec2.modify_instance_attribute(InstanceId=instance, Groups=[group])
    by_group = {"Filters": [{"Name": "instance.group-id", "Values": [group]}]}
    found = aws.ec2.describe_instances(**by_group)["Reservations"]
    assert [item["InstanceId"] for one in found for item in one["Instances"]] == [instance]
    aws.ec2.terminate_instances(InstanceIds=[instance])


def test_faults_of_efs_come_by_the_actions_name_in_its_own_form(aws):
    efs = aws.client("efs")
    aws.control.call("POST", "faults", {"kind": "deny", "action": "CreateFileSystem"})
    with pytest.raises(ClientError) as told:
        efs.create_file_system(CreationToken="a")
    assert told.value.response["Error"]["Code"] in ("UnauthorizedOperation", "AccessDeniedException")
    aws.control.call("DELETE", "faults")
    made = efs.create_file_system(CreationToken="a")["FileSystemId"]
    with pytest.raises(efs.exceptions.FileSystemAlreadyExists):
        efs.create_file_system(CreationToken="a")
    efs.delete_file_system(FileSystemId=made)
    with pytest.raises(efs.exceptions.FileSystemNotFound):
        efs.describe_file_systems(FileSystemId=made)
    assert aws.control.call("GET", "calls")["CreateFileSystem"] >= 3
