"""From records to results."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs

from aspot.jobs import Job
from aspot.machine.model import (
    AttemptRecord,
    AttemptState,
    Checkpoint,
    Collected,
    Evacuation,
    ExitStatus,
    JobRecord,
    JobSpec,
    JobStatus,
    Outcome,
)
from aspot.machine.pool import Pool
from aspot.runtime.outcomes import job_of, result_json, result_of

START = datetime(2026, 11, 23, tzinfo=UTC)
JOB = Job("train.py", name="train", params={"lr": 0.1})


def after(seconds: float) -> datetime:
    return START + timedelta(seconds=seconds)


def attempt(number: int, outcome: Outcome, start: float, end: float, **fields: object) -> AttemptRecord:
    return AttemptRecord(
        job="train",
        number=number,
        instance=f"i-{number}",
        pool=Pool("c7g.large", "us-east-1a"),
        state=AttemptState.ENDED,
        ordered=after(start),
        started=after(start),
        ended=after(end),
        outcome=outcome,
        cost_usd=0.25,
        **fields,  # type: ignore[arg-type]
    )


def status(code: int, why: str = "exit") -> ExitStatus:
    return ExitStatus(code=code, why=why, ended=after(100), out=0, err=0, boot_id="b")


SAVED = Checkpoint(job="train", attempt=1, serial=1, files=2, size=10, taken=after(30))
RECORD = JobRecord(
    spec=JobSpec(name="train", script="train.py", params={"lr": 0.1}),
    status=JobStatus.SUCCEEDED,
    verdict=JobStatus.SUCCEEDED,
    submitted=START,
    attempts=(
        attempt(1, Outcome.INTERRUPTED, 0, 40, saved=SAVED),
        attempt(2, Outcome.LOST, 50, 55),
        attempt(3, Outcome.SUCCEEDED, 60, 100, exit=status(0)),
    ),
    collected=Collected(files=("out/m.json",), missing=("logs",), size=3),
    accepted=3,
)


def test_a_result_says_what_became_of_the_job():
    result = result_of(RECORD, JOB, Path("results/train"))
    assert result.ok
    assert (result.exit_code, result.reason, result.files, result.missing) == (0, "", ("out/m.json",), ("logs",))
    assert (result.cost, result.duration, result.redone) == (0.75, 100.0, 15.0)
    assert [item.outcome for item in result.attempts] == ["interrupted", "lost", "succeeded"]
    assert result.attempts[0].saved == "checkpoint: 2 files, 10 bytes"
    assert result.attempts[0].lost == "10 s of work"
    assert result.attempts[2].lost == ""


def test_what_was_evacuated_and_what_was_not_is_told():
    brought = Evacuation(files=3, size=99, lost=("big (no time left for it)",))
    record = attrs.evolve(RECORD, attempts=(attempt(1, Outcome.INTERRUPTED, 0, 40, saved=SAVED, evacuated=brought),))
    (told,) = result_of(record, JOB, Path()).attempts
    assert told.saved == "checkpoint: 2 files, 10 bytes; evacuated: 3 files, 99 bytes"
    assert told.lost == "10 s of work; big (no time left for it)"
    record = attrs.evolve(RECORD, attempts=(attempt(1, Outcome.INTERRUPTED, 0, 0, evacuated=Evacuation()),))
    (told,) = result_of(record, JOB, Path()).attempts
    assert (told.saved, told.lost) == ("", "")


def test_an_attempt_says_where_its_time_went():
    booted = attempt(1, Outcome.INTERRUPTED, 5, 40, saved=SAVED, since=after(-20), boot_s=20.0, exited=after(36))
    record = attrs.evolve(RECORD, attempts=(booted, *RECORD.attempts[1:]))
    result = result_of(record, JOB, Path())
    first, second, third = result.attempts
    assert (first.boot, first.idle, first.useful, first.redone, first.gap) == (20, 9, 25, 6, 20)
    assert (second.useful, second.redone, second.gap) == (0, 5, 10)
    assert (third.useful, third.redone, third.gap) == (40, 0, None)
    assert (result.recovery_gap, result.redone) == (20, 11)
    json = result.to_json()
    assert (json["recovery_gap_s"], json["redone_s"], json["attempts"][0]["boot_s"]) == (20, 11, 20)
    assert json["attempts"][0] | {"idle_s": 9, "useful_s": 25, "redone_s": 6, "gap_s": 20} == json["attempts"][0]
    assert json["attempts"][2]["gap_s"] is None


def test_a_code_counts_only_if_the_script_ended_by_itself():
    killed = attrs.evolve(RECORD, attempts=(attempt(3, Outcome.TIMED_OUT, 0, 9, exit=status(143, "timeout")),))
    assert result_of(killed, JOB, Path()).exit_code is None
    failed = attrs.evolve(RECORD, attempts=(attempt(3, Outcome.FAILED, 0, 9, exit=status(7)),))
    assert result_of(failed, JOB, Path()).exit_code == 7


def test_a_job_that_never_ran_has_a_result_too():
    never = attrs.evolve(RECORD, verdict=JobStatus.LOST, reason="no capacity", attempts=(), collected=None, accepted=0)
    result = result_of(never, JOB, Path())
    assert (result.status, result.exit_code, result.duration, result.redone) == ("lost", None, 0.0, 0.0)
    assert result.recovery_gap is None


def test_the_json_names_no_place_on_this_machine():
    json = result_json(RECORD, JOB)
    assert (json["dir"], json["stdout"], json["params"]) == (".", "stdout", {"lr": 0.1})
    assert json["attempts"][0]["outcome"] == "interrupted"


def test_a_job_can_be_told_from_its_specification():
    spec = JobSpec(name="train", script="train.py", source="train.py", args=("--lr", "1"), checkpoint_every_s=5.0)
    job = job_of(spec)
    assert (job.name, str(job.script), job.args, job.checkpoint_every) == ("train", "train.py", ("--lr", "1"), 5.0)
    assert job_of(JobSpec(name="c", script="make", command="make")).command == "make"
