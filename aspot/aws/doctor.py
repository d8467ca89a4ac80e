"""`aspot doctor`: what stands between this machine and a launch, one check after another, each with its fix."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

import attrs

from aspot.aws import channel, images, network, pools
from aspot.aws.clients import Aws, named
from aspot.aws.codes import Cause
from aspot.aws.errors import SKEW_S, Trouble, to_error
from aspot.aws.tags import RUN, on
from aspot.aws.together import together
from aspot.errors import AspotError

NOBODY = "i-0123456789abcdef0"
_TAGS = [{"Key": RUN, "Value": "doctor"}]
SMALLEST_VCPUS = 2
POLICY = Path(__file__).with_name("policy.json")
"""The smallest policy that is enough, by tag; written from AWS's documents and not yet tried on a real account."""
BY_TAG = ("ec2:TerminateInstances",)
"""What a policy may allow for aspot's own instances only: DryRun on one that does not exist cannot tell."""
STANDARD = "L-34B43A08"
"""Quota code of standard spot types."""


@attrs.frozen(kw_only=True)
class Check:
    """One check.

    Args:
        name: What was checked.
        verdict: `ok`, `warning`, `failed` or `skipped`.
        detail: What was found.
        fix: What to do; "" for nothing.
    """

    name: str
    verdict: str
    detail: str = ""
    fix: str = ""


async def checks(region: str | None) -> AsyncIterator[Check]:
    """Yield each check when it is done. Nothing is launched or made: permissions are tried by DryRun.

    Args:
        region: Region; None for the one of AWS's own configuration.
    """
    try:
        aws = await Aws.open(region)
    except AspotError as error:
        yield Check(name="configuration", verdict="failed", detail=error.message, fix=error.fix)
        return
    try:
        identity = await _identity(aws)
        for check in identity:
            yield check
        rest: tuple[Callable[[Aws], Awaitable[Check]], ...] = (_vpc, _permissions, _helpful, _quota, _events, _address)
        for step in rest if identity[0].verdict == "ok" else ():
            yield await step(aws)
    finally:
        await aws.aclose()


def _failed(name: str, error: AspotError, *, verdict: str = "failed") -> Check:
    return Check(name=name, verdict=verdict, detail=error.message, fix=error.fix)


async def _identity(aws: Aws) -> list[Check]:
    try:
        answer = await aws.call("sts:GetCallerIdentity", tries=2)
    except Trouble as trouble:
        return [_failed("credentials", to_error(trouble))]
    where = f"{answer.get('Arn', '')} in {aws.region}" + (f" at {aws.endpoint}" if aws.is_loopback else "")
    return [Check(name="credentials", verdict="ok", detail=where), _clock(answer)]


def _clock(answer: Mapping[str, Any]) -> Check:
    date = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {}).get("date", "")
    try:
        ahead = (datetime.now(UTC) - parsedate_to_datetime(date)).total_seconds()
    except (TypeError, ValueError):
        return Check(name="clock", verdict="skipped", detail="AWS's answer has no date")
    detail = f"{ahead:+.0f} s against AWS's"
    if abs(ahead) < SKEW_S / 4:
        return Check(name="clock", verdict="ok", detail=detail)
    verdict = "failed" if abs(ahead) > SKEW_S else "warning"
    return Check(name="clock", verdict=verdict, detail=detail, fix="set the clock: timedatectl set-ntp true")


async def _vpc(aws: Aws) -> Check:
    try:
        found = await network.place(aws, "")
    except AspotError as error:
        return _failed("network", error)
    except Trouble as trouble:
        return _failed("network", to_error(trouble))
    return Check(name="network", verdict="ok", detail=f"default VPC {found.vpc}, {len(found.subnets)} zones")


# --- permissions ---


async def _permissions(aws: Aws) -> Check:
    """Try what a run needs, by DryRun: EC2 says what it would have answered."""
    try:
        trials = await _trials(aws)
    except Trouble as trouble:
        return _failed("permissions", to_error(trouble))
    except AspotError as error:
        return _failed("permissions", error)
    outcomes = await together(*(partial(_try, aws, operation, params) for operation, params in trials.items()))
    return _verdict([(operation, outcome) for operation, outcome in zip(trials, outcomes, strict=True) if outcome])


def _verdict(refusals: list[tuple[str, Trouble]]) -> Check:
    denied = [one for one, trouble in refusals if trouble.cause is Cause.AUTH and one not in BY_TAG]
    if denied:
        return Check(
            name="permissions",
            verdict="failed",
            detail=f"not allowed: {', '.join(denied)}",
            fix=f"have these actions allowed: {', '.join(denied)}; the smallest policy that is enough: {POLICY}",
        )
    if refusals:
        said = "; ".join(f"{operation}: {trouble.code}" for operation, trouble in refusals)
        return Check(name="permissions", verdict="warning", detail=f"not certain: {said}")
    return Check(name="permissions", verdict="ok", detail="launch, describe, terminate, clean up (by DryRun)")


async def _try(aws: Aws, operation: str, params: Mapping[str, Any]) -> Trouble | None:
    """Return the refusal; None if it would have been allowed.

    EC2 checks permissions before it looks for what ids name, so "not found" means allowed.
    """
    try:
        await aws.call(operation, tries=3, DryRun=True, **params)
    except Trouble as trouble:
        return None if trouble.cause in (Cause.GRANTED, Cause.NOT_FOUND) else trouble
    return None


async def _trials(aws: Aws) -> dict[str, dict[str, Any]]:
    place = await network.place(aws, "")
    image = await images.find(aws, "", archs=["x86_64"], disk_gb=images.SMALLEST_GB, user="")
    ami, subnet = image.ids["x86_64"], next(iter(place.subnets.values()))
    template = {"LaunchTemplateId": "lt-0123456789abcdef0", "Version": "1"}
    mine = [named(f"tag:{RUN}", ["doctor"])]
    one_spot = {"TotalTargetCapacity": 1, "DefaultTargetCapacityType": "spot"}
    kinds = ("Volumes", "NetworkInterfaces", "SecurityGroups", "LaunchTemplates", "KeyPairs")
    reads = ("Instances", "SpotInstanceRequests", "Subnets", "Tags", *kinds)
    trials: dict[str, dict[str, Any]] = {
        "ec2:RunInstances": {
            "ImageId": ami,
            "InstanceType": "c7i.large",
            "MinCount": 1,
            "MaxCount": 1,
            "SubnetId": subnet,
            "InstanceMarketOptions": {"MarketType": "spot"},
            "TagSpecifications": on(("instance", "volume", "network-interface", "spot-instances-request"), _TAGS),
        },
        "ec2:CreateFleet": {
            "Type": "instant",
            "LaunchTemplateConfigs": [{"LaunchTemplateSpecification": template}],
            "TargetCapacitySpecification": one_spot,
            "TagSpecifications": on(("fleet", "instance", "volume", "network-interface"), _TAGS),
        },
        "ec2:CreateLaunchTemplate": {
            "LaunchTemplateName": "aspot-doctor",
            "LaunchTemplateData": {"ImageId": ami},
            "TagSpecifications": on(["launch-template"], _TAGS),
        },
        "ec2:CreateSecurityGroup": {
            "GroupName": "aspot-doctor",
            "Description": "aspot doctor",
            "VpcId": place.vpc,
            "TagSpecifications": on(["security-group"], _TAGS),
        },
        "ec2:TerminateInstances": {"InstanceIds": [NOBODY]},
        "ec2:DescribeInstanceTypeOfferings": {"LocationType": "availability-zone"},
        "ec2:DescribeSpotPriceHistory": {"InstanceTypes": ["c7i.large"]},
        "ec2:DescribeInstanceTypes": {"InstanceTypes": ["c7i.large"]},
    }
    return trials | {f"ec2:Describe{what}": {"Filters": mine} for what in reads}


async def _helpful(aws: Aws) -> Check:
    """Try what a run can do without."""
    wanted: dict[str, dict[str, Any]] = {
        "servicequotas:GetServiceQuota": {"ServiceCode": "ec2", "QuotaCode": STANDARD},
        "pricing:GetProducts": {"ServiceCode": "AmazonEC2", "region": pools.PRICING_REGION, "MaxResults": 1},
    }
    lacking = []
    for operation, params in wanted.items():
        try:
            await aws.once(operation, **params)
        except Trouble as trouble:
            lacking.append(f"{operation} ({trouble.code})")
    if not lacking:
        return Check(name="prices, quota", verdict="ok", detail="can be read")
    return Check(
        name="prices, quota",
        verdict="warning",
        detail=f"not to be had: {', '.join(lacking)}",
        fix="allow these actions to see on-demand prices, and quotas before a launch",
    )


async def _quota(aws: Aws) -> Check:
    limit = await pools.limit(aws, STANDARD)
    if limit == float("inf"):
        return Check(name="quota", verdict="skipped", detail="cannot be read")
    detail = f"{limit:.0f} vCPUs of standard spot types at once, {limit // SMALLEST_VCPUS:.0f} × c7i.large"
    if limit >= SMALLEST_VCPUS:
        return Check(name="quota", verdict="ok", detail=detail)
    return Check(
        name="quota", verdict="failed", detail=detail, fix=f"request more: {pools.quota_link(aws.region, STANDARD)}"
    )


async def _events(aws: Aws) -> Check:
    """See whether runs hear EC2's own events; they can do without."""
    try:
        is_there = await channel.url_of(aws, channel.SHARED)
    except Trouble as trouble:
        return Check(name="events", verdict="skipped", detail=f"cannot be seen ({trouble.operation}: {trouble.code})")
    if is_there:
        return Check(name="events", verdict="ok", detail="set up: notices come in a third way, too")
    return Check(
        name="events", verdict="ok", detail="not set up; where a third way for notices is wanted: aspot events setup"
    )


async def _address(aws: Aws) -> Check:
    try:
        mine = await network.own_address(aws)
    except AspotError as error:
        return _failed("own address", error, verdict="warning")
    return Check(name="own address", verdict="ok", detail=f"{mine}: SSH is opened for it alone")
