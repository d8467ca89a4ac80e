"""Boxes that are launched together: the table while they are made, and what came of it."""

import io
from datetime import UTC, datetime

from rich.console import Console

from aspot.machine.news import InstanceLaunched, InstanceReady, LaunchRefused, Warned
from aspot.ui.launches import Launches, Row, end_text, live_text

AT = {"time": datetime(2026, 11, 26, tzinfo=UTC), "fleet": "worker_1"}
LAUNCHED = InstanceLaunched(**AT, instance_id="i-1", type="t3.small", zone="us-east-1a", price_usd_per_hour=0.0062)


def row(name, **values):
    return Row(name=name, **values)


def test_what_is_heard_is_where_it_stands():
    found = Row(name="")
    assert found.state == "waits its turn"
    found.begin()
    assert (found.state, found.began is None) == ("asking EC2", False)
    found.hear(LaunchRefused(**AT, code="InsufficientInstanceCapacity", pool="t3.small us-east-1b"))
    assert (found.name, found.state) == ("worker_1", "refused: InsufficientInstanceCapacity")
    found.hear(LAUNCHED)
    assert (found.state, found.type, found.zone, found.usd_per_hour) == ("boots", "t3.small", "us-east-1a", 0.0062)
    found.hear(Warned(**AT))
    assert found.state == "boots"
    found.hear(InstanceReady(**AT, instance_id="i-1", boot_s=9.0))
    assert (found.state, found.is_there) == ("connecting", False)


def test_what_is_not_ready_stands_first():
    rows = [
        row("a", state="ready", type="t3.small", zone="us-east-1a", usd_per_hour=0.006, began=10.0),
        row("b", state="boots", type="t3.small", zone="us-east-1b", usd_per_hour=0.007, began=10.0),
        row("c"),
        row("d\x1b[31m", state="did not come", began=10.0),
    ]
    assert live_text(rows, 75.0, height=20).splitlines() == [
        "1/4 ready, $0.013/h",
        "  NAME    STATE           WHERE                   $/h  TIME",
        "  b       boots           t3.small us-east-1b  $0.007  1:05",
        "  c       waits its turn",
        "  d␛[31m  did not come",
        "  a       ready           t3.small us-east-1a  $0.006",
        "Ctrl-C ends those that are being made, and leaves the others",
    ]


def test_more_than_fit():
    rows = [row(f"w_{number}") for number in range(40)]
    lines = live_text(rows, 0.0, height=10).splitlines()
    assert len(lines) == 10
    assert lines[-2] == "  … 34 more"


def test_what_came_of_it():
    rows = [
        row("a", state="ready", type="t3.small", zone="us-east-1a", usd_per_hour=0.006, address="192.0.2.7"),
        row("b", state="was there already", type="m7i.large", zone="us-east-1b", usd_per_hour=0.1, address="192.0.2.8"),
        row("c", state="did not come"),
    ]
    assert end_text(rows, idle="2 h").splitlines() == [
        "NAME  STATE              TYPE       ZONE           $/h  ADDRESS    OPEN IT",
        "a     ready              t3.small   us-east-1a  $0.006  192.0.2.7  aspot ssh a",
        "b     was there already  m7i.large  us-east-1b   $0.10  192.0.2.8  aspot ssh b",
        "c     did not come",
        "2 there, $0.11/h together; a new one ends itself after 2 h without use; aspot down a b",
    ]
    old = end_text(rows[1:2], idle="2 h").splitlines()[-1]
    assert old == "1 there, $0.10/h together; aspot down b"
    assert end_text(rows[2:], idle="2 h").splitlines()[-1] == "c     did not come"


def test_it_is_drawn_and_gone_at_the_end():
    console = Console(file=io.StringIO(), force_terminal=True, width=80, height=12, _environ={})
    with Launches([row("a")], console=console) as view:
        view.say("box \x07a has ended")
    drawn = console.file.getvalue()
    assert "waits its turn" in drawn
    assert "box ␇a has ended\n" in drawn
    assert drawn.endswith("\x1b[1A\x1b[2K")
