"""`Profile`: what kind of machine, where, bought how. Any instance type's name is a profile too."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterable
from typing import Any

import attrs

from aspot.errors import ConfigError
from aspot.machine.quantities import dollars, gigabytes

DEFAULT_TYPES = ("c7i.large", "m7i.large", "c6i.large", "m6i.large", "c6a.large", "m6a.large")
"""Small current x86 types with 2 vCPUs: several, so that one pool without capacity stops nobody."""

INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
MARKETS = ("spot", "on-demand", "spot-first")


def _words(value: str | Iterable[str]) -> tuple[str, ...]:
    return (value,) if isinstance(value, str) else tuple(value)


def _optional_dollars(value: float | str | None) -> float | None:
    return None if value is None else dollars(value, "max_price")


def _rule(value: Any) -> tuple[str, int, str]:
    """Return (protocol, port, CIDR); a CIDR alone means SSH from there."""
    protocol, port, cidr = value if isinstance(value, tuple | list) and len(value) == 3 else ("tcp", 22, value)
    try:
        network = ipaddress.ip_network(str(cidr), strict=False)
        number = int(port)
    except ValueError as error:
        raise ConfigError(
            f"firewall rule {value!r}: {error}", fix='write "203.0.113.7/32" or ("tcp", 8888, CIDR)'
        ) from error
    if protocol not in ("tcp", "udp") or not 0 < number < 65536:
        raise ConfigError(
            f"firewall rule {value!r} has no such protocol or port", fix='("tcp", 8888, "203.0.113.7/32")'
        )
    return (protocol, number, str(network))


def _rules(value: Any) -> tuple[tuple[str, int, str], ...] | None:
    if value is None:
        return None
    single = isinstance(value, str) or (isinstance(value, tuple) and len(value) == 3 and isinstance(value[1], int))
    return tuple(_rule(item) for item in ((value,) if single else value))


@attrs.frozen
class Profile:
    """What kind of machine, where, and bought how.

    Args:
        base: Name of the profile it extends; an instance type's name is one.
        types: Instance types, all acceptable; AWS picks by price and capacity.
        region: AWS region; None for the one AWS's own configuration names.
        zones: Availability zones; empty for all.
        image: `al2023`, `ubuntu-24.04`, `debian-12`, an SSM parameter's path, or `ami-…`; None for the newest AL2023.
        user: Login user; None for the image's usual one.
        market: `spot`, `on-demand` or `spot-first` (on-demand where no spot pool has room).
        max_price: Most US dollars an hour; None for no limit, as AWS advises (a limit brings more interruptions).
        disk: Root volume, such as "20 GB".
        setup: Shell script run once per instance before its first job.
        instance_profile: IAM instance profile's name.
        key_pair: Name of your own EC2 key pair, added to aspot's key.
        security_group: Id of your own group, in place of one made for the run.
        monitoring: CloudWatch's detailed monitoring, which AWS charges for.
        firewall: CIDRs that may use SSH in place of your own address, or (protocol, port, CIDR) rules added to it.

    Raises:
        ConfigError: If an option cannot work.
    """

    base: str | None = None
    types: tuple[str, ...] = attrs.field(default=(), converter=_words, kw_only=True)
    region: str | None = attrs.field(default=None, kw_only=True)
    zones: tuple[str, ...] = attrs.field(default=(), converter=_words, kw_only=True)
    image: str | None = attrs.field(default=None, kw_only=True)
    user: str | None = attrs.field(default=None, kw_only=True)
    market: str = attrs.field(default="spot", kw_only=True)
    max_price: float | None = attrs.field(default=None, converter=_optional_dollars, kw_only=True)
    disk: int = attrs.field(default=8, converter=gigabytes, kw_only=True)
    setup: str | None = attrs.field(default=None, kw_only=True)
    instance_profile: str | None = attrs.field(default=None, kw_only=True)
    key_pair: str | None = attrs.field(default=None, kw_only=True)
    security_group: str | None = attrs.field(default=None, kw_only=True)
    firewall: tuple[tuple[str, int, str], ...] | None = attrs.field(default=None, converter=_rules, kw_only=True)
    monitoring: bool = attrs.field(default=False, converter=bool, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.market not in MARKETS:
            raise ConfigError(
                f"market must be one of {', '.join(MARKETS)}, not {self.market!r}", fix="leave market out for spot"
            )
        for name in self.types:
            if not INSTANCE_TYPE.fullmatch(name):
                raise ConfigError(f"{name!r} is not an instance type", fix='a type looks like "c7i.large"')

    @property
    def name(self) -> str:
        """Return the name it was asked for by."""
        return self.base or "default"


def resolve(profile: str | Profile) -> Profile:
    """Return the profile with its base filled in.

    Args:
        profile: `default`, an instance type's name, or a `Profile` that extends one of them.

    Raises:
        ConfigError: If there is no such profile.
    """
    if isinstance(profile, str):
        return Profile(profile, types=_types_of(profile))
    if profile.types:
        return profile
    return attrs.evolve(profile, types=_types_of(profile.base or "default"))


def _types_of(name: str) -> tuple[str, ...]:
    if name == "default":
        return DEFAULT_TYPES
    if INSTANCE_TYPE.fullmatch(name):
        return (name,)
    raise ConfigError(f"there is no profile {name!r}", fix="use 'default', or an instance type such as 'c7i.large'")
