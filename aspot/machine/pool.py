"""Pools, markets, and why a launch was refused."""

from __future__ import annotations

import enum
import functools
import re

import attrs

_REGION = re.compile(r"[a-z]+(?:-[a-z]+)+-\d+")


@functools.cache
def region_of(zone: str) -> str:
    """Return the region that a zone is in, as its name tells (`us-east-1a`, `us-east-1-bos-1a`); "" if it does not."""
    found = _REGION.match(zone)
    return found[0] if found else ""


@attrs.frozen(order=True)
class Pool:
    """One instance type in one availability zone, as AWS means it.

    Args:
        type: Instance type, such as `c7g.large`.
        zone: Availability zone, such as `us-east-1a`.
    """

    type: str
    zone: str

    def __str__(self) -> str:
        return f"{self.type} {self.zone}"

    @property
    def region(self) -> str:
        """Return the region that it is in."""
        return region_of(self.zone)


class Market(enum.Enum):
    """How an instance is bought."""

    SPOT = "spot"
    ON_DEMAND = "on-demand"


class RefusalKind(enum.Enum):
    """What a refused launch asks of us (AWS.md 1.6): classed once, in `aspot.aws`."""

    NO_CAPACITY = "no capacity"  # other pool now, this one again after a cool-down
    NOT_TRIED = "not tried"  # says nothing about the pool: ask again without the ones that refused
    PRICE = "price too low"  # this pool is above the user's max price: other pool, this one again after a while
    UNSUPPORTED = "not offered"  # never this pool again in this run
    QUOTA = "quota"  # other pools of this family are useless: keep what runs, queue the rest
    THROTTLED = "throttled"  # same request again, later
    UNREACHABLE = "cannot be reached"  # it was not sent: another region now, or the same request later
    AUTH_EXPIRED = "credentials expired"  # same request again, when there are new ones
    FATAL = "refused"  # stop: the request or the account is at fault


@attrs.frozen(kw_only=True)
class Refusal:
    """Why a pool, or a whole request (`pool=None`), gave nothing.

    Args:
        kind: What to do about it.
        code: AWS's error code.
        message: AWS's message, shortened, or ours.
        pool: The pool it concerns; None for the whole request.
        fix: What the user can do.
    """

    kind: RefusalKind
    code: str
    message: str = ""
    pool: Pool | None = None
    fix: str = ""
