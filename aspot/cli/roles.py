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
    rows = [("NAME", "ROLE", "S3"), *((role.name, role.role or "none", _rights(role)) for role in found)]
    widths = [max(len(row[at]) for row in rows) for at in (0, 1)]
    return [one_line(f"{row[0]:<{widths[0]}}  {row[1]:<{widths[1]}}  {row[2]}").rstrip() for row in rows]


def _rights(role: Role) -> str:
    return "" if role.buckets is None else f"{role.access}: {', '.join(role.buckets)}"


def create(args: argparse.Namespace) -> int:
    """Make an instance profile; return 0."""
    done = asyncio.run(_with(args, lambda roles: roles.create(args.name, args.bucket, args.access)))
    if args.json:
        print(json.dumps({"name": args.name, "done": done, "buckets": args.bucket, "access": args.access}))
    elif not args.quiet:
        print(f"{done} {args.name}: may {args.access} in {', '.join(args.bucket)}", file=sys.stderr)
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
