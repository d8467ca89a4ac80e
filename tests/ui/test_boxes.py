"""Rows and texts of boxes, from their runs and a glance at them."""

from datetime import timedelta

import attrs
import pytest

from aspot.boxes.glance import Glance
from aspot.machine.model import EndReason
from aspot.ui.boxes import box_row, box_text
from tests.machine.test_box import box, ready


def row(world, **seen):
    return box_row(world.run, world.now + timedelta(minutes=30), Glance(**seen) if seen else None)


@pytest.mark.parametrize(
    ("seen", "state", "ends"),
    [
        ({"state": "running", "idle_s": 20, "left_s": 7210}, "in use", "in 2 h"),
        ({"state": "running", "idle_s": 730, "left_s": 6485}, "idle 12 min", "in 1 h 48 min"),
        ({"state": None, "idle_s": 3700, "left_s": 42}, "idle 1 h 1 min", "in 42 s"),
        ({"state": "running"}, "does not answer", "aspot down f"),
        ({}, "does not answer", "aspot down f"),
    ],
)
def test_a_box_that_runs(seen, state, ends):
    world, _ = ready()
    found = row(world, **seen)
    assert (found.name, found.kind, found.state, found.ends) == ("f", "box", state, ends)
    assert found.machines == {"c7i.large": 1}
    assert found.usd_per_hour > 0
    assert found.spent_usd > 0


@pytest.mark.parametrize("state", ["", "shutting-down", "terminated"])
def test_a_box_that_ec2_says_is_gone_costs_nothing_more(state):
    world, _ = ready()
    found = row(world, state=state)
    assert (found.state, found.machines, found.usd_per_hour) == ("ended", {}, 0.0)
    assert "says why" in found.ends


def test_a_box_that_is_being_made():
    world = box()
    assert row(world, state="").state == "being made"
    (name,) = world.answer()
    world.ran(name)
    found = row(world, state="running")
    assert (found.state, found.machines) == ("being made", {"c7i.large": 1})
    assert found.ends == "aspot connect -n f goes on with it"


def test_what_status_says():
    world, name = ready()
    text = box_text(world.run, world.now, ended=None, left=())
    assert text.startswith(f"f  box, c7i.large us-east-1a {name} 127.0.0.1\nsince 2026-11-23")
    assert "ends itself after 1 min without use" in text
    assert "aspot down f" in text
    world.gone(name, EndReason.INTERRUPTED)
    text = box_text(world.run, world.now, ended=world.now, left=("security group sg-1",))
    assert f"ended {world.now.astimezone():%Y-%m-%d %H:%M}: interrupted by EC2; $" in text
    assert text.endswith("left behind: security group sg-1")
    nothing = attrs.evolve(world.run, instances={}, stop_reason="")
    assert box_text(nothing, world.now, ended=world.now, left=()).startswith("f  box, no machine yet\nended ")
