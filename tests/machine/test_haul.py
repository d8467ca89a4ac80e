"""Against the clock: what fits, what is given up half-way, what is said of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.machine.haul import LEAST_BYTES, LEAST_S, MOST_LOST, NO_TIME, Haul
from aspot.machine.model import Evacuation

MB = 1_000_000
SIZES = st.integers(0, 10**12)
SECONDS = st.floats(0.001, 1000)


def test_anything_may_be_tried_while_the_bandwidth_is_not_known() -> None:
    haul = Haul(limit_s=100.0)
    assert haul.fits(10**15, 99.9)
    assert not haul.fits(0, 100.0)


def test_small_files_say_nothing_of_the_bandwidth() -> None:
    haul = Haul(limit_s=100.0)
    haul.moved(LEAST_BYTES - 1, 50.0)
    haul.moved(LEAST_BYTES, 0.0)
    assert haul.bytes_per_s is None


def test_what_does_not_fit_is_passed_over_and_what_is_smaller_is_not() -> None:
    haul = Haul(limit_s=100.0)
    haul.moved(50 * MB, 1.0)
    assert haul.fits(500 * MB, 90.0)
    assert not haul.fits(500 * MB + 1, 90.0)
    assert haul.fits(1, 99.9)


def test_a_transfer_is_judged_by_its_own_speed_after_a_second() -> None:
    haul = Haul(limit_s=10.0)
    assert not haul.is_hopeless(done=1, size=10**12, since_s=0.0, now_s=LEAST_S - 0.01)
    assert haul.is_hopeless(done=1, size=10**12, since_s=0.0, now_s=LEAST_S)
    assert not haul.is_hopeless(done=50, size=100, since_s=0.0, now_s=5.0)
    assert haul.is_hopeless(done=49, size=100, since_s=0.0, now_s=5.0)
    assert haul.is_hopeless(done=99, size=100, since_s=0.0, now_s=10.0)


@given(limit=SECONDS, rate=st.floats(1, 1e10), size=SIZES, now=SECONDS)
def test_what_is_said_to_fit_is_over_in_time_at_that_speed(limit, rate, size, now) -> None:
    haul = Haul(limit_s=limit)
    haul.bytes_per_s = rate
    if haul.fits(size, now):
        assert now + size / rate <= limit * (1 + 1e-9)


@given(size=st.integers(1, 10**12), share=st.floats(0.01, 0.99), spent=st.floats(1, 500), left=st.floats(0.1, 500))
def test_a_transfer_that_is_not_given_up_is_over_in_time_at_its_speed(size, share, spent, left) -> None:
    done = max(1, int(size * share))
    haul = Haul(limit_s=spent + left)
    is_over_in_time = spent * size / done <= (spent + left) * (1 + 1e-9)
    if not haul.is_hopeless(done=done, size=size, since_s=0.0, now_s=spent):
        assert is_over_in_time


def test_what_was_expected_is_lost_until_it_comes() -> None:
    haul = Haul(limit_s=1.0)
    haul.expect(["a", "b"])
    haul.keep("a", "hash", 3)
    assert haul.told() == Evacuation(files=1, size=3, lost=(f"b ({NO_TIME})",))


def test_an_older_state_is_said_to_be_older_and_a_newer_look_begins_anew() -> None:
    haul = Haul(limit_s=1.0)
    haul.keep("a", "hash", 3)
    haul.lose("a", "it changed")
    haul.lose("a link", "")
    assert haul.told().lost == ("a (it changed; an older state of it is here)", "a link")
    haul.expect(["a", "b"])
    assert haul.told().lost == (f"b ({NO_TIME})",)


@pytest.mark.parametrize(("count", "more"), [(MOST_LOST, ()), (MOST_LOST + 7, ("and 7 more",))])
def test_not_every_line_is_told(count, more) -> None:
    haul = Haul(limit_s=1.0)
    haul.expect(str(number) for number in range(count))
    assert haul.told().lost[MOST_LOST:] == more
