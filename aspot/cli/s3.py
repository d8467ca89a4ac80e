"""`aspot s3 ls` and `rm`: buckets and objects listed, objects removed."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from datetime import datetime
from typing import Any

from aspot.cli.region import region_of
from aspot.cli.s3_outcome import count, say_failed
from aspot.errors import ConfigError
from aspot.storage.address import Address
from aspot.storage.copying import opened
from aspot.storage.store import Entry, Store
from aspot.ui.figures import size
from aspot.ui.safe import one_line


def ls(args: argparse.Namespace) -> int:
    """List buckets or objects; return 0."""
    asyncio.run(_ls(args, Address.of(args.place) if args.place else None))
    return 0


async def _ls(args: argparse.Namespace, where: Address | None) -> None:
    async with opened(region_of(args.region)) as store:
        if where is None:
            buckets = await store.buckets()
            if args.json:
                print(json.dumps([{"bucket": name, "created": made.isoformat()} for name, made in buckets]))
            else:
                print(*(f"{_moment(made)}  {name}" for name, made in buckets), sep="\n", end="\n" if buckets else "")
            return
        listed = []
        async for entry in store.entries(where, is_flat=args.recursive):
            if args.json:
                listed.append(_object(entry))
            else:
                print(_line(entry))
        if args.json:
            print(json.dumps(listed))


def _line(entry: Entry) -> str:
    if entry.modified is None or entry.size is None:
        return f"{'folder':>29}  {one_line(entry.key, limit=2000)}"
    return f"{_moment(entry.modified)}  {size(entry.size):>8}  {one_line(entry.key, limit=2000)}"


def _moment(moment: datetime) -> str:
    return moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def _object(entry: Entry) -> dict[str, Any]:
    if entry.modified is None:
        return {"folder": entry.key}
    return {"key": entry.key, "size": entry.size, "modified": entry.modified.isoformat(), "etag": entry.etag}


def rm(args: argparse.Namespace) -> int:
    """Delete objects; return 0, or 3 if some could not be."""
    where = Address.of(args.place)
    if args.unfinished:
        return asyncio.run(_drop(args, where))
    if not args.recursive and (not where.key or where.key.endswith("/")):
        raise ConfigError(f"{where} is no object", fix="everything in it: -r, and --dry-run to see what that is")
    return asyncio.run(_rm(args, where))


async def _rm(args: argparse.Namespace, where: Address) -> int:
    async with opened(region_of(args.region)) as store:
        doomed = await _doomed(store, where, is_folder=args.recursive)
        if args.recursive and not args.dry_run and not args.yes:
            _ask(f"delete {count(len(doomed), 'object')} in {where}?")
        failed = [] if args.dry_run else await store.remove(where.bucket, doomed)
    refused = {key for key, _ in failed}
    gone = [key for key in doomed if key not in refused]
    if args.json:
        print(json.dumps({"deleted": gone, "failed": dict(failed), "dry_run": args.dry_run}))
    elif args.dry_run:
        print(*(f"would delete s3://{where.bucket}/{one_line(key, limit=2000)}" for key in gone), sep="\n")
    elif not args.quiet:
        print(f"deleted {count(len(gone), 'object')}", file=sys.stderr)
    say_failed(dict(failed), "deleted")
    return 3 if failed else 0


async def _doomed(store: Store, where: Address, *, is_folder: bool) -> list[str]:
    one = await store.item(where) if where.key and not where.key.endswith("/") else None
    found = [where.key] if one is not None else []
    if is_folder:
        below = Address(where.bucket, where.folder)
        found += [entry.key async for entry in store.entries(below, is_flat=True)]
    if not found:
        what = "there is nothing in" if is_folder else "there is no object"
        raise ConfigError(f"{what} {where}", fix=f"aspot s3 ls s3://{where.bucket}/ shows what is there")
    return found


async def _drop(args: argparse.Namespace, where: Address) -> int:
    async with opened(region_of(args.region)) as store:
        found = await store.unfinished(where)
        for key, upload in [] if args.dry_run else found:
            await store.abort(Address(where.bucket, key), upload)
    names = [key for key, _ in found]
    if args.json:
        print(json.dumps({"dropped": names, "dry_run": args.dry_run}))
    else:
        done = "would drop" if args.dry_run else "dropped"
        print(*(f"{done} the upload of s3://{where.bucket}/{one_line(key, limit=2000)}" for key in names), sep="\n")
        if not names:
            print("no upload is unfinished there")
    return 0


def _ask(question: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigError("a whole folder is deleted only with --yes", fix="look first: --dry-run")
    print(f"{question} [y/N] ", end="", file=sys.stderr, flush=True)
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise ConfigError("nothing was deleted")
