"""`aspot s3`: objects listed, removed, copied to and from here."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from aspot.cli.signals import run_interruptible
from aspot.errors import AspotError, ConfigError
from aspot.ports import LinkDropped
from aspot.storage.address import Address, is_s3
from aspot.storage.copying import How, Outcome, copy_folder, opened
from aspot.storage.mover import Mover, NotCopied
from aspot.storage.store import Entry, Store
from aspot.ui.figures import size
from aspot.ui.safe import one_line
from aspot.ui.transfer import TransferLine, Transfers

if TYPE_CHECKING:
    from aspot.storage.errand import Errand
    from aspot.way import Way

MOST_NAMED = 5
T = TypeVar("T")


def ls(args: argparse.Namespace) -> int:
    """List buckets or objects; return 0."""
    asyncio.run(_ls(args, Address.of(args.place) if args.place else None))
    return 0


async def _ls(args: argparse.Namespace, where: Address | None) -> None:
    async with opened(args.region) as store:
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
    async with opened(args.region) as store:
        doomed = await _doomed(store, where, is_folder=args.recursive)
        if args.recursive and not args.dry_run and not args.yes:
            _ask(f"delete {_count(len(doomed), 'object')} in {where}?")
        failed = [] if args.dry_run else await store.remove(where.bucket, doomed)
    refused = {key for key, _ in failed}
    gone = [key for key in doomed if key not in refused]
    if args.json:
        print(json.dumps({"deleted": gone, "failed": dict(failed), "dry_run": args.dry_run}))
    elif args.dry_run:
        print(*(f"would delete s3://{where.bucket}/{one_line(key, limit=2000)}" for key in gone), sep="\n")
    elif not args.quiet:
        print(f"deleted {_count(len(gone), 'object')}", file=sys.stderr)
    _say_failed(dict(failed), "deleted")
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
    async with opened(args.region) as store:
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


def cp(args: argparse.Namespace) -> int:
    """Copy a file or folder; return 0, or 3 if something was not copied."""
    source, dest = _sides(args)
    if args.recursive:
        return _run(args, _folder(args, source, dest, How(everything=True)))
    is_folder = _is_folder(dest, args.dest)
    if isinstance(source, Path):
        assert isinstance(dest, Address)
        return _run(args, _put(args, source, dest.within(source.name) if is_folder else dest, source.stat().st_size))
    assert isinstance(dest, Path)
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

    if is_s3(source) == is_s3(dest):
        raise ConfigError(
            "one side is in S3, the other is a folder of the machine",
            fix="aspot s3 sync s3://BUCKET/NAME FOLDER --on NAME",
        )
    Address.of(source if is_s3(source) else dest)
    errand = Errand(source=source, dest=dest, how=how_of(args))
    return _run(args, _there(args, errand, Way.to(name)))


async def _there(args: argparse.Namespace, errand: Errand, way: Way) -> Outcome:
    with Transfers(is_quiet=args.quiet) as view:
        return await carry(errand, way, view.line(f"{errand.source} → {errand.dest} on {way.label}"), view)


async def carry(errand: Errand, way: Way, watch: TransferLine, view: Transfers) -> Outcome:
    """Have a machine carry data, over as many connections as that takes; return what came of it.

    Raises:
        AspotError: If the machine is gone, or cannot do it.
    """
    from aspot.cli.ssh import SESSION

    prefix = SESSION if way.machine.info.is_box else "exec"  # a box is in use meanwhile
    connection = await way.connect()
    while True:
        try:
            return await errand.run(connection, label=way.label, watch=watch, prefix=prefix)
        except LinkDropped:
            view.say(f"the connection to {way.label} broke; connecting again (Ctrl-C gives up)")
        finally:
            connection.abort()
        connection = await way.connect_again(say=view.say)


def how_of(args: argparse.Namespace) -> How:
    """Return how a sync is wanted."""
    return How(delete=args.delete, by_content=args.checksum, dry=args.dry_run)


def _sides(args: argparse.Namespace) -> tuple[Path | Address, Path | Address]:
    sides = [Address.of(word) if is_s3(word) else Path(word) for word in (args.source, args.dest)]
    if isinstance(sides[0], Path) == isinstance(sides[1], Path):
        raise ConfigError(
            "one side of a copy is in S3, the other is here", fix=f"aspot s3 {args.action} HERE s3://BUCKET/NAME"
        )
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
    async with opened(args.region) as store:
        with Transfers(is_quiet=args.quiet) as view:
            return await copy_folder(store, source, dest, how=how, watch=view.line(f"{source} → {dest}"))


def _is_folder(dest: Path | Address, word: str) -> bool:
    """Tell whether a copy goes into its destination, not in its place."""
    if isinstance(dest, Path):
        return word.endswith("/") or dest.is_dir()
    return word.endswith("/") or not dest.key


async def _put(args: argparse.Namespace, source: Path, dest: Address, length: int) -> Outcome:
    async with opened(args.region) as store:
        with Transfers(is_quiet=args.quiet) as view:
            watch = view.line(f"{source} → {dest}")
            watch.begin(1, length)
            return await _one(dest.key, Mover(store, watch.moved).upload(source, dest))


async def _get(args: argparse.Namespace, source: Address, dest: Path, *, is_folder: bool) -> Outcome:
    name = source.key.rpartition("/")[2]
    if not name:
        raise ConfigError(f"{source} is no object", fix="with all that is in it: -r")
    path = Path(dest, name if is_folder else "")
    if path.name in ("", ".", ".."):
        raise ConfigError(f"{one_line(name)!r} is no name for a file here", fix="name the file: DST")
    async with opened(args.region) as store:
        item = await store.item(source)
        if item is None:
            fix = f"aspot s3 ls s3://{source.bucket}/ shows what is there; a folder: -r"
            raise ConfigError(f"there is no object {source}", fix=fix)
        with Transfers(is_quiet=args.quiet) as view:
            watch = view.line(f"{source} → {path}")
            watch.begin(1, item.size)
            return await _one(name, Mover(store, watch.moved).download(item, source, path))


async def _one(name: str, moving: Coroutine[Any, Any, int]) -> Outcome:
    try:
        return Outcome(size=await moving, copied=[name])
    except NotCopied as error:
        raise AspotError(f"{one_line(name)} was not copied: {error}") from error


def told(outcome: Outcome, args: argparse.Namespace) -> int:
    """Say what a copy did; return its exit code."""
    dry = bool(getattr(args, "dry_run", False))
    if args.json:
        print(json.dumps(outcome_object(outcome, dry=dry)))
    say_outcome(outcome, dry=dry, quiet=args.quiet, as_json=args.json)
    return 3 if outcome.failed else 0


def say_outcome(outcome: Outcome, *, dry: bool, quiet: bool, as_json: bool, label: str = "") -> None:
    """Say what a copy did, in lines for people; what is said as JSON already is not said again on stdout.

    Args:
        outcome: What came of it.
        dry: Whether nothing was changed.
        quiet: Say only what failed.
        as_json: Whether JSON has told it.
        label: Of one copy among several.
    """
    if dry and not as_json:
        for verb, names in (("copy", outcome.copied), ("delete", outcome.deleted)):
            for name in names:
                print(f"would {verb} {one_line(name, limit=2000)}")
    start = f"{one_line(label)}: " if label else ""
    if not quiet:
        for name, why in outcome.skipped.items():
            print(f"left out: {one_line(name)} ({why})", file=sys.stderr)
        print(f"{start}{summary(outcome, dry=dry)}", file=sys.stderr)
    _say_failed(outcome.failed, "copied")


def outcome_object(outcome: Outcome, *, dry: bool) -> dict[str, Any]:
    """Return what a copy did as JSON says it."""
    return {
        "copied": outcome.copied,
        "bytes": outcome.size,
        "same": outcome.same,
        "deleted": outcome.deleted,
        "skipped": outcome.skipped,
        "failed": outcome.failed,
        "dry_run": dry,
    }


def summary(outcome: Outcome, *, dry: bool) -> str:
    """Return one line on what a copy did."""
    words = [f"{_count(len(outcome.copied), 'file')} {'to copy' if dry else 'copied'}, {size(outcome.size)}"]
    if outcome.same:
        words.append(f"{outcome.same} the same")
    if outcome.deleted:
        words.append(f"{len(outcome.deleted)} {'to delete' if dry else 'deleted'}")
    return ", ".join(words)


def _say_failed(failed: dict[str, str], done: str) -> None:
    for name, why in list(failed.items())[:MOST_NAMED]:
        print(f"not {done}: {one_line(name)}: {one_line(why)}", file=sys.stderr)
    if len(failed) > MOST_NAMED:
        print(f"and {len(failed) - MOST_NAMED} more", file=sys.stderr)


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
