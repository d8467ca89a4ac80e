import itertools
from textwrap import dedent

import attrs
import pytest
from rich.cells import cell_len
from rich.text import Text

from aspot.machine.model import (
    AttemptState,
    InstanceState,
    JobStatus,
    Keep,
    LaunchState,
    Outcome,
    RunPhase,
    StopWhy,
)
from aspot.machine.pool import Refusal, RefusalKind
from aspot.ui.screens import Details, live_view


@pytest.fixture
def screen(scenes):
    def render(run, *, at=73.0, **details):
        view = live_view(run, scenes.at(at), details=Details(**details))
        assert isinstance(view, Text)
        return view.plain

    return render


@pytest.fixture
def row(screen):
    """Return how the only job of a run is shown: its STATE and WHERE."""

    def render(run, **options):
        line = screen(run, **options).splitlines()[2]
        return tuple(part for part in line.split("  ") if part.strip())[1:]

    return render


STUDY = """\
lr-study  3/8 done, 5 running, $0.006 now, $0.18/h, a few seconds left
  JOB      STATE                     WHERE                        TIME     COST
  train    running                   c7g.large us-east-1a         1:03  $0.0007
  train-2  moving: 97 s, saved 4 MB  c6g.large 1b → m7g.large 1c  0:59  $0.0007
  train-3  succeeded                 c7g.large us-east-1a         1:00  $0.0004
  train-4  succeeded                 c7g.large us-east-1a         1:00  $0.0004
  train-5  succeeded                 c7g.large us-east-1a         1:00  $0.0004
  train-6  running                   c7g.large us-east-1a         1:03  $0.0007
  train-7  running                   c7g.large us-east-1a         1:03  $0.0007
  train-8  running                   c7g.large us-east-1a         1:03  $0.0007
Ctrl-C stops everything, l logs"""


@pytest.mark.parametrize("width", [80, 120])
def test_the_first_screen_of_the_contract(scenes, screen, width):
    assert screen(scenes.study(), width=width) == STUDY


def test_a_long_list_is_cut_to_the_terminal_with_what_matters_first(scenes, screen):
    jobs, machines = [], []
    for number in range(200):
        name, machine = f"train-{number}", scenes.instance(number, state=InstanceState.TERMINATED)
        if number < 30:
            ended = scenes.ended(name, machine, Outcome.SUCCEEDED, at=70, code=0)
            jobs.append(scenes.job(name, ended, status=JobStatus.SUCCEEDED))
        elif number == 100:
            jobs.append(
                scenes.job(name, scenes.ended(name, machine, Outcome.FAILED, at=70, code=3), status=JobStatus.FAILED)
            )
        elif number in (60, 61):
            machine = scenes.instance(number)
            jobs.append(scenes.job(name, scenes.attempt(name, machine)))
        else:
            jobs.append(scenes.job(name, status=JobStatus.QUEUED))
        machines.append(machine)
    run = scenes.run(jobs, machines, spec={"limit": 2})
    assert screen(run, height=9) == dedent("""\
        lr-study  31/200 done, 1 failed, 2 running, $0.15 now, about 84 min left
          JOB        STATE           WHERE                 TIME     COST
          train-100  failed: exit 3  c7g.large us-east-1a  1:00  $0.0004
          train-60   running         c7g.large us-east-1a  1:03  $0.0007
          train-61   running         c7g.large us-east-1a  1:03  $0.0007
          train-30   queued
          train-31   queued
          … and 195 more: 165 waiting, 30 succeeded
        Ctrl-C stops everything, l logs""")
    assert screen(run, height=9, width=120).splitlines()[0] == (
        "lr-study  31/200 done, 1 failed, 2 running, 167 waiting, $0.15 now, $0.072/h, about 84 min left"
    )


def test_nothing_is_wider_than_the_terminal(scenes, screen):
    name = "train-with-a-very-long-name-lr0.00001-hidden4096-seed12345-東京"
    machine = scenes.instance(1, scenes.c6g, state=InstanceState.INTERRUPTED, notice=scenes.notice(at=50))
    run = scenes.run([scenes.job(name, scenes.attempt(name, machine))], [machine], spec={"name": "n" * 63})
    for width in (40, 60, 80):
        assert max(map(cell_len, screen(run, width=width).splitlines())) <= width


def test_no_jobs_yet(scenes, screen):
    run = scenes.run(phase=RunPhase.OPEN)
    assert screen(run) == "lr-study  no jobs yet, $0.00 now, $0.00/h\nCtrl-C stops everything, l logs"


def test_footer_can_be_left_out(scenes, screen):
    assert screen(scenes.study(), footer="").endswith("$0.0007")


# --- one job, in each of its states ---


def queued(scenes, **values):
    return scenes.job("train", status=JobStatus.QUEUED, **values)


def test_preparing(scenes, row):
    assert row(scenes.run([queued(scenes)], phase=RunPhase.PREPARING)) == ("preparing",)


@pytest.mark.parametrize(
    ("state", "words"),
    [(LaunchState.SENT, "asking EC2"), (LaunchState.IN_DOUBT, "asking EC2 again")],
)
def test_an_open_request(scenes, row, state, words):
    assert row(scenes.run([queued(scenes)], requests=[scenes.asking(state=state)])) == (words,)


@pytest.mark.parametrize(
    ("state", "words"),
    [
        (InstanceState.REQUESTED, "starting"),
        (InstanceState.RUNNING, "connecting"),
        (InstanceState.SSH_READY, "connecting"),
    ],
)
def test_a_machine_on_its_way(scenes, row, state, words):
    run = scenes.run([queued(scenes)], [scenes.instance(1, state=state)])
    assert row(run) == (words, "c7g.large us-east-1a")


def test_machines_on_their_way_go_to_jobs_in_order_and_the_readiest_first(scenes, screen):
    jobs = [scenes.job(name, status=JobStatus.QUEUED) for name in ("a", "b", "c")]
    machines = [
        scenes.instance(1, state=InstanceState.REQUESTED),
        scenes.instance(2, scenes.c6g, state=InstanceState.RUNNING),
    ]
    lines = screen(scenes.run(jobs, machines)).splitlines()[2:5]
    assert [line.split() for line in lines] == [
        ["a", "connecting", "c6g.large", "us-east-1b"],
        ["b", "starting", "c7g.large", "us-east-1a"],
        ["c", "queued"],
    ]


def test_waiting_for_capacity_names_the_pool_that_refused_and_the_next(scenes, screen):
    job = queued(scenes, waiting_since=scenes.at(10))
    run = scenes.run([job], requests=[scenes.refused()])
    assert screen(run).splitlines()[2:5] == [
        "  train  waiting for capacity  c7g.large 1a full, next c6g.large 1b",
        "Waiting for capacity for about 1 min (at most 1 h 0 min); c7g.large us-east-1a:",
        "InsufficientInstanceCapacity",
    ]


def test_waiting_for_capacity_when_no_pool_is_left_to_ask_now(scenes, row):
    job = queued(scenes, waiting_since=scenes.at(10))
    assert row(scenes.run([job], requests=[scenes.refused()], pools=())) == (
        "waiting for capacity",
        "c7g.large 1a full, will ask again",
    )


def test_waiting_for_quota(scenes, screen):
    quota = Refusal(kind=RefusalKind.QUOTA, code="VcpuLimitExceeded", message="limit of 32 vCPUs", fix="--instances 8")
    run = scenes.run([queued(scenes)], quota=quota)
    assert "waiting for quota" in screen(run)
    assert "Quota: limit of 32 vCPUs; --instances 8" in screen(run)


def test_queued_behind_the_limit(scenes, screen):
    machine = scenes.instance(1)
    jobs = [scenes.job("a", scenes.attempt("a", machine)), scenes.job("b", status=JobStatus.QUEUED)]
    assert screen(scenes.run(jobs, [machine], spec={"limit": 1})).splitlines()[3] == "  b    queued"


@pytest.mark.parametrize(
    ("state", "job", "attempt", "machine", "words"),
    [
        (AttemptState.STARTING, {}, {}, {}, "sending files"),
        (AttemptState.RUNNING, {}, {}, {}, "running"),
        (AttemptState.RUNNING, {"cancel_asked": True}, {}, {}, "stopping"),
        (AttemptState.RUNNING, {}, {}, {"link_lost": True}, "running, reconnecting"),
        (AttemptState.STOPPING, {}, {"stop_why": StopWhy.CANCEL}, {}, "stopping"),
        (AttemptState.COLLECTING, {}, {}, {}, "collecting"),
    ],
)
def test_an_attempt_at_work(scenes, row, state, job, attempt, machine, words):
    place = scenes.instance(1)
    if machine:
        place = attrs.evolve(place, link_lost=scenes.at(30))
    run = scenes.run([scenes.job("train", scenes.attempt("train", place, state=state, **attempt), **job)], [place])
    assert row(run)[:2] == (words, "c7g.large us-east-1a")


def test_an_accepted_verdict_is_being_collected(scenes, row):
    machine = scenes.instance(1)
    ended = scenes.ended("train", machine, Outcome.SUCCEEDED, at=60, code=0)
    assert row(scenes.run([scenes.job("train", ended, verdict=JobStatus.SUCCEEDED)], [machine]))[0] == "collecting"


def test_a_notice_without_checkpoint_leaves_the_job_its_time(scenes, row):
    machine = scenes.instance(1, state=InstanceState.INTERRUPTED, notice=scenes.notice(at=50))
    run = scenes.run([scenes.job("train", scenes.attempt("train", machine), checkpoint=())], [machine])
    assert row(run)[:2] == ("notice: 97 s to finish", "c7g.large us-east-1a")


def test_a_deadline_that_has_passed_is_not_negative(scenes, row):
    machine = scenes.instance(1, state=InstanceState.INTERRUPTED, notice=scenes.notice(at=0, seconds=5))
    run = scenes.run([scenes.job("train", scenes.attempt("train", machine))], [machine])
    assert row(run)[:2] == ("moving: 0 s", "c7g.large 1a → …")


@pytest.mark.parametrize("state", [AttemptState.STOPPING, AttemptState.COLLECTING])
def test_an_attempt_that_was_stopped_to_move_is_moving_until_it_has_ended(scenes, row, state):
    machine = scenes.instance(1)
    attempt = scenes.attempt("train", machine, state=state, stop_why=StopWhy.INTERRUPT)
    run = scenes.run([scenes.job("train", attempt)], [machine])
    assert row(run)[:2] == ("moving", "c7g.large 1a → …")


def test_between_two_machines(scenes, row):
    gone = scenes.instance(1, scenes.c6g, state=InstanceState.TERMINATED, ending=scenes.at(60), ended=scenes.at(60))
    saved = scenes.checkpoint("train", at=55, size=2_600_000_000)
    ended = scenes.ended("train", gone, Outcome.INTERRUPTED, at=60, saved=saved)
    job = scenes.job("train", ended, status=JobStatus.QUEUED)
    assert row(scenes.run([job], [gone]))[:2] == ("moving, saved 2.6 GB", "c6g.large 1b → …")
    coming = scenes.instance(2, scenes.m7g, state=InstanceState.RUNNING)
    assert row(scenes.run([job], [gone, coming]))[1] == "c6g.large 1b → m7g.large 1c"


@pytest.mark.parametrize(
    ("status", "outcome", "values", "words"),
    [
        (JobStatus.SUCCEEDED, Outcome.SUCCEEDED, {}, "succeeded"),
        (JobStatus.FAILED, Outcome.FAILED, {}, "failed: exit 3"),
        (JobStatus.TIMED_OUT, Outcome.TIMED_OUT, {"spec": {"timeout_s": 600.0}}, "timed out after 10 min 0 s"),
        (JobStatus.TIMED_OUT, Outcome.TIMED_OUT, {}, "timed out"),
        (JobStatus.CANCELLED, Outcome.CANCELLED, {}, "cancelled"),
        (JobStatus.LOST, Outcome.LOST, {"reason": "no capacity for 1 h"}, "lost: no capacity for 1 h"),
        (JobStatus.LOST, Outcome.LOST, {}, "lost"),
        (JobStatus.BUDGET, Outcome.CANCELLED, {}, "not finished: budget spent"),
    ],
)
def test_how_a_job_ended(scenes, row, status, outcome, values, words):
    machine = scenes.instance(1, state=InstanceState.TERMINATED)
    job = scenes.job("train", scenes.ended("train", machine, outcome, at=60, code=3), status=status, **values)
    assert row(scenes.run([job], [machine]))[0] == words


def test_a_failure_without_exit_code_gives_its_reason(scenes, row):
    job = scenes.job("train", status=JobStatus.FAILED, reason="train.py vanished")
    assert row(scenes.run([job])) == ("failed: train.py vanished",)


# --- the run as a whole ---


def test_stopping(scenes, screen):
    machine = scenes.instance(1)
    jobs = [scenes.job("a", scenes.attempt("a", machine)), scenes.job("b", status=JobStatus.QUEUED)]
    text = screen(scenes.run(jobs, [machine], phase=RunPhase.STOPPING, stop_reason="Ctrl-C"))
    assert text.splitlines()[0].endswith(", stopping")
    assert text.splitlines()[3:] == ["  b    stopping", "Stopping: Ctrl-C", "Ctrl-C stops everything, l logs"]


def test_ending_machines(scenes, screen):
    machine = scenes.instance(1, state=InstanceState.TERMINATING, ending=scenes.at(62))
    job = scenes.job("a", scenes.ended("a", machine, Outcome.SUCCEEDED, at=60, code=0), status=JobStatus.SUCCEEDED)
    assert screen(scenes.run([job], [machine])).splitlines()[0].endswith("ending 1 machine")


def test_kept_machines_are_not_ending(scenes, screen):
    keep = Keep(job="a", since=scenes.at(60), until=scenes.at(1860), is_fixed=True)
    machine = scenes.instance(1, state=InstanceState.KEPT, keep=keep)
    job = scenes.job("a", scenes.ended("a", machine, Outcome.FAILED, at=60, code=3), status=JobStatus.FAILED)
    text = screen(scenes.run([job], [machine], kept=(machine.id,)))
    assert "ending" not in text
    assert "Kept for a look at a: lr-study_1, for about 30 min more, $0.036/h" in text.splitlines()
    over = screen(scenes.run([job], [machine], kept=(machine.id,), at=1861))
    assert "Kept" not in over


def test_budget_reached(scenes, screen):
    assert "Budget reached: nothing more is launched" in screen(scenes.run(budget_reached=True))


def test_hostile_names_never_pass(scenes, screen):
    for first, second in itertools.pairwise(scenes.hostile):
        pool = attrs.evolve(scenes.c7g, type=first, zone=second)
        machine = scenes.instance(1, pool)
        jobs = [
            scenes.job(first, scenes.attempt(first, machine)),
            scenes.job("b", status=JobStatus.LOST, reason=second),
            scenes.job("c", status=JobStatus.QUEUED, waiting_since=scenes.at(1)),
        ]
        refusal = Refusal(kind=RefusalKind.QUOTA, code="x", message=first, fix=second)
        refused = scenes.refused(pool, code=second)
        text = screen(scenes.run(jobs, [machine], [refused], quota=refusal, spec={"name": first}), width=200)
        assert all(character == "\n" or character.isprintable() for character in text)
        assert len(text.splitlines()) == 8


def test_markup_is_text(scenes):
    run = scenes.run([scenes.job("[bold]x[/bold]", status=JobStatus.QUEUED)])
    assert "[bold]x[/bold]" in live_view(run, scenes.at(1), details=Details()).plain
