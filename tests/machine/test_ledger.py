"""Attempts told: seconds, dollars, what was saved and what was lost."""

from __future__ import annotations

from datetime import timedelta

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.machine import events as ev
from aspot.machine.ledger import (
    Seconds,
    attempt_rows,
    gap_s,
    job_duration_s,
    job_redone_s,
    longest_gap_s,
    redone_s,
    seconds_of,
    useful_s,
    worked_s,
)
from aspot.machine.model import (
    AttemptRecord,
    AttemptState,
    Checkpoint,
    EndReason,
    JobRecord,
    JobSpec,
    Outcome,
)
from tests.machine.world import START, A, World, working

CKPT = ("ckpt",)


def test_an_attempt_that_runs() -> None:
    world, (name,) = working("a")
    world.wait(10)
    (row,) = attempt_rows(world.run, "a")
    assert (row.number, row.instance_id, row.type, row.zone) == (1, name, "c7i.large", "us-east-1a")
    assert (row.outcome, row.reason, row.ended, row.cost_usd, row.saved, row.lost) == ("running", "", None, 0, "", "")
    assert worked_s(world.job("a").attempts[0], world.now) == 10
    assert job_duration_s(world.job("a"), world.now) == 10


def test_a_success_is_all_useful() -> None:
    world, (name,) = working("a")
    world.wait(30)
    world.exited(name)
    world.wait(5)
    world.collected(name)
    (row,) = attempt_rows(world.run, "a")
    attempt = world.job("a").attempts[0]
    assert (row.outcome, row.redone_s, row.lost) == ("succeeded", 0, "")
    assert (row.ended - row.started).total_seconds() == 35
    assert (worked_s(attempt, world.now), useful_s(attempt, world.now)) == (30, 30)
    assert job_duration_s(world.job("a"), world.now) == 30


def test_an_interruption_redoes_what_came_after_the_newest_checkpoint() -> None:
    world, (name,) = working("a", checkpoint=CKPT, checkpoint_every_s=60)
    world.wait(60)
    world.saved(name, 1)
    world.wait(25)
    world.gone(name, EndReason.INTERRUPTED)
    (row,) = attempt_rows(world.run, "a")
    assert (row.redone_s, row.saved) == (25, "checkpoint 1: 1 file, 10 bytes")
    assert row.lost == "25 s of work after the checkpoint"
    assert useful_s(world.job("a").attempts[0], world.now) == 60
    assert job_redone_s(world.job("a")) == 25


def test_an_interruption_without_checkpoint_redoes_everything() -> None:
    world, (name,) = working("a")
    world.wait(85)
    world.gone(name, EndReason.INTERRUPTED)
    (row,) = attempt_rows(world.run, "a")
    assert (row.redone_s, row.saved, row.lost) == (85, "", "all of its 1 min 25 s of work")
    world.wait(100)
    assert job_duration_s(world.job("a"), world.now) == 85


def test_a_whole_handover_redoes_nothing() -> None:
    world, (name,) = working("a", checkpoint=CKPT)
    world.notice(name)
    world.saved(name, 1)
    world.wait(110)
    world.exited(name, 143, "interrupt")
    world.wait(3)
    world.saved(name, 2)
    (row,) = attempt_rows(world.run, "a")
    assert (row.redone_s, row.lost, row.saved) == (0, "", "checkpoint 2: 1 file, 10 bytes")


def test_an_attempt_that_never_started_has_no_work_to_lose() -> None:
    world, (name,) = working("a")
    world.complete(name)
    world.submit("b")
    world.send(ev.AttemptVanished, **world.on(name), reason="never started")
    attempt = world.job("b").attempts[0]
    assert (redone_s(attempt), worked_s(attempt, world.now)) == (0, 0)
    assert attempt_rows(world.run, "b")[0].lost == ""
    assert job_duration_s(world.job("b"), world.now) == 0


@pytest.mark.parametrize(("files", "text"), [(1, "1 file"), (3, "3 files")])
def test_files_are_counted(files, text) -> None:
    world, (name,) = working("a", checkpoint=CKPT, checkpoint_every_s=10)
    world.wait(10)
    world.saved(name, 1, files=files)
    assert attempt_rows(world.run, "a")[0].saved == f"checkpoint 1: {text}, 10 bytes"


# --- where the time of an attempt went ---


def told(world: World, job: str, number: int = 1) -> tuple[float, ...]:
    """Return an attempt's boot, idle, useful and redone seconds."""
    return attrs.astuple(seconds_of(world.job(job).attempts[number - 1], world.now))


def gap(world: World, number: int = 1) -> float | None:
    return gap_s(world.job("a"), world.job("a").attempts[number - 1])


def test_boot_files_work_and_the_way_home_are_told_apart() -> None:
    world = World()
    world.prepare()
    world.submit("a")
    (name,) = world.answer()
    world.wait(25)
    world.boot(name)
    world.wait(3)
    world.started(name)
    world.wait(60)
    assert told(world, "a") == (25, 3, 60, 0), "while it works, too"
    world.exited(name)
    world.wait(2)
    assert told(world, "a") == (25, 5, 60, 0)
    world.collected(name)
    world.wait(500)
    assert told(world, "a") == (25, 5, 60, 0)


def test_only_the_first_attempt_on_a_machine_boots_it_and_waiting_belongs_to_the_next() -> None:
    world, (name,) = working("a", options={"idle_s": 100.0})
    world.wait(10)
    world.complete(name)
    world.wait(30)
    world.submit("b")
    world.wait(1)
    world.started(name)
    world.wait(10)
    assert told(world, "a") == (20, 0, 10, 0)
    assert told(world, "b") == (0, 31, 10, 0)


def test_the_boot_of_a_successor_is_not_in_the_recovery_gap() -> None:
    """Handed over: 4 s from the old script's end to the new one's start, though the machine took 25 s to boot."""
    world, (name,) = working("a", checkpoint=CKPT)
    world.wait(100)
    world.notice(name)
    world.saved(name, 1)
    (new,) = world.answer()
    world.wait(25)
    world.boot(new)
    world.exited(name, 143, "interrupt")
    world.wait(3)
    world.saved(name, 2)
    world.wait(1)
    assert gap(world) is None, "it has not gone on yet"
    world.started(new)
    assert (gap(world), gap(world, 2), longest_gap_s(world.job("a"))) == (4, None, 4)
    assert told(world, "a") == (20, 3, 125, 0)
    assert told(world, "a", 2) == (25, 4, 0, 0), "its machine waited for the handover"


def test_work_that_was_in_vain_is_in_the_gap() -> None:
    world, (name,) = working("a", checkpoint=CKPT, checkpoint_every_s=60)
    world.wait(60)
    world.saved(name, 1)
    world.wait(25)
    world.gone(name, EndReason.INTERRUPTED)
    (new,) = world.answer()
    world.wait(30)
    world.boot(new)
    world.started(new)
    assert told(world, "a") == (20, 0, 60, 25)
    assert gap(world) == 25 + 30


def test_a_job_without_interruption_has_no_gap() -> None:
    world, (name,) = working("a", attempts=2)
    world.complete(name, 3)
    world.started(name)
    world.complete(name)
    assert len(world.job("a").attempts) == 2
    assert longest_gap_s(world.job("a")) is None


SPANS = st.integers(0, 10_000).map(lambda tenths: tenths / 10)
TRY = st.tuples(SPANS, SPANS, SPANS, SPANS, st.none() | SPANS, st.sampled_from([Outcome.INTERRUPTED, Outcome.LOST]))


@given(tries=st.lists(TRY, min_size=1, max_size=6), last=st.tuples(SPANS, SPANS))
def test_useful_work_and_gaps_make_up_a_job_that_was_interrupted_and_then_succeeded(tries, last) -> None:
    """Whatever was saved, and when: nothing is counted twice, nothing is left out."""
    at, attempts = 0.0, []
    for number, (boot, wait, work, home, saved, outcome) in enumerate(tries, 1):
        ended = at + boot + wait + work + home
        taken = None if saved is None else at + boot + wait + saved  # of any time, after its end too
        attempts.append(tried(number, outcome, since=at, boot=boot, wait=wait, work=work, ended=ended, taken=taken))
        at = ended
    wait, work = last
    attempts.append(
        tried(len(tries) + 1, Outcome.SUCCEEDED, since=at, boot=0, wait=wait, work=work, ended=at + wait + work)
    )
    job = JobRecord(spec=JobSpec(name="a", script="a.py"), submitted=START, attempts=tuple(attempts))
    seconds = [seconds_of(attempt, START) for attempt in attempts]
    for attempt, parts in zip(attempts, seconds, strict=True):
        assert sum(attrs.astuple(parts)) == pytest.approx((attempt.ended - attempt.since).total_seconds(), abs=1e-3)
        assert min(attrs.astuple(parts)) >= 0
        assert parts.useful_s + parts.redone_s == pytest.approx(worked_s(attempt, START))
    gaps = [gap_s(job, attempt) for attempt in attempts[:-1]]
    whole = sum(parts.useful_s for parts in seconds) + sum(gaps)
    assert whole == pytest.approx(job_duration_s(job, START), abs=1e-3)
    assert longest_gap_s(job) == max(gaps)
    assert sum(parts.redone_s for parts in seconds) <= sum(gaps) + 1e-3


def tried(number: int, outcome: Outcome, *, since, boot, wait, work, ended, taken=None) -> AttemptRecord:
    def at(seconds):
        return START + timedelta(seconds=seconds)

    saved = (
        None if taken is None else Checkpoint(job="a", attempt=number, serial=number, files=1, size=1, taken=at(taken))
    )
    return AttemptRecord(
        job="a", number=number, instance=f"i-{number}", pool=A, state=AttemptState.ENDED, outcome=outcome,
        since=at(since), boot_s=boot, ordered=at(since + boot), started=at(since + boot + wait),
        exited=at(since + boot + wait + work), ended=at(ended), saved=saved,
    )  # fmt: skip


def test_an_attempt_of_an_older_record_has_no_boot() -> None:
    attempt = attrs.evolve(
        tried(1, Outcome.SUCCEEDED, since=0, boot=0, wait=0, work=5, ended=5), since=None, ordered=START
    )
    assert seconds_of(attempt, START) == Seconds(boot_s=0, idle_s=0, useful_s=5, redone_s=0)
