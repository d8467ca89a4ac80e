"""`python -m benchmarks sweep`: AWS calls and seconds of `aspot clean` over what a run of N instances left."""

from __future__ import annotations

import argparse
import subprocess
import time
from typing import Any

from benchmarks.local import Place, place, until, write_json

GOAL_CALLS = 10
LAUNCHES = ("CreateFleet", "RunInstances")


def register(names: argparse._SubParsersAction) -> None:
    """Add the benchmark's words."""
    parser = names.add_parser("sweep", help=__doc__)
    parser.add_argument("--instances", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write all measurements here too")
    parser.set_defaults(handler=main)


def main(args: argparse.Namespace) -> int:
    """Sweep away runs of each size, and print a table."""
    rows = []
    print(f"{'N':>5} {'CALLS TO SHOW':>14} {'s':>6} {'CALLS TO END':>13} {'s':>6} {'POLLS':>14}   goal: {GOAL_CALLS}")
    for count in args.instances:
        with place(boot_s=(1.0, 2.0), seed=args.seed) as where:
            rows.append(row := _measured(where, count))
        print(
            f"{count:5} {row['show_calls']:14} {row['show_s']:6.1f} {row['end_calls']:13} {row['end_s']:6.1f} "
            f"{row['polls']:14}   {row['by_call']}",
            flush=True,
        )
    write_json(args.json, rows)
    return 0


def _measured(where: Place, count: int) -> dict[str, Any]:
    """Launch, kill the client, and count what showing and ending the rest takes."""
    _leave(where, count)
    shown = _counted(where, "clean", "--all", "--run", "bench")
    ended = _counted(where, "clean", "--all", "--run", "bench", "--yes", "-q")
    left = [item for item in where.instances() if item["state"] != "terminated"]
    if left:
        raise RuntimeError(f"{len(left)} instances are left")
    calls = ended["calls"]
    return {
        "instances": count,
        "show_calls": sum(shown["calls"].values()),
        "show_s": shown["s"],
        "end_calls": sum(calls.values()),
        "end_s": ended["s"],
        "polls": max(0, calls.get("DescribeInstances", 0) - 1),
        "by_call": calls,
    }


def _leave(where: Place, count: int) -> None:
    """Have a run launch its machines, which never boot (their processes are not what is measured), and kill it."""
    where.control.call("POST", "faults", {"kind": "never-boot", "count": count})
    names = []
    for number in range(count):
        names.append(f"job{number}.sh")
        (where.folder / names[-1]).write_text("true\n")
    words = ("run", *names, "-n", "bench", "--instances", str(count), "--yes", "--profile", "c7i.large", "-q")
    process = where.start(*words, stdout=subprocess.DEVNULL)
    try:
        until(lambda: sum(item["state"] == "running" for item in where.instances()) == count, pause_s=0.2)
    finally:
        process.kill()
        process.wait()


def _counted(where: Place, *words: str) -> dict[str, Any]:
    where.forget_calls()
    began = time.perf_counter()
    where.end(*words)
    return {"s": time.perf_counter() - began, "calls": where.calls()}
