"""What is known of boxes: by the state folder, and by EC2; and how the end of one is written down.

May import: `aspot.journal`, `aspot.machine`, and lazily `aspot.aws`.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs

from aspot.journal import runs as journals
from aspot.journal.runs import RunInfo
from aspot.machine.events import Event, InstanceEnded, RunStopped
from aspot.machine.model import EndReason, InstanceRecord, InstanceState, Run
from aspot.machine.money import cost_now, instance_rate
from aspot.machine.quantities import round_duration

if TYPE_CHECKING:
    from aspot.aws.account import Account, Look

_ENDING = ("shutting-down", "terminated", "stopping", "stopped")


@attrs.frozen(kw_only=True)
class Known:
    """A box as its journal here tells it.

    Args:
        info: The run.
        run: Its state.
    """

    info: RunInfo
    run: Run

    @classmethod
    def of(cls, info: RunInfo) -> Known:
        """Return what a run's journal tells.

        Raises:
            AspotError: If it cannot be read.
        """
        return cls(info=info, run=journals.replay(info.folder))

    @property
    def name(self) -> str:
        """Return its name."""
        return self.info.name

    @property
    def machine(self) -> InstanceRecord | None:
        """Return its machine, once it was ready."""
        return next((item for item in reversed(list(self.run.instances.values())) if item.ready is not None), None)

    @property
    def usd_per_hour(self) -> float:
        """Return what its machine costs while it runs, in US dollars an hour."""
        machine = self.machine
        return instance_rate(self.run, machine) if machine is not None else 0.0

    def cost(self, at: datetime) -> float:
        """Return what it cost by then, in US dollars, at the newest price seen."""
        return cost_now(attrs.evolve(self.run, now=max(self.run.now, at)))


def newest(name: str) -> RunInfo | None:
    """Return the newest run of this name that has not ended, fleet or box; None if there is none."""
    found = [item for item in journals.runs() if item.name == name and item.ended is None]
    return found[-1] if found else None


def is_gone(look: Look | None) -> bool:
    """Tell whether EC2 says that a machine is ending or has ended."""
    return look is None or look.found.state in _ENDING


def story(known: Known, look: Look | None) -> str:
    """Return what became of a box whose machine is gone, as a sentence."""
    reason = _reason(look)
    idle = round_duration(known.run.spec.idle_s)
    words = {
        EndReason.INTERRUPTED: "EC2 took its machine back (spot interruption)",
        EndReason.ITSELF: f"its machine shut itself down: {idle} without use, or a shutdown from inside",
        EndReason.SOMEONE: "its machine was terminated by someone",
        EndReason.HARDWARE: "its machine failed in EC2",
    }
    when = f" at {look.ended.astimezone():%Y-%m-%d %H:%M}" if look is not None and look.ended is not None else ""
    return f"box {known.name} has ended: {words.get(reason, 'EC2 no longer knows its machine')}{when}; its disk is gone"


def _reason(look: Look | None) -> EndReason:
    return (look.end_reason if look is not None else None) or EndReason.UNKNOWN


async def end(account: Account, known: Known, *, look: Look | None, is_asked: bool) -> list[str]:
    """End whatever there is of a box, and write down that it has ended; return what is left, as text for people.

    Args:
        account: In the box's region.
        known: The box.
        look: What EC2 said of its machine; None: nothing.
        is_asked: Whether the user wants it ended; else its machine is gone already.

    Raises:
        AspotError: If EC2 could not be asked, or the end not be written down.
    """
    from aspot.journal.sqlite import SqliteJournal

    left = await account.remove_run(known.info.id)
    journal = SqliteJournal.open(known.info.folder)
    try:
        await journal.append(_last_events(known, look, is_asked=is_asked))
        await journal.finish(left)
    finally:
        await journal.aclose()
    return left


def _last_events(known: Known, look: Look | None, *, is_asked: bool) -> Sequence[Event]:
    now = datetime.now(UTC)
    events: list[Event] = [RunStopped(at=now, reason="ended by its user")] if is_asked else []
    ended = now if is_asked or look is None or look.ended is None else look.ended
    machine = known.machine
    if machine is not None and machine.state is not InstanceState.TERMINATED:
        reason = EndReason.OURS if is_asked else _reason(look)
        events.append(InstanceEnded(at=ended, instance=machine.id, reason=reason))
    return events
