"""How machines end, and what goes with them: AWS.md 3, 8 and 12."""

import time

import pytest


def test_terminate_goes_by_shutting_down_and_says_who_did_it(aws):
    instance = aws.launch()[0]
    aws.reach(instance, "running")
    change = aws.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert (change["PreviousState"]["Name"], change["CurrentState"]["Name"]) == ("running", "shutting-down")
    item = aws.reach(instance, "terminated")
    assert item["StateReason"]["Code"] == "Client.UserInitiatedShutdown"
    assert item["StateTransitionReason"].startswith("User initiated (")
    assert "PublicIpAddress" not in item
    request = aws.request_of(instance)
    assert (request["State"], request["Status"]["Code"]) == ("closed", "instance-terminated-by-user")


def test_terminate_again_is_no_error(aws):
    instance = aws.launch()[0]
    for _ in range(2):
        aws.ec2.terminate_instances(InstanceIds=[instance])
    aws.reach(instance, "terminated")
    change = aws.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
    assert change["CurrentState"]["Name"] == "terminated"


def test_one_unknown_id_terminates_none(aws, refused):
    instance = aws.launch()[0]
    wrong = [instance, "i-0123456789abcdef0"]
    assert refused(aws.ec2.terminate_instances, InstanceIds=wrong)[:2] == ("InvalidInstanceID.NotFound", 400)
    assert refused(aws.ec2.terminate_instances, InstanceIds=["x"])[0] == "InvalidInstanceID.Malformed"
    assert aws.state(instance) in ("pending", "running")


def test_a_pending_machine_can_be_terminated_and_never_boots(aws):
    was = ""
    while was != "pending":  # on a busy computer a machine may be up before it can be ended
        instance = aws.launch()[0]
        change = aws.ec2.terminate_instances(InstanceIds=[instance])["TerminatingInstances"][0]
        was = change["PreviousState"]["Name"]
    aws.reach(instance, "terminated")
    assert [m["booted"] for m in aws.control.call("GET", "instances") if m["id"] == instance] == [False]


def test_disks_and_interfaces_go_with_the_machine_unless_told_otherwise(aws):
    kept = {"DeviceName": "/dev/sdf", "Ebs": {"VolumeSize": 1, "DeleteOnTermination": False}}
    gone = {"DeviceName": "/dev/sdg", "Ebs": {"VolumeSize": 1, "DeleteOnTermination": True}}
    item = aws.run(BlockDeviceMappings=[kept, gone])["Instances"][0]
    by_name = {disk["DeviceName"]: disk["Ebs"]["VolumeId"] for disk in item["BlockDeviceMappings"]}
    assert set(by_name) == {"/dev/xvda", "/dev/sdf", "/dev/sdg"}
    eni = item["NetworkInterfaces"][0]["NetworkInterfaceId"]
    aws.ec2.terminate_instances(InstanceIds=[item["InstanceId"]])
    aws.reach(item["InstanceId"], "terminated")
    left = {volume["VolumeId"] for volume in aws.ec2.describe_volumes()["Volumes"]}
    assert left & set(by_name.values()) == {by_name["/dev/sdf"]}
    interfaces = aws.ec2.describe_network_interfaces()["NetworkInterfaces"]
    assert eni not in [found["NetworkInterfaceId"] for found in interfaces]
    aws.ec2.delete_volume(VolumeId=by_name["/dev/sdf"])


def test_a_security_group_in_use_cannot_be_deleted(aws, refused, until):
    group = aws.ec2.create_security_group(GroupName=f"g-{time.monotonic_ns()}", Description="d")["GroupId"]
    instance = aws.launch(SecurityGroupIds=[group])[0]
    assert refused(aws.ec2.delete_security_group, GroupId=group)[:2] == ("DependencyViolation", 400)
    aws.ec2.terminate_instances(InstanceIds=[instance])
    assert refused(aws.ec2.delete_security_group, GroupId=group)[0] == "DependencyViolation"
    aws.reach(instance, "terminated")
    aws.ec2.delete_security_group(GroupId=group)
    assert refused(aws.ec2.delete_security_group, GroupId=group)[0] == "InvalidGroup.NotFound"


def test_a_security_group_named_by_another_cannot_be_deleted(aws, refused):
    made = [
        aws.ec2.create_security_group(GroupName=f"g{n}-{time.monotonic_ns()}", Description="d")["GroupId"] for n in "ab"
    ]
    source = {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "UserIdGroupPairs": [{"GroupId": made[0]}]}
    aws.ec2.authorize_security_group_ingress(GroupId=made[1], IpPermissions=[source])
    assert refused(aws.ec2.delete_security_group, GroupId=made[0])[0] == "DependencyViolation"
    for group in reversed(made):
        aws.ec2.delete_security_group(GroupId=group)


def test_protection_keeps_a_machine_until_it_is_lifted(aws, refused):
    instance = aws.launch(spot=False, DisableApiTermination=True)[0]
    assert refused(aws.ec2.terminate_instances, InstanceIds=[instance])[0] == "OperationNotPermitted"
    aws.ec2.modify_instance_attribute(InstanceId=instance, DisableApiTermination={"Value": False})
    aws.ec2.terminate_instances(InstanceIds=[instance])
    aws.reach(instance, "terminated")


def test_one_time_spot_machines_cannot_be_stopped(aws, refused):
    code, _, message = refused(aws.ec2.stop_instances, InstanceIds=aws.launch())
    assert code == "UnsupportedOperation"
    assert "one-time" in message


def test_cancelling_a_request_leaves_its_machine(aws):
    instance = aws.launch()[0]
    request = aws.request_of(instance)["SpotInstanceRequestId"]
    done = aws.ec2.cancel_spot_instance_requests(SpotInstanceRequestIds=[request])
    assert done["CancelledSpotInstanceRequests"] == [{"SpotInstanceRequestId": request, "State": "cancelled"}]
    assert aws.request_of(instance)["Status"]["Code"] == "request-canceled-and-instance-running"
    assert aws.state(instance) in ("pending", "running")


@pytest.mark.parametrize(("notice_s", "seen_before"), [(0, False), (1.5, True)])
def test_an_interruption_with_and_without_notice(aws, until, notice_s, seen_before):
    instance = aws.launch()[0]
    aws.reach(instance, "running")
    aws.control.call("POST", "interrupt", {"instance": instance, "notice_s": notice_s})
    if seen_before:
        status = aws.request_of(instance)["Status"]["Code"]
        assert status in ("marked-for-termination", "instance-terminated-no-capacity")
        assert aws.state(instance) == "running"
    item = aws.reach(instance, "terminated")
    assert item["StateReason"]["Code"] == "Server.SpotInstanceTermination"
    request = aws.request_of(instance)
    assert (request["State"], request["Status"]["Code"]) == ("closed", "instance-terminated-no-capacity")


def test_terminating_after_a_notice_counts_as_the_users(aws):
    instance = aws.launch()[0]
    aws.reach(instance, "running")
    aws.control.call("POST", "interrupt", {"instance": instance, "notice_s": 30})
    aws.ec2.terminate_instances(InstanceIds=[instance])
    assert aws.reach(instance, "terminated")["StateReason"]["Code"] == "Client.UserInitiatedShutdown"


def test_on_demand_machines_are_not_interrupted(aws):
    from aspot.errors import ConfigError

    instance = aws.launch(spot=False)[0]
    with pytest.raises(ConfigError, match="not a Spot Instance"):
        aws.control.call("POST", "interrupt", {"instance": instance, "notice_s": 0})
