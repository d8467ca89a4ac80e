"""`python -m benchmarks journal`: what an event costs the loop, and how long a commit takes."""

from __future__ import annotations

import argparse
import asyncio
import os
import sqlite3
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from aspot.journal import codec, database
from aspot.journal.sqlite import SqliteJournal
from aspot.machine.events import AttemptExited, AttemptStarted, CheckpointSaved, Event, InstanceRan, LinkRestored
from aspot.machine.model import Checkpoint, ExitStatus, RunSpec
from benchmarks.local import write_json

GOAL_MS = 1.0


def register(names: argparse._SubParsersAction) -> None:
    """Add the benchmark's words."""
    parser = names.add_parser("journal", help=__doc__)
    parser.add_argument("--commits", type=int, default=400)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 5, 50], help="events in one commit")
    parser.add_argument("--folder", help="where to write (default: the folder for temporary files)")
    parser.add_argument("--json", metavar="FILE", help="write all measurements here too")
    parser.set_defaults(handler=main)


def main(args: argparse.Namespace) -> int:
    """Measure every batch size, interleaved with the same rows by sqlite3 alone, and print a table."""
    rows = [_measured(batch, args.commits, args.folder) for batch in args.batch]
    print(
        f"{'EVENTS A COMMIT':>15} {'LOOP ms/EVENT':>14} {'COMMIT ms p50':>14} {'p95':>7} {'BARE p50':>12} {'RATIO':>6}"
        f"   goal: {GOAL_MS:.0f} ms of loop time an event"
    )
    for row in rows:
        print(
            f"{row['batch']:15} {row['loop_ms']:14.3f} {row['commit_ms']:14.2f} {row['commit_p95_ms']:7.2f} "
            f"{row['bare_ms']:12.2f} {row['commit_ms'] / row['bare_ms']:6.2f}"
        )
    write_json(args.json, rows)
    return 0


def _measured(batch: int, commits: int, folder: str | None) -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="aspot-bench-", dir=folder) as name:
        loop_s, taken, bare = asyncio.run(_both(Path(name), batch, commits))
    return {
        "batch": batch,
        "loop_ms": loop_s * 1000 / (batch * commits),
        "commit_ms": statistics.median(taken) * 1000,
        "commit_p95_ms": statistics.quantiles(taken, n=20)[-1] * 1000,
        "bare_ms": statistics.median(bare) * 1000,
    }


async def _both(folder: Path, batch: int, commits: int) -> tuple[float, list[float], list[float]]:
    """Return CPU seconds of the loop's own thread in all, seconds of each commit, and of each by sqlite3 alone."""
    os.environ["ASPOT_STATE_DIR"] = str(folder / "state")
    spec = RunSpec(id="01BENCH0000000000000000000", name="bench", region="us-east-1")
    journal, bare = SqliteJournal.create(spec, created=datetime.now(UTC)), database.create(folder / "bare.db")
    await journal.append(_events(batch, 0))  # the thread is there from here on
    loop_s, taken, limits = 0.0, [], []
    for number in range(commits):
        events = _events(batch, number)
        began, cpu = time.perf_counter(), time.thread_time()
        await journal.append(events)
        loop_s += time.thread_time() - cpu
        taken.append(time.perf_counter() - began)
        limits.append(_by_sqlite(bare, events))
    await journal.aclose()
    bare.close()
    return loop_s, taken, limits


def _by_sqlite(connection: sqlite3.Connection, events: list[Event]) -> float:
    """The limit: the same rows, encoded beforehand, by sqlite3 alone, just as durable."""
    rows = [(event.at.isoformat(), *codec.encode(event)) for event in events]
    began = time.perf_counter()
    connection.execute("BEGIN IMMEDIATE")
    connection.executemany("INSERT INTO event (at, kind, body) VALUES (?, ?, ?)", rows)
    connection.execute("COMMIT")
    return time.perf_counter() - began


def _events(batch: int, number: int) -> list[Event]:
    """Return events as a run has them, in turn."""
    at, instance, job = datetime.now(UTC), f"i-{number:017x}", f"job-{number}"
    about: dict[str, Any] = {"at": at, "instance": instance, "job": job, "attempt": 1}
    kinds = [
        InstanceRan(at=at, instance=instance, address="203.0.113.7", port=22, launched=at),
        LinkRestored(at=at, instance=instance, boot_id="11111111-2222-3333-4444-555555555555"),
        AttemptStarted(**about),
        CheckpointSaved(**about, checkpoint=Checkpoint(job=job, attempt=1, serial=1, size=1 << 20, files=3, taken=at)),
        AttemptExited(**about, exit=ExitStatus(code=0, why="exit", ended=at, boot_id="b", out=1, err=1)),
    ]
    return [kinds[(number + one) % len(kinds)] for one in range(batch)]
