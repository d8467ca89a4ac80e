"""`python -m benchmarks reconnect`: from the command line to a prompt on a box that is there, on the local cloud.

The time is that of the whole process: `aspot connect -n NAME -a` starts, asks EC2 once, logs in, and the shell on the
box answers its first line. Beside it, what plain `ssh` with the same key takes, which nobody can be faster than.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ASPOT = [sys.executable, "-m", "aspot"]
BOX = "bench"


def register(names: argparse._SubParsersAction) -> None:
    """Add this benchmark's words."""
    parser = names.add_parser("reconnect", help="time from `aspot connect -a` to a prompt")
    parser.add_argument("--times", type=int, default=10)
    parser.set_defaults(handler=main)


def main(args: argparse.Namespace) -> int:
    """Measure, and print one JSON object."""
    with tempfile.TemporaryDirectory(prefix="aspot-bench-") as folder:
        env = _environment(Path(folder))
        try:
            subprocess.run([*ASPOT, "connect", "-n", BOX, "-p", "t2.micro", "-q"], env=env, check=True)
            mine = [_timed([*ASPOT, "connect", "-n", BOX, "-a", "-q"], env) for _ in range(args.times)]
            (key,) = Path(folder).glob("state/runs/*/keys/client_key")
            ssh = ["ssh", "-F", env["ASPOT_LOCAL_SSH_CONFIG"], "-i", str(key), BOX, "sh"]
            plain = [_timed(ssh, env) for _ in range(args.times)]
        finally:
            subprocess.run([*ASPOT, "down", BOX], env=env, check=False, stdout=subprocess.DEVNULL)
            subprocess.run([*ASPOT, "local", "down"], env=env, check=True)
    print(json.dumps({"aspot connect -a": _figures(mine), "ssh": _figures(plain)}, indent=1))
    return 0


def _environment(folder: Path) -> dict[str, str]:
    """Start a local cloud of our own, and return the environment that points at it."""
    env = {**os.environ, "ASPOT_LOCAL_DIR": str(folder / "local"), "ASPOT_STATE_DIR": str(folder / "state")}
    file = folder / "env"
    subprocess.run([*ASPOT, "local", "up", "--env-file", str(file)], env=env, check=True, stdout=subprocess.DEVNULL)
    lines = file.read_text(encoding="utf-8").splitlines()
    return {**env, **dict(line.split("=", 1) for line in lines)}


def _timed(words: list[str], env: dict[str, str]) -> tuple[float, float]:
    """Return seconds until the prompt answers, and seconds of CPU in all."""
    began, used = time.perf_counter(), _cpu_s()
    process = subprocess.Popen(words, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write("echo here\n")
    process.stdin.flush()
    assert process.stdout.readline() == "here\n"
    took = time.perf_counter() - began
    process.stdin.close()
    process.wait()
    process.stdout.close()
    return took, _cpu_s() - used


def _cpu_s() -> float:
    found = resource.getrusage(resource.RUSAGE_CHILDREN)
    return found.ru_utime + found.ru_stime


def _figures(times: list[tuple[float, float]]) -> dict[str, float]:
    walls, cpus = zip(*times, strict=True)
    return {
        "median_s": round(statistics.median(walls), 3),
        "most_s": round(max(walls), 3),
        "cpu_s": round(statistics.median(cpus), 3),
        "times": len(times),
    }
