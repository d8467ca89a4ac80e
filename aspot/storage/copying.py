"""Folders to S3, from it and within it: what has to be copied, copied side by side; and what came of it.

May import: `mover`, `across`, `store`, `address`, `rules`.
"""

from __future__ import annotations

import errno
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import anyio
import anyio.to_thread
import attrs

from aspot.aws.together import together
from aspot.errors import AspotError, ConfigError
from aspot.storage import rules
from aspot.storage.across import Across
from aspot.storage.address import Address
from aspot.storage.disk import NotCopied
from aspot.storage.mover import Mover
from aspot.storage.rules import Item, Plan
from aspot.storage.store import Store

FILES_AT_ONCE = 8


class Watch(Protocol):
    """Is told how a copy goes on."""

    def begin(self, files: int, size: int) -> None:
        """Take note of what there is to do: files, bytes."""

    def moved(self, size: int) -> None:
        """Take note of bytes; negative for some that must be moved again."""

    def done(self, name: str) -> None:
        """Take note of a file that is done with."""


@attrs.define(kw_only=True)
class Outcome:
    """What a sync or copy did; names are those below the folder.

    Args:
        copied: Names of files that were copied.
        deleted: Names of files that were only at the destination, and are deleted.
        same: How many files were not copied, being the same on both sides.
        size: Bytes copied.
        skipped: Names that are no files that can be copied, and why.
        failed: Names that were not copied or deleted, and why.
    """

    copied: list[str] = attrs.field(factory=list)
    deleted: list[str] = attrs.field(factory=list)
    same: int = 0
    size: int = 0
    skipped: dict[str, str] = attrs.field(factory=dict)
    failed: dict[str, str] = attrs.field(factory=dict)

    @property
    def ok(self) -> bool:
        """Tell whether nothing failed."""
        return not self.failed


@attrs.frozen(kw_only=True)
class How:
    """How to copy a folder.

    Args:
        delete: Delete what is only at the destination.
        by_content: Compare contents where sizes agree, whatever the times.
        everything: Copy all, and compare nothing.
        dry: Only say what would be done.
    """

    delete: bool = False
    by_content: bool = False
    everything: bool = False
    dry: bool = False


@asynccontextmanager
async def opened(region: str | None) -> AsyncIterator[Store]:
    """Open S3 for the time of a block."""
    async with await Store.open(region) as store:
        yield store


async def copy_folder(store: Store, source: Path | Address, dest: Path | Address, *, how: How, watch: Watch) -> Outcome:
    """Make a folder here like one in S3, or the other way round, or one in S3 like another there.

    Raises:
        AspotError: If either side cannot be used; what was copied until then stays.
    """
    if isinstance(source, Path) and isinstance(dest, Path):
        raise ConfigError("one side of a copy is in S3", fix="aspot s3 sync FOLDER s3://BUCKET/NAME")
    refuse_overlap(source, dest)
    outcome = Outcome()
    sources = await _listed(store, source, outcome, is_source=True)
    dests = await _listed(store, dest, outcome, is_source=False)
    if isinstance(source, Address) and not sources:
        await _refuse_nothing(store, source)
    if isinstance(dest, Path):
        sources = _safe(sources, outcome)
    plan = rules.plan(sources, {} if how.everything else dests, delete=how.delete, by_content=how.by_content)
    doomed = [item for item in plan.delete if not is_spared(item.name, outcome)]
    outcome.same = len(plan.same)
    side = _Sides(store=store, source=source, dest=dest, there=dests, outcome=outcome, watch=watch, how=how)
    await side.copy(plan)
    await side.delete([item.name for item in doomed])
    return outcome


def refuse_overlap(source: Path | Address, dest: Path | Address) -> None:
    """Refuse to copy a folder in S3 into itself: it would grow each time, or `--delete` take what it copies.

    Raises:
        ConfigError: If one is in the other.
    """
    if isinstance(source, Address) and isinstance(dest, Address) and source.bucket == dest.bucket:
        if source.folder == dest.folder:
            raise ConfigError(f"{source} and {dest} are the same place", fix="name two")
        if source.folder.startswith(dest.folder) or dest.folder.startswith(source.folder):
            raise ConfigError(f"one of {source} and {dest} is in the other", fix="name two folders side by side")


async def _listed(store: Store, side: Path | Address, outcome: Outcome, *, is_source: bool) -> dict[str, Item]:
    if isinstance(side, Address):
        return await store.items(side)
    return await anyio.to_thread.run_sync(files_of, side, outcome.skipped if is_source else None)


def files_of(folder: Path, skipped: dict[str, str] | None) -> dict[str, Item]:
    """Return the files of a folder; a destination, which is where nobody is told what is skipped, may not be there."""
    if not folder.exists() and skipped is None:
        return {}
    if not folder.is_dir():
        what = "a file" if folder.exists() else "not there"
        raise ConfigError(f"{folder} is {what}", fix="name a folder; one file: aspot s3 cp")
    told: dict[str, str] = {} if skipped is None else skipped
    return {item.name: item for item in rules.files(str(folder), told.__setitem__)}


async def _refuse_nothing(store: Store, source: Address) -> None:
    one = await store.item(source) if source.key else None
    if one is not None:
        raise ConfigError(f"{source} is one object", fix=f"aspot s3 cp {source} DST")
    raise ConfigError(f"there is nothing in {source}", fix=f"aspot s3 ls s3://{source.bucket}/ shows what is there")


def _safe(sources: dict[str, Item], outcome: Outcome) -> dict[str, Item]:
    """Leave out what must not become a file here: anyone who may write to a bucket chooses its names."""
    kept = {}
    for name, item in sources.items():
        try:
            rules.local_parts(name)
            kept[name] = item
        except rules.UnsafeName as unsafe:
            outcome.failed[name] = str(unsafe)
    return kept


def is_spared(name: str, outcome: Outcome) -> bool:
    """Tell whether something of this name is at the source, though it is not copied: then it is not deleted."""
    return any(name == left or name.startswith(f"{left.rstrip('/')}/") or not left for left in outcome.skipped)


@attrs.frozen(kw_only=True)
class _Sides:
    """Both sides of a copy, and what came of it.

    Args:
        store: S3.
        source, dest: The sides.
        there: What is at the destination.
        outcome: What came of it so far.
        watch: Is told how it goes on.
        how: How it is wanted.
    """

    store: Store
    source: Path | Address
    dest: Path | Address
    there: dict[str, Item]
    outcome: Outcome
    watch: Watch
    how: How

    async def copy(self, plan: Plan) -> None:
        """Copy what has to be copied, a few files at a time."""
        waiting = [*((item, False) for item in plan.copy), *((item, True) for item in plan.look)]
        self.watch.begin(len(waiting), sum(item.size for item, _ in waiting))
        movers = Mover(self.store, self.watch.moved), Across(self.store, self.watch.moved)
        queue = iter(waiting)

        async def work() -> None:
            for item, is_look in queue:
                await self._one(*movers, item, is_look=is_look)

        await together(*(work for _ in range(min(FILES_AT_ONCE, len(waiting)))))

    async def _one(self, mover: Mover, across: Across, item: Item, *, is_look: bool) -> None:
        try:
            if is_look and await self._is_same(across, item):
                self.outcome.same += 1
                self.watch.moved(item.size)
            else:
                size = item.size if self.how.dry else await self._move(mover, across, item)
                self.outcome.size += size  # read after the wait: others add to it meanwhile
                self.outcome.copied.append(item.name)
        except (NotCopied, OSError) as error:
            refuse_full(error, self.dest)
            self.outcome.failed[item.name] = str(error)
        self.watch.done(item.name)

    async def _move(self, mover: Mover, across: Across, item: Item) -> int:
        if isinstance(self.source, Path):
            assert isinstance(self.dest, Address)
            return await mover.upload(self.source / item.name, self.dest.within(item.name))
        source = self.source.within(item.name)
        if isinstance(self.dest, Address):
            return await across.copy(item, source, self.dest.within(item.name))
        return await mover.download(item, source, self.dest / item.name)

    async def _is_same(self, across: Across, item: Item) -> bool:
        if isinstance(self.source, Path) or isinstance(self.dest, Path):
            return await anyio.to_thread.run_sync(self._is_content, item)
        source, dest = self.source.within(item.name), self.dest.within(item.name)
        return await across.is_same(item, self.there[item.name], source, dest, by_content=self.how.by_content)

    def _is_content(self, item: Item) -> bool:
        """Compare contents; a file that is the object's gets its time, so that the next look is a short one."""
        if isinstance(self.source, Path):
            return rules.is_content(str(self.source / item.name), item.size, self.there[item.name].etag)
        assert isinstance(self.dest, Path)
        path = self.dest / item.name
        if not rules.is_content(str(path), item.size, item.etag):
            return False
        if not self.how.dry:
            os.utime(path, (item.modified, item.modified))
        return True

    async def delete(self, names: list[str]) -> None:
        """Delete what is only at the destination."""
        if self.how.dry:
            self.outcome.deleted += names
            return
        if isinstance(self.dest, Address):
            folder = self.dest.folder
            failed = await self.store.remove(self.dest.bucket, [folder + name for name in names])
            refused = {key[len(folder) :]: why for key, why in failed}
        else:
            refused = await anyio.to_thread.run_sync(delete_files, self.dest, names)
        self.outcome.failed |= refused
        self.outcome.deleted += [name for name in names if name not in refused]


def delete_files(folder: Path, names: list[str]) -> dict[str, str]:
    """Delete files; return those that were not, and why."""
    refused = {}
    for name in names:
        try:
            (folder / name).unlink(missing_ok=True)
        except OSError as error:
            refused[name] = error.strerror or str(error)
    return refused


def refuse_full(error: Exception, dest: Path | Address) -> None:
    """Go no further where a disk is full.

    Raises:
        AspotError: If that is what the error is about.
    """
    cause = error if isinstance(error, OSError) else error.__cause__
    if isinstance(cause, OSError) and cause.errno in (errno.ENOSPC, errno.EDQUOT):
        raise AspotError(f"the disk of {dest} is full", fix="make room; the same command goes on from here") from error
