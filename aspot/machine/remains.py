"""What earlier runs left in an account: which things are provably ours, and which of these may be ended now.

Tags are untrusted: anyone who may tag can write ours on anything. So a tag alone never dooms a thing (THREATS T11).
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import datetime, timedelta

import attrs

from aspot.machine.names import NAME, run_began
from aspot.machine.pool import Pool
from aspot.machine.quantities import short_duration

VERSION = "1"
"""What the tag `aspot:v` says on everything that this aspot makes."""
SETTLE = timedelta(minutes=10)
"""A run that nobody here has a journal of, and that launched something this lately, may well be driven elsewhere."""
SKEW = timedelta(minutes=15)
"""Clocks of clients may be wrong by as much: AWS refuses requests of those that are worse."""


class Kind(enum.Enum):
    """A kind of thing, by EC2's word for its type in tags; a queue for EC2's events comes with its rule."""

    INSTANCE = "instance"
    REQUEST = "spot-instances-request"
    VOLUME = "volume"
    INTERFACE = "network-interface"
    GROUP = "security-group"
    TEMPLATE = "launch-template"
    CHANNEL = "event-queue"

    @property
    def words(self) -> str:
        """Return it as people say it."""
        return "spot request" if self is Kind.REQUEST else self.value.replace("-", " ")


class Standing(enum.Enum):
    """What the journals here say of a run."""

    DRIVEN = "a process drives it"
    OPEN = "left, and not ended"
    BOX = "a box, and not ended"
    ENDED = "ended"


@attrs.frozen(kw_only=True)
class Thing:
    """One thing that bears aspot's run tag.

    Args:
        kind: What it is.
        id: EC2's id.
        run, name, owner, version, request: What its tags say; "" where there is none.
        expires: When its run meant to be over, as its tag says; None if that cannot be read.
        kept: Until when an instance stays for a look at a job that failed, as its tag says; None if it does not.
        title: AWS's name of a template, group or queue; an interface's is that of its group.
        state: EC2's word; "" where it has none.
        pool: An instance's type and zone.
        is_spot: Whether an instance is spot.
        launched: When an instance was.
    """

    kind: Kind
    id: str
    run: str
    name: str = ""
    owner: str = ""
    version: str = ""
    request: str = ""
    expires: datetime | None = None
    kept: datetime | None = None
    title: str = ""
    state: str = ""
    pool: Pool | None = None
    is_spot: bool = False
    launched: datetime | None = None


def objection(thing: Thing, owner: str) -> str:
    """Return why a thing is not provably this owner's and aspot's; "" if it is."""
    began = run_began(thing.run)
    if began is None or not NAME.fullmatch(thing.name):
        return "its run id or name is not one of aspot's"
    if thing.owner != owner:
        return f"it belongs to {thing.owner or 'nobody known'}"
    if thing.version != VERSION:
        return f"its aspot:v tag is not {VERSION}"
    if thing.kind in (Kind.INSTANCE, Kind.VOLUME) and not thing.request:
        return "it has no aspot:request tag: no launch of aspot's made it"
    if thing.launched is not None and thing.launched < began - SKEW:
        return "it is older than the run it claims to be of"
    wanted = _titles(thing)
    return f"its {_TITLED[thing.kind]} is not called {wanted[0]}" if wanted and thing.title not in wanted else ""


_TITLED = {Kind.GROUP: "group", Kind.TEMPLATE: "template", Kind.INTERFACE: "group", Kind.CHANNEL: "queue"}


def _titles(thing: Thing) -> tuple[str, ...]:
    """Return what EC2 calls a thing of this kind and run, or its group; () where that proves nothing."""
    own = f"aspot-{thing.run}"
    titles = dict.fromkeys((Kind.GROUP, Kind.INTERFACE, Kind.CHANNEL), (own,))
    return (titles | {Kind.TEMPLATE: (own, f"{own}-od")}).get(thing.kind, ())


@attrs.frozen(kw_only=True)
class Terms:
    """On what terms things may be ended.

    Args:
        now: The time.
        owner: Whose things.
        known: What the journals here say, by run id.
        older_than: Runs that launched something since then are left alone.
        names: Only these runs, by name or id, even ones that began just now; empty for all.
        is_all: Whether runs that were left to their machines, and kept machines, are ended before their time.
        kept: Until when instances stay for a look, by id, as the journals here say.
    """

    now: datetime
    owner: str
    known: Mapping[str, Standing] = attrs.field(factory=dict)
    older_than: timedelta = timedelta(0)
    names: Collection[str] = ()
    is_all: bool = False
    kept: Mapping[str, datetime] = attrs.field(factory=dict)


@attrs.frozen(kw_only=True)
class Remains:
    """What is left of one run.

    Args:
        run, name: Which.
        things: What there is, all provably ours.
        reprieve: Why it is left alone; "" if it may be ended.
    """

    run: str
    name: str
    things: tuple[Thing, ...]
    reprieve: str = ""

    @property
    def began(self) -> datetime:
        """Return when the run began: its id says so."""
        began = run_began(self.run)
        assert began is not None, "only well-formed ids pass"
        return began

    @property
    def newest(self) -> datetime:
        """Return when the run last showed that somebody drives it: it began, or launched something."""
        return max([self.began, *(thing.launched for thing in self.things if thing.launched is not None)])

    @property
    def expires(self) -> datetime | None:
        """Return when the run meant to be over; None if no tag says so."""
        return max((thing.expires for thing in self.things if thing.expires is not None), default=None)

    def usd_per_hour(self, spot: Mapping[Pool, float]) -> float | None:
        """Return what its machines cost, as far as it is known.

        Args:
            spot: Spot prices in US dollars an hour.

        Returns:
            0 without machines; None if the price of none is known.
        """
        machines = [thing for thing in self.things if thing.kind is Kind.INSTANCE]
        known = [spot[pool] for one in machines if one.is_spot and (pool := one.pool) is not None and pool in spot]
        return sum(known) if known or not machines else None


@attrs.frozen(kw_only=True)
class Findings:
    """What was found.

    Args:
        found: What may be ended.
        spared: What is ours and left alone, with the reason.
        ignored: What bears our tag and is not provably ours, with the reason.
    """

    found: tuple[Remains, ...] = ()
    spared: tuple[Remains, ...] = ()
    ignored: tuple[tuple[Thing, str], ...] = ()

    @property
    def doomed(self) -> list[Thing]:
        """Return everything that may be ended."""
        return [thing for remains in self.found for thing in remains.things]


def sort_out(things: Iterable[Thing], terms: Terms) -> Findings:
    """Return what of these things may be ended, what is spared, and what is ignored; runs oldest first."""
    ours: dict[str, list[Thing]] = {}
    ignored: list[tuple[Thing, str]] = []
    for thing in _named(things, terms.names):
        why = objection(thing, terms.owner)
        if why:
            ignored.append((thing, why))
        else:
            ours.setdefault(thing.run, []).append(thing)
    runs = [Remains(run=run, name=some[0].name, things=tuple(some)) for run, some in sorted(ours.items())]
    judged = [attrs.evolve(remains, reprieve=reprieve(remains, terms)) for remains in runs]
    return Findings(
        found=tuple(one for one in judged if not one.reprieve),
        spared=tuple(one for one in judged if one.reprieve),
        ignored=tuple(ignored),
    )


def _named(things: Iterable[Thing], names: Collection[str]) -> Iterator[Thing]:
    return (thing for thing in things if not names or thing.name in names or thing.run in names)


def reprieve(remains: Remains, terms: Terms) -> str:
    """Return why a run's remains are left alone; "" if they may be ended."""
    standing, name = terms.known.get(remains.run), remains.name
    if standing is Standing.DRIVEN:
        return f"a process here drives it; aspot down {name} ends it"
    if standing is Standing.OPEN and not terms.is_all and _is_to_come(remains.expires, terms.now):
        ends = f" until {remains.expires.astimezone():%Y-%m-%d %H:%M}" if remains.expires else ""
        return f"left to its machines{ends}; aspot attach {name} takes it up again, --yes --all ends it"
    kept = _kept_until(remains, terms)
    if kept is not None and kept > terms.now and not terms.is_all:
        look = f"kept until {kept.astimezone():%Y-%m-%d %H:%M} for a look at a failed job"
        return f"{look}; aspot down {name} ends it, --yes --all too"
    if standing is Standing.BOX and not terms.is_all and any(one.kind is Kind.INSTANCE for one in remains.things):
        return f"a box; aspot connect -n {name} opens it, aspot down {name} ends it"
    quiet = terms.now - remains.newest
    if standing is Standing.BOX and not terms.names and quiet < SETTLE:
        return f"a box, younger than {short_duration(SETTLE.total_seconds())}; aspot down {name} ends it"
    if standing is None and not terms.names and quiet < SETTLE:
        settle = short_duration(SETTLE.total_seconds())
        return f"it has no journal here and is younger than {settle}; --run {name} ends it"
    if quiet < terms.older_than:
        return f"it began or launched something {short_duration(quiet.total_seconds())} ago"
    return ""


def _kept_until(remains: Remains, terms: Terms) -> datetime | None:
    """Return until when a machine of the run stays for a look; None if none does."""
    machines = [thing for thing in remains.things if thing.kind is Kind.INSTANCE]
    told = (moment for thing in machines for moment in (thing.kept, terms.kept.get(thing.id)))
    return max((moment for moment in told if moment is not None), default=None)


def _is_to_come(moment: datetime | None, now: datetime) -> bool:
    return moment is None or moment > now


def merged(parts: Iterable[Findings]) -> Findings:
    """Return what was found in several regions as one."""
    parts = tuple(parts)
    return Findings(
        found=tuple(one for part in parts for one in part.found),
        spared=tuple(one for part in parts for one in part.spared),
        ignored=tuple(one for part in parts for one in part.ignored),
    )
