"""Sizes and prices of storage in words. Pure."""

from __future__ import annotations

from aspot.storage.efs import FileSystem

EFS_USD_PER_GB_MONTH = 0.30
"""EFS Standard, us-east-1 (aws.amazon.com/efs/pricing, 2026-03); other regions and classes differ."""


def size_text(size: float) -> str:
    """Return bytes as people say them."""
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}" if unit == "bytes" or size >= 10 else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:,.1f} GB"


def stays_text(file_system: FileSystem, *, is_new: bool) -> str:
    """Return the line that says that a file system is still there, on purpose."""
    made = ", made by this run" if is_new else ""
    return (
        f"File system {file_system.label} stays{made}: {size_text(file_system.size)} metered, "
        f"about ${EFS_USD_PER_GB_MONTH:.2f} a GB and month (us-east-1). "
        f"Delete it with its data: aspot fs rm {file_system.name or file_system.id}"
    )


def made_text(file_system: FileSystem) -> str:
    """Return the line that says what was made for a run that did not begin."""
    return f"File system {file_system.label} was made, is empty and stays: aspot fs rm {file_system.name} deletes it."
