"""`aspot roles`: the instance profiles that machines may have, and one made for their data."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import TypeVar

import attrs

from aspot.cli.region import region_of
from aspot.errors import ConfigError
from aspot.storage.roles import Role, Roles
from aspot.ui.safe import one_line

T = TypeVar("T")


def ls(args: argparse.Namespace) -> int:
    """List instance profiles; return 0."""
    found = asyncio.run(_with(args, lambda roles: roles.all()))
    if args.json:
        print(json.dumps([attrs.asdict(role) | {"created": role.created.isoformat()} for role in found]))
    else:
        print(*_table(found), sep="\n")
    return 0


def _table(found: list[Role]) -> list[str]:
    if not found:
        return ["There are no instance profiles; aspot roles create NAME --bucket BUCKET makes one."]
    rows = [("NAME", "ROLE", "MAY"), *((role.name, role.role or "none", _rights(role)) for role in found)]
    widths = [max(len(row[at]) for row in rows) for at in (0, 1)]
    return [one_line(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}").rstrip() for row in rows]


def _rights(role: Role) -> str:
    if role.buckets is None:
        return ""
    mounts = f"mount {', '.join(role.filesystems)}" if role.filesystems else ""
    buckets = f"{role.access}: {', '.join(role.buckets)}" if role.buckets or not mounts else ""
    return "; ".join(item for item in (buckets, mounts) if item)


def create(args: argparse.Namespace) -> int:
    """Make an instance profile; return 0."""
    if not args.bucket and not args.filesystem:
        raise ConfigError("name what it is for", fix="--bucket BUCKET, or --filesystem NAME")
    done = asyncio.run(_with(args, lambda roles: roles.create(args.name, args.bucket, args.access, args.filesystem)))
    if args.json:
        told = {"buckets": args.bucket, "access": args.access, "filesystems": args.filesystem}
        print(json.dumps({"name": args.name, "done": done, **told}))
    elif not args.quiet:
        may = [f"{args.access} in {', '.join(args.bucket)}"] if args.bucket else []
        reading = " to read" if args.access == "read" else ""
        may += [f"mount {', '.join(args.filesystem)}{reading}"] if args.filesystem else []
        print(f"{done} {args.name}: may {', and '.join(may)}", file=sys.stderr)
        print(f"use it: --instance-profile {args.name} (AWS may take a minute until it can)", file=sys.stderr)
    return 0


def rm(args: argparse.Namespace) -> int:
    """Delete an instance profile that aspot made; return 0."""
    asyncio.run(_with(args, lambda roles: roles.remove(args.name)))
    if args.json:
        print(json.dumps({"removed": args.name}))
    elif not args.quiet:
        print(f"removed {args.name}", file=sys.stderr)
    return 0


async def _with(args: argparse.Namespace, act: Callable[[Roles], Awaitable[T]]) -> T:
    async with await Roles.open(region_of(args.region)) as roles:
        return await act(roles)
