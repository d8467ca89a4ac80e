"""Who may use SSH: the run's own group follows its caller's address; a group of the user's own is only looked at."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from typing import Any

from aspot.aws import network
from aspot.aws.clients import Aws
from aspot.aws.codes import TRANSIENT, Cause
from aspot.aws.errors import Trouble
from aspot.ports import CloudPlan
from aspot.profiles.firewall import Rule

SSH = 22


async def follow(aws: Aws, plan: CloudPlan, group: str) -> str:
    """Have SSH let in from where the caller is now, and no longer from where the caller was.

    Returns:
        What changed, or what the user has to do, as text for people; "" if the caller's address is let in already.

    Raises:
        CloudError: If the caller's own address cannot be found out.
        Trouble: If EC2 could not be asked, or refused.
    """
    own = await network.own_address(aws)
    answer = await aws.call("ec2:DescribeSecurityGroups", GroupIds=[group])
    found = answer["SecurityGroups"][0].get("IpPermissions", [])
    if plan.security_group or not network.asks_address(plan.firewall):
        return "" if is_let_in(found, own) else _ask_user(aws, group, own)
    before = [rule for rule in network.callers(found) if rule[2] != own]
    if not before and is_let_in(found, own):
        return ""
    await network.authorize(aws, group, [network.caller_rule(own)])
    return f"your address is {own} now: security group {group} lets it in{await forget(aws, group, before)}"


async def forget(aws: Aws, group: str, rules: list[Rule]) -> str:
    """Take rules of ours out of the group; return the rest of the sentence that says so."""
    if not rules:
        return ""
    old = ", ".join(cidr for _, _, cidr in rules)
    try:
        await network.revoke(aws, group, rules)
    except Trouble as trouble:
        if trouble.cause in TRANSIENT or trouble.cause is Cause.EXPIRED:
            raise
        return f"; {old} stays let in, since its rule could not be taken out ({trouble.code})"
    return f", and {old} no longer"


def is_let_in(permissions: list[Mapping[str, Any]], own: str) -> bool:
    """Tell whether a group's rules let SSH in from an address; prefix lists are not looked into and count as yes."""
    return any(_admits(permission, own) for permission in permissions if _is_ssh(permission))


def _is_ssh(permission: Mapping[str, Any]) -> bool:
    if permission["IpProtocol"] == "-1":
        return True
    low, high = int(permission.get("FromPort", 0)), int(permission.get("ToPort", 65535))
    return permission["IpProtocol"] == "tcp" and low <= SSH <= high


def _admits(permission: Mapping[str, Any], own: str) -> bool:
    mine = ipaddress.ip_network(own)
    cidrs = [one["CidrIp"] for one in permission.get("IpRanges", [])]
    cidrs += [one["CidrIpv6"] for one in permission.get("Ipv6Ranges", [])]
    networks = [ipaddress.ip_network(cidr, strict=False) for cidr in cidrs]
    inside = any(one.version == mine.version and mine.subnet_of(one) for one in networks)  # type: ignore[arg-type]
    return inside or bool(permission.get("PrefixListIds"))


def _ask_user(aws: Aws, group: str, own: str) -> str:
    words = f"--protocol tcp --port {SSH} --cidr {own}"
    if ":" in own:
        words = f"--ip-permissions 'IpProtocol=tcp,FromPort={SSH},ToPort={SSH},Ipv6Ranges=[{{CidrIpv6={own}}}]'"
    return (
        f"no machine can be reached: your address is {own}, and security group {group}, whose rules are yours, does "
        f"not let it in; aws ec2 authorize-security-group-ingress --region {aws.region} --group-id {group} {words}"
    )
