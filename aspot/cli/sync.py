"""`aspot sync`: data between S3 and machines or this computer, several at once, once or every so often."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio
import attrs

from aspot.aws.together import together
from aspot.cli.region import region_of
from aspot.cli.s3_copy import carry, how_of
from aspot.cli.s3_outcome import outcome_object, say_outcome
from aspot.cli.signals import run_interruptible
from aspot.errors import AspotError, ConfigError
from aspot.machine.quantities import seconds
from aspot.storage.address import Address, is_s3
from aspot.storage.copying import How, Outcome, copy_folder, opened
from aspot.storage.errand import Errand
from aspot.ui.tables import error_text
from aspot.ui.transfer import TransferLine, Transfers
from aspot.way import Way

LEAST_S = 1.0
_THERE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?):(.*)", re.DOTALL)


@attrs.frozen
class _End:
    """One side of a sync.

    Args:
        machine: Its name; "" for S3 and for this computer.
        path: A folder, or a place in S3.
    """

    machine: str
    path: str

    @classmethod
    def of(cls, word: str) -> _End:
        """Return what a word means; what is a file here is never a machine."""
        found = _THERE.fullmatch(word)
        if is_s3(word) or found is None or os.path.lexists(word):
            return cls("", word)
        return cls(found[1], found[2] or ".")


@attrs.frozen(kw_only=True)
class _Pair:
    """A sync: two sides, one of them in S3."""

    source: _End
    dest: _End
    label: str

    @classmethod
    def of(cls, source: str, dest: str) -> _Pair:
        """Return the sync of two words.

        Raises:
            ConfigError: If there is no such sync.
        """
        ends = _End.of(source), _End.of(dest)
        stores = [is_s3(end.path) and not end.machine for end in ends]
        if stores[0] == stores[1]:
            fix = "between a machine and here: aspot cp" if not stores[0] else "by way of a folder here or of a machine"
            raise ConfigError(f"{source} → {dest}: one side is in S3, the other is a folder", fix=fix)
        Address.of(ends[stores.index(True)].path)
        if stores[1] and not ends[0].machine and not Path(source).exists():
            raise ConfigError(f"no such file here: {source}")
        return cls(source=ends[0], dest=ends[1], label=f"{source} → {dest}")

    @property
    def machine(self) -> str:
        """Return the machine's name; "" for none."""
        return self.source.machine or self.dest.machine


def main(args: argparse.Namespace) -> int:
    """Sync; return 0, or the worst of the exit codes."""
    if len(args.paths) % 2:
        raise ConfigError("name where from and where to, in pairs", fix="aspot sync SRC DST [SRC DST]...")
    every_s = None if args.every is None else seconds(args.every, "--every")
    if every_s is not None and every_s < LEAST_S:
        raise ConfigError(f"--every {args.every} is too often", fix="at least 1s")
    pairs = [_Pair.of(*args.paths[at : at + 2]) for at in range(0, len(args.paths), 2)]
    work = _Work(args=args, how=how_of(args), every_s=every_s)
    try:
        return run_interruptible(work.all(pairs), abandon=lambda: os._exit(130))
    except KeyboardInterrupt:
        if not args.quiet:
            print("stopped; the same command goes on from here", file=sys.stderr)
        raise


@attrs.frozen(kw_only=True)
class _Work:
    """Syncs side by side in one view."""

    args: argparse.Namespace
    how: How
    every_s: float | None

    async def all(self, pairs: Sequence[_Pair]) -> int:
        """Carry them out; return the worst exit code. A sync that fails keeps no other back."""
        with Transfers(is_quiet=self.args.quiet) as view:
            lines = [view.line(pair.label) for pair in pairs]
            jobs = [partial(self._keep, pair, line, view) for pair, line in zip(pairs, lines, strict=True)]
            codes: list[int] = await together(*jobs)
        return max(codes)

    async def _keep(self, pair: _Pair, line: TransferLine, view: Transfers) -> int:
        """Sync once, or for ever; return an exit code."""
        is_first = True
        while True:
            began = anyio.current_time()
            code = await self._once(pair, line, view, is_first=is_first)
            if self.every_s is None or code == ConfigError.exit_code:
                return code
            is_first = False
            await anyio.sleep(max(0.0, began + self.every_s - anyio.current_time()))

    async def _once(self, pair: _Pair, line: TransferLine, view: Transfers, *, is_first: bool) -> int:
        try:
            outcome = await self._sync(pair, line, view)
        except AspotError as error:
            print(error_text(error), file=sys.stderr)
            if self.args.json:
                told = {"source": pair.source.path, "dest": pair.dest.path, "machine": pair.machine}
                print(json.dumps({**told, "error": error.message, "fix": error.fix}), flush=True)
            return error.exit_code if is_first or self.every_s is None else 3
        is_news = is_first or bool(outcome.copied or outcome.deleted or outcome.failed)
        self._tell(pair, outcome, is_news=is_news)
        return 3 if outcome.failed else 0

    async def _sync(self, pair: _Pair, line: TransferLine, view: Transfers) -> Outcome:
        if pair.machine:
            errand = Errand(source=pair.source.path, dest=pair.dest.path, how=self.how)
            return await carry(errand, Way.to(pair.machine), line, view)
        source, dest = _side(pair.source), _side(pair.dest)
        async with opened(region_of(self.args.region)) as store:
            return await copy_folder(store, source, dest, how=self.how, watch=line)

    def _tell(self, pair: _Pair, outcome: Outcome, *, is_news: bool) -> None:
        args, dry = self.args, self.how.dry
        if args.json:
            told = {"source": pair.source.path, "dest": pair.dest.path, "machine": pair.machine}
            print(json.dumps({**told, **outcome_object(outcome, dry=dry)}), flush=True)
        if is_news:
            say_outcome(outcome, dry=dry, quiet=args.quiet, as_json=args.json, label=pair.label)


def _side(end: _End) -> Path | Address:
    return Address.of(end.path) if is_s3(end.path) else Path(end.path)
