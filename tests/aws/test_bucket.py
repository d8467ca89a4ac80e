"""The token bucket in front of launch calls."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aspot.aws.bucket import TokenBucket, bucket


def test_burst_then_pace():
    pace = TokenBucket(burst=5.0, per_s=2.0)
    now = time.monotonic()
    waits = [pace.reserve(now) for _ in range(8)]
    assert waits == pytest.approx([0, 0, 0, 0, 0, 0.5, 1.0, 1.5], abs=0.01)


def test_refills_up_to_its_burst():
    pace = TokenBucket(burst=2.0, per_s=1.0)
    now = time.monotonic()
    for _ in range(4):
        pace.reserve(now)
    assert [pace.reserve(now + 100) for _ in range(3)] == pytest.approx([0, 0, 1.0], abs=0.01)


def test_throttled_bucket_is_empty():
    pace = TokenBucket(burst=5.0, per_s=2.0)
    now = time.monotonic()
    pace.drain(now)
    assert pace.reserve(now) == pytest.approx(0.5, abs=0.01)


def test_one_bucket_for_all_of_a_process():
    assert bucket("x", "us-east-1", "RunInstances") is bucket("x", "us-east-1", "RunInstances")
    assert bucket("x", "us-east-1", "RunInstances") is not bucket("x", "us-east-2", "RunInstances")


@given(st.lists(st.floats(0, 5), max_size=60))
def test_never_more_than_aws_allows(gaps):
    """Whatever the arrivals, no window of time sees more calls than burst + refill."""
    pace, now, sent = TokenBucket(burst=5.0, per_s=2.0), time.monotonic(), []
    for gap in gaps:
        now += gap
        sent.append(now + pace.reserve(now))
    for first, begin in enumerate(sent):
        for last in range(first, len(sent)):
            assert last - first + 1 <= 5.0 + 2.0 * (sent[last] - begin) + 1.001


async def test_take_waits():
    pace = TokenBucket(burst=1.0, per_s=20.0)
    began = time.monotonic()
    await pace.take()
    await pace.take()
    assert time.monotonic() - began >= 0.045
