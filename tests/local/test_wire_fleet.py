"""CreateFleet of type instant: AWS.md 1.2 and 12."""

import time

import pytest


def pools(aws, types=("m5.large", "c5.large"), zones=2):
    return [{"InstanceType": name, "AvailabilityZone": zone} for name in types for zone in aws.offered()[:zones]]


def ids(answer):
    return [name for entry in answer["Instances"] for name in entry["InstanceIds"]]


def test_a_fleet_brings_what_was_asked_grouped_by_pool(aws):
    answer = aws.fleet(12, pools(aws))
    assert answer["Errors"] == []
    assert len(set(ids(answer))) == 12
    assert len(answer["Instances"]) == 2
    for entry in answer["Instances"]:
        items = [aws.one(name) for name in entry["InstanceIds"]]
        assert {item["InstanceType"] for item in items} == {entry["InstanceType"]}
        assert {item["Placement"]["AvailabilityZone"] for item in items} == {entry["AvailabilityZone"]}
        assert {item["SubnetId"] for item in items} == {entry["SubnetId"]}
        assert entry["Lifecycle"] == "spot"
        overrides = entry["LaunchTemplateAndOverrides"]["Overrides"]
        assert overrides["AvailabilityZone"] == entry["AvailabilityZone"]


def test_its_machines_have_one_time_requests_and_the_fleet_in_their_tags(aws):
    answer = aws.fleet(2, pools(aws))
    for name in ids(answer):
        assert aws.request_of(name)["Type"] == "one-time"
        assert {"Key": "aws:ec2:fleet-id", "Value": answer["FleetId"]} in aws.one(name)["Tags"]


def test_a_refused_pool_is_an_error_in_a_200_and_another_takes_over(aws):
    overrides = pools(aws, types=("m5.large",))
    first = aws.fleet(1, overrides, strategy="lowest-price")["Instances"][0]["AvailabilityZone"]
    aws.fault("refuse-pool", type="m5.large", zone=first)
    answer = aws.fleet(1, overrides, strategy="lowest-price")
    assert [entry["AvailabilityZone"] for entry in answer["Instances"]] != [first]
    assert [(error["ErrorCode"], error["Lifecycle"]) for error in answer["Errors"]] == [
        ("InsufficientInstanceCapacity", "spot")
    ]
    assert answer["Errors"][0]["LaunchTemplateAndOverrides"]["Overrides"]["AvailabilityZone"] == first
    assert answer["ResponseMetadata"]["HTTPStatusCode"] == 200


def test_three_pools_are_tried_and_the_others_say_so(aws):
    aws.fault("refuse-pool", type="*", zone="*")
    answer = aws.fleet(1, pools(aws, types=("m5.large", "c5.large", "r5.large")))
    assert answer["Instances"] == []
    codes = sorted(error["ErrorCode"] for error in answer["Errors"])
    assert codes == ["InsufficientInstanceCapacity"] * 3 + ["UnfulfillableCapacity"] * 3


def test_a_fleet_gives_what_there_is(aws):
    aws.fault("capacity", type="*", zone="*", number=2)
    answer = aws.fleet(50, pools(aws))
    assert len(ids(answer)) == 6
    assert {error["ErrorCode"] for error in answer["Errors"]} == {
        "InsufficientInstanceCapacity",
        "UnfulfillableCapacity",
    }


def test_the_quota_shows_in_the_errors(aws):
    aws.fault("quota", code="L-34B43A08", number=6)
    answer = aws.fleet(10, pools(aws))
    assert len(ids(answer)) == 3
    assert "MaxSpotInstanceCountExceeded" in {error["ErrorCode"] for error in answer["Errors"]}
    nothing = aws.fleet(1, pools(aws))
    assert nothing["Instances"] == []
    assert {error["ErrorCode"] for error in nothing["Errors"]} <= {
        "MaxSpotInstanceCountExceeded",
        "UnfulfillableCapacity",
    }


def test_a_misspelt_type_is_an_error_in_a_200(aws):
    answer = aws.fleet(1, [{"InstanceType": "m5.gigantic"}, {"InstanceType": "m5.large"}])
    assert len(ids(answer)) == 1
    assert [error["ErrorCode"] for error in answer["Errors"]] == ["InvalidFleetConfiguration"]


def test_a_low_price_is_an_error_in_a_200(aws):
    answer = aws.fleet(1, [{"InstanceType": "m5.large", "MaxPrice": "0.002"}])
    assert answer["Instances"] == []
    assert answer["Errors"][0]["ErrorCode"] == "SpotMaxPriceTooLow"
    assert "0.002" in answer["Errors"][0]["ErrorMessage"]


def test_one_token_launches_once_and_a_changed_request_is_a_mismatch(aws, refused):
    template, overrides = aws.template(), pools(aws)
    first = aws.fleet(2, overrides, template=template, ClientToken="f")
    again = aws.fleet(2, overrides, template=template, ClientToken="f")
    assert (first["FleetId"], ids(first)) == (again["FleetId"], ids(again))
    code, status, _ = refused(aws.fleet, 3, overrides, template=template, ClientToken="f")
    assert (code, status) == ("IdempotentParameterMismatch", 400)


def test_overrides_by_subnet(aws):
    subnets = aws.ec2.describe_subnets()["Subnets"]
    offered = [found for found in subnets if found["AvailabilityZone"] in aws.offered()]
    answer = aws.fleet(1, [{"InstanceType": "m5.large", "SubnetId": offered[0]["SubnetId"]}])
    assert answer["Instances"][0]["SubnetId"] == offered[0]["SubnetId"]


def test_a_template_with_an_interface_takes_the_overrides_subnet(aws):
    subnets = aws.ec2.describe_subnets()["Subnets"]
    subnet = next(found for found in subnets if found["AvailabilityZone"] in aws.offered())
    group = aws.ec2.create_security_group(GroupName=f"g-{time.monotonic_ns()}", Description="d")["GroupId"]
    template = aws.template(NetworkInterfaces=[{"DeviceIndex": 0, "Groups": [group], "AssociatePublicIpAddress": True}])
    answer = aws.fleet(1, [{"InstanceType": "m5.large", "SubnetId": subnet["SubnetId"]}], template=template)
    item = aws.one(ids(answer)[0])
    assert item["SubnetId"] == subnet["SubnetId"]
    assert [found["GroupId"] for found in item["SecurityGroups"]] == [group]


def test_user_data_tags_and_shutdown_come_from_the_template_and_the_call(aws):
    tags = [{"ResourceType": "instance", "Tags": [{"Key": "a", "Value": "1"}]}]
    template = aws.template(TagSpecifications=tags)
    more = [{"ResourceType": "instance", "Tags": [{"Key": "b", "Value": "2"}]}]
    answer = aws.fleet(1, [{"InstanceType": "m5.large"}], template=template, TagSpecifications=more)
    name = ids(answer)[0]
    named = {tag["Key"]: tag["Value"] for tag in aws.one(name)["Tags"]}
    assert (named["a"], named["b"]) == ("1", "2")
    kept = aws.ec2.describe_instance_attribute(InstanceId=name, Attribute="instanceInitiatedShutdownBehavior")
    assert kept["InstanceInitiatedShutdownBehavior"]["Value"] == "terminate"


def test_an_unknown_image_is_an_error_in_a_200(aws):
    template = aws.template(ImageId="ami-0123456789abcdef0")
    answer = aws.fleet(1, [{"InstanceType": "m5.large"}], template=template)
    assert [error["ErrorCode"] for error in answer["Errors"]] == ["InvalidAMIID.NotFound"]


def test_an_unknown_template_refuses_the_call(aws, refused):
    code, status, _ = refused(aws.fleet, 1, [{"InstanceType": "m5.large"}], template="lt-0123456789abcdef0")
    assert (code, status) == ("InvalidLaunchTemplateId.NotFound", 400)


@pytest.mark.parametrize(
    "strategy", ["lowest-price", "diversified", "capacity-optimized", "capacity-optimized-prioritized"]
)
def test_every_strategy_works(aws, strategy):
    answer = aws.fleet(3, pools(aws), strategy=strategy)
    assert len(ids(answer)) == 3
    assert len(answer["Instances"]) == (3 if strategy == "diversified" else 1)


def test_other_types_of_fleets_and_behaviours_are_refused(aws, refused):
    config = {"LaunchTemplateSpecification": {"LaunchTemplateId": aws.template(), "Version": "$Latest"}}
    target = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"}
    asked = {"LaunchTemplateConfigs": [config], "TargetCapacitySpecification": target}
    assert refused(aws.ec2.create_fleet, Type="maintain", **asked)[0] == "UnsupportedOperation"
    stopping = {"InstanceInterruptionBehavior": "stop"}
    assert refused(aws.ec2.create_fleet, Type="instant", SpotOptions=stopping, **asked)[1] == 400
    assert refused(aws.ec2.create_fleet, Type="instant", DryRun=True, **asked)[0] == "DryRunOperation"


def test_an_instant_fleet_shows_by_id_only_and_goes_with_its_machines(aws, refused):
    answer = aws.fleet(2, pools(aws))
    assert aws.ec2.describe_fleets()["Fleets"] == []
    assert aws.ec2.describe_fleets(FleetIds=[answer["FleetId"]])["Fleets"][0]["Type"] == "instant"
    keep = {"FleetIds": [answer["FleetId"]], "TerminateInstances": False}
    assert refused(aws.ec2.delete_fleets, **keep)[0] == "NoTerminateInstancesNotSupported"
    aws.ec2.delete_fleets(FleetIds=[answer["FleetId"]], TerminateInstances=True)
    for name in ids(answer):
        aws.reach(name, "terminated")
