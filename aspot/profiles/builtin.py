"""The profiles that are always there: a few by purpose, and every instance type's name. Data only.

Each by-purpose profile lists types that are alike, newest first, so that one pool without capacity stops nobody.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from aspot.profiles.profile import INSTANCE_TYPE, USUAL_ALLOCATION, USUAL_DISK_GB, USUAL_MARKET

_GPU_IMAGE = "/aws/service/deeplearning/ami/{arch}/base-oss-nvidia-driver-gpu-ubuntu-24.04/latest/ami-id"
"""AWS's base image with NVIDIA's driver: without one no GPU can be used (AWS Deep Learning AMI, 2026-11)."""
GPU_FAMILIES = {
    **dict.fromkeys(("g4dn", "g5", "g6", "g6e", "gr6", "p4d", "p4de", "p5", "p5e", "p5en"), "x86_64"),
    "g5g": "arm64",
}
"""Families that this image's driver knows (its open kernel modules need Turing or newer: no p2, p3, g3)."""
GPU_DISK_GB = 100


def _gpu(*types: str) -> dict[str, Any]:
    return {"types": types, "image": _GPU_IMAGE.format(arch="x86_64"), "disk": GPU_DISK_GB}


BUILT_IN: Mapping[str, Mapping[str, Any]] = {
    "default": {
        "types": ("c7i.large", "m7i.large", "c6i.large", "m6i.large", "c6a.large", "m6a.large"),
        "market": USUAL_MARKET,
        "allocation": USUAL_ALLOCATION,
        "disk": USUAL_DISK_GB,
    },
    "tiny": {"types": ("t3.micro", "t3a.micro", "t2.micro")},
    "tiny-arm": {"types": ("t4g.micro",)},
    "cpu": {"types": ("c7i.xlarge", "c7a.xlarge", "c6i.xlarge", "c6a.xlarge", "c5.xlarge")},
    "cpu-large": {"types": ("c7i.4xlarge", "c7a.4xlarge", "c6i.4xlarge", "c6a.4xlarge", "c5.4xlarge")},
    "arm": {"types": ("c7g.xlarge", "m7g.xlarge", "c6g.xlarge", "m6g.xlarge")},
    "arm-large": {"types": ("c7g.4xlarge", "m7g.4xlarge", "c6g.4xlarge", "m6g.4xlarge")},
    "general": {"types": ("m7i.xlarge", "m7a.xlarge", "m6i.xlarge", "m6a.xlarge", "m5.xlarge")},
    "memory": {"types": ("r7i.xlarge", "r7a.xlarge", "r6i.xlarge", "r6a.xlarge", "r5.xlarge")},
    "memory-large": {"types": ("r7i.4xlarge", "r7a.4xlarge", "r6i.4xlarge", "r6a.4xlarge", "r5.4xlarge")},
    "gpu": _gpu("g6.xlarge", "g5.xlarge", "g4dn.xlarge"),
    "gpu-large": _gpu("g6.12xlarge", "g5.12xlarge", "g4dn.12xlarge"),
    "gpu-a100": _gpu("p4d.24xlarge", "p4de.24xlarge"),
    "gpu-h100": _gpu("p5.48xlarge"),
}

_SIZES = {
    "t2": "micro small medium large xlarge 2xlarge",
    "t3": "micro small medium large xlarge 2xlarge",
    "t4g": "micro small medium large xlarge 2xlarge",
    **dict.fromkeys(("c7g", "c7i", "m7g", "m7i", "r7g", "r7i"), "large xlarge 2xlarge 4xlarge 8xlarge 16xlarge"),
    "g4dn": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 16xlarge",
    "g5": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 24xlarge 48xlarge",
    "g6": "xlarge 2xlarge 4xlarge 8xlarge 12xlarge 24xlarge 48xlarge",
    "p4d": "24xlarge",
    "p5": "48xlarge",
}
RETIRED: Mapping[str, tuple[str, ...]] = {
    "p2.xlarge": ("g4dn.xlarge", "g5.xlarge", "g6.xlarge"),
    "p2.8xlarge": ("g4dn.12xlarge", "g5.12xlarge", "g6.12xlarge"),
    "p2.16xlarge": ("g5.48xlarge", "g6.48xlarge"),
    "p3.2xlarge": ("g5.2xlarge", "g6.2xlarge", "g4dn.2xlarge"),
    "p3.8xlarge": ("g5.12xlarge", "g6.12xlarge", "g4dn.12xlarge"),
    "p3.16xlarge": ("g5.48xlarge", "g6.48xlarge"),
}
"""Types with NVIDIA K80 and V100 that EC2 lists no longer (DescribeInstanceTypes, 2026): a profile of such a name
stands for the nearest of today, so that old command lines go on working. Where there are fewer GPUs, each is faster."""
COMMON_TYPES = tuple(f"{family}.{size}" for family, sizes in _SIZES.items() for size in sizes.split())
"""Types that are shown and guessed; every other type's name is a profile just the same."""
COMMON = (*COMMON_TYPES, *RETIRED)
KNOWN_TYPES = frozenset(COMMON_TYPES) | {name for options in BUILT_IN.values() for name in options["types"]}
KNOWN_TYPES |= {name for names in RETIRED.values() for name in names}
"""Types that exist, though not in every region: whoever lists several of them goes without those a region lacks."""


def built_in(name: str) -> Mapping[str, Any] | None:
    """Return the options of a profile that needs no file; None if the name is neither ours nor an instance type's."""
    if name in BUILT_IN:
        return BUILT_IN[name]
    if name in RETIRED:
        return _gpu(*RETIRED[name])
    if not INSTANCE_TYPE.fullmatch(name):
        return None
    arch = GPU_FAMILIES.get(name.partition(".")[0])
    driver = {"image": _GPU_IMAGE.format(arch=arch), "disk": GPU_DISK_GB} if arch else {}
    return {"types": (name,), **driver}
