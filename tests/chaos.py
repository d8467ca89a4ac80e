"""`python -m tests.chaos --runs 50`: real runs on the local cloud under faults, each client killed once.

Ten jobs on four machines; interruptions, refusals, throttling, lost answers, late machines and cut connections are
drawn from each run's number; `aspot attach` sees it through. Every result must be there once, bit-identical to an
undisturbed run's, and nothing be left.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import sys
import tempfile
import threading
import time
from pathlib import Path

import attrs

sys.path.insert(0, str(Path(__file__).parent / "worlds"))
sys.path.insert(0, str(Path(__file__).parent / "cli"))

from local_world import Cloud, json_lines, write
from processes import Piped

from aspot.local.home import Home, Settings

HERE = Path(__file__).parent
JOBS = tuple(f"job{number}" for number in range(10))
STEPS = 25
SCRIPT = f"""#!/bin/sh
set -e
mkdir -p ckpt
at=$(cat ckpt/at 2>/dev/null || echo 0)
while [ "$at" -lt {STEPS} ]; do
    at=$((at + 1))
    echo "$ASPOT_JOB $at" >>ckpt/log
    echo "$at" >ckpt/at.new && mv ckpt/at.new ckpt/at
    sleep 0.1
done
head -n {STEPS} ckpt/log >out/log
"""
CLIENT = (sys.executable, "-m", "tests.chaos", "--client")
FAULTS = (
    ("throttle", {"action": "CreateFleet", "count": 3}),
    ("throttle", {"action": "DescribeInstances", "count": 5}),
    ("throttle", {"action": "TerminateInstances", "count": 2}),
    ("lose-answer", {"action": "CreateFleet"}),
    ("lose-answer", {"action": "TerminateInstances"}),
    ("refuse-pool", {"type": "*", "zone": "us-east-1a", "seconds": 10}),
    ("refuse-pool", {"type": "*", "zone": "*", "count": 4}),
    ("late-sshd", {"delay_s": 3}),
    ("lag", {"delay_s": 2, "count": 3}),
)


@attrs.define
class Told:
    """What one run was like."""

    number: int
    faults: list[str] = attrs.Factory(list)
    interruptions: int = 0
    killed_s: float = 0.0
    attempts: int = 0
    seconds: float = 0.0
    wrong: list[str] = attrs.Factory(list)

    def __str__(self) -> str:
        state = "; ".join(self.wrong) or "ok"
        return (
            f"{self.number:4} {self.killed_s:9.1f} {self.interruptions:14} {self.attempts:9} {self.seconds:8.1f}"
            f"  {state}  ({', '.join(self.faults)})"
        )


def main() -> int:
    """Play the runs, print a table; return 1 if one of them went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--runs", type=int, default=50)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aspot-chaos-") as folder, cloud_in(Path(folder)) as cloud:
        print(f"{'RUN':>4} {'KILLED s':>9} {'INTERRUPTIONS':>14} {'ATTEMPTS':>9} {'SECONDS':>8}", flush=True)
        told = []
        for number in range(asked.first, asked.first + asked.runs):
            told.append(play(cloud, number))
            print(told[-1], flush=True)
    wrong = sum(bool(one.wrong) for one in told)
    interruptions, attempts = sum(one.interruptions for one in told), sum(one.attempts for one in told)
    print(f"{len(told)} runs, {interruptions} interruptions, {attempts} attempts, {len(told)} kills, {wrong} wrong")
    return 1 if wrong else 0


@contextlib.contextmanager
def cloud_in(folder: Path):
    """Start a local cloud, point the environment at it, and work in a folder of its own."""
    home = Home(folder / "local")
    control, _ = home.start(Settings(seed=5, boot_s=(0.3, 1.5)))
    for name in [name for name in os.environ if name.startswith(("AWS_", "ASPOT_"))]:
        del os.environ[name]
    os.environ |= {**control.environment, "HOME": str(folder), "ASPOT_STATE_DIR": str(folder / "state")}
    os.environ["PYTHONPATH"] = str(HERE.parent)
    before = Path.cwd()
    (folder / "here").mkdir()
    os.chdir(folder / "here")
    try:
        yield Cloud(control)
    finally:
        os.chdir(before)
        home.stop()


def play(cloud: Cloud, number: int) -> Told:
    """Play one run: start, disturb, kill, attach, and look at what came of it."""
    chance, told, began = random.Random(f"chaos {number}"), Told(number), time.monotonic()
    name = f"chaos{number}"
    for kind, detail in chance.sample(FAULTS, 3):
        cloud.fault(kind, **detail)
        told.faults.append(kind)
    scripts = [write(f"{job}.sh", SCRIPT) for job in JOBS]
    words = ("-n", name, "--instances", "4", "--checkpoint", "ckpt", "--json")
    run = Piped(str(number), "run", *scripts, *words, program=CLIENT)
    over = threading.Event()
    storm = threading.Thread(target=interrupt, args=(cloud, random.Random(f"storm {number}"), told, over))
    try:
        wait_for_launch(cloud, run)
        storm.start()
        time.sleep(chance.uniform(0.0, 8.0))
        told.killed_s = time.monotonic() - began
        run.kill()
        time.sleep(chance.choice((0.0, 1.0, 3.0)))
        again = Piped(str(number), "attach", name, "--json", program=CLIENT)
        try:
            code = again.end(within_s=180)
        finally:
            again.kill()
    finally:
        over.set()
        storm.join()
        run.kill()
        cloud.clear_faults()
    look(cloud, name, code, again, told)
    told.seconds = time.monotonic() - began
    return told


def wait_for_launch(cloud: Cloud, run: Piped) -> None:
    before = cloud.launches()
    deadline = time.monotonic() + 20
    while cloud.launches() == before and time.monotonic() < deadline:
        time.sleep(0.02)


def interrupt(cloud: Cloud, chance: random.Random, told: Told, over: threading.Event) -> None:
    """Take machines back at random for a while."""
    while told.interruptions < 4 and not over.wait(chance.uniform(1.0, 4.0)):
        running = [item["id"] for item in cloud.instances() if item["state"] == "running"]
        if running:
            with contextlib.suppress(Exception):  # it ended meanwhile
                cloud.interrupt(chance.choice(running), notice_s=chance.choice((0, 3, 20)))
                told.interruptions += 1


def look(cloud: Cloud, name: str, code: int, again: Piped, told: Told) -> None:
    """Note what is wrong with a run that is over."""
    if code != 0:
        told.wrong.append(f"exit {code}: {again.err[-300:]}")
    ended = [item["result"] for item in json_lines(again.out) if item.get("event") == "job_ended"]
    told.attempts = sum(len(result["attempts"]) for result in ended)
    if sorted(result["job"] for result in ended) != sorted(JOBS):
        told.wrong.append(f"results of {sorted(result['job'] for result in ended)}")
    for result in ended:
        log = Path("aspot-results", name, result["job"], "out", "log")
        whole = "".join(f"{result['job']} {step}\n" for step in range(1, STEPS + 1))
        if result["status"] != "succeeded" or not log.exists() or log.read_text() != whole:
            told.wrong.append(f"{result['job']} {result['status']}: {result['reason']}")
    told.wrong += [f"left: {item}" for item in cloud.left_for_good()]


def client(seed: str, words: list[str]) -> int:
    """Be `aspot`, with connections that break now and then."""
    import asyncio
    import socket

    from aspot.cli.main import main as aspot
    from aspot.ssh import connect

    chance, honest = random.Random(f"client {seed} {words[0]}"), connect.dial

    def cut(made: socket.socket) -> None:
        with contextlib.suppress(OSError):
            made.shutdown(socket.SHUT_RDWR)

    async def dial(address: str, port: int) -> socket.socket:
        made = await honest(address, port)
        if chance.random() < 0.4:
            asyncio.get_running_loop().call_later(chance.uniform(0.2, 6.0), cut, made)
        return made

    connect.dial = dial
    return aspot(words)


if __name__ == "__main__":
    sys.exit(client(sys.argv[2], sys.argv[3:]) if sys.argv[1:2] == ["--client"] else main())
