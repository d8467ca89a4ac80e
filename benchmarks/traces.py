"""Capacity over time, pool by pool: measured traces where they are present, made up from a seed otherwise."""

from __future__ import annotations

import bisect
import json
import random
from collections.abc import Mapping
from pathlib import Path

import attrs

from aspot.machine.pool import Pool

HOUR_S = 3600.0
MADE_UP = ("calm", "busy", "scarce")
"""Mean hours with and without capacity of each kind of made-up region."""

_MEAN_HOURS = {"calm": (12.0, 0.5), "busy": (3.0, 1.0), "scarce": (2.0, 4.0)}


@attrs.frozen
class Trace:
    """How many machines a pool would hold: `rooms[n]` from `times[n]` on; it begins anew at its end.

    Args:
        times: Seconds, ascending, the first 0.
        rooms: Machines.
        length: Seconds.
    """

    times: tuple[float, ...]
    rooms: tuple[int, ...]
    length: float

    def room(self, when: float) -> int:
        """Return the room then."""
        return self.rooms[bisect.bisect_right(self.times, when % self.length) - 1]

    def most(self, since: float, until: float) -> int:
        """Return the most room there is between two times."""
        most = self.room(since)
        while (since := self.next_change(since)) <= until:
            most = max(most, self.room(since))
        return most

    def next_change(self, when: float) -> float:
        """Return when it changes next."""
        rounds, inside = divmod(when, self.length)
        place = bisect.bisect_right(self.times, inside)
        return rounds * self.length + (self.times[place] if place < len(self.times) else self.length)


@attrs.frozen
class Region:
    """Pools that a fleet may use, at the same time.

    Args:
        name: For the table.
        machines: The size of the fleet.
        traces: Each pool's.
    """

    name: str
    machines: int
    traces: Mapping[Pool, Trace]

    def prices(self, seed: int) -> dict[Pool, float]:
        """Return dollars an hour; which pool is cheap is drawn from a seed, since the traces do not tell."""
        pools = list(self.traces)
        random.Random(f"prices {seed}").shuffle(pools)
        return {pool: round(0.90 * 1.12**place, 3) for place, pool in enumerate(pools)}


def measured(folder: Path) -> list[Region]:
    """Return the regions of a folder of traces, its README says in which form; those of one time and type are one."""
    groups: dict[str, dict[Pool, Trace]] = {}
    nodes: dict[str, int] = {}
    for path in sorted(folder.glob("*.json")):
        told = json.loads(path.read_text())
        name = f"{told['kind']} {told['start']} {told['type']}"
        groups.setdefault(name, {})[Pool(told["type"], told["zone"])] = _decoded(told["runs"], told["gap_seconds"])
        nodes[name] = told["nodes"]
    return [Region(name, nodes[name], traces) for name, traces in groups.items() if len(traces) > 1]


def made_up(kind: str, seed: int, *, pools: int = 4, machines: int = 1, days: float = 14.0) -> Region:
    """Return a region whose pools gain and lose capacity at random; every third loss takes the next pool along."""
    chance = random.Random(f"{kind} {seed}")
    names = [Pool("made-up", f"us-east-1{letter}") for letter in "abcdefgh"[:pools]]
    lost: dict[Pool, list[tuple[float, float]]] = {pool: [] for pool in names}
    up_h, down_h = _MEAN_HOURS[kind]
    for place, pool in enumerate(names):
        now = chance.expovariate(1 / (up_h * HOUR_S))
        while now < days * 24 * HOUR_S:
            end = now + chance.expovariate(1 / (down_h * HOUR_S))
            lost[pool].append((now, end))
            if chance.random() < 1 / 3:
                lost[names[(place + 1) % pools]].append((now, end))
            now = end + chance.expovariate(1 / (up_h * HOUR_S))
    length = days * 24 * HOUR_S
    return Region(f"made up, {kind}", machines, {pool: _with_gaps(lost[pool], machines, length) for pool in names})


def _decoded(runs: list[tuple[int, int]], gap_s: float) -> Trace:
    times, rooms, now = [], [], 0.0
    for room, ticks in runs:
        times.append(now)
        rooms.append(room)
        now += ticks * gap_s
    return Trace(tuple(times), tuple(rooms), now)


def _with_gaps(gaps: list[tuple[float, float]], room: int, length: float) -> Trace:
    edges = sorted({0.0, *(min(edge, length) for gap in gaps for edge in gap)} - {length})
    rooms = tuple(0 if any(start <= edge < end for start, end in gaps) else room for edge in edges)
    return Trace(tuple(edges), rooms, length)
