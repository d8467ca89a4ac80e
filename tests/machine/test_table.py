"""The tables: every cell is said out loud, and the diagram comes from them."""

from __future__ import annotations

import itertools

import pytest

from aspot.errors import InternalError
from aspot.machine import events as ev
from aspot.machine.instance_table import (
    ATTEMPT_TABLE,
    INSTANCE_TABLE,
    IllegalTransition,
    Move,
    Rule,
    attempt_cell,
    instance_cell,
    mermaid,
)
from aspot.machine.model import AttemptState, EndReason, InstanceState
from tests.machine.world import working


def subclasses(kind: type) -> list[type]:
    return [
        other
        for other in vars(ev).values()
        if isinstance(other, type) and issubclass(other, kind) and other is not kind
    ]


INSTANCE_EVENTS = [kind for kind in subclasses(ev.InstanceEvent) if kind is not ev.AttemptEvent]
TRIGGERS = [*INSTANCE_EVENTS, *Move]


def test_every_cell_of_the_instance_table_is_there() -> None:
    assert set(INSTANCE_TABLE) == set(itertools.product(InstanceState, TRIGGERS))


def test_every_cell_of_the_attempt_table_is_there() -> None:
    assert set(ATTEMPT_TABLE) == set(itertools.product(AttemptState, subclasses(ev.AttemptEvent)))


@pytest.mark.parametrize(("state", "trigger"), list(itertools.product(InstanceState, TRIGGERS)))
def test_each_instance_cell_is_a_state_or_ignored_or_illegal(state, trigger) -> None:
    cell = INSTANCE_TABLE[state, trigger]
    if cell is Rule.ILLEGAL:
        with pytest.raises(IllegalTransition) as caught:
            instance_cell(state, trigger, story=("before",))
        assert caught.value.story == ("before",)
        assert state.value in caught.value.message
    else:
        expected = {Rule.STAY: state, Rule.IGNORE: None}.get(cell, cell)
        assert instance_cell(state, trigger) is expected


@pytest.mark.parametrize(("state", "event"), list(itertools.product(AttemptState, subclasses(ev.AttemptEvent))))
def test_each_attempt_cell_is_a_state_or_ignored_or_illegal(state, event) -> None:
    cell = ATTEMPT_TABLE[state, event]
    if cell is Rule.ILLEGAL:
        with pytest.raises(IllegalTransition):
            attempt_cell(state, event)
    else:
        expected = {Rule.STAY: state, Rule.IGNORE: None}.get(cell, cell)
        assert attempt_cell(state, event) is expected


def test_nothing_leads_out_of_terminated() -> None:
    gone = InstanceState.TERMINATED
    assert all(cell in Rule for (state, _), cell in INSTANCE_TABLE.items() if state is gone)


def test_an_illegal_event_tells_the_instances_story() -> None:
    world, (name,) = working("a")
    world.submit("b")
    (fresh,) = world.answer()
    with pytest.raises(InternalError, match="requested") as caught:
        world.ready(fresh)
    assert "launched by r2" in caught.value.story[0]
    assert world.state(name) is InstanceState.JOB


def test_the_story_is_bounded() -> None:
    world, (name,) = working("a")
    for _ in range(30):
        world.send(ev.LinkRestored, instance=name, boot_id="b1")
    assert len(world.run.instances[name].story) == 20


def test_the_diagram_shows_the_transitions() -> None:
    diagram = mermaid()
    assert diagram.startswith("stateDiagram-v2\n    [*] --> REQUESTED\n")
    assert "    REQUESTED --> RUNNING: InstanceRan\n" in diagram
    assert "    SSH_READY --> JOB: an attempt is assigned\n" in diagram
    assert "    JOB --> SSH_READY: its attempt ended\n" in diagram
    assert diagram.endswith("    TERMINATED --> [*]\n")
    assert "TERMINATED --> " not in diagram.removesuffix("    TERMINATED --> [*]\n")


def test_an_unknown_instance_is_a_bug() -> None:
    world, _ = working("a")
    with pytest.raises(InternalError, match="i-9999"):
        world.gone("i-9999", EndReason.OURS)


def test_an_unknown_event_is_a_bug() -> None:
    world, _ = working("a")
    with pytest.raises(InternalError, match="Event"):
        world.send(ev.Event)


@pytest.mark.parametrize("wrong", [{"job": "x"}, {"attempt": 2}, {"attempt": 0}, {"instance": "other"}])
def test_an_attempt_that_never_was_is_a_bug(wrong) -> None:
    world, (name, other) = working("a", "b")
    where = world.on(name) | wrong
    where["instance"] = other if where["instance"] == "other" else where["instance"]
    with pytest.raises(InternalError):
        world.send(ev.AttemptVanished, **where, reason="?")


def test_a_job_submitted_twice_is_a_bug() -> None:
    world, _ = working("a")
    with pytest.raises(InternalError, match="twice"):
        world.submit("a")
