"""`python -m benchmarks attach`: from the start of `aspot attach` to a live table, and to every machine linked."""

from __future__ import annotations

import argparse
import fcntl
import json
import os
import pty
import statistics
import struct
import subprocess
import sys
import termios
import threading
import time
from typing import Any

from aspot.ssh.keys import CLIENT_KEY
from benchmarks.local import Place, place, seconds_range, until, write_json

GOAL_S = 5.0
HANDSHAKES = 8


def register(names: argparse._SubParsersAction) -> None:
    """Add the benchmark's words."""
    parser = names.add_parser("attach", help=__doc__)
    parser.add_argument("--instances", type=int, nargs="+", default=[1, 10, 50])
    parser.add_argument("--boot", default="1-2", help="seconds from launch to an answering SSH port")
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", metavar="FILE", help="write all measurements here too")
    parser.set_defaults(handler=main)


def main(args: argparse.Namespace) -> int:
    """Attach to runs of each size, again and again, and print a table."""
    rows = []
    print(
        f"{'N':>4} {'TABLE s':>8} {'ALL LINKED s':>13} {'BARE LINKS s':>13} {'RATIO':>6}   goal: {GOAL_S:.0f} s at 50"
    )
    for count in args.instances:
        with place(boot_s=seconds_range(args.boot), seed=args.seed) as where:
            taken = _measured(where, count, args.repeat)
        rows += taken
        table, linked, bare = (
            statistics.median(one[key] for one in taken) for key in ("table_s", "linked_s", "bare_s")
        )
        print(f"{count:4} {table:8.2f} {linked:13.2f} {bare:13.2f} {linked / bare:6.2f}", flush=True)
    write_json(args.json, rows)
    return 0


def _measured(where: Place, count: int, repeat: int) -> list[dict[str, Any]]:
    """Start a run and leave it; attach to it and kill that, several times."""
    for number in range(count):
        (where.folder / f"job{number}.sh").write_text("echo begun; sleep 3600\n")
    names = [f"job{number}.sh" for number in range(count)]
    where.end("run", *names, "-n", "bench", "--instances", str(count), "--detach", "-q")
    taken = [{"instances": count, **_attach(where, count), **_bare(where)} for _ in range(repeat)]
    where.end("down", "bench", "-q")
    return taken


def _attach(where: Place, count: int) -> dict[str, float]:
    """Attach on a terminal; what it has linked is told by the journal, from outside."""
    journal = where.events("bench")
    before = max((event["row"] for event in journal.of("LinkRestored")), default=0)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", count + 30, 120, 0, 0))
    seen: list[float] = []
    began = time.perf_counter()
    process = where.start("attach", "bench", stdin=slave, stdout=slave, stderr=slave)
    os.close(slave)
    reader = threading.Thread(target=_read, args=(master, f"job{count - 1} ".encode(), seen), daemon=True)
    reader.start()

    def is_linked() -> bool:
        return len({event["instance"] for event in journal.of("LinkRestored") if event["row"] > before}) == count

    until(is_linked)
    linked_s = time.perf_counter() - began
    until(lambda: seen)
    process.kill()
    process.wait()
    reader.join()
    os.close(master)
    return {"table_s": seen[0] - began, "linked_s": linked_s}


def _read(master: int, last_row: bytes, seen: list[float]) -> None:
    """Read the terminal to its end; note when the table with all its rows was first there."""
    said = b""
    while True:
        try:
            chunk = os.read(master, 1 << 16)
        except OSError:
            return
        said = b"" if seen else said + chunk
        if not seen and last_row in said:
            seen.append(time.perf_counter())


def _bare(where: Place) -> dict[str, float]:
    """The limit: a process that only connects to the same machines, as many at once as aspot does."""
    machines = [
        [item["address"], item["port"], item["user"]] for item in where.instances() if item["state"] == "running"
    ]
    key = str(where.run_folder("bench").keys / CLIENT_KEY)
    words = [sys.executable, "-m", "benchmarks.bare_links", key, str(HANDSHAKES)]
    began = time.perf_counter()
    subprocess.run(words, input=json.dumps(machines), text=True, check=True)
    return {"bare_s": time.perf_counter() - began}
