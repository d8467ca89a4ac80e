"""`Ec2Cloud.prepare`: what is asked, what is refused before anything is made, and what is undone."""

import base64

import pytest

from aspot.errors import AuthError, CloudError, ConfigError, QuotaError
from aspot.machine.pool import Pool

MADE = ("CreateSecurityGroup", "CreateLaunchTemplate")


def made(stub):
    return [name for name, _ in stub.calls if name in MADE]


async def test_prepares_pools_prices_and_user(cloud, stub, make_plan):
    prepared = await cloud.prepare(make_plan())
    first = Pool("c7i.large", "us-east-1a")
    assert prepared.pools[0] == first
    assert len(prepared.pools) == 4
    assert prepared.spot_usd_per_hour[first] == 0.0312
    assert prepared.on_demand_usd_per_hour == {"c7i.large": 0.0892}
    assert prepared.user == "ec2-user"
    assert sum(stub.counts().values()) == 10


async def test_template_is_safe_by_default(cloud, stub, make_plan):
    await cloud.prepare(make_plan(run={"disk_gb": 30}, key_pair="mine", instance_profile="s3"))
    asked = stub.asked("CreateLaunchTemplate")[0]
    data = asked["LaunchTemplateData"]
    assert data["MetadataOptions"] == {
        "HttpTokens": "required",
        "HttpPutResponseHopLimit": 1,
        "HttpEndpoint": "enabled",
        "InstanceMetadataTags": "disabled",
    }
    assert data["InstanceInitiatedShutdownBehavior"] == "terminate"
    disk = data["BlockDeviceMappings"][0]
    assert disk["DeviceName"] == "/dev/xvda"
    assert disk["Ebs"] == {"VolumeSize": 30, "VolumeType": "gp3", "Encrypted": True, "DeleteOnTermination": True}
    assert base64.b64decode(data["UserData"]) == b"#cloud-config\n"
    assert data["NetworkInterfaces"] == [
        {"DeviceIndex": 0, "Groups": ["sg-1"], "AssociatePublicIpAddress": True, "DeleteOnTermination": True}
    ]
    assert (data["KeyName"], data["IamInstanceProfile"]) == ("mine", {"Name": "s3"})
    assert "InstanceMarketOptions" not in data
    assert len(asked["ClientToken"]) == 64


async def test_everything_made_bears_the_runs_tags(cloud, stub, make_plan):
    await cloud.prepare(make_plan())
    template = stub.asked("CreateLaunchTemplate")[0]
    group = stub.asked("CreateSecurityGroup")[0]
    specifications = template["TagSpecifications"] + group["TagSpecifications"]
    specifications += template["LaunchTemplateData"]["TagSpecifications"]
    kinds = {one["ResourceType"] for one in specifications}
    assert kinds == {"launch-template", "security-group", "network-interface", "spot-instances-request"}
    for one in specifications:
        tags = {tag["Key"]: tag["Value"] for tag in one["Tags"]}
        assert (tags["aspot:run"], tags["aspot:owner"], tags["aspot:v"]) == ("r-7f3a", "me", "1")
        assert tags["aspot:expires"] == "1795000000"
        assert tags["Name"] == tags["aspot:name"] == "study"


async def test_only_the_caller_may_connect(cloud, stub, make_plan):
    await cloud.prepare(make_plan())
    (rule,) = stub.asked("AuthorizeSecurityGroupIngress")[0]["IpPermissions"]
    assert (rule["IpProtocol"], rule["FromPort"], rule["ToPort"]) == ("tcp", 22, 22)
    assert [one["CidrIp"] for one in rule["IpRanges"]] == ["127.0.0.1/32"]


async def test_firewall_takes_the_place_of_the_callers_address(cloud, stub, make_plan):
    await cloud.prepare(make_plan(firewall=(("tcp", 22, "203.0.113.0/24"), ("tcp", 8888, "2001:db8::/64"))))
    first, second = stub.asked("AuthorizeSecurityGroupIngress")[0]["IpPermissions"]
    assert first["IpRanges"][0]["CidrIp"] == "203.0.113.0/24"
    assert (second["FromPort"], second["Ipv6Ranges"]) == (8888, [{"CidrIpv6": "2001:db8::/64", "Description": "aspot"}])


async def test_own_security_group_is_used_and_its_vpc(cloud, stub, make_plan):
    stub.says("DescribeSecurityGroups", {"SecurityGroups": [{"GroupId": "sg-9", "VpcId": "vpc-9"}]})
    private = {"SubnetId": "subnet-9", "VpcId": "vpc-9", "AvailabilityZone": "us-east-1b", "MapPublicIpOnLaunch": False}
    stub.says("DescribeSubnets", {"Subnets": [private]})
    prepared = await cloud.prepare(make_plan(security_group="sg-9"))
    assert {pool.zone for pool in prepared.pools} == {"us-east-1b"}
    data = stub.asked("CreateLaunchTemplate")[0]["LaunchTemplateData"]
    assert data["NetworkInterfaces"][0]["Groups"] == ["sg-9"]
    assert data["NetworkInterfaces"][0]["AssociatePublicIpAddress"] is False
    assert not stub.asked("CreateSecurityGroup")


async def test_spot_first_has_a_template_for_each_market(cloud, stub, make_plan):
    await cloud.prepare(make_plan(run={"market": "spot-first"}))
    names = [asked["LaunchTemplateName"] for asked in stub.asked("CreateLaunchTemplate")]
    assert names == ["aspot-r-7f3a", "aspot-r-7f3a-od"]
    kinds = [
        one["ResourceType"] for one in stub.asked("CreateLaunchTemplate")[1]["LaunchTemplateData"]["TagSpecifications"]
    ]
    assert kinds == ["network-interface"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"types": ("c7i.large", "c99.large")}, "c99.large"),
        ({"zones": ("us-east-1z",)}, "us-east-1z"),
        ({"image": "windows"}, "windows"),
        ({"user_data": b"x" * 16385}, "16384"),
        ({"run": {"disk_gb": 4}}, "4 GB"),
    ],
)
async def test_what_cannot_work_is_refused_before_anything_is_made(cloud, stub, make_plan, changes, words):
    with pytest.raises(ConfigError, match=words) as caught:
        await cloud.prepare(make_plan(**changes))
    assert caught.value.fix
    assert not made(stub)


async def test_type_offered_nowhere(cloud, stub, make_plan):
    stub.says("DescribeInstanceTypeOfferings", {"InstanceTypeOfferings": []})
    with pytest.raises(ConfigError, match="offered in none"):
        await cloud.prepare(make_plan())


async def test_no_default_vpc(cloud, stub, make_plan):
    stub.says("DescribeSubnets", {"Subnets": []})
    with pytest.raises(ConfigError, match="no default VPC") as caught:
        await cloud.prepare(make_plan())
    assert "create-default-vpc" in caught.value.fix


async def test_unknown_security_group(cloud, stub, make_plan):
    stub.says("DescribeSecurityGroups", stub.refused("InvalidGroup.NotFound"))
    with pytest.raises(ConfigError, match="sg-9"):
        await cloud.prepare(make_plan(security_group="sg-9"))


async def test_vpc_without_a_subnet(cloud, stub, make_plan):
    stub.says("DescribeSecurityGroups", {"SecurityGroups": [{"GroupId": "sg-9", "VpcId": "vpc-9"}]})
    stub.says("DescribeSubnets", {"Subnets": []})
    with pytest.raises(ConfigError, match="no subnet"):
        await cloud.prepare(make_plan(security_group="sg-9"))


# --- quota ---


async def test_quota_is_said_as_the_contract_has_it(cloud, stub, make_plan):
    stub.says("GetServiceQuota", {"Quota": {"Value": 32.0}})
    with pytest.raises(QuotaError) as caught:
        await cloud.prepare(make_plan(types=("g5.xlarge",), count=20))
    assert str(caught.value) == "20 × g5.xlarge need 80 vCPUs; your spot quota for G and VT is 32 (us-east-1)"
    assert caught.value.fix.startswith("--instances 8, or request more: https://")
    assert caught.value.fix.endswith("/servicequotas/home/services/ec2/quotas/L-3819A6DF")
    assert stub.asked("GetServiceQuota")[0] == {"ServiceCode": "ec2", "QuotaCode": "L-3819A6DF"}
    assert not made(stub)


async def test_quota_of_nothing_suggests_no_number(cloud, stub, make_plan):
    stub.says("GetServiceQuota", {"Quota": {"Value": 0.0}})
    with pytest.raises(QuotaError) as caught:
        await cloud.prepare(make_plan(types=("g5.xlarge",)))
    assert caught.value.fix.startswith("request more")


async def test_families_share_the_load(cloud, stub, make_plan):
    stub.says("GetServiceQuota", {"Quota": {"Value": 4.0}})
    await cloud.prepare(make_plan(types=("g5.xlarge", "c7i.large"), count=3))


async def test_on_demand_has_a_quota_of_its_own(cloud, stub, make_plan):
    await cloud.prepare(make_plan(run={"market": "on-demand"}))
    assert stub.asked("GetServiceQuota")[0]["QuotaCode"] == "L-1216C47A"


async def test_unreadable_quota_and_prices_stop_nobody(cloud, stub, make_plan):
    stub.says("GetServiceQuota", stub.refused("AccessDeniedException"))
    stub.says("GetProducts", stub.refused("AccessDeniedException"))
    prepared = await cloud.prepare(make_plan(count=5000))
    assert prepared.on_demand_usd_per_hour == {}


# --- images ---


@pytest.mark.parametrize(
    ("image", "path", "user", "root"),
    [
        ("", "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64", "ec2-user", "/dev/xvda"),
        (
            "ubuntu-24.04",
            "/aws/service/canonical/ubuntu/server/24.04/stable/current/amd64/hvm/ebs-gp3/ami-id",
            "ubuntu",
            "/dev/sda1",
        ),
        ("debian-12", "/aws/service/debian/release/12/latest/amd64", "admin", "/dev/xvda"),
    ],
)
async def test_named_images(cloud, stub, make_plan, image, path, user, root):
    prepared = await cloud.prepare(make_plan(image=image))
    assert path in stub.asked("GetParameters")[0]["Names"]
    assert prepared.user == user
    data = stub.asked("CreateLaunchTemplate")[0]["LaunchTemplateData"]
    assert (data["ImageId"], data["BlockDeviceMappings"][0]["DeviceName"]) == ("ami-0b0b", root)


async def test_image_follows_the_architecture(cloud, stub, make_plan):
    await cloud.prepare(make_plan(types=("c7g.large",)))
    assert stub.asked("CreateLaunchTemplate")[0]["LaunchTemplateData"]["ImageId"] == "ami-0a0a"


async def test_image_not_published_for_the_architecture(cloud, stub, make_plan):
    stub.says("GetParameters", {"Parameters": []})
    with pytest.raises(ConfigError, match="not published for x86_64"):
        await cloud.prepare(make_plan())


def described(arch="x86_64", **more):
    mappings = [{"DeviceName": "/dev/sda1", "Ebs": {"VolumeSize": 20}}]
    image = {
        "ImageId": "ami-0c0c",
        "Architecture": arch,
        "RootDeviceName": "/dev/sda1",
        "BlockDeviceMappings": mappings,
    }
    return {"Images": [image | more]}


async def test_image_by_id_tells_user_and_root(cloud, stub, make_plan):
    stub.says("DescribeImages", described(OwnerId="099720109477"))
    prepared = await cloud.prepare(make_plan(image="ami-0c0c", run={"disk_gb": 20}))
    assert prepared.user == "ubuntu"
    disk = stub.asked("CreateLaunchTemplate")[0]["LaunchTemplateData"]["BlockDeviceMappings"][0]
    assert disk["DeviceName"] == "/dev/sda1"


async def test_image_by_parameter(cloud, stub, make_plan):
    stub.says("DescribeImages", described())
    path = "/aws/service/deeplearning/ami/x86_64/base/ubuntu/ami-id"
    prepared = await cloud.prepare(make_plan(image=path, user="me", run={"disk_gb": 20}))
    assert prepared.user == "me"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (described("arm64"), "is for arm64"),
        (described(), "does not fit on 8 GB"),
        ({"Images": []}, "no image ami-0c0c"),
    ],
)
async def test_image_that_does_not_fit(cloud, stub, make_plan, answer, words):
    stub.says("DescribeImages", answer)
    with pytest.raises(ConfigError, match=words):
        await cloud.prepare(make_plan(image="ami-0c0c"))


async def test_image_of_another_region(cloud, stub, make_plan):
    stub.says("DescribeImages", stub.refused("InvalidAMIID.NotFound"))
    with pytest.raises(ConfigError) as caught:
        await cloud.prepare(make_plan(image="ami-0c0c"))
    assert "region" in caught.value.fix


async def test_unknown_parameter(cloud, stub, make_plan):
    stub.says("GetParameters", {"Parameters": []})
    with pytest.raises(ConfigError, match="no SSM parameter"):
        await cloud.prepare(make_plan(image="/nothing/here"))


# --- trouble on the way ---


async def test_what_was_made_is_deleted_when_a_later_step_fails(cloud, stub, make_plan):
    stub.says("CreateLaunchTemplate", stub.refused("UnauthorizedOperation", http=403))
    with pytest.raises(AuthError) as caught:
        await cloud.prepare(make_plan())
    assert "ec2:CreateLaunchTemplate" in caught.value.fix
    assert stub.asked("DeleteSecurityGroup") == [{"GroupId": "sg-1"}]


async def test_what_was_made_without_our_knowing_is_found_by_its_tag(cloud, stub, make_plan):
    stub.says("CreateLaunchTemplate", stub.lost)
    stub.says("DescribeTags", {"Tags": [{"ResourceId": "lt-7", "ResourceType": "launch-template"}]}, {"Tags": []})
    with pytest.raises(CloudError):
        await cloud.prepare(make_plan())
    assert stub.asked("DeleteLaunchTemplate") == [{"LaunchTemplateId": "lt-7"}]


async def test_group_is_adopted_when_the_answer_to_its_making_was_lost(cloud, stub, make_plan):
    stub.says("CreateSecurityGroup", stub.lost, stub.refused("InvalidGroup.Duplicate"))
    stub.says("DescribeSecurityGroups", {"SecurityGroups": [{"GroupId": "sg-2", "VpcId": "vpc-1"}]})
    await cloud.prepare(make_plan())
    assert stub.asked("AuthorizeSecurityGroupIngress")[0]["GroupId"] == "sg-2"


async def test_group_of_somebody_else_is_left_alone(cloud, stub, make_plan):
    stub.says("CreateSecurityGroup", stub.refused("InvalidGroup.Duplicate"))
    stub.says("DescribeSecurityGroups", {"SecurityGroups": []})
    with pytest.raises(ConfigError, match="not this run's"):
        await cloud.prepare(make_plan())
    assert not stub.asked("AuthorizeSecurityGroupIngress")


async def test_new_group_that_ec2_does_not_know_yet_is_waited_for(cloud, stub, make_plan):
    stub.says("AuthorizeSecurityGroupIngress", stub.refused("InvalidGroup.NotFound"), {"Return": True})
    await cloud.prepare(make_plan())
    assert len(stub.asked("AuthorizeSecurityGroupIngress")) == 2


async def test_rule_that_is_there_already_is_success(cloud, stub, make_plan):
    stub.says("AuthorizeSecurityGroupIngress", stub.refused("InvalidPermission.Duplicate"))
    await cloud.prepare(make_plan())


async def test_encoded_refusal_is_read_where_that_is_allowed(cloud, stub, make_plan):
    blob = "Encoded authorization failure message: abc"
    stub.says("DescribeSubnets", stub.refused("UnauthorizedOperation", f"You are not authorized. {blob}", 403))
    decoded = (
        "{&quot;context&quot;: {&quot;action&quot;: &quot;ec2:Thing&quot;, &quot;resource&quot;: &quot;arn:x&quot;}}"
    )
    text = f"<DecodedMessage>{decoded}</DecodedMessage>"
    for level in ("Result", "Response"):
        text = f"<DecodeAuthorizationMessage{level}>{text}</DecodeAuthorizationMessage{level}>"
    stub.says("DecodeAuthorizationMessage", text)
    with pytest.raises(AuthError, match="arn:x") as caught:
        await cloud.prepare(make_plan())
    assert "ec2:Thing" in caught.value.fix


async def test_throttled_steps_are_repeated(cloud, stub, make_plan):
    stub.says(
        "CreateLaunchTemplate",
        stub.refused("RequestLimitExceeded", http=503),
        {"LaunchTemplate": {"LaunchTemplateId": "lt-1"}},
    )
    await cloud.prepare(make_plan())
    first, second = stub.asked("CreateLaunchTemplate")
    assert first["ClientToken"] == second["ClientToken"]


# --- what the caller names and must have made ---


async def test_unknown_key_pair(cloud, stub, make_plan):
    stub.says("DescribeKeyPairs", stub.refused("InvalidKeyPair.NotFound"))
    with pytest.raises(ConfigError, match="no key pair 'mine'"):
        await cloud.prepare(make_plan(key_pair="mine"))
    assert not made(stub)


async def test_unknown_instance_profile(cloud, stub, make_plan):
    missing = "<ErrorResponse><Error><Code>NoSuchEntity</Code><Message>no</Message></Error></ErrorResponse>"
    stub.says("GetInstanceProfile", stub.raw(missing, 404))
    with pytest.raises(ConfigError, match="no instance profile 's3'"):
        await cloud.prepare(make_plan(instance_profile="s3"))
    assert not made(stub)


async def test_instance_profile_that_may_not_be_read_is_taken_on_trust(cloud, stub, make_plan):
    stub.says("GetInstanceProfile", stub.refused("AccessDenied", http=403))
    await cloud.prepare(make_plan(instance_profile="arn:aws:iam::1:instance-profile/s3"))
    data = stub.asked("CreateLaunchTemplate")[0]["LaunchTemplateData"]
    assert data["IamInstanceProfile"] == {"Arn": "arn:aws:iam::1:instance-profile/s3"}


@pytest.mark.parametrize(
    ("action", "changes"),
    [
        ("DescribeKeyPairs", {"key_pair": "mine"}),
        ("DescribeSecurityGroups", {"security_group": "sg-9"}),
        ("DescribeImages", {"image": "ami-0c0c"}),
        ("CreateSecurityGroup", {}),
        ("AuthorizeSecurityGroupIngress", {}),
        ("GetParameters", {}),
    ],
)
async def test_denied_step_names_its_permission(cloud, stub, make_plan, action, changes):
    code = "AccessDeniedException" if action == "GetParameters" else "UnauthorizedOperation"
    stub.says(action, stub.refused(code, http=403))
    with pytest.raises(AuthError) as caught:
        await cloud.prepare(make_plan(**changes))
    assert f":{action};" in caught.value.fix


async def test_type_is_named_whichever_call_refuses_it_first(cloud, stub, make_plan):
    stub.says("DescribeSpotPriceHistory", stub.refused("InvalidParameterValue", "Invalid instance type"))
    with pytest.raises(ConfigError, match=r"no instance type c99\.large"):
        await cloud.prepare(make_plan(types=("c99.large",)))


async def test_a_type_of_today_that_the_region_lacks_is_done_without(cloud, stub, make_plan):
    """Some regions have no g6: a profile that lists it with others works there all the same."""

    def prices(asked):
        if "g6.xlarge" in asked["InstanceTypes"]:
            return stub.refused("InvalidParameterValue", "Invalid instance type: [g6.xlarge]")
        return {"SpotPriceHistory": []}

    stub.says("DescribeSpotPriceHistory", prices)
    prepared = await cloud.prepare(make_plan(types=("g6.xlarge", "c7i.large")))
    assert {pool.type for pool in prepared.pools} == {"c7i.large"}
    with pytest.raises(ConfigError, match=r"no instance type g6\.xlarge in us-east-1"):
        await cloud.prepare(make_plan(types=("g6.xlarge",)))
    with pytest.raises(ConfigError, match=r"no instance type c7i\.lrage in us-east-1"):
        await cloud.prepare(make_plan(types=("c7i.lrage", "c7i.large")))


async def test_family_without_a_known_quota_is_not_checked(cloud, stub, make_plan):
    await cloud.prepare(make_plan(types=("x2gd.large",), count=1000))
    assert not stub.asked("GetServiceQuota")


async def test_prices_are_asked_type_by_type_where_one_call_brings_none(cloud, stub, make_plan):
    def answer(asked):
        (wanted,) = [one for one in asked["Filters"] if one["Field"] == "instanceType"]
        known = {"c7i.large": "0.0892", "m7i.large": "0.1008"}
        return {
            "PriceList": [stub.product(wanted["Value"], known[wanted["Value"]])] if wanted["Value"] in known else []
        }

    stub.says("GetProducts", answer)
    prepared = await cloud.prepare(make_plan())
    assert prepared.on_demand_usd_per_hour == {"c7i.large": 0.0892, "m7i.large": 0.1008}


async def test_plan_without_user_data(cloud, stub, make_plan):
    await cloud.prepare(make_plan(user_data=b""))
    assert "UserData" not in stub.asked("CreateLaunchTemplate")[0]["LaunchTemplateData"]


async def test_trouble_while_undoing_does_not_hide_what_led_to_it(cloud, stub, make_plan):
    stub.says("CreateLaunchTemplate", stub.refused("InvalidParameterValue", "first"))
    stub.says("DescribeTags", stub.refused("UnauthorizedOperation", http=403))
    with pytest.raises(CloudError, match="first"):
        await cloud.prepare(make_plan())
