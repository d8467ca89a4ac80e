"""`aspot s3 cp` and `sync`: files and folders between S3 and here, within S3, or between S3 and a machine."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aspot.cli.region import region_of
from aspot.cli.s3_outcome import told
from aspot.cli.signals import run_interruptible
from aspot.errors import AspotError, ConfigError
from aspot.storage.across import Across
from aspot.storage.address import Address, is_s3
from aspot.storage.copying import How, Outcome, copy_folder, opened, refuse_overlap
from aspot.storage.disk import NotCopied
from aspot.storage.mover import Mover
from aspot.storage.rules import Item
from aspot.storage.store import Store
from aspot.ui.safe import one_line
from aspot.ui.transfer import Transfers

if TYPE_CHECKING:
    from aspot.storage.errand import Errand
    from aspot.way import Way


def cp(args: argparse.Namespace) -> int:
    """Copy a file or folder; return 0, or 3 if something was not copied."""
    source, dest = _sides(args)
    if args.recursive:
        return _run(args, _folder(args, source, dest, How(everything=True)))
    is_folder = _is_folder(dest, args.dest)
    if isinstance(source, Path):
        assert isinstance(dest, Address)
        return _run(args, _put(args, source, dest.within(source.name) if is_folder else dest, source.stat().st_size))
    if isinstance(dest, Address):
        return _run(args, _across(args, source, dest.within(_name_of(source)) if is_folder else dest))
    return _run(args, _get(args, source, dest, is_folder=is_folder))


def sync(args: argparse.Namespace) -> int:
    """Make one side like the other; return 0, or 3 if something was not copied."""
    if args.on is not None:
        return there(args, args.on, args.source, args.dest)
    source, dest = _sides(args)
    return _run(args, _folder(args, source, dest, how_of(args)))


def there(args: argparse.Namespace, name: str, source: str, dest: str) -> int:
    """Sync on a machine; return 0, or 3 if something was not copied."""
    from aspot.storage.errand import Errand
    from aspot.way import Way

    sides = [Address.of(word) if is_s3(word) else Path(word) for word in (source, dest)]
    if isinstance(sides[0], Path) and isinstance(sides[1], Path):
        raise ConfigError(
            "one side is in S3, the other there, too, or a folder of the machine",
            fix="aspot s3 sync s3://BUCKET/NAME FOLDER --on NAME",
        )
    refuse_overlap(*sides)
    errand = Errand(source=source, dest=dest, how=how_of(args))
    return _run(args, _there(args, errand, Way.to(name)))


async def _there(args: argparse.Namespace, errand: Errand, way: Way) -> Outcome:
    from aspot.transfers.sync import carry

    with Transfers(is_quiet=args.quiet) as view:
        line = view.line(f"{errand.source} → {errand.dest} on {way.label}")
        return await carry(errand, way, line, view.say)


def how_of(args: argparse.Namespace) -> How:
    """Return how a sync is wanted."""
    return How(delete=args.delete, by_content=args.checksum, dry=args.dry_run)


def _sides(args: argparse.Namespace) -> tuple[Path | Address, Path | Address]:
    sides = [Address.of(word) if is_s3(word) else Path(word) for word in (args.source, args.dest)]
    if isinstance(sides[0], Path) and isinstance(sides[1], Path):
        raise ConfigError("one side of a copy is in S3", fix=f"aspot s3 {args.action} HERE s3://BUCKET/NAME")
    if isinstance(sides[0], Path) and not sides[0].exists():
        raise ConfigError(f"no such file here: {sides[0]}")
    if isinstance(sides[0], Path) and args.action == "cp" and sides[0].is_dir() and not args.recursive:
        raise ConfigError(f"{sides[0]} is a folder", fix="with all that is in it: -r")
    return sides[0], sides[1]


def _run(args: argparse.Namespace, work: Coroutine[Any, Any, Outcome]) -> int:
    try:
        outcome = run_interruptible(work, abandon=lambda: os._exit(130))
    except KeyboardInterrupt:
        if not args.quiet:
            print("stopped; the same command goes on from here", file=sys.stderr)
        raise
    return told(outcome, args)


async def _folder(args: argparse.Namespace, source: Path | Address, dest: Path | Address, how: How) -> Outcome:
    async with opened(region_of(args.region)) as store:
        with Transfers(is_quiet=args.quiet) as view:
            return await copy_folder(store, source, dest, how=how, watch=view.line(f"{source} → {dest}"))


def _is_folder(dest: Path | Address, word: str) -> bool:
    """Tell whether a copy goes into its destination, not in its place."""
    if isinstance(dest, Path):
        return word.endswith("/") or dest.is_dir()
    return word.endswith("/") or not dest.key


async def _put(args: argparse.Namespace, source: Path, dest: Address, length: int) -> Outcome:
    async with opened(region_of(args.region)) as store:
        with Transfers(is_quiet=args.quiet) as view:
            watch = view.line(f"{source} → {dest}")
            watch.begin(1, length)
            return await _one(dest.key, Mover(store, watch.moved).upload(source, dest))


async def _get(args: argparse.Namespace, source: Address, dest: Path, *, is_folder: bool) -> Outcome:
    name = _name_of(source)
    path = Path(dest, name if is_folder else "")
    if path.name in ("", ".", ".."):
        raise ConfigError(f"{one_line(name)!r} is no name for a file here", fix="name the file: DST")
    async with opened(region_of(args.region)) as store:
        item = await _item(store, source)
        with Transfers(is_quiet=args.quiet) as view:
            watch = view.line(f"{source} → {path}")
            watch.begin(1, item.size)
            return await _one(name, Mover(store, watch.moved).download(item, source, path))


async def _across(args: argparse.Namespace, source: Address, dest: Address) -> Outcome:
    if source == dest:
        raise ConfigError(f"{source} and {dest} are the same place", fix="name two")
    async with opened(region_of(args.region)) as store:
        item = await _item(store, source)
        with Transfers(is_quiet=args.quiet) as view:
            watch = view.line(f"{source} → {dest}")
            watch.begin(1, item.size)
            return await _one(dest.key, Across(store, watch.moved).copy(item, source, dest))


def _name_of(source: Address) -> str:
    """Return the last part of an object's name."""
    name = source.key.rpartition("/")[2]
    if not name:
        raise ConfigError(f"{source} is no object", fix="with all that is in it: -r")
    return name


async def _item(store: Store, source: Address) -> Item:
    item = await store.item(source)
    if item is None:
        fix = f"aspot s3 ls s3://{source.bucket}/ shows what is there; a folder: -r"
        raise ConfigError(f"there is no object {source}", fix=fix)
    return item


async def _one(name: str, moving: Coroutine[Any, Any, int]) -> Outcome:
    try:
        return Outcome(size=await moving, copied=[name])
    except NotCopied as error:
        raise AspotError(f"{one_line(name)} was not copied: {error}") from error
