"""What of an account's things is provably ours, and what of that may be ended."""

from datetime import UTC, datetime, timedelta

import attrs
import pytest

from aspot.machine.names import run_began
from aspot.machine.pool import Pool
from aspot.machine.remains import Findings, Kind, Standing, Terms, Thing, merged, objection, sort_out

RUN = "01m82v7m000000000000000000"
OTHER = "01m82v7m010000000000000000"
BEGAN = datetime(2026, 11, 23, tzinfo=UTC)
NOW = BEGAN + timedelta(hours=3)
POOL = Pool("c7g.large", "us-east-1a")
MACHINE = Thing(
    kind=Kind.INSTANCE, id="i-1", run=RUN, name="study", owner="me@here", version="1", request="r1", state="running",
    pool=POOL, is_spot=True, launched=BEGAN + timedelta(minutes=1), expires=BEGAN + timedelta(hours=24),
)  # fmt: skip
GROUP = attrs.evolve(
    MACHINE, kind=Kind.GROUP, id="sg-1", request="", title=f"aspot-{RUN}", state="", pool=None, launched=None
)
TEMPLATE = attrs.evolve(GROUP, kind=Kind.TEMPLATE, id="lt-1")
CHANNEL = attrs.evolve(GROUP, kind=Kind.CHANNEL, id=f"aspot-{RUN}")
INTERFACE = attrs.evolve(GROUP, kind=Kind.INTERFACE, id="eni-1", state="available")
VOLUME = attrs.evolve(MACHINE, kind=Kind.VOLUME, id="vol-1", state="available", pool=None, launched=None)
REQUEST = attrs.evolve(VOLUME, kind=Kind.REQUEST, id="sir-1", state="open", request="")
OURS = [MACHINE, GROUP, TEMPLATE, CHANNEL, INTERFACE, VOLUME, REQUEST]


def terms(**changes):
    return Terms(**({"now": NOW, "owner": "me@here"} | changes))


@pytest.mark.parametrize("thing", OURS, ids=lambda thing: thing.kind.value)
def test_ours_is_ours(thing):
    assert objection(thing, "me@here") == ""


@pytest.mark.parametrize("thing", OURS, ids=lambda thing: thing.kind.value)
@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"owner": "you@there"}, "belongs to you@there"),
        ({"owner": ""}, "belongs to nobody known"),
        ({"version": ""}, "aspot:v"),
        ({"version": "2"}, "aspot:v"),
        ({"run": "r-1"}, "run id or name"),
        ({"run": ""}, "run id or name"),
        ({"run": f"{RUN}0"}, "run id or name"),
        ({"run": RUN.upper()}, "run id or name"),
        ({"run": "7zzzzzzzzzzzzzzzzzzzzzzzzz"}, "run id or name"),
        ({"name": ""}, "run id or name"),
        ({"name": "a b"}, "run id or name"),
    ],
)
def test_look_alikes_of_every_kind(thing, changes, why):
    assert why in objection(attrs.evolve(thing, **changes), "me@here")


@pytest.mark.parametrize(
    ("thing", "changes", "why"),
    [
        (MACHINE, {"request": ""}, "aspot:request"),
        (VOLUME, {"request": ""}, "aspot:request"),
        (MACHINE, {"launched": BEGAN - timedelta(hours=1)}, "older than the run"),
        (GROUP, {"title": "web"}, "group is not called aspot-"),
        (GROUP, {"title": f"aspot-{OTHER}"}, "group is not called aspot-"),
        (GROUP, {"title": f"aspot-{RUN}-od"}, "group is not called aspot-"),
        (TEMPLATE, {"title": "web"}, "template is not called aspot-"),
        (INTERFACE, {"title": "web"}, "group is not called aspot-"),
        (INTERFACE, {"title": ""}, "group is not called aspot-"),
    ],
)
def test_look_alikes_of_one_kind(thing, changes, why):
    assert why in objection(attrs.evolve(thing, **changes), "me@here")


def test_template_for_on_demand_is_ours():
    assert objection(attrs.evolve(TEMPLATE, title=f"aspot-{RUN}-od"), "me@here") == ""


def test_clocks_may_be_wrong_by_a_quarter_of_an_hour():
    assert objection(attrs.evolve(MACHINE, launched=BEGAN - timedelta(minutes=14)), "me@here") == ""


def test_what_is_found_is_grouped_by_run_and_what_is_not_ours_is_told():
    other = attrs.evolve(MACHINE, id="i-2", run=OTHER, name="later")
    strange = attrs.evolve(MACHINE, id="i-3", request="")
    findings = sort_out([other, MACHINE, strange, GROUP], terms())
    assert [(one.run, one.name, one.things) for one in findings.found] == [
        (RUN, "study", (MACHINE, GROUP)),
        (OTHER, "later", (other,)),
    ]
    assert findings.doomed == [MACHINE, GROUP, other]
    assert [thing for thing, _ in findings.ignored] == [strange]
    assert findings.found[0].began == BEGAN


def why(*things, **changes):
    """Return why one run is spared; "" if it is not."""
    findings = sort_out(things or OURS, terms(**changes))
    (one,) = (*findings.found, *findings.spared)
    assert bool(findings.spared) == bool(one.reprieve)
    return one.reprieve


def test_ended_run_and_one_without_a_journal_are_not_spared():
    assert why(known={RUN: Standing.ENDED}) == ""
    assert why() == ""


@pytest.mark.parametrize("more", [{}, {"is_all": True}, {"names": ["study"]}, {"now": NOW + timedelta(days=30)}])
def test_driven_run_is_never_ended(more):
    assert "aspot down study" in why(known={RUN: Standing.DRIVEN}, **more)


def test_run_that_was_left_to_its_machines_is_spared_until_its_time_is_over():
    known = {RUN: Standing.OPEN}
    assert "aspot attach study" in why(known=known)
    assert "aspot attach study" in why(known=known, names=["study"])
    assert why(known=known, is_all=True) == ""
    assert why(known=known, now=BEGAN + timedelta(hours=25)) == ""


def test_run_with_a_kept_machine_is_spared_until_its_time_is_over():
    kept = attrs.evolve(MACHINE, kept=NOW + timedelta(minutes=1))
    known = {RUN: Standing.ENDED}
    for more in ({}, {"names": ["study"]}, {"known": known}):
        assert "for a look at a failed job; aspot down study ends it" in why(kept, GROUP, **more)
    assert why(kept, GROUP, is_all=True) == ""
    assert why(kept, GROUP, now=NOW + timedelta(minutes=2)) == ""
    assert why(attrs.evolve(GROUP, kept=kept.kept)) == ""  # only machines are kept


def test_a_journal_that_knows_of_a_kept_machine_is_as_good_as_the_tag():
    assert "kept until" in why(MACHINE, kept={"i-1": NOW + timedelta(minutes=1)})
    assert why(MACHINE, kept={"i-2": NOW + timedelta(minutes=1)}) == ""
    assert why(attrs.evolve(MACHINE, kept=NOW + timedelta(minutes=1)), kept={"i-1": NOW}) != ""


def test_kinds_in_words():
    assert [kind.words for kind in (Kind.REQUEST, Kind.GROUP)] == ["spot request", "security group"]


def test_the_last_of_several_times_counts_and_an_unreadable_one_is_to_come():
    known = {RUN: Standing.OPEN}
    later = attrs.evolve(GROUP, expires=BEGAN + timedelta(hours=48))
    assert why(MACHINE, later, known=known, now=BEGAN + timedelta(hours=25)) != ""
    assert why(attrs.evolve(MACHINE, expires=None), known=known, now=BEGAN + timedelta(days=9)) != ""


def test_young_run_without_a_journal_settles_first():
    now = BEGAN + timedelta(minutes=9)
    assert "--run study" in why(now=now)
    assert why(now=now, names=["study"]) == ""
    assert why(now=now, names=[RUN]) == ""
    assert why(now=now, known={RUN: Standing.ENDED}) == ""
    assert why(GROUP, now=BEGAN + timedelta(minutes=9)) != ""
    fresh = attrs.evolve(MACHINE, id="i-2", launched=NOW - timedelta(minutes=9))
    assert why(MACHINE, fresh) != ""


def test_older_than():
    assert why(older_than=timedelta(hours=1)) == ""
    assert why(older_than=timedelta(hours=4)) != ""
    fresh = attrs.evolve(MACHINE, launched=NOW - timedelta(minutes=30))
    assert "30 min" in why(fresh, older_than=timedelta(hours=1))


def test_only_named_runs_are_looked_at():
    other = attrs.evolve(MACHINE, id="i-2", run=OTHER, name="later")
    strange = attrs.evolve(MACHINE, id="i-3", name="other", owner="you")
    findings = sort_out([MACHINE, other, strange], terms(names=["later"]))
    assert [one.name for one in findings.found] == ["later"]
    assert findings.ignored == ()
    assert sort_out([MACHINE, other], terms(names=[RUN])).doomed == [MACHINE]


def test_cost_is_told_as_far_as_it_is_known():
    on_demand = attrs.evolve(MACHINE, id="i-2", is_spot=False)
    strange = attrs.evolve(MACHINE, id="i-3", pool=Pool("x1.large", "us-east-1a"))
    cost = [
        sort_out(things, terms()).found[0].usd_per_hour({POOL: 0.03})
        for things in ([MACHINE, MACHINE], [MACHINE, on_demand, strange], [strange], [GROUP])
    ]
    assert cost == [0.06, 0.03, None, 0]


def test_what_shows_later_changes_nothing_for_a_run_that_is_spared():
    """A disk says nothing of when its run last launched something: it is judged with the run's machines."""
    fresh = attrs.evolve(MACHINE, launched=NOW - timedelta(minutes=9))
    assert sort_out([VOLUME], terms()).doomed == [VOLUME]
    assert sort_out([fresh, VOLUME], terms()).doomed == []


def test_findings_of_two_regions_are_one():
    other = attrs.evolve(MACHINE, id="i-2", run=OTHER, owner="you")
    first, second = sort_out([MACHINE, other], terms()), sort_out([VOLUME], terms(known={RUN: Standing.DRIVEN}))
    both = merged([first, second])
    assert (both.found, both.spared, both.ignored) == (first.found, second.spared, first.ignored)
    assert merged([]) == Findings()


@pytest.mark.parametrize("text", ["", "x" * 26, "r-7f3a", "80000000000000000000000000", f"{RUN[:-1]}u"])
def test_malformed_run_ids(text):
    assert run_began(text) is None


def test_kinds_are_said_as_people_say_them():
    assert [kind.words for kind in (Kind.REQUEST, Kind.CHANNEL, Kind.GROUP)] == [
        "spot request",
        "event queue",
        "security group",
    ]


def test_a_box_stays_and_what_is_left_of_one_that_has_gone_does_not():
    known = {RUN: Standing.BOX}
    there = sort_out([MACHINE, GROUP], terms(known=known))
    assert there.spared[0].reprieve == "a box; aspot connect -n study opens it, aspot down study ends it"
    assert sort_out([MACHINE, GROUP], terms(known=known, is_all=True)).doomed == [MACHINE, GROUP]
    assert sort_out([GROUP, TEMPLATE], terms(known=known)).doomed == [GROUP, TEMPLATE]
    young = terms(known=known, now=BEGAN + timedelta(minutes=5))
    assert "younger than 10 min" in sort_out([GROUP], young).spared[0].reprieve
    assert sort_out([GROUP], attrs.evolve(young, names={"study"})).doomed == [GROUP]
