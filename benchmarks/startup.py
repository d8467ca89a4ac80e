"""`python -m benchmarks startup`: how long `import aspot` and `aspot --help` take, as whole processes."""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "import aspot": [sys.executable, "-c", "import aspot"],
    "import aspot, Fleet and Job": [sys.executable, "-c", "from aspot import Fleet, Job"],
    "aspot --help": [sys.executable, "-m", "aspot", "--help"],
    "import boto3 (peer)": [sys.executable, "-c", "import boto3"],
}


def register(names: argparse._SubParsersAction) -> None:
    """Add the benchmark's words."""
    parser = names.add_parser("startup", help=__doc__)
    parser.add_argument("--repeat", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    parser.set_defaults(handler=main)


def main(args: argparse.Namespace) -> int:
    """Time every command, interleaved, and print minimum, median and maximum seconds."""
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(args.repeat):
        for name, words in COMMANDS.items():
            times[name].append(_seconds(words))
    rows = [
        {"what": name, "min_s": min(taken), "median_s": statistics.median(taken), "max_s": max(taken)}
        for name, taken in times.items()
    ]
    if args.json:
        print(json.dumps(rows))
        return 0
    print(f"{'WHAT':32} {'MIN s':>8} {'MEDIAN s':>9} {'MAX s':>8}   ({args.repeat} runs each, interleaved)")
    for row in rows:
        print(f"{row['what']:32} {row['min_s']:8.3f} {row['median_s']:9.3f} {row['max_s']:8.3f}")
    return 0


def _seconds(words: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - begun
