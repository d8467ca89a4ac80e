"""`aspot fs`: list, create, delete and mount EFS file systems."""

from __future__ import annotations

import argparse
import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from aspot.cli.region import region_of
from aspot.errors import ConfigError
from aspot.intake.names import owner
from aspot.intake.storage import file_system
from aspot.machine.names import check_name
from aspot.reach import find
from aspot.ui.safe import one_line

if TYPE_CHECKING:
    from aspot.storage.filesystems import FileSystems, Listed

T = TypeVar("T")


def ls(args: argparse.Namespace) -> int:
    """List the region's file systems."""
    found = asyncio.run(_with(args, lambda there: there.every()))
    if args.json:
        print(json.dumps([one.to_json() for one in found], indent=1))
    elif found:
        print(_table(found))
    elif not args.quiet:
        print("No file systems: aspot fs create NAME, or aspot run --filesystem NAME, makes one.")
    return 0


def _table(found: Sequence[Listed]) -> str:
    from aspot.storage.words import size_text
    from aspot.ui.layout import table

    rows = [
        (
            one.file_system.name or "-",
            one.file_system.id,
            one.file_system.state,
            size_text(one.file_system.size),
            "yes" if one.file_system.is_encrypted else "no",
            ", ".join(target.zone for target in one.targets) or "-",
            str(len(one.users)),
        )
        for one in found
    ]
    heading = ("NAME", "ID", "STATE", "SIZE", "ENCRYPTED", "MOUNT TARGETS", "INSTANCES")
    return "\n".join(table([heading, *([one_line(cell) for cell in row] for row in rows)], right=frozenset({3, 6})))


def create(args: argparse.Namespace) -> int:
    """Create a file system."""
    name = check_name(args.name, "file system name")
    made = asyncio.run(_with(args, lambda there: there.create(name, owner=owner(), throughput=args.throughput)))
    if args.json:
        print(json.dumps(made.to_json(), indent=1))
    elif not args.quiet:
        label = made.file_system.label
        print(one_line(f"Made file system {label}, encrypted: aspot run --filesystem {name} mounts it."))
    return 0


def rm(args: argparse.Namespace) -> int:
    """Delete a file system with what is in it."""
    gone = asyncio.run(_with(args, lambda there: there.remove(args.name, is_sure=args.yes)))
    if args.json:
        print(json.dumps(gone.to_json(), indent=1))
    elif not args.quiet:
        print(one_line(f"Deleted file system {gone.file_system.label} with {len(gone.targets)} mount targets."))
    return 0


def mount(args: argparse.Namespace) -> int:
    """Mount a file system on a machine that runs."""
    wish, machine = file_system(args.name, "NAME"), find(args.on)
    where = machine.info.region
    if args.region not in (None, where):
        raise ConfigError(f"{machine.label} is in {where}, not in {args.region}", fix="leave --region out")
    args.region = where
    what, where = asyncio.run(_with(args, lambda there: there.mount(wish, machine, owner=owner())))
    if args.json:
        print(json.dumps({"file_system": what, "instance": where, "path": wish.path}, indent=1))
    elif not args.quiet:
        print(one_line(f"Mounted file system {what} on {where} at {wish.path}."))
    return 0


async def _with(args: argparse.Namespace, act: Callable[[FileSystems], Awaitable[T]]) -> T:
    from aspot.storage.filesystems import FileSystems

    async with await FileSystems.open(region_of(args.region)) as there:
        return await act(there)
