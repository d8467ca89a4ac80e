"""Sizes and prices of storage in words. Pure."""

from __future__ import annotations

from collections.abc import Iterable

from aspot.storage.ebs import Volume
from aspot.storage.efs import FileSystem
from aspot.storage.inventory import Entry

EFS_USD_PER_GB_MONTH = 0.30
"""EFS Standard, us-east-1 (aws.amazon.com/efs/pricing, 2026-03); other regions and classes differ."""


def size_text(size: float) -> str:
    """Return bytes as people say them."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def mounts_text(found: Iterable[Entry]) -> str:
    """Return the line that says what machines mount; "" for nothing."""
    words = [f"{entry.kind} {entry.name} at {entry.path}" for entry in found]
    return f"Mounts {', '.join(words)}" if words else ""


def stays_text(file_system: FileSystem, *, is_new: bool) -> str:
    """Return the line that says that a file system is still there, on purpose."""
    made = ", made by this run" if is_new else ""
    return (
        f"File system {file_system.label} stays{made}: {size_text(file_system.size)} metered, "
        f"about ${EFS_USD_PER_GB_MONTH:.2f} a GB and month (us-east-1). "
        f"Delete it with its data: aspot fs rm {file_system.name or file_system.id} --yes"
    )


def made_text(file_system: FileSystem) -> str:
    """Return the line that says what was made for a run that did not begin."""
    name = file_system.name
    return f"File system {file_system.label} was made, is empty and stays: aspot fs rm {name} --yes deletes it."


def volume_stays_text(volume: Volume, *, is_new: bool) -> str:
    """Return the line that says that a volume is still there, on purpose."""
    made = ", made by this run" if is_new else ""
    return (
        f"Volume {volume.label} stays in {volume.zone}{made}: {volume.size_gb} GB, billed as gp3 while it exists. "
        f"Delete it with its data: aspot volume rm {volume.name or volume.id} --yes"
    )
