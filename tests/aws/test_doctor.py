"""`aspot doctor`: each check, each with its fix; nothing is made."""

import json
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from aspot.aws.doctor import POLICY, checks

IDENTITY = (
    "<GetCallerIdentityResponse><GetCallerIdentityResult><Arn>arn:aws:iam::1:user/me</Arn></GetCallerIdentityResult>"
    "</GetCallerIdentityResponse>"
)
DESCRIBED = (
    "SpotInstanceRequests",
    "Tags",
    "SecurityGroups",
    "LaunchTemplates",
    "Volumes",
    "NetworkInterfaces",
    "KeyPairs",
    "Instances",
)


@pytest.fixture
def healthy(stub):
    """An account in which everything is allowed."""
    stub.says("GetCallerIdentity", IDENTITY)
    granted = stub.refused("DryRunOperation", "Request would have succeeded", 412)
    for action in (
        "RunInstances",
        "CreateLaunchTemplate",
        "CreateSecurityGroup",
        *(f"Describe{one}" for one in DESCRIBED),
    ):
        stub.says(action, granted)
    for action in ("DescribeInstanceTypes", "DescribeInstanceTypeOfferings", "DescribeSpotPriceHistory"):
        stub.says(action, granted)
    stub.says("CreateFleet", stub.refused("InvalidLaunchTemplateId.NotFound"))
    stub.says("TerminateInstances", stub.refused("InvalidInstanceID.NotFound"))
    return stub


async def found():
    return {check.name: check async for check in checks(None)}


async def test_all_is_well(healthy):
    seen = await found()
    assert {check.verdict for check in seen.values()} == {"ok"}
    assert list(seen) == [
        "credentials",
        "clock",
        "network",
        "permissions",
        "prices, quota",
        "quota",
        "events",
        "own address",
    ]
    assert "arn:aws:iam::1:user/me" in seen["credentials"].detail


async def test_nothing_is_made(healthy):
    await found()
    for action in ("RunInstances", "CreateFleet", "CreateLaunchTemplate", "CreateSecurityGroup", "TerminateInstances"):
        assert all(asked["DryRun"] is True for asked in healthy.asked(action))


async def test_missing_permissions_are_all_named(healthy):
    for action in ("CreateFleet", "CreateSecurityGroup"):
        healthy.says(action, healthy.refused("UnauthorizedOperation", http=403))
    check = (await found())["permissions"]
    assert check.verdict == "failed"
    assert "ec2:CreateFleet, ec2:CreateSecurityGroup" in check.fix
    assert POLICY.name in check.fix


async def test_ending_may_be_allowed_by_tag_only(healthy):
    healthy.says("TerminateInstances", healthy.refused("UnauthorizedOperation", http=403))
    check = (await found())["permissions"]
    assert check.verdict == "warning"
    assert "ec2:TerminateInstances" in check.detail


ROLES = POLICY.parents[1] / "storage/roles.py"
"""`aspot roles create` is for who may make roles: a run never is."""


def test_policy_allows_all_that_the_adapter_calls():
    statements = json.loads(POLICY.read_text())["Statement"]
    allowed = {
        action
        for one in statements
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
    }
    folders = (POLICY.parent, POLICY.parents[1] / "storage")
    source = "".join(path.read_text() for folder in folders for path in folder.glob("*.py") if path != ROLES)
    called = set(
        re.findall(r'"((?:ec2|elasticfilesystem|events|iam|pricing|servicequotas|sqs|ssm|sts):[A-Z][A-Za-z]+)"', source)
    )
    assert called - {"sqs:SendMessage"} <= allowed  # that is what a queue of ours allows its rule
    assert {"ec2:DescribeVolumes", "ec2:DeleteSecurityGroup", "ec2:CreateTags", "iam:PassRole"} <= allowed


def test_policy_lets_things_be_made_with_our_tag_and_only_such_be_ended():
    statements = {one["Sid"]: one for one in json.loads(POLICY.read_text())["Statement"]}
    assert statements["MakeTagged"]["Condition"] == {"StringLike": {"aws:RequestTag/aspot:run": "*"}}
    assert statements["EndOwn"]["Condition"] == {"StringLike": {"aws:ResourceTag/aspot:run": "*"}}


async def test_unclear_permissions_are_a_warning(healthy):
    healthy.says("RunInstances", healthy.refused("InvalidParameterCombination"))
    check = (await found())["permissions"]
    assert check.verdict == "warning"
    assert "InvalidParameterCombination" in check.detail


async def test_no_vpc_fails_network_and_permissions(healthy):
    healthy.says("DescribeSubnets", {"Subnets": []})
    seen = await found()
    assert {seen[name].verdict for name in ("network", "permissions")} == {"failed"}
    assert "create-default-vpc" in seen["network"].fix


async def test_reads_that_are_denied(healthy):
    healthy.says("DescribeSubnets", healthy.refused("UnauthorizedOperation", http=403))
    seen = await found()
    assert {seen[name].verdict for name in ("network", "permissions")} == {"failed"}


async def test_prices_and_quota_are_optional(healthy):
    for action in ("GetServiceQuota", "GetProducts"):
        healthy.says(action, healthy.refused("AccessDeniedException"))
    seen = await found()
    assert (seen["prices, quota"].verdict, seen["quota"].verdict) == ("warning", "skipped")


async def test_quota_of_nothing(healthy):
    healthy.says("GetServiceQuota", {"Quota": {"Value": 0.0}})
    check = (await found())["quota"]
    assert check.verdict == "failed"
    assert "L-34B43A08" in check.fix


@pytest.mark.parametrize(("ahead_s", "verdict"), [(900, "failed"), (-100, "warning"), (0, "ok")])
async def test_clock(healthy, ahead_s, verdict):
    healthy.headers["Date"] = format_datetime(datetime.now(UTC) - timedelta(seconds=ahead_s), usegmt=True)
    check = (await found())["clock"]
    assert check.verdict == verdict
    assert bool(check.fix) is (verdict != "ok")


async def test_clock_cannot_be_compared_without_a_date(healthy):
    healthy.headers["Date"] = "no date"
    assert (await found())["clock"].verdict == "skipped"


async def test_own_address_that_cannot_be_found_out(healthy, monkeypatch, unused_url):
    monkeypatch.setattr("aspot.aws.clients.Aws.is_loopback", False)
    monkeypatch.setattr("aspot.aws.network.CHECK_IP", unused_url)
    check = (await found())["own address"]
    assert (check.verdict, "firewall=" in check.fix) == ("warning", True)


async def test_bad_credentials_end_the_examination(healthy):
    healthy.says("GetCallerIdentity", healthy.refused("InvalidClientTokenId", http=403))
    seen = await found()
    assert list(seen) == ["credentials"]
    assert "aws configure" in seen["credentials"].fix


async def test_no_region(healthy, monkeypatch):
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    seen = await found()
    assert list(seen) == ["configuration"]
    assert seen["configuration"].verdict == "failed"
