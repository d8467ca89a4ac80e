"""EC2's request limits: token buckets per account, Region and action (AWS.md 2). Pure: time comes in."""

from __future__ import annotations

import re
from typing import Any

import attrs

from aspot.local.refusal import Refusal

__all__ = ["Throttle"]


@attrs.frozen
class _Rate:
    burst: float
    refill_per_s: float


@attrs.define
class _Bucket:
    tokens: float
    at: float

    def take(self, rate: _Rate, *, amount: float, now: float) -> bool:
        self.tokens = min(rate.burst, self.tokens + (now - self.at) * rate.refill_per_s)
        self.at = now
        if self.tokens < amount:
            return False
        self.tokens -= amount
        return True


# "Request throttling for the Amazon EC2 API", table of request token bucket sizes and refill rates.
_NAMED = {
    "RunInstances": _Rate(5, 2),
    "StartInstances": _Rate(5, 2),
    "TerminateInstances": _Rate(100, 5),
    "CreateLaunchTemplateVersion": _Rate(100, 5),
    "CreateVolume": _Rate(100, 5),
    "DeleteVolume": _Rate(100, 5),
    "CreateTags": _Rate(100, 10),
    "DeleteTags": _Rate(100, 10),
}
_MUTATING = _Rate(50, 5)
_READING = _Rate(100, 20)
_READING_ALL = _Rate(50, 10)
_UNBOUNDED_READS = frozenset(
    {
        "DescribeInstances",
        "DescribeInstanceStatus",
        "DescribeNetworkInterfaces",
        "DescribeSecurityGroups",
        "DescribeSnapshots",
        "DescribeSpotInstanceRequests",
        "DescribeVolumes",
    }
)
_READS = re.compile("Describe|Get|List|Search")
# The same page, "resource token bucket": counted by instances, not by requests.
_RESOURCES = {"RunInstances": _Rate(1000, 2), "TerminateInstances": _Rate(1000, 20)}


class Throttle:
    """The buckets of one account."""

    def __init__(self) -> None:
        self._buckets: dict[tuple[str, str], _Bucket] = {}

    def request(self, region: str, action: str, parameters: dict[str, Any], *, now: float) -> None:
        """Take one request from its bucket.

        Raises:
            Refusal: the bucket is empty.
        """
        unbounded = action in _UNBOUNDED_READS and not _is_bounded(parameters)
        rate = _READING_ALL if unbounded else _rate(action)
        self._take((region, f"{action} of all" if unbounded else action), rate, amount=1, now=now)

    def resources(self, region: str, action: str, count: int, *, now: float) -> None:
        """Take instances from the bucket that counts instances.

        Raises:
            Refusal: the bucket holds less.
        """
        self._take((region, f"{action} instances"), _RESOURCES[action], amount=count, now=now)

    def _take(self, key: tuple[str, str], rate: _Rate, *, amount: float, now: float) -> None:
        bucket = self._buckets.get(key)
        if bucket is None:
            bucket = self._buckets[key] = _Bucket(rate.burst, now)
        if not bucket.take(rate, amount=amount, now=now):
            raise Refusal("RequestLimitExceeded", "Request limit exceeded.")


def _rate(action: str) -> _Rate:
    return _NAMED.get(action) or (_READING if _READS.match(action) else _MUTATING)


def _is_bounded(parameters: dict[str, Any]) -> bool:
    bounds = ("Filters", "MaxResults", "InstanceIds", "GroupIds", "GroupNames", "VolumeIds")
    named = ("SpotInstanceRequestIds", "NetworkInterfaceIds", "SnapshotIds")
    return any(parameters.get(name) for name in bounds + named)
