import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.machine.model import AttemptState, JobStatus, Outcome
from aspot.ui.figures import about, at_moment, job_s, job_usd, left_s, short_zone, size


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (0, "0 B"),
        (812, "812 B"),
        (4000, "4 kB"),
        (3_999_999, "4 MB"),
        (1_234_567_890, "1.2 GB"),
        (12_300_000_000, "12 GB"),
    ],
)
def test_sizes(count, words):
    assert size(count) == words


@given(st.integers(0, 10**18))
def test_sizes_stay_short(count):
    assert len(size(count)) <= 11


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "a few seconds"), (38, "about 40 s"), (57, "about 1 min"), (250, "about 4 min"), (7300, "about 2 h")],
)
def test_guesses_promise_no_precision(seconds, words):
    assert about(seconds) == words


def test_short_zone():
    assert short_zone("us-east-1b") == "1b"
    assert short_zone("us-west-2-lax-1a") == "1a"


def test_the_clock_never_goes_back(scenes):
    run = scenes.run(at=60)
    assert at_moment(run, scenes.at(10)).now == scenes.at(60)


def test_a_job_that_never_started_has_no_time(scenes):
    machine = scenes.instance(1)
    job = scenes.job("train", scenes.attempt("train", machine, state=AttemptState.STARTING))
    assert job_s(job, scenes.run([job], [machine])) is None


def test_a_live_attempt_costs_what_its_machine_cost_since_the_last_one_ended_there(scenes):
    machine = scenes.instance(1, attributed_usd=0.0001)
    job = scenes.job("train", scenes.attempt("train", machine))
    run = scenes.run([job], [machine], at=3600)
    assert job_usd(job, run) == pytest.approx(0.03 + 0.005 + 8 * 0.08 / 730 - 0.0001)


def test_nothing_is_guessed_before_a_job_has_succeeded(scenes):
    machine = scenes.instance(1)
    assert left_s(scenes.run([scenes.job("a", scenes.attempt("a", machine))], [machine])) is None


def test_the_guess_counts_lanes(scenes):
    machine = scenes.instance(1)
    done = scenes.job("a", scenes.ended("a", machine, Outcome.SUCCEEDED, at=70, code=0), status=JobStatus.SUCCEEDED)
    waiting = [scenes.job(f"b{number}", status=JobStatus.QUEUED) for number in range(10)]
    assert left_s(scenes.run([done, *waiting], [machine], spec={"limit": 2})) == pytest.approx(300)
    assert left_s(scenes.run([done, *waiting], [machine], spec={"limit": 50})) == pytest.approx(60)
    assert left_s(scenes.run([done], [machine])) is None
