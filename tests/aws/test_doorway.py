"""Who may use SSH when the caller's address changes: what is asked of EC2, and what is left alone."""

import pytest

from aspot.aws import network
from aspot.errors import CloudError
from aspot.ports import CloudUnavailable, CredentialsExpired

pytestmark = pytest.mark.anyio

OLD, NEW = "127.0.0.1/32", "127.0.0.9/32"


def rule(*cidrs, text=network.CALLER, protocol="tcp", low=22, high=22):
    ranges = [{"CidrIp": cidr, "Description": text} for cidr in cidrs if ":" not in cidr]
    v6 = [{"CidrIpv6": cidr, "Description": text} for cidr in cidrs if ":" in cidr]
    return {"IpProtocol": protocol, "FromPort": low, "ToPort": high, "IpRanges": ranges, "Ipv6Ranges": v6}


def groups(*rules, group="sg-1"):
    return {"SecurityGroups": [{"GroupId": group, "VpcId": "vpc-1", "IpPermissions": list(rules)}]}


@pytest.fixture
async def prepared(cloud, stub, make_plan):
    """A prepared cloud whose group lets the caller in; its caller moves to another address."""

    async def call(**changes):
        await cloud.prepare(make_plan(**changes))
        stub.calls.clear()
        return cloud

    stub.says("RevokeSecurityGroupIngress", {"Return": True})
    return call


@pytest.fixture
def moved(monkeypatch):
    monkeypatch.setattr(network, "LOOPBACK", NEW)


def changes(stub):
    """What was changed, as (action, CIDRs)."""
    done = [(name, params["IpPermissions"]) for name, params in stub.calls if "Ingress" in name]
    return [(name[:6], [one["CidrIp"] for item in items for one in item["IpRanges"]]) for name, items in done]


async def test_the_new_address_is_let_in_before_the_old_one_is_taken_out(prepared, stub, moved):
    cloud = await prepared()
    stub.says("DescribeSecurityGroups", groups(rule(OLD)))
    told = await cloud.let_caller_in()
    assert changes(stub) == [("Author", [NEW]), ("Revoke", [OLD])]
    assert told == f"your address is {NEW} now: security group sg-1 lets it in, and {OLD} no longer"


async def test_the_caller_who_has_not_moved_changes_nothing(prepared, stub):
    cloud = await prepared()
    stub.says("DescribeSecurityGroups", groups(rule(OLD)))
    assert await cloud.let_caller_in() == ""
    assert changes(stub) == []


async def test_rules_that_others_made_stay(prepared, stub, moved):
    cloud = await prepared()
    stub.says("DescribeSecurityGroups", groups(rule(OLD), rule("198.51.100.7/32", text="my colleague")))
    await cloud.let_caller_in()
    assert changes(stub) == [("Author", [NEW]), ("Revoke", [OLD])]


async def test_a_rule_that_went_away_is_made_again(prepared, stub):
    cloud = await prepared()
    stub.says("DescribeSecurityGroups", groups())
    assert OLD in await cloud.let_caller_in()
    assert changes(stub) == [("Author", [OLD])]


async def test_a_rule_that_may_not_be_taken_out_is_said(prepared, stub, moved):
    cloud = await prepared()
    stub.says("DescribeSecurityGroups", groups(rule(OLD)))
    stub.says("RevokeSecurityGroupIngress", stub.refused("UnauthorizedOperation"))
    assert f"{OLD} stays let in" in await cloud.let_caller_in()


async def test_a_rule_that_is_gone_already_is_no_harm(prepared, stub, moved):
    cloud = await prepared()
    stub.says("DescribeSecurityGroups", groups(rule(OLD)))
    stub.says("AuthorizeSecurityGroupIngress", stub.refused("InvalidPermission.Duplicate"))
    stub.says("RevokeSecurityGroupIngress", stub.refused("InvalidPermission.NotFound"))
    assert "no longer" in await cloud.let_caller_in()


@pytest.mark.parametrize(
    ("rules", "is_in"),
    [
        ([rule("127.0.0.0/8")], True),
        ([rule(NEW)], True),
        ([rule("0.0.0.0/0", protocol="-1")], True),
        ([rule("0.0.0.0/0", low=0, high=65535)], True),
        ([{"IpProtocol": "tcp", "FromPort": 22, "ToPort": 22, "PrefixListIds": [{"PrefixListId": "pl-1"}]}], True),
        ([], False),
        ([rule(OLD)], False),
        ([rule("2001:db8::/64")], False),
        ([rule("0.0.0.0/0", low=8888, high=8888)], False),
        ([rule("0.0.0.0/0", protocol="udp")], False),
    ],
)
async def test_a_group_of_the_users_own_is_only_looked_at(prepared, stub, moved, rules, is_in):
    stub.says("DescribeSecurityGroups", groups(group="sg-9"))
    cloud = await prepared(security_group="sg-9")
    stub.says("DescribeSecurityGroups", groups(*rules, group="sg-9"))
    told = await cloud.let_caller_in()
    assert changes(stub) == []
    assert (told == "") is is_in
    assert is_in or told.endswith(
        "aws ec2 authorize-security-group-ingress --region us-east-1 --group-id sg-9 "
        f"--protocol tcp --port 22 --cidr {NEW}"
    )


async def test_rules_that_the_user_gave_are_the_users(prepared, stub, moved):
    cloud = await prepared(firewall=(("tcp", 22, OLD),))
    stub.says("DescribeSecurityGroups", groups(rule(OLD, text="aspot")))
    assert "--group-id sg-1" in await cloud.let_caller_in()
    assert changes(stub) == []


async def test_an_address_of_the_newer_kind_has_a_rule_of_its_own(prepared, stub, monkeypatch):
    monkeypatch.setattr(network, "LOOPBACK", "2001:db8::7/128")
    stub.says("DescribeSecurityGroups", groups(group="sg-9"))
    cloud = await prepared(security_group="sg-9")
    assert "Ipv6Ranges=[{CidrIpv6=2001:db8::7/128}]" in await cloud.let_caller_in()


async def test_what_may_not_be_done_and_what_cannot_be_asked_are_told_apart(prepared, stub, moved, monkeypatch):
    cloud = await prepared()
    stub.says("DescribeSecurityGroups", stub.refused("UnauthorizedOperation"))
    with pytest.raises(CredentialsExpired, match="DescribeSecurityGroups"):
        await cloud.let_caller_in()

    async def offline(_):
        raise CloudError("your own address could not be found out")

    monkeypatch.setattr(network, "own_address", offline)
    with pytest.raises(CloudUnavailable, match="own address"):
        await cloud.let_caller_in()


async def test_before_there_is_a_group_nothing_is_asked(cloud, stub):
    assert await cloud.let_caller_in() == ""
    assert stub.calls == []


async def test_taking_a_run_up_elsewhere_takes_the_old_rule_out(cloud, stub, make_plan, moved):
    stub.says("CreateSecurityGroup", stub.refused("InvalidGroup.Duplicate"))
    stub.says("DescribeSecurityGroups", groups(rule(OLD), rule("198.51.100.7/32", text="my colleague")))
    stub.says("RevokeSecurityGroupIngress", {"Return": True})
    await cloud.prepare(make_plan())
    assert changes(stub) == [("Author", [NEW]), ("Revoke", [OLD])]


async def test_an_old_rule_that_may_not_be_taken_out_keeps_nobody_from_coming_back(cloud, stub, make_plan, moved):
    stub.says("CreateSecurityGroup", stub.refused("InvalidGroup.Duplicate"))
    stub.says("DescribeSecurityGroups", groups(rule(OLD)))
    stub.says("RevokeSecurityGroupIngress", stub.refused("UnauthorizedOperation"))
    await cloud.prepare(make_plan())
    assert stub.asked("CreateLaunchTemplate")


async def test_of_several_rules_those_that_are_there_keep_the_others_from_nothing(cloud, stub, make_plan):
    """EC2 adds none of a call's rules when one of them is there."""
    twice = stub.refused("InvalidPermission.Duplicate")
    stub.says("AuthorizeSecurityGroupIngress", twice, {"Return": True}, twice)
    await cloud.prepare(make_plan(firewall=(("tcp", 8888, "198.51.100.0/24"),)))
    assert changes(stub) == [
        ("Author", [OLD, "198.51.100.0/24"]),
        ("Author", [OLD]),
        ("Author", ["198.51.100.0/24"]),
    ]
