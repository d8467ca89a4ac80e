"""The public machine images of the local cloud and the SSM parameters that name the newest of each.

Imports the standard library and attrs only.
"""

from __future__ import annotations

import hashlib

import attrs

__all__ = ["Image", "PublicImage", "public_images", "public_parameters"]

_AMAZON = "137112412989"
_CANONICAL = "099720109477"
_DEBIAN = "136693071363"
_DEEP_LEARNING = "898082745236"
# Architectures as EC2 says them, and as each publisher's parameter names say them.
_DEBIAN_STYLE = {"x86_64": "amd64", "arm64": "arm64"}


@attrs.frozen(kw_only=True)
class Image:
    """What a launch needs to know of a machine image."""

    id: str
    architecture: str
    root_device: str
    user: str = "ec2-user"


@attrs.frozen(kw_only=True)
class PublicImage:
    """An image that everybody may use; its id differs from Region to Region, as on EC2.

    `parameters` are the SSM public parameters whose value is the image's id.
    """

    slug: str
    name: str
    description: str
    owner: str
    user: str
    architecture: str
    root_device: str
    parameters: tuple[str, ...]

    def id_in(self, region: str) -> str:
        """Return the image's id in a Region: always the same there."""
        return "ami-" + hashlib.sha256(f"{region}/{self.slug}".encode()).hexdigest()[:17]

    def at(self, region: str) -> Image:
        """Return what a launch in a Region needs to know."""
        return Image(
            id=self.id_in(region), architecture=self.architecture, root_device=self.root_device, user=self.user
        )


def _amazon(architecture: str) -> list[PublicImage]:
    base = "/aws/service/ami-amazon-linux-latest"
    newest = (
        f"{base}/al2023-ami-kernel-default-{architecture}",
        f"{base}/al2023-ami-kernel-6.1-{architecture}",
        f"{base}/al2023-ami-minimal-kernel-default-{architecture}",
    )
    older = (f"{base}/amzn2-ami-hvm-{architecture}-gp2", f"{base}/amzn2-ami-kernel-5.10-hvm-{architecture}-gp2")
    return [
        PublicImage(
            slug=f"al2023-{architecture}",
            name=f"al2023-ami-2023.9.20261102.0-kernel-6.1-{architecture}",
            description=f"Amazon Linux 2023 AMI 2023.9.20261102.0 {architecture} HVM kernel-6.1",
            owner=_AMAZON,
            user="ec2-user",
            architecture=architecture,
            root_device="/dev/xvda",
            parameters=newest,
        ),
        PublicImage(
            slug=f"amzn2-{architecture}",
            name=f"amzn2-ami-hvm-2.0.20261027.1-{architecture}-gp2",
            description=f"Amazon Linux 2 AMI 2.0.20261027.1 {architecture} HVM gp2",
            owner=_AMAZON,
            user="ec2-user",
            architecture=architecture,
            root_device="/dev/xvda",
            parameters=older,
        ),
    ]


def _ubuntu(architecture: str, release: str, codename: str) -> PublicImage:
    short = _DEBIAN_STYLE[architecture]
    base = "/aws/service/canonical/ubuntu/server"
    return PublicImage(
        slug=f"ubuntu-{release}-{architecture}",
        name=f"ubuntu/images/hvm-ssd-gp3/ubuntu-{codename}-{release}-{short}-server-20261112",
        description=f"Canonical, Ubuntu, {release}, {short} {codename} image",
        owner=_CANONICAL,
        user="ubuntu",
        architecture=architecture,
        root_device="/dev/sda1",
        parameters=tuple(
            f"{base}/{name}/stable/current/{short}/hvm/{disk}/ami-id"
            for name in (release, codename)
            for disk in ("ebs-gp3", "ebs-gp2")
        ),
    )


def _debian(architecture: str, release: str, codename: str) -> PublicImage:
    short = _DEBIAN_STYLE[architecture]
    return PublicImage(
        slug=f"debian-{release}-{architecture}",
        name=f"debian-{release}-{short}-20261109-2290",
        description=f"Debian {release} (20261109-2290)",
        owner=_DEBIAN,
        user="admin",
        architecture=architecture,
        root_device="/dev/xvda",
        parameters=tuple(f"/aws/service/debian/release/{name}/latest/{short}" for name in (release, codename)),
    )


def _deep_learning(architecture: str) -> PublicImage:
    base = f"/aws/service/deeplearning/ami/{architecture}"
    kind = "base-oss-nvidia-driver-gpu-ubuntu-24.04"
    return PublicImage(
        slug=f"dlami-{architecture}",
        name="Deep Learning Base OSS Nvidia Driver GPU AMI (Ubuntu 24.04) 20261106",
        description="Supported EC2 instances: G4dn, G5, G6, Gr6, G6e, P4d, P4de, P5, P5e",
        owner=_DEEP_LEARNING,
        user="ubuntu",
        architecture=architecture,
        root_device="/dev/sda1",
        parameters=(f"{base}/{kind}/latest/ami-id",),
    )


def _all() -> tuple[PublicImage, ...]:
    found: list[PublicImage] = []
    for architecture in ("x86_64", "arm64"):
        found += _amazon(architecture)
        found += [_ubuntu(architecture, *release) for release in (("22.04", "jammy"), ("24.04", "noble"))]
        found += [_debian(architecture, *release) for release in (("12", "bookworm"), ("13", "trixie"))]
        found.append(_deep_learning(architecture))
    return tuple(found)


_PUBLIC = _all()


def public_images() -> tuple[PublicImage, ...]:
    """Return every public image."""
    return _PUBLIC


def public_parameters(region: str) -> dict[str, str]:
    """Return the SSM public parameters of a Region: name to image id."""
    return {name: image.id_in(region) for image in _PUBLIC for name in image.parameters}
