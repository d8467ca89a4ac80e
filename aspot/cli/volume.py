"""`aspot volume`: list and delete the EBS volumes that runs made by `--volume`."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from aspot.cli.region import region_of
from aspot.ui.safe import one_line

if TYPE_CHECKING:
    from aspot.storage.ebs import Volume
    from aspot.storage.volumes import Volumes

T = TypeVar("T")


def ls(args: argparse.Namespace) -> int:
    """List the region's volumes that aspot made by name."""
    from aspot.storage.volumes import volume_json

    found = asyncio.run(_with(args, lambda there: there.every()))
    if args.json:
        print(json.dumps([volume_json(one) for one in found], indent=1))
    elif found:
        print(_table(found))
    elif not args.quiet:
        print("No volumes: aspot run --volume NAME:SIZE:/PATH makes one.")
    return 0


def _table(found: Sequence[Volume]) -> str:
    from aspot.ui.layout import table

    rows = [(one.name or "-", one.id, one.state, f"{one.size_gb} GB", one.zone, one.instance or "-") for one in found]
    heading = ("NAME", "ID", "STATE", "SIZE", "ZONE", "INSTANCE")
    return "\n".join(table([heading, *([one_line(cell) for cell in row] for row in rows)], right=frozenset({3})))


def rm(args: argparse.Namespace) -> int:
    """Delete a volume with what is on it."""
    from aspot.storage.volumes import volume_json

    gone = asyncio.run(_with(args, lambda there: there.remove(args.name, is_sure=args.yes)))
    if args.json:
        print(json.dumps(volume_json(gone), indent=1))
    elif not args.quiet:
        print(one_line(f"Deleted volume {gone.label} of {gone.size_gb} GB."))
    return 0


async def _with(args: argparse.Namespace, act: Callable[[Volumes], Awaitable[T]]) -> T:
    from aspot.storage.volumes import Volumes

    async with await Volumes.open(region_of(args.region)) as there:
        return await act(there)
