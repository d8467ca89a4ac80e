"""`python -m benchmarks placement`: days of capacity replayed, with aspot's placement and with others.

The runtime and the state machine are the real ones; cloud and clock are simulated (`tests/simulation/simulated`). A
pool whose capacity goes gives 120 s of notice to the machines that are too many.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import statistics
import sys
from collections import UserDict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import attrs

from aspot.machine import launches
from aspot.machine.money import cost_now
from aspot.machine.pool import Pool
from benchmarks.placing import WAYS, Way
from benchmarks.traces import HOUR_S, MADE_UP, Region, Trace, made_up, measured

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "simulation"))

NOTICE_S = 120.0
CHECKPOINT_S = 60.0
SYNC_S = 600.0
BOOT_S = (20.0, 30.0)
LONGEST_S = 90 * 24 * HOUR_S
HINDSIGHT = "hindsight"


@attrs.frozen(kw_only=True)
class Measured:
    """What one replay came to."""

    region: str
    way: str
    seed: int
    goodput: float
    interruptions: int
    redone_s: float
    usd: float  # for all machine time
    billed_usd: float  # less what EC2 does not bill: what it takes back within a machine's first hour
    launches: int


def register(names: argparse._SubParsersAction) -> None:
    """Add the benchmark's words."""
    parser = names.add_parser("placement", help=__doc__)
    parser.add_argument("--traces", type=Path, metavar="DIR", help="measured traces; made up from seeds without it")
    parser.add_argument("--seeds", type=int, default=3, help="beginnings (and prices) of each region")
    parser.add_argument("--hours", type=float, default=24.0, help="of work, each job")
    parser.add_argument("--json", metavar="FILE", help="write all measurements here too")
    parser.set_defaults(handler=main)


def main(args: argparse.Namespace) -> int:
    """Replay every region in every way and print a table."""
    rows: list[Measured] = []
    print(HEADER, flush=True)
    for regions in regions_of(args.traces, args.seeds):
        found = [one for seed, region in enumerate(regions) for one in replayed(region, seed, args.hours * HOUR_S)]
        rows += found
        print("\n".join(lines(found)), flush=True)
    print("\n".join(lines([attrs.evolve(row, region="ALL") for row in rows])))
    if args.json:
        Path(args.json).write_text(json.dumps([attrs.asdict(row) for row in rows], indent=1))
    return 0


def regions_of(folder: Path | None, seeds: int) -> Iterator[list[Region]]:
    """Yield each region as often as there are seeds."""
    if folder is not None:
        yield from ([region] * seeds for region in measured(folder))
    else:
        yield from ([made_up(kind, seed) for seed in range(seeds)] for kind in MADE_UP)


def replayed(region: Region, seed: int, work_s: float) -> list[Measured]:
    """Return what each way, and hindsight, make of a region."""
    offset = (seed * 0.37 % 1) * max(trace.length for trace in region.traces.values())
    ways = [replay(region, seed, way, offset=offset, work_s=work_s) for way in WAYS]
    return [*ways, in_hindsight(region, seed, offset=offset, work_s=work_s)]


class Rooms(UserDict[Pool, int]):
    """The simulated cloud's capacity: what the trace holds now, less the machines that are there."""

    def __init__(self, world: Any, region: Region, offset: float) -> None:
        super().__init__()
        self.world, self.region, self.offset = world, region, offset

    def __getitem__(self, pool: Pool) -> int:
        return max(0, self.room(pool) - len(self.machines(pool)))

    def __setitem__(self, pool: Pool, room: int) -> None:
        """Take no notice: machines are counted."""

    def room(self, pool: Pool) -> int:
        return self.region.traces[pool].room(self.world.loop.time() + self.offset)

    def machines(self, pool: Pool) -> list[Any]:
        return [m for m in self.world.cloud.machines.values() if m.pool == pool and m.is_alive and m.notice is None]

    def watch(self, pool: Pool) -> None:
        """Take machines back where the trace has less room than there are, at each of its changes."""
        for machine in reversed(self.machines(pool)[self.room(pool) :]):
            machine.warn(NOTICE_S)
        now = self.world.loop.time()
        due = self.region.traces[pool].next_change(now + self.offset) - self.offset
        self.world.loop.call_at(max(due, now + 1.0), self.watch, pool)


def replay(region: Region, seed: int, way: str, *, offset: float, work_s: float) -> Measured:
    """Run a fleet through a region's trace, choosing pools one way."""
    from simulated.scripts import Script
    from simulated.world import Faults, simulate

    prices = region.prices(seed)

    async def story(world: Any) -> None:
        rooms = Rooms(world, region, offset)
        world.cloud.capacity = rooms
        world.cloud.prices = dict(sorted(prices.items(), key=lambda item: item[1]))
        world.cloud.drift = 0.0
        world.cloud.preference = prices.__getitem__
        script = Script(work_s=work_s, checkpoint_s=CHECKPOINT_S)
        jobs = [world.add(f"j{n}", script, **JOB) for n in range(region.machines)]
        for pool in region.traces:
            rooms.watch(pool)
        await world.run(*jobs)

    with chosen_by(WAYS[way]):
        world = simulate(
            story,
            seed=seed,
            faults=Faults(boot_s=BOOT_S, until_s=0.0),
            longest_s=LONGEST_S,
            limit=region.machines,
            **RUN,
        )
    return _measured(world, region, seed, way, work_s)


JOB = {"checkpoint_every_s": SYNC_S, "interruptions": 10**6}
RUN = {"capacity_timeout_s": LONGEST_S, "max_life_s": LONGEST_S}


@contextlib.contextmanager
def chosen_by(way: Way) -> Iterator[None]:
    """Have launches choose their pools this way."""
    usual, launches.choose = launches.choose, way
    try:
        yield
    finally:
        launches.choose = usual


def _measured(world: Any, region: Region, seed: int, way: str, work_s: float) -> Measured:
    machines, prices = world.cloud.machines.values(), region.prices(seed)
    folders = [folder for machine in machines for folder in machine.folders.values()]
    done_s = sum(folder.done - folder.resumed for folder in folders)
    ended_s = max(world.clock.since(job.attempts[-1].ended) for job in world.host.run.jobs.values())
    return Measured(
        region=region.name,
        way=way,
        seed=seed,
        goodput=work_s / ended_s,
        interruptions=sum(machine.is_interrupted for machine in machines),
        redone_s=done_s - region.machines * work_s,
        usd=sum(prices[m.pool] * (m.ending_since - m.running_since) / HOUR_S for m in machines if m.running_since),
        billed_usd=cost_now(world.host.run),
        launches=world.cloud.calls["launch"],
    )


def in_hindsight(region: Region, seed: int, *, offset: float, work_s: float) -> Measured:
    """Return what nobody is quicker than: always on the cheapest capacity there is, until the last second of a notice.

    Moves take no time; where there was no capacity, the shortest boot does.
    """
    prices, now, left = region.prices(seed), 0.0, work_s * region.machines
    usd, rate, starts = 0.0, 0, 0
    while left > 0:
        held = {pool: trace.most(offset + max(0.0, now - NOTICE_S), offset + now) for pool, trace in _traces(region)}
        slots = sorted(prices[pool] for pool, room in held.items() for _ in range(room))[: region.machines]
        started = max(0, len(slots) - rate)
        starts, left, rate = starts + started, left + started * BOOT_S[0], len(slots)
        span = min(_until_change(trace, now + offset) for _, trace in _traces(region))
        span = min(span, left / rate) if rate else span
        left -= rate * span
        usd += sum(slots) * span / HOUR_S
        now += span
    return Measured(
        region=region.name,
        way=HINDSIGHT,
        seed=seed,
        goodput=work_s / now,
        interruptions=0,
        redone_s=0.0,
        usd=usd,
        billed_usd=usd,
        launches=starts,
    )


def _traces(region: Region) -> Iterable[tuple[Pool, Trace]]:
    return region.traces.items()


def _until_change(trace: Trace, when: float) -> float:
    """Return the seconds until a pool gains room, or a notice given there has run out."""
    return min(trace.next_change(when), trace.next_change(when - NOTICE_S) + NOTICE_S) - when


HEADER = (
    f"{'REGION':36} {'WAY':14} {'GOODPUT':>8} {'OF BEST':>8} {'INTERRUPTIONS':>14} {'REDONE min':>11}"
    f" {'$':>8} {'÷ BEST':>7} {'BILLED $':>9} {'LAUNCH CALLS':>13}"
)


def lines(rows: list[Measured]) -> list[str]:
    """Return a line for each way: means over the seeds."""
    best = [row for row in rows if row.way == HINDSIGHT]
    top, cheap = statistics.fmean(row.goodput for row in best), statistics.fmean(row.usd for row in best)

    def line(way: str) -> str:
        mean = functools.partial(_mean, [row for row in rows if row.way == way])
        return (
            f"{rows[0].region:36} {way:14} {mean('goodput'):8.1%} {mean('goodput') / top:8.1%}"
            f" {mean('interruptions'):14.1f} {mean('redone_s') / 60:11.1f} {mean('usd'):8.2f}"
            f" {mean('usd') / cheap:7.2f} {mean('billed_usd'):9.2f} {mean('launches'):13.1f}"
        )

    return [line(way) for way in (*WAYS, HINDSIGHT)]


def _mean(rows: list[Measured], key: str) -> float:
    return statistics.fmean(getattr(row, key) for row in rows)
