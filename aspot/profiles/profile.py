"""`Profile`: what kind of machine, where, bought how. Each option is checked on its own; None leaves it to the base."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import attrs

from aspot.errors import ConfigError
from aspot.machine.pool import region_of
from aspot.machine.quantities import dollars, gigabytes
from aspot.profiles.firewall import Rule, rules

INSTANCE_TYPE = re.compile(r"[a-z][a-z0-9-]*\.[a-z0-9-]+")
MARKETS = ("spot", "on-demand", "spot-first")
ALLOCATIONS = ("price-capacity-optimized", "capacity-optimized", "lowest-price", "diversified")
"""How EC2 chooses among spot pools; the first is what AWS advises, and the usual one here."""
IMAGES = ("al2023", "ubuntu-24.04", "ubuntu-22.04", "debian-12", "debian-13")
"""Images that have a name of their own; any other is named by its id, or by an SSM parameter's path."""
LEAST_PRICE_USD = 0.001
"""EC2 takes no limit that is not above it (botocore's model, MaxPrice)."""
USUAL_MARKET, USUAL_ALLOCATION = MARKETS[0], ALLOCATIONS[0]
USUAL_DISK_GB = 8

_IMAGE = re.compile(r"/[\w./-]+|ami-[0-9a-f]+")
_REGION = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+")
_ZONE = re.compile(r"[a-z]{2,}(-[a-z]+)+-\d+(-[a-z]+-\d+)?[a-z]")
_USER = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,31}")
_GROUP = re.compile(r"sg-\w+|(?!sg-)[\w .:/()#,@\[\]+=&;{}!$*-]{1,255}", re.ASCII)
"""A security group's id, or a name as EC2 allows it."""
_NAME = re.compile(r"[^\x00-\x1f\x7f]{1,255}")


def guess(word: object, known: Iterable[str], otherwise: str) -> str:
    """Return a fix that names what was probably meant.

    Args:
        word: What was written.
        known: What could have been written.
        otherwise: The fix where nothing is near.
    """
    near = difflib.get_close_matches(str(word), list(known), n=2)
    return f"did you mean {' or '.join(repr(one) for one in near)}?" if near else otherwise


def _words(value: Any) -> tuple[str, ...]:
    found = (value,) if isinstance(value, str) or not isinstance(value, Iterable) else tuple(value)
    return tuple(one for place, one in enumerate(found) if one not in found[:place])


def _max_price(value: float | str | None) -> float | None:
    if value is None:
        return None
    usd = dollars(value, "max_price")
    if usd <= LEAST_PRICE_USD:
        raise ConfigError(
            f"max_price must be above ${LEAST_PRICE_USD}, not {value!r}", fix="for no limit, leave max_price out"
        )
    return usd


def _optional_gigabytes(value: float | str | None) -> int | None:
    return None if value is None else gigabytes(value)


Validator = Callable[[Any, "attrs.Attribute[Any]", Any], None]


def _like(pattern: re.Pattern[str], example: str) -> Validator:
    """Return a validator: None, or text that looks like this."""

    def check(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and not (isinstance(value, str) and pattern.fullmatch(value)):
            raise ConfigError(f"{field.name} cannot be {value!r}", fix=f'it looks like "{example}"')

    return check


def _each_like(pattern: re.Pattern[str], what: str, example: str) -> Validator:
    def check(_: Any, __: attrs.Attribute[Any], values: tuple[Any, ...]) -> None:
        for value in values:
            if not (isinstance(value, str) and pattern.fullmatch(value)):
                raise ConfigError(f"{value!r} is not {what}", fix=f'{what} looks like "{example}"')

    return check


def _one_of(words: tuple[str, ...]) -> Validator:
    """Return a validator: None, or one of these words, of which the first is the usual one."""

    def check(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
        if value is not None and value not in words:
            raise ConfigError(
                f"{field.name} must be one of {', '.join(words)}, not {value!r}",
                fix=guess(value, words, f"leave {field.name} out for {words[0]}"),
            )

    return check


def _switch(_: Any, field: attrs.Attribute[Any], value: Any) -> None:
    if value is not None and not isinstance(value, bool):
        raise ConfigError(f"{field.name} is true or false, not {value!r}", fix=f"leave {field.name} out for false")


def _image(_: Any, __: Any, value: Any) -> None:
    if value is None or value in IMAGES or (isinstance(value, str) and _IMAGE.fullmatch(value)):
        return
    known = f"use {', '.join(IMAGES)}, an SSM parameter's path, or an image's id (ami-…)"
    raise ConfigError(f"there is no image {value!r}", fix=guess(value, IMAGES, known))


def _setup(_: Any, __: Any, value: Any) -> None:
    if value is not None and not (isinstance(value, str | Path) and str(value).strip() and "\0" not in str(value)):
        raise ConfigError(f"setup must be a shell script's text or path, not {value!r}", fix='setup = "setup.sh"')


def _base(_: Any, __: Any, value: Any) -> None:
    if value is not None and not isinstance(value, str):
        raise ConfigError(f"a profile's base is named by text, not {value!r}", fix='Profile("gpu", max_price=1)')


@attrs.frozen
class Profile:
    """What kind of machine, where, and bought how. What is left out is taken from the base, then from `default`.

    Args:
        base: Name of the profile it extends: of a file, built in, or an instance type's.
        types: Instance types, all acceptable; AWS picks by price and capacity.
        region: AWS region; None for the one AWS's own configuration names.
        regions: Several regions in its place: a fleet's machines may be in any of them.
        zones: Availability zones; empty for all.
        image: `al2023`, `ubuntu-24.04`, `debian-12`, an SSM parameter's path, or `ami-…`; None for the newest AL2023.
        user: Login user; None for the image's usual one.
        market: `spot` (the usual one), `on-demand` or `spot-first` (on-demand where no spot pool has room).
        allocation: How EC2 chooses among spot pools: `price-capacity-optimized` (as AWS advises, and usual),
            `capacity-optimized` (fewest interruptions, whatever the price), `lowest-price` or `diversified`.
        max_price: Most US dollars an hour; None for no limit, as AWS advises (a limit brings more interruptions).
        disk: Root volume, such as "20 GB"; 8 GB if nothing says otherwise.
        setup: Shell script run once per instance before its first job: its path, or its text.
        instance_profile: IAM instance profile's name.
        key_pair: Name of your own EC2 key pair, added to aspot's key.
        security_group: Id or name of your own group, in place of one made for the run.
        monitoring: CloudWatch's detailed monitoring, which AWS charges for.
        firewall: CIDRs that may use SSH in place of your own address, or (protocol, port, CIDR) rules added to it; a
            range of ports is "8000-8010".

    Raises:
        ConfigError: If an option cannot work.
    """

    base: str | None = attrs.field(default=None, validator=_base)
    types: tuple[str, ...] = attrs.field(
        default=(), converter=_words, kw_only=True, validator=_each_like(INSTANCE_TYPE, "an instance type", "c7i.large")
    )
    region: str | None = attrs.field(default=None, kw_only=True, validator=_like(_REGION, "us-east-1"))
    regions: tuple[str, ...] = attrs.field(
        default=(), converter=_words, kw_only=True, validator=_each_like(_REGION, "a region", "us-east-1")
    )
    zones: tuple[str, ...] = attrs.field(
        default=(), converter=_words, kw_only=True, validator=_each_like(_ZONE, "a zone", "us-east-1a")
    )
    image: str | None = attrs.field(default=None, kw_only=True, validator=_image)
    user: str | None = attrs.field(default=None, kw_only=True, validator=_like(_USER, "ec2-user"))
    market: str | None = attrs.field(default=None, kw_only=True, validator=_one_of(MARKETS))
    allocation: str | None = attrs.field(default=None, kw_only=True, validator=_one_of(ALLOCATIONS))
    max_price: float | None = attrs.field(default=None, converter=_max_price, kw_only=True)
    disk: int | None = attrs.field(default=None, converter=_optional_gigabytes, kw_only=True)
    setup: str | Path | None = attrs.field(default=None, kw_only=True, validator=_setup)
    instance_profile: str | None = attrs.field(default=None, kw_only=True, validator=_like(_NAME, "my-role"))
    key_pair: str | None = attrs.field(default=None, kw_only=True, validator=_like(_NAME, "my-key"))
    security_group: str | None = attrs.field(default=None, kw_only=True, validator=_like(_GROUP, "sg-0123456789"))
    monitoring: bool | None = attrs.field(default=None, kw_only=True, validator=_switch)
    firewall: tuple[Rule, ...] | None = attrs.field(default=None, converter=rules, kw_only=True)

    def __attrs_post_init__(self) -> None:
        if self.region and self.regions:
            raise ConfigError("region and regions are both given", fix="give one of them")
        self._check_zones()
        if len(self.regions) > 1:
            self._check_several()

    def _check_zones(self) -> None:
        places = self.everywhere
        strange = [zone for zone in self.zones if places and region_of(zone) not in places]
        if strange:
            where = f"in {places[0]}" if len(places) == 1 else f"in any of {', '.join(places)}"
            raise ConfigError(
                f"zone {', '.join(strange)} is not {where}",
                fix=f"give zones of {'that region' if len(places) == 1 else 'these regions'}, or none",
            )
        bare = [region for region in places if self.zones and region not in map(region_of, self.zones)]
        if bare:
            raise ConfigError(
                f"zones leave nothing of {', '.join(bare)}", fix="give zones of each region, or none, or fewer regions"
            )

    def _check_several(self) -> None:
        """Refuse what exists in one region only."""
        if self.image is not None and self.image.startswith("ami-"):
            raise ConfigError(
                f"image {self.image} is in one region, and regions are several",
                fix=f"use one region, or an image that each has: {', '.join(IMAGES)}, or an SSM parameter's path",
            )
        if self.security_group is not None:
            raise ConfigError(
                f"security group {self.security_group} is in one region, and regions are several",
                fix="use one region, or leave security_group out: each region gets a group made for the run",
            )

    @property
    def everywhere(self) -> tuple[str, ...]:
        """Return the regions it names; empty for the one that AWS's own configuration names."""
        return self.regions or ((self.region,) if self.region else ())

    def in_one_region(self, region: str | None = None) -> Profile:
        """Return it for something that lives in one region: the one given, else the first that it names."""
        chosen = region or next(iter(self.everywhere), None)
        zones = [zone for zone in self.zones if region_of(zone) == chosen] if len(self.regions) > 1 else self.zones
        return attrs.evolve(self, region=chosen, regions=(), zones=zones)

    @property
    def name(self) -> str:
        """Return the name it was asked for by."""
        return self.base or "default"

    @property
    def given(self) -> dict[str, Any]:
        """Return the options that are not left to the base, by name."""
        values = ((name, getattr(self, name)) for name in OPTIONS)
        return {name: value for name, value in values if value is not None and value != ()}


OPTIONS = tuple(field.name for field in attrs.fields(Profile) if field.name != "base")
"""Every option by name, in the order in which they are shown."""
