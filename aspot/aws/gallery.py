"""Images to choose from: those that their makers publish under SSM's public parameters, and the account's own."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import attrs

from aspot.aws.clients import Aws, named
from aspot.aws.errors import Trouble
from aspot.aws.images import NAMED, snapshot_gb, user_of
from aspot.aws.together import together

PARAMETERS_PAGE = 10
"""Most of GetParametersByPath (SSM API reference)."""
MOST_IMAGES = 200
"""Ids in one DescribeImages, well below what EC2 takes."""
FOLDERS = (
    "/aws/service/ami-amazon-linux-latest",
    *(f"/aws/service/canonical/ubuntu/server/{release}/stable/current" for release in ("22.04", "24.04")),
    *(f"/aws/service/debian/release/{release}/latest" for release in ("12", "13")),
    *(f"/aws/service/deeplearning/ami/{arch}" for arch in ("x86_64", "arm64")),
)
"""Folders of public parameters whose values are images (AWS, Canonical and Debian document them)."""


@attrs.frozen(kw_only=True)
class ImageFacts:
    """What an image is.

    Args:
        id: `ami-…`.
        name: As its maker named it.
        arch: `x86_64` or `arm64`.
        created: ISO 8601.
        alias: aspot's own name for it, such as `al2023`; "" for none.
        parameter: The SSM public parameter that names the newest of its kind; "" for none.
        user: Its login user, as far as it can be guessed.
        disk_gb: Smallest root volume it fits on.
        is_own: Whether it is the account's own.
    """

    id: str
    name: str
    arch: str
    created: str
    alias: str = ""
    parameter: str = ""
    user: str = ""
    disk_gb: int = 8
    is_own: bool = False

    @property
    def word(self) -> str:
        """Return how a profile names it best: so that it stays the newest where that is possible."""
        return self.alias or self.parameter or self.id


async def images(aws: Aws) -> list[dict[str, Any]]:
    """Return the facts of every image, newest first.

    Raises:
        Trouble: If AWS gives no answer.
    """
    *published, own = await together(*(partial(_published, aws, folder) for folder in FOLDERS), partial(_own, aws))
    parameters: dict[str, list[str]] = {}
    for name, image in (pair for pairs in published for pair in pairs):
        parameters.setdefault(image, []).append(name)
    seen: list[Any] = []
    ids = sorted(parameters)
    for start in range(0, len(ids), MOST_IMAGES):
        seen += await _known(aws, ids[start : start + MOST_IMAGES])
    known = {item["ImageId"] for item in own}
    found = [_facts(item, [], is_own=True) for item in own]
    found += [_facts(item, parameters[item["ImageId"]], is_own=False) for item in seen if item["ImageId"] not in known]
    return [attrs.asdict(facts) for facts in sorted(found, key=_newest, reverse=True)]


def _newest(facts: ImageFacts) -> tuple[bool, str, str]:
    return facts.is_own, facts.created[:10], facts.name


async def _published(aws: Aws, folder: str) -> list[tuple[str, str]]:
    seen = await aws.pages("ssm:GetParametersByPath", "Parameters", size=PARAMETERS_PAGE, Path=folder, Recursive=True)
    return [(item["Name"], item["Value"]) for item in seen if str(item["Value"]).startswith("ami-")]


async def _known(aws: Aws, ids: Sequence[str]) -> list[Any]:
    """Return images by id; EC2 refuses them together if one has gone meanwhile, and then a filter passes over it."""
    try:
        return list((await aws.call("ec2:DescribeImages", ImageIds=ids))["Images"])
    except Trouble as trouble:
        if not trouble.code.startswith("InvalidAMIID"):
            raise
    return list((await aws.call("ec2:DescribeImages", Filters=[named("image-id", ids)]))["Images"])


async def _own(aws: Aws) -> list[Any]:
    return list((await aws.call("ec2:DescribeImages", Owners=["self"]))["Images"])


def _facts(item: Mapping[str, Any], parameters: Iterable[str], *, is_own: bool) -> ImageFacts:
    names = sorted(parameters, key=lambda name: (len(name), name))
    root = item.get("RootDeviceName", "/dev/xvda")
    return ImageFacts(
        id=item["ImageId"],
        name=item.get("Name", ""),
        arch=item.get("Architecture", ""),
        created=item.get("CreationDate", ""),
        alias=next(_aliases(names), ""),
        parameter=names[0] if names else "",
        user=user_of(f"{item.get('Name', '')} {item.get('OwnerId', '')}"),
        disk_gb=snapshot_gb(item.get("BlockDeviceMappings", ()), root),
        is_own=is_own,
    )


def _aliases(parameters: Sequence[str]) -> Iterator[str]:
    for alias, image in NAMED.items():
        if any(way in parameters for ways in image.parameters.values() for way in ways):
            yield alias
