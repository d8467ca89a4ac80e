"""RunInstances: AWS.md 1.1, 1.5, 1.6 and 12."""

import base64
import time
from datetime import UTC, datetime, timedelta

import pytest
from botocore.config import Config


def test_max_count_is_honoured_and_one_reservation_holds_all(aws):
    answer = aws.run(3)
    assert len(answer["Instances"]) == 3
    described = aws.ec2.describe_instances(Filters=[{"Name": "reservation-id", "Values": [answer["ReservationId"]]}])
    assert [len(found["Instances"]) for found in described["Reservations"]] == [3]
    assert [item["AmiLaunchIndex"] for item in answer["Instances"]] == [0, 1, 2]


def test_a_spot_launch_is_pending_first_and_has_its_request(aws):
    item = aws.run()["Instances"][0]
    assert item["State"] == {"Code": 0, "Name": "pending"}
    assert item["InstanceLifecycle"] == "spot"
    assert "PublicIpAddress" not in item
    assert item["PrivateIpAddress"].startswith("127.")
    request = aws.request_of(item["InstanceId"])
    assert request["SpotInstanceRequestId"] == item["SpotInstanceRequestId"]
    assert (request["State"], request["Type"], request["Status"]["Code"]) == ("active", "one-time", "fulfilled")
    assert request["LaunchedAvailabilityZone"] == item["Placement"]["AvailabilityZone"]
    assert datetime.now(UTC) - request["CreateTime"] < timedelta(minutes=1)


def test_running_comes_before_the_port_and_brings_the_address(aws):
    began = time.monotonic()
    instance = aws.launch()[0]
    item = aws.reach(instance, "running")
    running = time.monotonic() - began
    assert item["PublicIpAddress"].startswith("127.")
    assert item["State"]["Code"] == 16
    aws.booted(instance)
    assert running < time.monotonic() - began


def test_on_demand_has_no_lifecycle_and_no_request(aws):
    item = aws.run(spot=False)["Instances"][0]
    assert "InstanceLifecycle" not in item
    assert "SpotInstanceRequestId" not in item


def test_one_token_launches_once(aws):
    zone = aws.offered()[0]
    first = aws.run(2, ClientToken="tok", Placement={"AvailabilityZone": zone})
    again = aws.run(2, ClientToken="tok", Placement={"AvailabilityZone": zone})
    assert [i["InstanceId"] for i in first["Instances"]] == [i["InstanceId"] for i in again["Instances"]]
    assert first["ReservationId"] == again["ReservationId"]
    found = aws.ec2.describe_instances(Filters=[{"Name": "client-token", "Values": ["tok"]}])["Reservations"]
    assert sum(len(item["Instances"]) for item in found) == 2


def test_a_token_with_other_parameters_is_a_mismatch(aws, refused):
    aws.run(ClientToken="same")
    assert refused(aws.run, ClientToken="same", InstanceType="c5.large")[:2] == ("IdempotentParameterMismatch", 400)


def test_tokens_are_zonal(aws):
    one, two = aws.offered()[:2]
    first = aws.launch(ClientToken="z", Placement={"AvailabilityZone": one})
    second = aws.launch(ClientToken="z", Placement={"AvailabilityZone": two})
    assert first != second


def test_the_token_of_a_terminated_machine_is_refused(aws, refused):
    instance = aws.launch(ClientToken="gone")[0]
    aws.ec2.terminate_instances(InstanceIds=[instance])
    aws.reach(instance, "terminated")
    assert refused(aws.run, ClientToken="gone")[0] == "IdempotentInstanceTerminated"


def test_a_failed_call_does_not_use_the_token_up(aws, refused):
    zone = aws.offered()[0]
    aws.fault("refuse-pool", type="m5.large", zone=zone, count=1)
    place = {"Placement": {"AvailabilityZone": zone}, "ClientToken": "t"}
    assert refused(aws.run, **place)[:2] == ("InsufficientInstanceCapacity", 500)
    assert len(aws.launch(**place)) == 1


def test_sdk_retries_see_a_server_error_for_lack_of_capacity(aws, refused):
    aws.fault("refuse-pool", type="m5.large", zone="*")
    aws.control.call("DELETE", "calls")
    eager = aws.client("ec2", config=Config(retries={"mode": "standard", "total_max_attempts": 2}))
    asked = {"ImageId": aws.ami, "InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    code, status, message = refused(eager.run_instances, **asked)
    assert (code, status) == ("InsufficientInstanceCapacity", 500)
    assert "m5.large" in message
    assert aws.control.call("GET", "calls")["RunInstances"] == 2


def test_a_pool_with_little_room_gives_what_it_has(aws, refused):
    zone = aws.offered()[0]
    aws.fault("capacity", type="m5.large", zone=zone, number=2)
    place = {"Placement": {"AvailabilityZone": zone}}
    assert refused(aws.run, 5, MinCount=3, **place)[0] == "InsufficientInstanceCapacity"
    assert len(aws.launch(5, MinCount=1, **place)) == 2


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"ImageId": "ami-0123456789abcdef0"}, "InvalidAMIID.NotFound"),
        ({"ImageId": "nonsense"}, "InvalidAMIID.Malformed"),
        ({"ImageId": "resolve:ssm:/aws/service/nothing"}, "InvalidParameterValue"),
        ({"InstanceType": "m5.gigantic"}, "InvalidInstanceType"),
        ({"InstanceType": "m7g.large"}, "InvalidParameterValue"),
        ({"KeyName": "nobody"}, "InvalidKeyPair.NotFound"),
        ({"SubnetId": "subnet-12345678"}, "InvalidSubnetID.NotFound"),
        ({"SecurityGroupIds": ["sg-12345678"]}, "InvalidGroup.NotFound"),
        ({"IamInstanceProfile": {"Name": "nobody"}}, "InvalidParameterValue"),
        ({"Placement": {"AvailabilityZone": "mars-1a"}}, "InvalidParameterValue"),
        ({"UserData": "x" * 16_385}, "InvalidParameterValue"),
        ({"UserData": "x" * 25_601}, "InvalidParameterValue"),
        ({"MinCount": 2, "MaxCount": 1}, "InvalidParameterValue"),
        ({"MaxCount": 3_001}, "RequestResourceCountExceeded"),
        ({"InstanceInitiatedShutdownBehavior": "explode"}, "InvalidParameterValue"),
        ({"NetworkInterfaces": [{"DeviceIndex": 0}], "SubnetId": "subnet-1"}, "InvalidParameterCombination"),
        ({"LaunchTemplate": {"LaunchTemplateId": "lt-0123456789abcdef0"}}, "InvalidLaunchTemplateId.NotFound"),
        ({"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0"}}}, "InvalidParameterValue"),
        (
            {"InstanceMarketOptions": {"MarketType": "spot", "SpotOptions": {"MaxPrice": "0.002"}}},
            "SpotMaxPriceTooLow",
        ),
        (
            {"TagSpecifications": [{"ResourceType": "instance", "Tags": [{"Key": "aws:x", "Value": "y"}]}]},
            "InvalidParameterValue",
        ),
    ],
)
def test_what_ec2_refuses_is_refused_and_launches_nothing(aws, refused, change, code):
    assert refused(aws.run, **change)[:2] == (code, 400)
    assert aws.ec2.describe_instances(MaxResults=5)["Reservations"] == [] or not _live(aws)


def _live(aws):
    return [m for m in aws.control.call("GET", "instances") if m["region"] == aws.region and m["state"] == "pending"]


def test_user_data_that_is_no_base64_is_refused(aws, refused):
    template = aws.template()
    made = aws.ec2.create_launch_template_version(
        LaunchTemplateId=template, LaunchTemplateData={"ImageId": aws.ami, "UserData": "%%%%"}
    )
    number = str(made["LaunchTemplateVersion"]["VersionNumber"])
    wanted = {"LaunchTemplateId": template, "Version": number}
    assert refused(aws.run, LaunchTemplate=wanted)[0] == "InvalidUserData.Malformed"


def test_sixteen_kilobytes_of_user_data_are_allowed(aws):
    assert len(aws.launch(UserData="#" * 16_384)) == 1


def test_dry_run_answers_412_and_launches_nothing(aws, refused):
    assert refused(aws.run, DryRun=True)[:2] == ("DryRunOperation", 412)
    assert not _live(aws)


def test_a_type_that_a_zone_does_not_offer_is_unsupported(aws, refused):
    name, zone = _not_offered(aws)
    code, status, message = refused(aws.run, InstanceType=name, Placement={"AvailabilityZone": zone})
    assert (code, status) == ("Unsupported", 400)
    assert zone in message


def _not_offered(aws):
    """Return an x86 type that the Region has, but not in every zone, and such a zone."""
    zones = {zone["ZoneName"] for zone in aws.ec2.describe_availability_zones()["AvailabilityZones"]}
    wanted = [{"Name": "instance-type", "Values": ["c*", "m*", "r*"]}]
    found = aws.ec2.describe_instance_type_offerings(LocationType="availability-zone", Filters=wanted)
    missing: dict[str, set[str]] = {}
    for offer in found["InstanceTypeOfferings"]:
        missing.setdefault(offer["InstanceType"], set(zones)).discard(offer["Location"])
    name = next(name for name, where in sorted(missing.items()) if where and "g" not in name.partition(".")[0])
    return name, min(missing[name])


def test_a_spot_quota_refuses_with_its_own_code(aws, refused):
    aws.fault("quota", code="L-34B43A08", number=4)
    aws.launch(2)
    assert refused(aws.run)[:2] == ("MaxSpotInstanceCountExceeded", 400)
    assert len(aws.launch(spot=False)) == 1


def test_an_on_demand_quota_refuses_with_its_own_code(aws, refused):
    aws.fault("quota", code="L-1216C47A", number=1)
    assert refused(aws.run, spot=False)[:2] == ("VcpuLimitExceeded", 400)


def test_a_launch_takes_as_many_as_the_quota_leaves(aws):
    aws.fault("quota", code="L-34B43A08", number=6)
    assert len(aws.launch(10)) == 3


def test_tags_go_to_the_kinds_of_resource_they_name(aws):
    kinds = ("instance", "volume", "network-interface", "spot-instances-request")
    tags = [{"ResourceType": kind, "Tags": [{"Key": "run", "Value": kind}]} for kind in kinds]
    item = aws.run(TagSpecifications=tags)["Instances"][0]
    assert aws.tags(item) == [{"Key": "run", "Value": "instance"}]
    disk = item["BlockDeviceMappings"][0]["Ebs"]["VolumeId"]
    eni = item["NetworkInterfaces"][0]["NetworkInterfaceId"]
    ids = {item["InstanceId"], disk, eni, item["SpotInstanceRequestId"]}
    found = aws.ec2.describe_tags(Filters=[{"Name": "key", "Values": ["run"]}])["Tags"]
    assert {tag["ResourceId"] for tag in found} >= ids
    assert {tag["Value"] for tag in aws.request_of(item["InstanceId"])["Tags"]} == {"spot-instances-request"}


def test_a_launch_template_fills_in_what_the_call_leaves_out(aws):
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "from", "Value": "template"}]}]
    text = base64.b64encode(b"#!/bin/sh\n").decode()
    template = aws.template(InstanceType="c5.large", UserData=text, TagSpecifications=tags)
    answer = aws.ec2.run_instances(LaunchTemplate={"LaunchTemplateId": template}, MinCount=1, MaxCount=1)
    item = answer["Instances"][0]
    named = {tag["Key"]: tag["Value"] for tag in item["Tags"]}
    assert item["InstanceType"] == "c5.large"
    assert named["from"] == "template"
    assert named["aws:ec2launchtemplate:id"] == template
    kept = aws.ec2.describe_instance_attribute(InstanceId=item["InstanceId"], Attribute="userData")
    assert base64.b64decode(kept["UserData"]["Value"]) == b"#!/bin/sh\n"


def test_an_interface_can_ask_for_no_public_address(aws):
    interface = {"DeviceIndex": 0, "AssociatePublicIpAddress": False, "DeleteOnTermination": True}
    instance = aws.launch(NetworkInterfaces=[interface])[0]
    assert "PublicIpAddress" not in aws.reach(instance, "running")


def test_an_instance_profile_is_shown(aws):
    iam = aws.client("iam")
    name = f"p-{time.monotonic_ns()}"
    profile = iam.create_instance_profile(InstanceProfileName=name)["InstanceProfile"]
    iam.create_role(RoleName=name, AssumeRolePolicyDocument="{}")
    iam.add_role_to_instance_profile(InstanceProfileName=name, RoleName=name)
    item = aws.run(IamInstanceProfile={"Name": name})["Instances"][0]
    assert item["IamInstanceProfile"]["Arn"] == profile["Arn"]


def test_a_profile_without_a_role_is_refused(aws, refused):
    name = f"p-{time.monotonic_ns()}"
    aws.client("iam").create_instance_profile(InstanceProfileName=name)
    code, _, message = refused(aws.run, IamInstanceProfile={"Name": name})
    assert code == "InvalidParameterValue"
    assert "no associated IAM Roles" in message


def test_a_disk_that_the_call_resizes_keeps_its_place(aws):
    disk = {"DeviceName": "/dev/xvda", "Ebs": {"VolumeSize": 30, "VolumeType": "gp3", "DeleteOnTermination": True}}
    item = aws.run(BlockDeviceMappings=[disk])["Instances"][0]
    volumes = [found["Ebs"]["VolumeId"] for found in item["BlockDeviceMappings"]]
    described = aws.ec2.describe_volumes(VolumeIds=volumes)["Volumes"]
    assert [(found["Size"], found["State"]) for found in described] == [(30, "in-use")]
