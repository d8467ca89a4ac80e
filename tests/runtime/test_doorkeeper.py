"""When this computer's own address is doubted: only when machines should answer, and none does."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from aspot.machine.model import InstanceRecord, InstanceState, Run, RunSpec
from aspot.machine.pool import Market, Pool
from aspot.machine.step import start_run
from aspot.runtime.doorkeeper import DROPPED_S, NEVER_S, is_cut_off

NOW = datetime(2026, 11, 25, 12, tzinfo=UTC)


def ago(seconds: float) -> datetime:
    return NOW - timedelta(seconds=seconds)


def machine(**changes) -> InstanceRecord:
    record = InstanceRecord(
        id="", label="", request="", pool=Pool("c7i.large", "us-east-1a"), market=Market.SPOT, requested=ago(600)
    )
    return attrs.evolve(record, **changes)


def run_of(*machines: InstanceRecord) -> Run:
    run = start_run(RunSpec(id="r-7f3a", name="study", region="us-east-1"), NOW)
    named = {f"i-{number}": attrs.evolve(item, id=f"i-{number}") for number, item in enumerate(machines)}
    return attrs.evolve(run, instances=named, live=frozenset(named))


LINKED = machine(state=InstanceState.JOB, running=ago(500), ready=ago(480))
DROPPED = attrs.evolve(LINKED, link_lost=ago(DROPPED_S))
JUST_DROPPED = attrs.evolve(LINKED, link_lost=ago(DROPPED_S - 1))
BOOTING = machine(state=InstanceState.RUNNING, running=ago(NEVER_S - 1))
NEVER = machine(state=InstanceState.RUNNING, running=ago(NEVER_S))
ASKED = machine()
ENDING = attrs.evolve(DROPPED, state=InstanceState.TERMINATING)


@pytest.mark.parametrize(
    ("machines", "is_so"),
    [
        ([], False),
        ([LINKED], False),
        ([DROPPED], True),
        ([DROPPED, DROPPED], True),
        ([DROPPED, LINKED], False),
        ([DROPPED, JUST_DROPPED], False),
        ([DROPPED, BOOTING], True),
        ([DROPPED, ASKED], True),
        ([BOOTING, ASKED], False),
        ([NEVER], True),
        ([NEVER, LINKED], False),
        ([ENDING], False),
    ],
)
def test_cut_off(machines, is_so):
    assert is_cut_off(run_of(*machines), NOW) is is_so
