"""`python -m benchmarks fleet`: N jobs on N instances of the local cloud, with aspot and in the usual ways."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

WAYS = ("aspot", "threads", "sequence")


def register(names: argparse._SubParsersAction) -> None:
    """Add the benchmark's words."""
    parser = names.add_parser("fleet", help=__doc__)
    parser.add_argument("--instances", type=int, nargs="+", default=[1, 10, 50, 200])
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--sequence-up-to", type=int, default=3, help="largest N done one after another")
    parser.add_argument("--boot", default="15-25", help="seconds from launch to an answering SSH port")
    parser.add_argument("--job-seconds", type=float, default=20.0)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write all measurements here too")
    parser.set_defaults(handler=main)


def main(args: argparse.Namespace) -> int:
    """Measure every way at every size and print a table."""
    rows = []
    print(HEADER, flush=True)
    for count in args.instances:
        for way in args.ways:
            if way == "sequence" and count > args.sequence_up_to:
                continue
            taken = [asyncio.run(_measure(way, count, args, args.seed + turn)) for turn in range(args.repeat)]
            rows += taken
            print(_line(way, count, taken), flush=True)
    if args.json:
        Path(args.json).write_text(json.dumps(rows, indent=1))
    return 0


async def _measure(way: str, count: int, args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Run one way once, in a process of its own, against a local cloud of its own."""
    from aspot.local import LocalCloud

    with tempfile.TemporaryDirectory(prefix="aspot-bench-") as folder:
        async with LocalCloud(folder=Path(folder) / "cloud", seed=seed, boot=args.boot) as cloud:
            env = {**os.environ, **cloud.env, "ASPOT_STATE_DIR": f"{folder}/state"}
            words = [sys.executable, "-m", f"benchmarks.way_{way}", str(count), str(args.job_seconds), folder]
            way_process = await asyncio.create_subprocess_exec(
                *words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE
            )
            assert way_process.stdin is not None
            assert way_process.stdout is not None
            while (line := await way_process.stdout.readline()) and line != b"warm\n":
                pass
            before = {item["id"] for item in await cloud.instances()}
            await cloud.reset_calls()
            way_process.stdin.write(b"\n")
            told = await way_process.stdout.read()
            if await way_process.wait() != 0:
                raise RuntimeError(f"{way} with {count} instances failed")
            measured = json.loads(told.decode().strip().splitlines()[-1])
            boots = [item["boot_s"] for item in await cloud.instances() if item["id"] not in before]
            measured |= {"way": way, "instances": count, "seed": seed, "calls": await cloud.calls()}
            own = max(boots) if way != "sequence" else sum(boots) + (count - 1) * args.job_seconds
            return measured | {"own_s": own + args.job_seconds}


HEADER = (
    f"{'WAY':9} {'N':>4} {'MAKESPAN s':>11} {'÷ OWN TIME':>11} {'CPU ms/inst':>12} {'MEMORY MB':>10} {'MB/inst':>8}"
    "  LAUNCH CALLS / OTHER / READS"
)
READS = ("Describe", "Get", "List")
LAUNCHES = ("CreateFleet", "RunInstances", "RequestSpotInstances")


def _line(way: str, count: int, taken: list[dict[str, Any]]) -> str:
    def middle(key: str) -> float:
        return statistics.median(item[key] for item in taken)

    ratio = statistics.median(item["makespan_s"] / item["own_s"] for item in taken)
    cpu = middle("cpu_s") * 1000 / count
    memory = middle("rss_mb")
    grown = (memory - middle("rss_start_mb")) / count
    calls = taken[-1]["calls"]
    launches = sum(number for name, number in calls.items() if name in LAUNCHES)
    reads = sum(number for name, number in calls.items() if name.startswith(READS))
    rest = sum(calls.values()) - launches - reads
    row = f"{way:9} {count:4} {middle('makespan_s'):11.1f} {ratio:11.2f} {cpu:12.1f} {memory:10.0f} {grown:8.2f}"
    return f"{row}  {launches} / {rest} / {reads}  {json.dumps(calls)}"
