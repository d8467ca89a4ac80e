"""`python -m tests.killsweep`: a run of three jobs, killed (-9) at each of its moments in turn, and taken up again.

A moment is just before or just after a journal write, an API call, or the note of a host key. One undisturbed run tells
how many there are; then each number has a run of its own, which kills itself there, and `aspot attach`. Every result
must be there once and whole, from one attempt; no machine be launched twice; nothing be left.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import contextlib
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

sys.path.insert(0, str(Path(__file__).parent / "worlds"))
sys.path.insert(0, str(Path(__file__).parent / "cli"))

from local_world import Cloud, json_lines, left_here
from processes import ASPOT, Piped

from aspot.local.home import Home, Settings

HERE = Path(__file__).parent
JOBS = ("a", "b", "c")
LINES = "".join(f"{number}\n" for number in range(1, 2001))
SCRIPT = 'echo "$ASPOT_JOB begun"; sleep 0.7; seq 1 2000; echo "$ASPOT_JOB" >out/name\n'
ATTACHED_WITHIN_S = 90


@attrs.define
class Told:
    """What came of one moment.

    Args:
        point: Its number, or words that describe it; 0: an undisturbed run.
        name: The fleet's.
        what: The moment in words; "" if the run was over before.
        outcome: What `attach` found: "taken up", "had ended", "had not begun", "without jobs" (they were not yet
            written down, and it says so); "not reached" if there was nothing to attach to.
        machines: How many were launched in all.
        wrong: What is not as it must be.
    """

    point: int | str
    name: str
    what: str = ""
    outcome: str = ""
    machines: int = 0
    seconds: float = 0.0
    wrong: list[str] = attrs.Factory(list)

    def __str__(self) -> str:
        state = "; ".join(self.wrong) or "ok"
        return f"{self.point:5} {self.outcome:13} {self.machines:8} {self.seconds:7.1f}  {state}  ({self.what})"


HEADER = f"{'POINT':>5} {'OUTCOME':13} {'MACHINES':>8} {'SECONDS':>7}"


@attrs.define
class World:
    """A local cloud and a folder to work in; runs in it are told apart by their names."""

    cloud: Cloud
    folder: Path

    def start(self, *words: str, program: Iterable[str] = ASPOT) -> Piped:
        """Start something in the folder, with an environment that points at the cloud."""
        kept = [f"{key}={os.environ[key]}" for key in ("PATH", "LANG") if key in os.environ]
        own = {"HOME": self.folder, "ASPOT_STATE_DIR": self.state, "PYTHONPATH": HERE.parent, **self.cloud.env}
        env = ["env", "-i", "-C", str(self.here), *kept, *(f"{key}={value}" for key, value in own.items())]
        return Piped(*words, program=(*env, *program))

    @property
    def here(self) -> Path:
        return self.folder / "here"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    def machines_of(self, fleet: str) -> int:
        """Return how many machines were ever launched for a fleet."""
        return sum(item["tags"].get("aspot:name") == fleet for item in self.cloud.instances())


@contextlib.contextmanager
def world_in(folder: Path) -> Iterator[World]:
    """Start a local cloud, with a folder to work in that holds the jobs."""
    home = Home(folder / "local")
    control, _ = home.start(Settings(seed=5, boot_s=(0.1, 0.3)))
    try:
        yield world_of(Cloud(control), folder)
    finally:
        home.stop()


def world_of(cloud: Cloud, folder: Path) -> World:
    """Return a world in this cloud, with the jobs in its folder."""
    made = World(cloud, folder)
    made.here.mkdir(exist_ok=True)
    for job in JOBS:
        (made.here / f"{job}.sh").write_text(SCRIPT)
    return made


def moments_of(world: World) -> list[str]:
    """Return the moments of an undisturbed run, in order."""
    told = play(world, 0)
    if told.wrong:
        raise SystemExit(f"an undisturbed run failed: {told}")
    return (world.here / told.name).with_suffix(".moments").read_text().splitlines()


def play(world: World, point: int | str) -> Told:
    """Have a run kill itself at a moment, take it up again, and look at what came of it."""
    told, began = Told(point, f"kill-{re.sub('[^a-zA-Z0-9]+', '-', str(point))}"), time.monotonic()
    noted = (world.here / told.name).with_suffix(".moments")
    program = (sys.executable, "-m", "tests.killpoints", str(point), str(noted))
    run = world.start("run", *(f"{job}.sh" for job in JOBS), "-n", told.name, "--json", program=program)
    try:
        code = run.end(within_s=ATTACHED_WITHIN_S)
    finally:
        run.kill()
    if code == -9:
        told.what = noted.read_text().splitlines()[-1]
        take_up(world, told)
    else:
        told.outcome = "not reached"
        told.wrong += [f"exit {code}: {run.err[-300:]}"] if code else []
    look(world, told)
    told.seconds = time.monotonic() - began
    return told


def take_up(world: World, told: Told) -> None:
    """Attach, and note what that said."""
    again = world.start("attach", told.name, "--json")
    try:
        code = again.end(within_s=ATTACHED_WITHIN_S)
    finally:
        again.kill()
    if code == 2 and "is known here" in again.err:
        told.outcome = "had not begun"
    elif code == 2 and "has ended" in again.err:
        told.outcome = "had ended"
    elif code == 1 and "has no jobs" in again.out:
        told.outcome = "without jobs"
    else:
        told.outcome = "taken up"
        told.wrong += [f"attach: exit {code}: {again.err[-300:]}"] if code else []
        ended = Counter(item["job"] for item in json_lines(again.out) if item.get("event") == "job_ended")
        if ended != Counter(JOBS):
            told.wrong.append(f"attach told of {dict(ended)}")
    if "Traceback" in again.err:
        told.wrong.append(f"a traceback: {again.err[-300:]}")


def look(world: World, told: Told) -> None:
    """Note what is not as it must be, once nobody is at work any more."""
    told.machines = world.machines_of(told.name)
    has_jobs = told.outcome not in ("had not begun", "without jobs")
    if told.machines != (len(JOBS) if has_jobs else 0):
        told.wrong.append(f"{told.machines} machines")
    for job in JOBS if has_jobs else ():
        told.wrong += [f"{job}: {what}" for what in wrong_with(world.here / "aspot-results" / told.name / job, job)]
    told.wrong += [f"left: {item}" for item in world.cloud.left_for_good()]
    told.wrong += [f"left here: {item}" for item in left_here(world.state)]


def wrong_with(folder: Path, job: str) -> Iterator[str]:
    """Yield what is wrong with a job's result on disk."""
    if not (folder / "result.json").exists():
        yield "no result"
        return
    result = json.loads((folder / "result.json").read_text())
    if result["status"] != "succeeded":
        yield f"{result['status']}: {result['reason']}"
    if len(result["attempts"]) != 1:
        yield f"{len(result['attempts'])} attempts"
    for name, whole in (("stdout", f"{job} begun\n{LINES}"), ("out/name", f"{job}\n")):
        if not (folder / name).exists() or (folder / name).read_text() != whole:
            yield f"{name} is not whole"


def sweep(folder: Path, points: Iterable[int], workers: int) -> Iterator[Told]:
    """Play these moments, each worker in a world of its own; yield what came of each as it is over."""
    with contextlib.ExitStack() as stack:
        worlds = [stack.enter_context(world_in(_made(folder / f"w{number}"))) for number in range(workers)]
        pool = stack.enter_context(concurrent.futures.ThreadPoolExecutor(workers))
        waiting, under_way = iter(points), dict[concurrent.futures.Future[Told], World]()
        for world, point in zip(worlds, waiting, strict=False):
            under_way[pool.submit(play, world, point)] = world
        while under_way:
            done, _ = concurrent.futures.wait(under_way, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                world = under_way.pop(future)
                yield future.result()
                if (point := next(waiting, None)) is not None:
                    under_way[pool.submit(play, world, point)] = world


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> int:
    """Sweep, print a table; return 1 if anything went wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.killsweep", description=__doc__)
    parser.add_argument("--points", metavar="A-B", help="moments to be killed at (default: all)")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="each N-th of them only")
    parser.add_argument("--jobs", type=int, default=1, metavar="N", help="so many runs at once")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="aspot-kills-") as name:
        with world_in(_made(Path(name) / "first")) as world:
            moments = moments_of(world)
        kinds = Counter(re.split("[ :]", text)[1] for text in moments)
        told_kinds = ", ".join(f"{kind} {number // 2}" for kind, number in sorted(kinds.items()))
        print(f"an undisturbed run has {len(moments)} moments, before and after: {told_kinds}")
        first, last = _range(asked.points, len(moments))
        print(HEADER, flush=True)
        told = []
        for one in sweep(Path(name), range(first, last + 1, asked.every), asked.jobs):
            told.append(one)
            print(one, flush=True)
    wrong = sum(bool(one.wrong) for one in told)
    outcomes = ", ".join(f"{number} {outcome}" for outcome, number in Counter(one.outcome for one in told).items())
    print(f"{len(told)} moments ({outcomes}), {wrong} wrong")
    return 1 if wrong else 0


def _range(words: str | None, most: int) -> tuple[int, int]:
    if words is None:
        return 1, most
    first, _, last = words.partition("-")
    return int(first), int(last or first)


if __name__ == "__main__":
    sys.exit(main())
