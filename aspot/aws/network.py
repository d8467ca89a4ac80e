"""Where instances go: subnets, the run's own security group, and the caller's own address."""

from __future__ import annotations

import difflib
import ipaddress
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import attrs

from aspot.aws import tags
from aspot.aws.clients import Aws, named
from aspot.aws.codes import Cause
from aspot.aws.errors import Trouble
from aspot.errors import CloudError, ConfigError
from aspot.ports import CloudPlan
from aspot.profiles.firewall import Rule, is_ssh, open_to_all, span

log = logging.getLogger(__name__)

CHECK_IP = "https://checkip.amazonaws.com"
"""AWS's own service that says which address a request came from."""
ASK_S = 10.0
LOOPBACK = "127.0.0.1/32"
CALLER = "aspot: the caller"
"""Description of the rule that lets the caller in, and of no other: only such a rule is ever taken out."""
GROUP_NOT_YET = ("InvalidGroup.NotFound", "InvalidGroupId.NotFound", "InvalidSecurityGroupID.NotFound")
OURS = "aspot-"
"""How the names of groups begin that aspot makes: none of them is a user's own."""
SHOWN = 8


@attrs.frozen(kw_only=True)
class Place:
    """Where to launch.

    Args:
        vpc: The VPC.
        subnets: Its subnets to launch into, one a zone.
        is_public: Whether instances get a public address there.
        group: Id of the caller's own group; "" for none.
    """

    vpc: str
    subnets: Mapping[str, str]
    is_public: bool
    group: str = ""


async def place(aws: Aws, group: str) -> Place:
    """Return where to launch: the VPC of the caller's own group, else the default VPC.

    Args:
        aws: The gateway.
        group: The caller's own group, by its id or name; "" for none.

    Raises:
        ConfigError: If there is no such group, several are meant by a name, or there is no such VPC.
    """
    if not group:
        found = await aws.pages("ec2:DescribeSubnets", "Subnets", Filters=[named("default-for-az", ["true"])])
        if not found:
            raise ConfigError(
                f"there is no default VPC in {aws.region}",
                fix="`aws ec2 create-default-vpc`, or give security_group= a group of your own VPC",
            )
        return _place(found, is_public=True)
    own = await _by_id(aws, group) if group.startswith("sg-") else await _by_name(aws, group)
    vpc = str(own["VpcId"])
    found = await aws.pages("ec2:DescribeSubnets", "Subnets", Filters=[named("vpc-id", [vpc])])
    if not found:
        raise ConfigError(f"the VPC of {group} has no subnet", fix="create one, or leave security_group out")
    is_public = any(one.get("MapPublicIpOnLaunch") or one.get("DefaultForAz") for one in found)
    return _place(found, is_public=is_public, group=str(own["GroupId"]))


def _place(found: Iterable[Mapping[str, Any]], *, is_public: bool, group: str = "") -> Place:
    """Take one subnet a zone: one that gives public addresses, and the roomiest of these."""
    order = sorted(found, key=lambda one: (bool(one.get("MapPublicIpOnLaunch")), one.get("AvailableIpAddressCount", 0)))
    subnets = {one["AvailabilityZone"]: one["SubnetId"] for one in order}
    return Place(vpc=order[-1]["VpcId"], subnets=subnets, is_public=is_public, group=group)


async def _by_id(aws: Aws, group: str) -> Mapping[str, Any]:
    try:
        answer = await aws.call("ec2:DescribeSecurityGroups", GroupIds=[group])
    except Trouble as trouble:
        if trouble.cause not in (Cause.NOT_FOUND, Cause.REQUEST):
            raise
        raise ConfigError(
            f"there is no security group {group} in {aws.region}",
            fix="give its id (sg-…) or name, or leave security_group out",
        ) from trouble
    found: Mapping[str, Any] = answer["SecurityGroups"][0]
    return found


async def _by_name(aws: Aws, name: str) -> Mapping[str, Any]:
    """Return the group of this name: that of the default VPC, else the only one there is (names are a VPC's own)."""
    found = await _groups(aws, named("group-name", [name]))
    if len(found) == 1:
        return found[0]
    if not found:
        raise _no_such_group(aws, name, [str(one["GroupName"]) for one in await _groups(aws)])
    subnets = await aws.pages("ec2:DescribeSubnets", "Subnets", Filters=[named("default-for-az", ["true"])])
    usual = [one for one in found if one["VpcId"] in {subnet["VpcId"] for subnet in subnets}]
    if usual:
        return usual[0]
    listed = ", ".join(f"{one['GroupId']} in {one['VpcId']}" for one in found[:SHOWN])
    raise ConfigError(
        f"{len(found)} security groups in {aws.region} are called {name}, none of them in the default VPC",
        fix=f"give the id of one: {listed}",
    )


async def _groups(aws: Aws, *filters: Mapping[str, Any]) -> list[dict[str, Any]]:
    return await aws.pages("ec2:DescribeSecurityGroups", "SecurityGroups", Filters=list(filters))


def _no_such_group(aws: Aws, name: str, known: Iterable[str]) -> ConfigError:
    names = sorted({one for one in known if not one.startswith(OURS)})
    near = difflib.get_close_matches(name, names, n=2)
    some = f"{', '.join(names[:SHOWN])}{', …' if len(names) > SHOWN else ''}"
    meant = f"did you mean {' or '.join(near)}?" if near else f"there are: {some}" if names else "there is none"
    return ConfigError(
        f"there is no security group called {name!r} in {aws.region}", fix=f"{meant} (or leave security_group out)"
    )


async def rules(aws: Aws, wanted: Iterable[Rule] | None) -> tuple[Rule, ...]:
    """Return what may come in: the caller's rules, and SSH from the caller's own address unless they say who may."""
    given = tuple(wanted or ())
    return (caller_rule(await own_address(aws)), *given) if asks_address(given) else given


def asks_address(wanted: Iterable[Rule] | None) -> bool:
    """Tell whether the rules leave it to us who may use SSH: then it is the caller, from wherever that is."""
    return not any(is_ssh(rule) for rule in wanted or ())


def warnings(plan: CloudPlan) -> tuple[str, ...]:
    """Return what users should know of the rules that they gave."""
    wide = () if plan.security_group else open_to_all(plan.firewall)
    return tuple(
        f"the firewall lets everybody in: {protocol} port {port} is open to {cidr}" for protocol, port, cidr in wide
    )


def caller_rule(own: str) -> Rule:
    """Return the rule that lets the caller in."""
    return ("tcp", 22, own)


async def own_address(aws: Aws) -> str:
    """Return the caller's own address as a network of one.

    Raises:
        CloudError: If it cannot be found out.
    """
    if aws.is_loopback:
        return LOOPBACK
    import aiohttp

    try:
        timeout = aiohttp.ClientTimeout(total=ASK_S)
        async with aiohttp.ClientSession(timeout=timeout) as session, session.get(CHECK_IP) as answer:
            return str(ipaddress.ip_network(ipaddress.ip_address((await answer.text()).strip())))
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise CloudError(
            f"your own address could not be found out at {CHECK_IP}: {error}",
            fix='say who may use SSH: firewall="203.0.113.7/32" in the profile',
        ) from error


async def make_group(aws: Aws, plan: CloudPlan, vpc: str, allowed: Iterable[Rule]) -> str:
    """Make the run's own group, open to these rules only; return its id.

    Repeating adopts it; a caller that has moved since is let in, and the address before no longer.
    """
    name, before = f"aspot-{plan.run.id}", list[Rule]()
    try:
        answer = await aws.call(
            "ec2:CreateSecurityGroup",
            GroupName=name,
            Description=f"aspot run {plan.run.name}: SSH from its caller",
            VpcId=vpc,
            TagSpecifications=tags.on(["security-group"], tags.tags_of(plan)),
        )
        group = str(answer["GroupId"])
    except Trouble as trouble:
        if trouble.code != "InvalidGroup.Duplicate":
            raise
        group, before = await _adopt(aws, plan, name)  # our first answer was lost, or the run is taken up again
    wanted = list(allowed)
    await authorize(aws, group, wanted, is_callers=asks_address(plan.firewall))
    try:
        await revoke(aws, group, [rule for rule in before if rule not in wanted])
    except Trouble as trouble:
        if trouble.cause is not Cause.AUTH:
            raise
        log.warning("an earlier address stays let in", extra={"group": group, "code": trouble.code})
    return group


async def _adopt(aws: Aws, plan: CloudPlan, name: str) -> tuple[str, list[Rule]]:
    """Return the id of the run's group, and the rules in it that let its caller in."""
    answer = await aws.call(
        "ec2:DescribeSecurityGroups", Filters=[named("group-name", [name]), tags_filter(plan.run.id)], MaxResults=5
    )
    if not answer["SecurityGroups"]:
        raise ConfigError(f"a security group {name} exists that is not this run's", fix=f"delete {name}, then repeat")
    found = answer["SecurityGroups"][0]
    return str(found["GroupId"]), callers(found.get("IpPermissions", []))


async def authorize(aws: Aws, group: str, rules: Sequence[Rule], *, is_callers: bool = True) -> None:
    """Add rules to a group; those that are there already are no harm.

    Args:
        aws: The gateway.
        group: Its id.
        rules: What may come in.
        is_callers: Whether the first rule is the caller's, to be known again by its description.
    """
    descriptions = [CALLER if is_callers and not number else "aspot" for number in range(len(rules))]
    try:
        await aws.call(
            "ec2:AuthorizeSecurityGroupIngress",
            awaited=GROUP_NOT_YET,
            GroupId=group,
            IpPermissions=[_permission(rule, text) for rule, text in zip(rules, descriptions, strict=True)],
        )
    except Trouble as trouble:
        if trouble.code != "InvalidPermission.Duplicate":
            raise
        if len(rules) > 1:  # EC2 adds none of them then
            await authorize(aws, group, rules[:1], is_callers=is_callers)
            await authorize(aws, group, rules[1:], is_callers=False)


async def revoke(aws: Aws, group: str, rules: Iterable[Rule]) -> None:
    """Take rules out of a group; those that are gone already are no harm."""
    for rule in rules:
        try:
            await aws.call(
                "ec2:RevokeSecurityGroupIngress", GroupId=group, IpPermissions=[_permission(rule, description="")]
            )
        except Trouble as trouble:
            if trouble.cause is not Cause.NOT_FOUND and trouble.code != "InvalidPermission.NotFound":
                raise


def callers(permissions: Iterable[Mapping[str, Any]]) -> list[Rule]:
    """Return those of a group's rules that we made for its caller."""
    found = [
        (one["IpProtocol"], one.get("FromPort", 0), source.get("CidrIp") or source["CidrIpv6"])
        for one in permissions
        for source in (*one.get("IpRanges", []), *one.get("Ipv6Ranges", []))
        if source.get("Description") == CALLER
    ]
    return [(str(protocol), int(port), str(cidr)) for protocol, port, cidr in found]


async def let_in(aws: Aws, run: str) -> None:
    """Open the run's own group to SSH from the caller's present address; nothing where there is no such group."""
    answer = await aws.call(
        "ec2:DescribeSecurityGroups",
        Filters=[named("group-name", [f"aspot-{run}"]), tags_filter(run)],
        MaxResults=5,
    )
    for group in answer["SecurityGroups"]:
        await authorize(aws, group["GroupId"], [caller_rule(await own_address(aws))])


def tags_filter(run: str) -> dict[str, Any]:
    """Return the filter for everything of a run."""
    return named(f"tag:{tags.RUN}", [run])


def _permission(rule: Rule, description: str) -> dict[str, Any]:
    protocol, port, cidr = rule
    low, high = span(port)
    said = {"Description": description} if description else {}
    is_v6 = ipaddress.ip_network(cidr).version == 6
    ranges = {"Ipv6Ranges": [{"CidrIpv6": cidr, **said}]} if is_v6 else {"IpRanges": [{"CidrIp": cidr, **said}]}
    return {"IpProtocol": protocol, "FromPort": low, "ToPort": high, **ranges}
