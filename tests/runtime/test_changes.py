"""What EC2's listings say that is new: each change once, lag is no news, absence no death."""

from datetime import UTC, datetime, timedelta

import pytest

from aspot.machine.events import (
    InstanceEnded,
    InstanceEnding,
    InstanceFound,
    InstanceRan,
    InstanceUnusable,
    JobsSubmitted,
    LaunchAnswered,
    Launched,
    NoticeReceived,
    RunPrepared,
)
from aspot.machine.model import EndReason, JobSpec, Run, RunSpec
from aspot.machine.pool import Market, Pool
from aspot.machine.step import start_run, step
from aspot.ports import Sighting
from aspot.runtime.changes import PENDING_MOST_S, SETTLE_S, Changes

NOW = datetime(2026, 11, 23, tzinfo=UTC)
POOL = Pool("c7g.large", "us-east-1a")


def sighting(state: str = "running", *, instance: str = "i-1", request: str = "r1", **fields: object) -> Sighting:
    address = "10.0.0.1" if state == "running" else ""
    values: dict[str, object] = {"address": address, **fields}
    return Sighting(
        instance=instance, request=request, pool=POOL, market=Market.SPOT, state=state, launched=NOW, **values
    )


@pytest.fixture
def run() -> Run:
    """A run that waits for the answer to its one launch, r1."""
    run = start_run(RunSpec(id="r", name="f", region="us-east-1"), NOW)
    for event in (
        RunPrepared(at=NOW, pools=(POOL,), spot_usd_per_hour={POOL: 0.1}, on_demand_usd_per_hour={}),
        JobsSubmitted(at=NOW, jobs=(JobSpec(name="a", script="a.sh"),)),
    ):
        run, _ = step(run, event)
    assert list(run.requests) == ["r1"]
    return run


@pytest.fixture
def known(run: Run) -> Run:
    """The same, its answer taken in: it has i-1."""
    launched = (Launched(instance="i-1", pool=POOL, market=Market.SPOT),)
    return step(run, LaunchAnswered(at=NOW, request="r1", launched=launched))[0]


def kinds(changes: Changes, run: Run, *sightings: Sighting, after_s: float = 0.0) -> list[type]:
    return [type(event) for event in changes.compare(sightings, run, at=NOW, elapsed_s=after_s)]


def test_each_stage_is_told_once(known: Run):
    changes = Changes()
    assert kinds(changes, known, sighting("pending")) == []
    assert kinds(changes, known, sighting("running", address="")) == []
    assert kinds(changes, known, sighting("running")) == [InstanceRan]
    assert kinds(changes, known, sighting("running")) == []
    assert kinds(changes, known, sighting("shutting-down")) == [InstanceEnding]
    assert kinds(changes, known, sighting("running")) == []
    assert kinds(changes, known, sighting("terminated")) == [InstanceEnded]
    assert kinds(changes, known, sighting("terminated")) == []


def test_reasons_travel(known: Run):
    (ended,) = Changes().compare(
        [sighting("terminated", end_reason=EndReason.INTERRUPTED)], known, at=NOW, elapsed_s=0.0
    )
    assert ended == InstanceEnded(at=NOW, instance="i-1", reason=EndReason.INTERRUPTED)


def test_a_notice_is_told_once_and_not_of_the_dead(known: Run):
    changes, deadline = Changes(), NOW + timedelta(seconds=120)
    assert kinds(changes, known, sighting(notice=deadline)) == [NoticeReceived, InstanceRan]
    assert kinds(changes, known, sighting(notice=deadline)) == []
    assert kinds(Changes(), known, sighting("shutting-down", notice=deadline)) == [InstanceEnding]


def test_a_stranger_is_found_unless_its_answer_is_on_the_way(run: Run):
    assert kinds(Changes(), run, sighting()) == []
    assert kinds(Changes(), run, sighting(request="")) == [InstanceFound, InstanceRan]


def test_absence_is_death_only_after_a_while(known: Run):
    changes = Changes()
    kinds(changes, known, sighting())
    assert kinds(changes, known, after_s=0.0) == []
    assert kinds(changes, known, after_s=SETTLE_S - 1) == []
    assert kinds(changes, known, sighting(), after_s=SETTLE_S) == []
    assert kinds(changes, known, after_s=SETTLE_S + 1) == []
    assert kinds(changes, known, after_s=2 * SETTLE_S + 2) == []
    assert kinds(changes, known, after_s=2 * SETTLE_S + 3) == [InstanceEnded]
    assert kinds(changes, known, after_s=9 * SETTLE_S) == []


def test_a_machine_that_stays_pending_is_given_up_once(known: Run):
    changes = Changes()
    assert kinds(changes, known, sighting("pending"), after_s=5.0) == []
    assert kinds(changes, known, sighting("pending"), after_s=PENDING_MOST_S) == []
    assert kinds(changes, known, sighting("pending"), after_s=PENDING_MOST_S + 5) == [InstanceUnusable]
    assert kinds(changes, known, sighting("pending"), after_s=PENDING_MOST_S + 9) == []
