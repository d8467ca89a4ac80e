"""Attempts told: seconds, dollars, what was saved and what was lost."""

from __future__ import annotations

import pytest

from aspot.machine import events as ev
from aspot.machine.ledger import attempt_rows, job_duration_s, job_redone_s, redone_s, useful_s, worked_s
from aspot.machine.model import EndReason
from tests.machine.world import working

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
