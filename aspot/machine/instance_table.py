"""The one table of an instance's life, the one of an attempt's, and the diagram that the docs show."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence

from aspot.errors import InternalError
from aspot.machine import events as ev
from aspot.machine.model import AttemptState, InstanceState


class IllegalTransition(InternalError):
    """An event came in a state in which it cannot happen: a bug of ours."""


class Move(enum.Enum):
    """What we do with an instance ourselves; rows of the table beside what happens to it."""

    ASSIGN = "an attempt is assigned"
    FREE = "its attempt ended"
    KEEP = "it stays for a look at the job that failed on it"
    END = "we end it"


class Rule(enum.Enum):
    """Cells that are no change of state."""

    STAY = "taken note of; the state stays"
    IGNORE = "known, and means nothing here"
    ILLEGAL = "cannot happen"


Trigger = type[ev.InstanceEvent] | Move
Cell = InstanceState | Rule
AttemptCell = AttemptState | Rule

REQUESTED, RUNNING, READY, JOB = (
    InstanceState.REQUESTED,
    InstanceState.RUNNING,
    InstanceState.SSH_READY,
    InstanceState.JOB,
)
KEPT = InstanceState.KEPT
NOTICED, ENDING, GONE = InstanceState.INTERRUPTED, InstanceState.TERMINATING, InstanceState.TERMINATED
STAY, IGNORE, ______ = Rule.STAY, Rule.IGNORE, Rule.ILLEGAL

# fmt: off
_INSTANCE_ROWS: tuple[tuple[Trigger, Cell, Cell, Cell, Cell, Cell, Cell, Cell, Cell], ...] = (
    # trigger             REQUESTED  RUNNING  SSH_READY JOB      KEPT      INTERRUPTED TERMINATING TERMINATED
    (ev.InstanceFound,    IGNORE,    IGNORE,  IGNORE,   IGNORE,  IGNORE,   IGNORE,     IGNORE,     IGNORE),
    (ev.InstanceRan,      RUNNING,   IGNORE,  IGNORE,   IGNORE,  IGNORE,   STAY,       STAY,       IGNORE),
    (ev.InstanceReady,    ______,    READY,   IGNORE,   IGNORE,  IGNORE,   STAY,       IGNORE,     IGNORE),
    (ev.InstanceUnusable, ENDING,    ENDING,  ENDING,   ENDING,  IGNORE,   STAY,       IGNORE,     IGNORE),
    (ev.NoticeReceived,   NOTICED,   NOTICED, NOTICED,  NOTICED, STAY,     STAY,       IGNORE,     IGNORE),
    (ev.RebalanceAdvised, STAY,      STAY,    STAY,     STAY,    STAY,     STAY,       IGNORE,     IGNORE),
    (ev.LinkLost,         ______,    IGNORE,  STAY,     STAY,    STAY,     STAY,       IGNORE,     IGNORE),
    (ev.LinkRestored,     ______,    IGNORE,  STAY,     STAY,    STAY,     STAY,       IGNORE,     IGNORE),
    (ev.InstanceEnding,   ENDING,    ENDING,  ENDING,   ENDING,  ENDING,   ENDING,     STAY,       IGNORE),
    (ev.InstanceEnded,    GONE,      GONE,    GONE,     GONE,    GONE,     GONE,       GONE,       IGNORE),
    (ev.TerminateFailed,  ______,    ______,  ______,   ______,  ______,   ______,     STAY,       IGNORE),
    (ev.MachineKept,      ______,    ______,  ______,   ______,  STAY,     ______,     IGNORE,     IGNORE),
    (ev.AttemptStarted,   ______,    ______,  IGNORE,   STAY,    IGNORE,   STAY,       STAY,       IGNORE),
    (ev.AttemptRefused,   ______,    ______,  IGNORE,   STAY,    IGNORE,   STAY,       STAY,       IGNORE),
    (ev.AttemptExited,    ______,    ______,  IGNORE,   STAY,    IGNORE,   STAY,       STAY,       IGNORE),
    (ev.AttemptVanished,  ______,    ______,  IGNORE,   STAY,    IGNORE,   STAY,       STAY,       IGNORE),
    (ev.CheckpointSaved,  ______,    ______,  STAY,     STAY,    STAY,     STAY,       STAY,       STAY),
    (ev.CheckpointMissed, ______,    ______,  IGNORE,   STAY,    IGNORE,   STAY,       STAY,       IGNORE),
    (ev.Evacuated,        ______,    ______,  STAY,     STAY,    STAY,     STAY,       STAY,       STAY),
    (ev.HookFinished,     ______,    ______,  IGNORE,   STAY,    IGNORE,   STAY,       STAY,       IGNORE),
    (ev.ResultCollected,  ______,    ______,  IGNORE,   STAY,    IGNORE,   STAY,       STAY,       IGNORE),
    (ev.CollectFailed,    ______,    ______,  IGNORE,   STAY,    IGNORE,   STAY,       STAY,       IGNORE),
    (Move.ASSIGN,         ______,    ______,  JOB,      ______,  ______,   ______,     ______,     ______),
    (Move.FREE,           ______,    ______,  ______,   READY,   ______,   STAY,       STAY,       STAY),
    (Move.KEEP,           ______,    ______,  KEPT,     ______,  ______,   ______,     ______,     ______),
    (Move.END,            ENDING,    ENDING,  ENDING,   ENDING,  ENDING,   ENDING,     IGNORE,     IGNORE),
)

_A = AttemptState
_AttemptRow = tuple[type[ev.AttemptEvent], AttemptCell, AttemptCell, AttemptCell, AttemptCell, AttemptCell]
_ATTEMPT_ROWS: tuple[_AttemptRow, ...] = (
    # event               STARTING       RUNNING        STOPPING       COLLECTING ENDED
    (ev.AttemptStarted,   _A.RUNNING,    IGNORE,        STAY,          IGNORE,    IGNORE),
    (ev.AttemptRefused,   _A.ENDED,      ______,        _A.ENDED,      ______,    IGNORE),
    (ev.AttemptExited,    _A.COLLECTING, _A.COLLECTING, _A.COLLECTING, IGNORE,    IGNORE),
    (ev.AttemptVanished,  _A.ENDED,      _A.ENDED,      _A.ENDED,      IGNORE,    IGNORE),
    (ev.CheckpointSaved,  STAY,          STAY,          STAY,          STAY,      STAY),
    (ev.CheckpointMissed, STAY,          STAY,          STAY,          STAY,      IGNORE),
    (ev.Evacuated,        STAY,          STAY,          STAY,          STAY,      STAY),
    (ev.HookFinished,     STAY,          STAY,          STAY,          IGNORE,    IGNORE),
    (ev.ResultCollected,  ______,        ______,        ______,        _A.ENDED,  IGNORE),
    (ev.CollectFailed,    ______,        ______,        ______,        STAY,      IGNORE),
)
# fmt: on

INSTANCE_TABLE: Mapping[tuple[InstanceState, Trigger], Cell] = {
    (state, row[0]): cell for row in _INSTANCE_ROWS for state, cell in zip(InstanceState, row[1:], strict=True)
}
"""Every (state, trigger): where it leads."""

ATTEMPT_TABLE: Mapping[tuple[AttemptState, type[ev.AttemptEvent]], AttemptCell] = {
    (state, row[0]): cell for row in _ATTEMPT_ROWS for state, cell in zip(AttemptState, row[1:], strict=True)
}
"""Every (state, event) of an attempt that the instance's table did not ignore."""


def instance_cell(state: InstanceState, trigger: Trigger, *, story: Sequence[str] = ()) -> InstanceState | None:
    """Return the state that the trigger leads to; None for IGNORE.

    Raises:
        IllegalTransition: If it cannot happen in this state.
    """
    cell = INSTANCE_TABLE[state, trigger]
    if cell is Rule.ILLEGAL:
        name = trigger.value if isinstance(trigger, Move) else trigger.__name__
        raise IllegalTransition(f"an instance that is {state.value} cannot meet: {name}", story=story)
    if isinstance(cell, InstanceState):
        return cell
    return state if cell is Rule.STAY else None


def attempt_cell(
    state: AttemptState, event: type[ev.AttemptEvent], *, story: Sequence[str] = ()
) -> AttemptState | None:
    """Return the state that the event leads to; None for IGNORE.

    Raises:
        IllegalTransition: If it cannot happen in this state.
    """
    cell = ATTEMPT_TABLE[state, event]
    if cell is Rule.ILLEGAL:
        raise IllegalTransition(f"an attempt that is {state.value} cannot meet: {event.__name__}", story=story)
    if isinstance(cell, AttemptState):
        return cell
    return state if cell is Rule.STAY else None


def mermaid() -> str:
    """Return the diagram of an instance's life for the docs, made from the table."""
    lines = ["stateDiagram-v2", "    [*] --> REQUESTED"]
    edges: dict[tuple[str, str], list[str]] = {}
    for (state, trigger), cell in INSTANCE_TABLE.items():
        if isinstance(cell, InstanceState) and cell is not state:
            label = trigger.value if isinstance(trigger, Move) else trigger.__name__
            edges.setdefault((state.name, cell.name), []).append(label)
    lines += [f"    {old} --> {new}: {', '.join(labels)}" for (old, new), labels in edges.items()]
    return "\n".join([*lines, "    TERMINATED --> [*]", ""])
