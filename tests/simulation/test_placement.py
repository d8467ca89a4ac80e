"""The placement benchmark replays what its traces say, and hindsight is never beaten."""

import pytest

from aspot.machine.pool import Pool
from benchmarks.placement import in_hindsight, lines, replay, replayed
from benchmarks.traces import HOUR_S, Region, Trace, made_up

A, B = Pool("t", "a"), Pool("t", "b")
TWO = Region("two", 1, {A: Trace((0.0, 1800.0), (1, 0), 7200.0), B: Trace((0.0, 900.0), (0, 1), 7200.0)})


def test_a_trace_tells_its_room_and_begins_anew():
    trace = Trace((0.0, 100.0), (1, 0), 150.0)
    assert [trace.room(when) for when in (0, 99, 100, 149, 150, 249, 250)] == [1, 1, 0, 0, 1, 1, 0]
    assert [trace.next_change(when) for when in (0, 100, 150, 260)] == [100, 150, 250, 300]


def test_a_made_up_region_is_the_same_each_time():
    assert made_up("busy", 3) == made_up("busy", 3)
    assert made_up("busy", 3) != made_up("busy", 4)


def test_a_job_moves_to_the_pool_that_has_room_and_one_that_stays_waits():
    moved = replay(TWO, 0, "aspot", offset=0.0, work_s=HOUR_S)
    stayed = replay(TWO, 0, "same pool", offset=0.0, work_s=HOUR_S)
    best = in_hindsight(TWO, 0, offset=0.0, work_s=HOUR_S)
    assert moved.interruptions == 1
    assert moved.goodput > 0.95 * best.goodput
    assert stayed.goodput < 0.8 * moved.goodput


@pytest.mark.parametrize("seed", [0, 1])
def test_nobody_beats_hindsight(seed):
    rows = replayed(made_up("busy", seed), seed, 2 * HOUR_S)
    best = rows[-1]
    assert all(row.goodput <= best.goodput for row in rows)
    assert all(row.redone_s >= -1.0 for row in rows)
    assert len(lines(rows)) == len(rows)
