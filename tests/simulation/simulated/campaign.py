"""Many random worlds in a row, for the command line: progress, a summary, and how to play a failure again."""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
import traceback
from collections import Counter

import attrs

from simulated.stories import play
from simulated.world import World

COMMAND = "python -m tests.simulate"
EVERY_S = 10.0
NEWS_SHOWN = 30


@attrs.define
class Tally:
    """What was played so far."""

    seeds: int = 0
    virtual_s: float = 0.0
    jobs: int = 0
    machines: int = 0
    crashes: int = 0
    happened: Counter[str] = attrs.Factory(Counter)
    failed: list[int] = attrs.Factory(list)
    began: float = attrs.Factory(time.monotonic)

    def count(self, world: World) -> None:
        self.virtual_s += world.loop.time()
        self.jobs += len(world.scripts)
        self.machines += len(world.cloud.machines)
        self.crashes += world.came_back
        self.happened += world.happened

    def __str__(self) -> str:
        spent_s = time.monotonic() - self.began
        return (
            f"{self.seeds} seeds, {self.virtual_s / 3600:.1f} virtual hours, {self.jobs} jobs, {self.machines} machines"
            f", {self.crashes} returns after a kill, {len(self.failed)} failures, {spent_s:.0f} s"
        )


def main(words: list[str] | None = None) -> int:
    """Play what the words ask for; return the exit code: 1 if a world failed."""
    asked = parsed(words)
    tally, shown = Tally(), time.monotonic()
    for seed in range(asked.first, asked.first + asked.seeds):
        one(tally, seed, crashes=asked.kills)
        if time.monotonic() - shown >= EVERY_S:
            shown = time.monotonic()
            print(f"... {tally}", flush=True)
        if len(tally.failed) >= asked.most_failures:
            break
    print(tally)
    print("faults and deeds:", ", ".join(f"{kind} {count}" for kind, count in sorted(tally.happened.items())))
    return 1 if tally.failed else 0


def parsed(words: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog=COMMAND, description="Play random worlds on a virtual clock.")
    parser.add_argument("--seeds", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="the first seed (default: 0)")
    parser.add_argument("--kills", action="store_true", help="kill the client again and again in every world")
    parser.add_argument("--most-failures", type=int, default=5, metavar="N", help="stop after so many (default: 5)")
    return parser.parse_args(words)


def one(tally: Tally, seed: int, *, crashes: bool) -> None:
    worlds: list[World] = []
    tally.seeds += 1
    try:
        play(seed, crashes=crashes, seen=worlds.append)
    except (Exception, BaseExceptionGroup) as error:
        tally.failed.append(seed)
        report(seed, error, worlds, crashes=crashes)
    for world in worlds:
        tally.count(world)


def report(seed: int, error: BaseException, worlds: list[World], *, crashes: bool) -> None:
    print(f"\nseed {seed} failed", file=sys.stderr)
    for world in worlds:
        for news in world.news[-NEWS_SHOWN:]:
            print(f"  {world.clock.since(news.time):9.2f} s  {news.name}: {news.message}", file=sys.stderr)
    print("".join(traceback.format_exception(error)), file=sys.stderr)
    print(f"at commit {commit()}", file=sys.stderr)
    print(f"play it again: {COMMAND} --first {seed} --seeds 1{' --kills' if crashes else ''}", file=sys.stderr)


def commit() -> str:
    """Return the commit that was played: a seed means another world in another one."""
    asked = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return asked.stdout.strip() or "unknown"
