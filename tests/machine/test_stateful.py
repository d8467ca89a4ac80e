"""Random legal schedules: the invariants of FAULTS.md B after every step, and liveness after faults stop."""

from __future__ import annotations

import random

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from aspot.machine import events as ev
from aspot.machine.money import cost_now
from aspot.machine.outstanding import outstanding
from aspot.machine.step import is_over, start_run, step
from tests.machine.fate import Fate
from tests.machine.reality import Reality
from tests.machine.world import POOLS, PRICES

NUMBER = st.integers(0, 9999)
MARKETS = ("spot", "spot-first", "on-demand")
BUDGETS = (None, None, None, 0.02, 0.1, 0.5)
KEEPS_S = (None, 300.0, 1800.0, 1e6)
MOST_USD = (None, None, 0.045)


def world_of(number: int) -> Reality:
    """Return a world with options by number."""
    return Reality(
        pools=POOLS[: number % 3 + 1],
        limit=number // 3 % 4 + 1,
        market=MARKETS[number // 12 % 3],
        budget_usd=BUDGETS[number // 36 % 6],
        max_price_usd=MOST_USD[number // 216 % 3],
        deadline_s=7200.0 if number // 648 % 4 == 0 else None,
        on_demand_base=number // 5184 % 2,
        moves_when_advised=number // 2592 % 2 == 1,
        keep_failed_s=KEEPS_S[number // 2592 % 4],
    )


def end_well(world: Reality) -> None:
    """Let the run end without further faults, and check that all is well: liveness, replay, money."""
    if not world.run.pools:
        world.prepare()
    world.send(ev.SubmissionClosed)
    world.send(ev.PricesSeen, spot_usd_per_hour=PRICES)
    for box in world.told("running"):
        if box.is_ready:
            world.send(ev.LinkRestored, instance=box.id, boot_id="b1")
    outstanding(world.run)
    world.live_out()
    assert is_over(world.run)
    assert all(job.status.is_final for job in world.run.jobs.values())
    stay = {name for name in world.run.live if world.run.instances[name].is_kept}
    assert all(box.state == "gone" or box.id in stay for box in world.boxes.values() if box.is_told), world.boxes
    assert outstanding(world.run) == ()
    check_replay(world)
    assert cost_now(world.run) >= 0


def check_replay(world: Reality) -> None:
    """The same events make the same run (V8)."""
    again = start_run(world.spec, world.run.started)
    for event in world.events:
        again, _ = step(again, event)
    assert again == world.run


class Schedules(RuleBasedStateMachine):
    """Everything that may happen to a run, in any order, shrunk to the shortest story that breaks it."""

    @initialize(number=NUMBER)
    def begin(self, number: int) -> None:
        self.world = world_of(number)
        self.fate = Fate(self.world)

    @rule(which=NUMBER, how=NUMBER)
    def act(self, which: int, how: int) -> None:
        self.fate.act(which, how)

    def teardown(self) -> None:
        if hasattr(self, "world"):
            end_well(self.world)


TestSchedules = Schedules.TestCase
TestSchedules.settings = settings(max_examples=60, stateful_step_count=60, deadline=None, report_multiple_bugs=False)


@pytest.mark.parametrize("seed", range(60))
def test_long_schedules_keep_the_invariants_and_end(seed: int) -> None:
    dice = random.Random(seed)
    world = world_of(dice.randrange(10000))
    fate = Fate(world)
    for _ in range(dice.randrange(50, 400)):
        fate.act(dice.randrange(10000), dice.randrange(10000))
    end_well(world)
