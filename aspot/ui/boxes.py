"""Boxes as people read them: a row of `aspot ls`, and what `aspot status` says. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from aspot.machine.model import InstanceRecord, InstanceState, Run
from aspot.machine.money import cost_now, instance_rate
from aspot.machine.quantities import price, round_duration
from aspot.ui.figures import at_moment
from aspot.ui.safe import one_line
from aspot.ui.tables import LsRow

IN_USE_S = 60.0
"""Who is connected says so every half minute."""


class Seen(Protocol):
    """How a box is now; see `aspot.boxes.glance.Glance`."""

    @property
    def state(self) -> str | None:
        """EC2's word; "" for a machine that EC2 does not show, None where EC2 was not asked."""

    @property
    def idle_s(self) -> float | None:
        """Seconds for which nobody has used it; None if it does not answer."""

    @property
    def left_s(self) -> float | None:
        """Seconds until it ends itself."""


def box_row(run: Run, now: datetime, seen: Seen | None) -> LsRow:
    """Return the row of a box that has not ended.

    Args:
        run: Its run.
        now: The moment shown; aware UTC.
        seen: How it is now.
    """
    run, name = at_moment(run, now), run.spec.name
    machine = _machine(run)
    is_gone = seen is not None and seen.state is not None and seen.state not in ("pending", "running")
    is_alive = machine is not None and not (is_gone and machine.ready is not None)
    return LsRow(
        name=name,
        kind="box",
        state=_state(machine, seen, is_gone=is_gone),
        machines={machine.pool.type: 1} if machine is not None and is_alive else {},
        usd_per_hour=instance_rate(run, machine) if machine is not None and is_alive else 0.0,
        spent_usd=cost_now(run),
        ends=_ends(name, machine, seen, is_gone=is_gone),
    )


def _machine(run: Run) -> InstanceRecord | None:
    found = [item for item in run.instances.values() if item.state is not InstanceState.TERMINATED]
    return found[-1] if found else None


def _state(machine: InstanceRecord | None, seen: Seen | None, *, is_gone: bool) -> str:
    if machine is None or machine.ready is None:
        return "being made"
    if is_gone:
        return "ended"
    if seen is None or seen.idle_s is None:
        return "does not answer"
    return "in use" if seen.idle_s < IN_USE_S else f"idle {_minutes(seen.idle_s)}"


def _ends(name: str, machine: InstanceRecord | None, seen: Seen | None, *, is_gone: bool) -> str:
    if machine is None or machine.ready is None:
        return f"aspot connect -n {name} goes on with it"
    if is_gone:
        return f"aspot connect -n {name} says why, aspot down {name} clears it away"
    if seen is None or seen.left_s is None:
        return f"aspot down {name}"
    return f"in {_minutes(seen.left_s)}"


def _minutes(value_s: float) -> str:
    """Return seconds in whole minutes, from one minute on."""
    return round_duration(value_s if value_s < 60 else value_s // 60 * 60)


def box_text(run: Run, now: datetime, *, ended: datetime | None, left: Sequence[str], mounts: str = "") -> str:
    """Return what `aspot status` says of a box, as its journal here tells it.

    Args:
        run: Its run.
        now: The moment shown; aware UTC.
        ended: When it ended; None if it is not known to have.
        left: What of it was still there then.
        mounts: What its machine mounts, as text; "" for nothing.
    """
    run, name = at_moment(run, now), run.spec.name
    machine = _machine(run) or next(reversed(list(run.instances.values())), None)
    where = "no machine yet" if machine is None else f"{machine.pool} {machine.id} {machine.address}".strip()
    lines = [f"{name}  box, {where}"]
    spent = f"{price(cost_now(run))} spent"
    if ended is not None:
        why = f": {run.stop_reason}" if run.stop_reason else ""
        lines += [f"ended {ended.astimezone():%Y-%m-%d %H:%M}{why}; {spent}"]
        lines += [f"left behind: {item}" for item in left]
    else:
        rate = f", {price(instance_rate(run, machine))}/h" if machine is not None else ""
        idle = round_duration(run.spec.idle_s)
        lines += [
            f"since {run.started.astimezone():%Y-%m-%d %H:%M}, {spent}{rate}; ends itself after {idle} without use",
            *filter(None, [mounts]),
            f"Open it: aspot connect -n {name} -a    End it: aspot down {name}",
        ]
    return "\n".join(one_line(line, limit=1000) for line in lines)
