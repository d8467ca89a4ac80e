"""Several regions at one endpoint, as apart as EC2's: what is in one is not in another. AWS.md 4."""

import botocore.exceptions
import pytest

OTHER = "ap-south-1"  # no other test is there


@pytest.fixture
def far(aws):
    return aws.client("ec2", region_name=OTHER)


def test_machines_groups_and_templates_are_of_one_region(aws, far, refused):
    group = aws.ec2.create_security_group(GroupName="near", Description="near")["GroupId"]
    template = aws.template()
    machine = aws.launch(SecurityGroupIds=[group])[0]
    request = aws.request_of(machine)["SpotInstanceRequestId"]
    try:
        seen = far.describe_instances()["Reservations"]
        assert machine not in [item["InstanceId"] for one in seen for item in one["Instances"]]
        seen = far.describe_spot_instance_requests()["SpotInstanceRequests"]
        assert request not in [item["SpotInstanceRequestId"] for item in seen]
        assert [item["GroupName"] for item in far.describe_security_groups()["SecurityGroups"]] == ["default"]
        assert far.describe_launch_templates()["LaunchTemplates"] == []
        seen = far.describe_volumes()["Volumes"]
        assert machine not in [holder["InstanceId"] for item in seen for holder in item["Attachments"]]
        assert refused(far.describe_instances, InstanceIds=[machine])[0] == "InvalidInstanceID.NotFound"
        assert refused(far.terminate_instances, InstanceIds=[machine])[0] == "InvalidInstanceID.NotFound"
        assert refused(far.delete_launch_template, LaunchTemplateId=template)[0].startswith("InvalidLaunchTemplate")
        wanted = {"SpotInstanceRequestIds": [request]}
        assert refused(far.describe_spot_instance_requests, **wanted)[0] == "InvalidSpotInstanceRequestID.NotFound"
        assert aws.state(machine) in ("pending", "running")
    finally:
        aws.ec2.terminate_instances(InstanceIds=[machine])
        aws.reach(machine, "terminated")
        aws.ec2.delete_launch_template(LaunchTemplateId=template)
        aws.ec2.delete_security_group(GroupId=group)


def test_images_zones_and_prices_are_of_one_region(aws, far, refused):
    wanted = {"InstanceType": "m5.large", "MinCount": 1, "MaxCount": 1}
    assert refused(far.run_instances, ImageId=aws.ami, **wanted)[0] == "InvalidAMIID.NotFound"
    prices = far.describe_spot_price_history(InstanceTypes=["m5.large"])["SpotPriceHistory"]
    assert {item["AvailabilityZone"][:-1] for item in prices} == {OTHER}
    zones = far.describe_availability_zones()["AvailabilityZones"]
    assert {item["RegionName"] for item in zones} == {OTHER}
    subnets = far.describe_subnets(Filters=[{"Name": "default-for-az", "Values": ["true"]}])["Subnets"]
    assert {item["AvailabilityZone"] for item in subnets} == {item["ZoneName"] for item in zones}


def test_a_client_token_counts_in_its_own_region(aws, far):
    machine = aws.launch(ClientToken="far and near")[0]
    image = aws.client("ssm", region_name=OTHER).get_parameter(
        Name="/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"
    )["Parameter"]["Value"]
    other = far.run_instances(
        ImageId=image, InstanceType="m5.large", MinCount=1, MaxCount=1, ClientToken="far and near"
    )
    found = other["Instances"][0]["InstanceId"]
    far.terminate_instances(InstanceIds=[found])
    assert found != machine


def test_a_fault_may_be_of_one_region(aws, far, refused):
    aws.fault("deny", action="DescribeVpcs", region=OTHER)
    assert refused(far.describe_vpcs)[0] == "UnauthorizedOperation"
    aws.ec2.describe_vpcs()
    aws.fault("throttle", action="DescribeSubnets", region=OTHER)
    assert refused(far.describe_subnets)[0] == "RequestLimitExceeded"
    aws.ec2.describe_subnets()
    aws.fault("lose-answer", action="DescribeVolumes", region=OTHER)
    aws.ec2.describe_volumes()
    with pytest.raises(botocore.exceptions.HTTPClientError):
        far.describe_volumes()
    aws.fault("refuse-pool", type="*", zone=OTHER)
    aws.launch()


def test_a_region_that_is_not_enabled_refuses_as_if_the_credentials_were_wrong(aws, far, refused):
    aws.fault("close-region", region=OTHER)
    assert refused(far.describe_vpcs)[:2] == ("AuthFailure", 401)
    assert refused(aws.client("ssm", region_name=OTHER).get_parameter, Name="x")[0] == "UnrecognizedClientException"
    assert refused(aws.client("sts", region_name=OTHER).get_caller_identity)[0] == "InvalidClientTokenId"
    aws.ec2.describe_vpcs()


def test_all_pools_of_a_region_are_refused_by_its_name(aws, refused):
    aws.fault("refuse-pool", type="*", zone=aws.region)
    assert refused(aws.run)[0] == "InsufficientInstanceCapacity"
