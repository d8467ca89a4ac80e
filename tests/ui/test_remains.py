"""What earlier runs left, as text."""

from datetime import UTC, datetime, timedelta

from aspot.machine.pool import Pool
from aspot.machine.remains import Findings, Kind, Remains, Thing
from aspot.ui.remains import found_json, found_text, notes_text, what

RUN = "01m82v7m000000000000000000"
NOW = datetime(2026, 11, 24, 2, 3, tzinfo=UTC)
POOL = Pool("c7g.large", "us-east-1a")


def machine(number, **more):
    return Thing(
        kind=Kind.INSTANCE, id=f"i-{number}", run=RUN, name="lr-study", state="running", pool=POOL, is_spot=True, **more
    )


GROUP = Thing(kind=Kind.GROUP, id="sg-1", run=RUN, name="lr-study")
TEMPLATE = Thing(kind=Kind.TEMPLATE, id="lt-1", run=RUN, name="lr-study")
REMAINS = Remains(run=RUN, name="lr-study", things=(GROUP, machine(1), machine(2), TEMPLATE))


def test_runs_are_listed_with_age_what_and_price():
    only_group = Remains(run=RUN, name="old", things=(GROUP,))
    assert found_text([REMAINS, only_group], now=NOW, spot={POOL: 0.0264}).splitlines() == [
        "RUN              AGE  WHAT                                               $/h",
        "lr-study  26 h 3 min  security group, 2 × c7g.large, launch template  $0.053",
        "  instance i-1 c7g.large us-east-1a (running)",
        "  instance i-2 c7g.large us-east-1a (running)",
        "  security group sg-1",
        "  launch template lt-1",
        "old       26 h 3 min  security group                                   $0.00",
        "  security group sg-1",
    ]


def test_many_things_are_counted_and_the_first_are_named():
    crowd = Remains(run=RUN, name="crowd", things=(*map(machine, range(1000)), GROUP))
    text = found_text([crowd], now=NOW, spot={})
    assert "1000 × c7g.large, security group" in text
    assert text.splitlines()[-1] == "  … and 996 more (--json lists all)"
    assert len(text.splitlines()) == 8
    assert "$0" not in text


def test_what_is_left_alone_is_told_with_its_reason():
    spared = Remains(run=RUN, name="nb", things=(machine(1),), reprieve="a process here drives it")
    ignored = tuple((machine(number), "it belongs to you@there") for number in range(12))
    lines = notes_text(Findings(spared=(spared,), ignored=ignored)).splitlines()
    assert lines[:4] == [
        "Left alone:",
        "  nb (c7g.large): a process here drives it",
        "Ignored, as not provably yours:",
        "  instance i-0: it belongs to you@there",
    ]
    assert lines[-1] == "  … and 2 more"
    assert notes_text(Findings()) == ""


def test_tags_cannot_steer_a_terminal():
    evil = Thing(kind=Kind.GROUP, id="sg-\x1b[2J", run="\x1b]0;", name="a\nb")
    text = notes_text(Findings(ignored=((evil, "it belongs to \x1b[31m"),)))
    assert "\x1b" not in text
    assert len(text.splitlines()) == 2


def test_objects_for_scripts():
    found = found_json(REMAINS, region="us-east-1", now=NOW + timedelta(seconds=1), spot={})
    assert {key: found[key] for key in ("run", "id", "region", "age_s", "usd_per_hour")} == {
        "run": "lr-study", "id": RUN, "region": "us-east-1", "age_s": 93781, "usd_per_hour": None,
    }  # fmt: skip
    assert found["things"][0] == {"kind": "security-group", "id": "sg-1", "state": None, "type": None, "zone": None}
    assert found["things"][1] == {
        "kind": "instance", "id": "i-1", "state": "running", "type": "c7g.large", "zone": "us-east-1a",
    }  # fmt: skip
    assert what(REMAINS) == "security group, 2 × c7g.large, launch template"
