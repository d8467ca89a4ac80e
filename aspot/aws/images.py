"""Images: which one, its login user and root device. By SSM public parameter, or an id the user gives."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import attrs

from aspot.aws.clients import Aws
from aspot.aws.errors import Trouble
from aspot.errors import ConfigError

SMALLEST_GB = 8
"""Root volume of the named images (their snapshots, 2026-11)."""


@attrs.frozen(kw_only=True)
class Named:
    """An image known by name.

    Args:
        user: Its login user (EC2 user guide, "default user names", 2023-06).
        root: Its root device.
        parameters: SSM public parameters with its id, by architecture; the first one published counts.
    """

    user: str
    root: str
    parameters: Mapping[str, tuple[str, ...]]


def _amazon(name: str) -> Named:
    path = "/aws/service/ami-amazon-linux-latest"
    ways = {arch: (f"{path}/{name}-{arch}",) for arch in ("x86_64", "arm64")}
    return Named(user="ec2-user", root="/dev/xvda", parameters=ways)


def _ubuntu(release: str) -> Named:
    path = f"/aws/service/canonical/ubuntu/server/{release}/stable/current"
    ways = {
        arch: tuple(f"{path}/{word}/hvm/ebs-{disk}/ami-id" for disk in ("gp3", "gp2"))
        for arch, word in (("x86_64", "amd64"), ("arm64", "arm64"))
    }
    return Named(user="ubuntu", root="/dev/sda1", parameters=ways)


def _debian(release: str) -> Named:
    path = f"/aws/service/debian/release/{release}/latest"
    ways = {"x86_64": (f"{path}/amd64",), "arm64": (f"{path}/arm64",)}
    return Named(user="admin", root="/dev/xvda", parameters=ways)


NAMED: Mapping[str, Named] = {
    "al2023": _amazon("al2023-ami-kernel-default"),
    "ubuntu-24.04": _ubuntu("24.04"),
    "ubuntu-22.04": _ubuntu("22.04"),
    "debian-12": _debian("12"),
    "debian-13": _debian("13"),
}
DEFAULT = "al2023"
_USERS = (
    (r"ubuntu|099720109477", "ubuntu"),
    (r"debian|136693071363", "admin"),
    (r"rocky", "rocky"),
    (r"fedora", "fedora"),
)
"""Login users by what an image's path, name or owner says; all others use ec2-user."""


@attrs.frozen(kw_only=True)
class Image:
    """The image of a run: ids by architecture, login user, root device."""

    ids: Mapping[str, str]
    user: str
    root: str


async def find(aws: Aws, wanted: str, *, archs: Collection[str], disk_gb: int, user: str) -> Image:
    """Return the image for these architectures.

    Args:
        aws: The gateway.
        wanted: A name of `NAMED`, an SSM parameter's path, `ami-…`, or "" for the newest Amazon Linux 2023.
        archs: Architectures of the run's types.
        disk_gb: Root volume asked for.
        user: Login user that the caller wants; "" for the image's usual one.

    Raises:
        ConfigError: If there is no such image, or it does not fit the types.
    """
    name = wanted or DEFAULT
    if name in NAMED:
        return await _named(aws, name, archs, disk_gb, user)
    if name.startswith("/"):
        return await _by_id(aws, await _by_parameter(aws, name), archs, disk_gb, user or user_of(name))
    if re.fullmatch(r"ami-[0-9a-f]+", name):
        return await _by_id(aws, name, archs, disk_gb, user)
    raise ConfigError(f"there is no image {name!r}", fix=_names())


async def check(aws: Aws, name: str) -> None:
    """Look whether an image is there, for whatever architecture.

    Args:
        aws: The gateway.
        name: A name of `NAMED`, an SSM parameter's path, or `ami-…`.

    Raises:
        ConfigError: If it is not.
    """
    if name in NAMED:
        ways = [way for some in NAMED[name].parameters.values() for way in some]
        if await _parameters(aws, ways):
            return
        raise ConfigError(f"image {name} is not published in {aws.region}", fix=_names())
    ami = await _by_parameter(aws, name) if name.startswith("/") else name
    await _described(aws, ami)


async def _by_parameter(aws: Aws, name: str) -> str:
    found = await _parameters(aws, [name])
    if name not in found:
        raise ConfigError(f"there is no SSM parameter {name} in {aws.region}", fix=_names())
    return found[name]


async def login_user(aws: Aws, ami: str) -> str:
    """Return the login user of an image, as its name and owner tell; the usual one if it is no longer there."""
    try:
        return _user_in(await _described(aws, ami))
    except ConfigError:
        return user_of("")


def _user_in(seen: Mapping[str, Any]) -> str:
    return user_of(f"{seen.get('Name', '')} {seen.get('OwnerId', '')}")


def _names() -> str:
    return f"use {', '.join(NAMED)}, an SSM parameter's path, or an image's id (ami-…)"


def user_of(text: str) -> str:
    """Return the login user of an image, guessed by its path, name or owner."""
    return next((user for pattern, user in _USERS if re.search(pattern, text.lower())), "ec2-user")


async def _parameters(aws: Aws, names: Collection[str]) -> dict[str, str]:
    answer = await aws.call("ssm:GetParameters", Names=sorted(names))
    return {item["Name"]: item["Value"] for item in answer["Parameters"]}


async def _named(aws: Aws, name: str, archs: Collection[str], disk_gb: int, user: str) -> Image:
    _check_disk(name, disk_gb, SMALLEST_GB)
    image = NAMED[name]
    ways = {arch: image.parameters.get(arch, ()) for arch in archs}
    found = await _parameters(aws, [way for some in ways.values() for way in some])
    ids = {arch: found[way] for arch, some in ways.items() for way in reversed(some) if way in found}
    lacking = sorted(set(archs) - set(ids))
    if lacking:
        raise ConfigError(f"image {name} is not published for {', '.join(lacking)} in {aws.region}", fix=_names())
    return Image(ids=ids, user=user or image.user, root=image.root)


async def _by_id(aws: Aws, ami: str, archs: Collection[str], disk_gb: int, user: str) -> Image:
    seen = await _described(aws, ami)
    arch = seen.get("Architecture", "")
    if set(archs) != {arch}:
        raise ConfigError(
            f"image {ami} is for {arch}, but the instance types are {', '.join(sorted(archs))}", fix=_names()
        )
    root = seen.get("RootDeviceName", "/dev/xvda")
    _check_disk(ami, disk_gb, snapshot_gb(seen.get("BlockDeviceMappings", ()), root))
    return Image(ids={arch: ami}, user=user or _user_in(seen), root=root)


async def _described(aws: Aws, ami: str) -> dict[str, Any]:
    lacking = ConfigError(f"there is no image {ami} in {aws.region}", fix=f"an id belongs to one region; {_names()}")
    try:
        answer = await aws.call("ec2:DescribeImages", ImageIds=[ami])
    except Trouble as trouble:
        if trouble.code.startswith("InvalidAMIID"):
            raise lacking from trouble
        raise
    if not answer["Images"]:
        raise lacking
    found: dict[str, Any] = answer["Images"][0]
    return found


def snapshot_gb(mappings: Iterable[Mapping[str, Any]], root: str) -> int:
    """Return the size of the root volume that an image was made with, in GB."""
    return next((item.get("Ebs", {}).get("VolumeSize", 1) for item in mappings if item.get("DeviceName") == root), 1)


def _check_disk(name: str, disk_gb: int, least_gb: int) -> None:
    if disk_gb < least_gb:
        raise ConfigError(f"image {name} does not fit on {disk_gb} GB", fix=f'disk="{least_gb} GB", or more')
