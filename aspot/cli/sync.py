"""`aspot sync`: data between S3, file systems, volumes, machines and this computer, several at once, every so often."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from contextlib import AsyncExitStack
from functools import partial

import anyio
import attrs

from aspot.aws.together import together
from aspot.cli.region import region_of
from aspot.cli.s3_copy import how_of
from aspot.cli.s3_outcome import outcome_object, say_outcome
from aspot.cli.signals import run_interruptible
from aspot.errors import AspotError, ConfigError
from aspot.machine.quantities import seconds
from aspot.storage.copying import How, Outcome
from aspot.transfers.ends import Pair
from aspot.transfers.made import Machine
from aspot.transfers.sync import Sync
from aspot.ui.tables import error_text
from aspot.ui.transfer import TransferLine, Transfers

LEAST_S = 1.0


def main(args: argparse.Namespace) -> int:
    """Sync; return 0, or the worst of the exit codes."""
    if len(args.paths) % 2:
        raise ConfigError("name where from and where to, in pairs", fix="aspot sync SRC DST [SRC DST]...")
    every_s = None if args.every is None else seconds(args.every, "--every")
    if every_s is not None and every_s < LEAST_S:
        raise ConfigError(f"--every {args.every} is too often", fix="at least 1s")
    pairs = [Pair.of(*args.paths[at : at + 2]) for at in range(0, len(args.paths), 2)]
    if args.instance_profile and not any(_may_be_made(pair) for pair in pairs):
        raise ConfigError(
            "--instance-profile is for a machine that is made for a sync, and none is made for these",
            fix="leave it out; one is made for efs://, ebs://, and with it from S3 to S3",
        )
    work = _Work(args=args, how=how_of(args), every_s=every_s)
    try:
        return run_interruptible(work.all(pairs), abandon=lambda: os._exit(130))
    except KeyboardInterrupt:
        if not args.quiet:
            print("stopped; the same command goes on from here", file=sys.stderr)
        raise


def _may_be_made(pair: Pair) -> bool:
    return bool(pair.disks) or len(pair.buckets) == 2


@attrs.frozen(kw_only=True)
class _Work:
    """Syncs side by side in one view; one machine at a time can have a volume, so syncs with the same wait."""

    args: argparse.Namespace
    how: How
    every_s: float | None
    _volumes: dict[str, anyio.Lock] = attrs.field(init=False, factory=dict)

    async def all(self, pairs: Sequence[Pair]) -> int:
        """Carry them out; return the worst exit code. A sync that fails keeps no other back."""
        with Transfers(is_quiet=self.args.quiet) as view:
            lines = [view.line(pair.label) for pair in pairs]
            jobs = [partial(self._keep, pair, line, view) for pair, line in zip(pairs, lines, strict=True)]
            codes: list[int] = await together(*jobs)
        return max(codes)

    async def _keep(self, pair: Pair, line: TransferLine, view: Transfers) -> int:
        """Sync once, or for ever; return an exit code."""
        is_first = True
        while True:
            began = anyio.current_time()
            code = await self._once(pair, line, view, is_first=is_first)
            if self.every_s is None or code == ConfigError.exit_code:
                return code
            is_first = False
            await anyio.sleep(max(0.0, began + self.every_s - anyio.current_time()))

    async def _once(self, pair: Pair, line: TransferLine, view: Transfers, *, is_first: bool) -> int:
        try:
            async with AsyncExitStack() as held:
                for volume in sorted(disk.name for disk in pair.disks if disk.kind == "ebs"):
                    await held.enter_async_context(self._volumes.setdefault(volume, anyio.Lock()))
                outcome = await self._sync(pair, line, view)
        except AspotError as error:
            print(error_text(error), file=sys.stderr)
            if self.args.json:
                print(json.dumps({**_names(pair), "error": error.message, "fix": error.fix}), flush=True)
            return error.exit_code if is_first or self.every_s is None else 3
        is_news = is_first or bool(outcome.copied or outcome.deleted or outcome.failed)
        self._tell(pair, outcome, is_news=is_news)
        return 3 if outcome.failed else 0

    async def _sync(self, pair: Pair, line: TransferLine, view: Transfers) -> Outcome:
        args = self.args
        machine = Machine(profile=args.profile, instance_profile=args.instance_profile, region=args.region)
        is_made = bool(args.instance_profile)
        sync = Sync(pair=pair, how=self.how, machine=machine, on_machine=is_made, region=region_of(args.region))
        return await sync.run(line, view.say)

    def _tell(self, pair: Pair, outcome: Outcome, *, is_news: bool) -> None:
        args, dry = self.args, self.how.dry
        if args.json:
            print(json.dumps({**_names(pair), **outcome_object(outcome, dry=dry)}), flush=True)
        if is_news:
            say_outcome(outcome, dry=dry, quiet=args.quiet, as_json=args.json, label=pair.label)


def _names(pair: Pair) -> dict[str, str]:
    return {"source": pair.source.text, "dest": pair.dest.text, "machine": pair.machine}
