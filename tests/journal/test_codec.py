"""Events survive the journal: any of them, with any content, comes back equal."""

from __future__ import annotations

import enum
import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

import attrs
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from aspot.errors import AspotError
from aspot.journal.codec import decode, decode_plan, decode_spec, encode, encode_plan, encode_spec, kinds
from aspot.machine import events
from aspot.machine.model import JobSpec, RunSpec
from aspot.machine.pool import Pool
from aspot.ports import CloudPlan

AT = datetime(2026, 11, 23, 16, 7, 1, 5, tzinfo=UTC)
TEXT = st.text(st.characters(codec=None, exclude_categories=()), max_size=20)  # lone surrogates too: odd file names
PLAIN = {
    str: TEXT,
    int: st.integers(),
    float: st.floats(allow_nan=False),
    bool: st.booleans(),
    type(None): st.none(),
    datetime: st.integers(0, 2**40).map(lambda number: AT + timedelta(microseconds=number)),
}


def anything(kind):
    """Return a strategy for values of a type, made of what events are made of."""
    if kind in PLAIN:
        return PLAIN[kind]
    origin, inner = get_origin(kind), get_args(kind)
    if attrs.has(kind):
        hints = get_type_hints(kind)
        return st.builds(kind, **{field.name: anything(hints[field.name]) for field in attrs.fields(kind)})
    if origin in (Union, UnionType):
        return st.one_of([anything(item) for item in inner])
    if origin is Mapping:
        return st.dictionaries(anything(inner[0]), anything(inner[1]), max_size=3)
    if origin is tuple and inner[-1] is ...:
        return st.lists(anything(inner[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*(anything(item) for item in inner))
    assert issubclass(kind, enum.Enum), kind
    return st.sampled_from(list(kind))


@pytest.mark.parametrize("kind", kinds().values(), ids=kinds())
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_event_comes_back_equal(kind, data):
    event = data.draw(anything(kind))
    assert decode(*encode(event)) == event


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(anything(RunSpec))
def test_a_specification_comes_back_equal(spec):
    assert decode_spec(encode_spec(spec)) == spec


def test_every_event_that_the_machine_knows_can_be_written():
    named = [item for item in vars(events).values() if isinstance(item, type) and issubclass(item, events.Event)]
    leaves = {item.__name__ for item in named if not item.__subclasses__()}
    assert set(kinds()) == leaves


def test_prices_are_kept_by_pool():
    pool = Pool("c7g.large", "us-east-1a")
    event = events.PricesSeen(at=AT, spot_usd_per_hour={pool: 0.03})
    assert decode(*encode(event)).spot_usd_per_hour[pool] == 0.03


def test_parameters_keep_their_types():
    params = {"lr": 0.1, "seed": 3, "flag": True, "none": None, "text": "3", "whole": 1.0}
    event = events.JobsSubmitted(at=AT, jobs=(JobSpec(name="a", script="a.sh", params=params),))
    back = decode(*encode(event)).jobs[0].params
    assert [(key, type(value), value) for key, value in back.items()] == [
        (key, type(value), value) for key, value in params.items()
    ]


def test_an_event_of_a_newer_aspot_is_named():
    with pytest.raises(AspotError, match="'QuantumLeapt'") as caught:
        decode("QuantumLeapt", "{}")
    assert caught.value.fix == "update aspot"


@pytest.mark.parametrize("body", ["{}", "[]", "not json", '{"at": "yesterday"}'])
def test_an_event_that_is_none_is_refused(body):
    with pytest.raises(AspotError, match="Ticked cannot be read"):
        decode("Ticked", body)


def test_a_specification_that_is_none_is_refused():
    with pytest.raises(AspotError, match="specification cannot be read"):
        decode_spec("[]")


def test_fields_that_an_older_aspot_did_not_write_take_their_defaults():
    kind, body = encode(events.JobsSubmitted(at=AT, jobs=(JobSpec(name="a", script="a.sh"),)))
    assert '"interruptions":10' in body
    assert decode(kind, body.replace(',"interruptions":10', "")).jobs[0] == attrs.evolve(
        JobSpec(name="a", script="a.sh"), interruptions=10
    )


@pytest.mark.parametrize("firewall", [None, (), (("tcp", 22, "::1/128"), ("udp", "8000-8010", "10.0.0.0/8"))])
def test_a_plan_comes_back_with_its_firewall(firewall):
    run = RunSpec(id="r", name="study", region="us-east-1")
    plan = CloudPlan(run=run, types=("t3.small",), user_data=b"", owner="me", expires=1, firewall=firewall)
    assert decode_plan(json.loads(json.dumps(encode_plan(plan)))) == plan
