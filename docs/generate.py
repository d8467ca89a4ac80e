"""Write the generated pages: the instance's diagram and table, the command line's help, the fault matrix.

Run before Sphinx.
"""

from __future__ import annotations

import argparse
import html
import os
import tomllib
from pathlib import Path
from typing import Any

os.environ["COLUMNS"] = "100"

from aspot.cli.arguments import build
from aspot.machine.instance_table import INSTANCE_TABLE, Move, Rule
from aspot.machine.model import InstanceState

HERE = Path(__file__).parent
OUT = HERE / "_generated"
FAULTS = HERE.parent / "tests" / "faults.toml"
STATES = {"tested": "tested", "part": "in part", "none": "not tested"}

LIVE = (InstanceState.REQUESTED, InstanceState.RUNNING, InstanceState.SSH_READY, InstanceState.JOB)
PLACES = {
    InstanceState.REQUESTED: (100, 70),
    InstanceState.RUNNING: (310, 70),
    InstanceState.SSH_READY: (520, 70),
    InstanceState.JOB: (730, 70),
    InstanceState.INTERRUPTED: (150, 230),
    InstanceState.TERMINATING: (415, 230),
    InstanceState.TERMINATED: (680, 230),
    InstanceState.KEPT: (930, 230),
}
BOX_W, BOX_H = 130, 40
FRAME_TOP, FRAME_BOTTOM = 25, 115

Edges = dict[tuple[InstanceState, InstanceState], list[str]]


def name_of(trigger: object) -> str:
    """Return a trigger as people read it."""
    return trigger.value if isinstance(trigger, Move) else trigger.__name__


def edges() -> Edges:
    """Return every change of state with what causes it, from the table that the program runs by."""
    found: Edges = {}
    for (state, trigger), cell in INSTANCE_TABLE.items():
        if isinstance(cell, InstanceState) and cell is not state:
            found.setdefault((state, cell), []).append(name_of(trigger))
    return found


def from_any_live(found: Edges) -> list[InstanceState]:
    """Return the states that each of the four live ones can change to: drawn as one arrow from their frame."""
    return [target for target in InstanceState if all((live, target) in found for live in LIVE)]


def svg() -> str:
    """Return the diagram: states as boxes, changes as numbered arrows."""
    found = edges()
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1020 310" font-family="sans-serif" font-size="13">',
        '<defs><marker id="a" markerWidth="9" markerHeight="9" refX="8" refY="4" orient="auto">'
        '<path d="M0,0 L9,4 L0,8 z" fill="#555"/></marker></defs>',
        '<rect width="1020" height="310" fill="#fff"/>',
        f'<rect x="20" y="{FRAME_TOP}" width="790" height="{FRAME_BOTTOM - FRAME_TOP}" rx="12" fill="none" '
        'stroke="#9ab" stroke-dasharray="5 4"/>',
    ]
    for number, (old, new) in enumerate(drawn(found), 1):
        parts.append(_arrow(number, old, new, has_twin=(new, old) in found))
    for state, (x, y) in PLACES.items():
        parts.append(
            f'<rect x="{x - BOX_W / 2}" y="{y - BOX_H / 2}" width="{BOX_W}" height="{BOX_H}" rx="8" fill="#eef3fb" '
            f'stroke="#35507a"/><text x="{x}" y="{y + 5}" text-anchor="middle" fill="#1c2c45">'
            f"{html.escape(state.value)}</text>"
        )
    return "\n".join([*parts, "</svg>", ""])


def drawn(found: Edges) -> dict[tuple[InstanceState | None, InstanceState], list[str]]:
    """Return the arrows: those that all live states share come from None, the frame."""
    shared = from_any_live(found)
    arrows: dict[tuple[InstanceState | None, InstanceState], list[str]] = {}
    for (old, new), causes in found.items():
        key = (None, new) if old in LIVE and new in shared else (old, new)
        arrows[key] = list(dict.fromkeys([*arrows.get(key, []), *causes]))
    return arrows


def _arrow(number: int, old: InstanceState | None, new: InstanceState, *, has_twin: bool) -> str:
    x2, y2 = PLACES[new]
    if old is None:
        return _line(number, x2, FRAME_BOTTOM, x2, y2 - BOX_H / 2)
    x1, y1 = PLACES[old]
    if abs(x2 - x1) > 300:  # past a box: below it
        return _curve(number, x1, y1 + BOX_H / 2, x2, y2 + BOX_H / 2)
    step = 1 if x2 > x1 else -1
    shift = -10 * step if has_twin else 0
    return _line(number, x1 + step * BOX_W / 2, y1 + shift, x2 - step * BOX_W / 2, y2 + shift)


def _line(number: int, x1: float, y1: float, x2: float, y2: float) -> str:
    path = f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="#555" marker-end="url(#a)"/>'
    return path + _mark(number, (x1 + x2) / 2, (y1 + y2) / 2)


def _curve(number: int, x1: float, y1: float, x2: float, y2: float) -> str:
    low = max(y1, y2) + 45
    path = f'<path d="M{x1},{y1} Q{(x1 + x2) / 2},{low} {x2},{y2}" fill="none" stroke="#555" marker-end="url(#a)"/>'
    return path + _mark(number, (x1 + x2) / 2, (max(y1, y2) + low) / 2)


def _mark(number: int, x: float, y: float) -> str:
    return (
        f'<circle cx="{x}" cy="{y}" r="9" fill="#fff" stroke="#555"/>'
        f'<text x="{x}" y="{y + 4}" text-anchor="middle" font-size="11">{number}</text>'
    )


def states_page() -> str:
    """Return the diagram, its legend, and the whole table."""
    legend = [
        f"{number}. {old.value if old else 'any of the framed four'} → {new.value}: {', '.join(f'`{item}`' for item in causes)}"
        for number, ((old, new), causes) in enumerate(drawn(edges()).items(), 1)
    ]
    return "\n".join(["![The life of an instance](states.svg)", "", *legend, "", *_table(), ""])


def _table() -> list[str]:
    triggers = list(dict.fromkeys(trigger for _, trigger in INSTANCE_TABLE))
    head = "| | " + " | ".join(state.value for state in InstanceState) + " |"
    lines = ["Every cell of the table; `—` cannot happen, `·` is known and means nothing there.", "", head]
    lines.append("|---" * (len(InstanceState) + 1) + "|")
    for trigger in triggers:
        cells = [_cell(INSTANCE_TABLE[state, trigger]) for state in InstanceState]
        lines.append(f"| {name_of(trigger)} | " + " | ".join(cells) + " |")
    return lines


def _cell(cell: InstanceState | Rule) -> str:
    if isinstance(cell, InstanceState):
        return f"**{cell.value}**"
    return {Rule.STAY: "stays", Rule.IGNORE: "·", Rule.ILLEGAL: "—"}[cell]


def command_page() -> str:
    """Return every command's help."""
    parser = build()
    blocks = ["```text", parser.format_help().rstrip(), "```", ""]
    for name, sub in _subparsers(parser):
        blocks += [f"## aspot {name}", "", "```text", sub.format_help().rstrip(), "```", ""]
        for inner, deeper in _subparsers(sub):
            blocks += [f"### aspot {name} {inner}", "", "```text", deeper.format_help().rstrip(), "```", ""]
    return "\n".join(blocks)


def _subparsers(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser]]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            names = {
                id(found): name for name, found in reversed(action.choices.items())
            }  # an alias is told by its name
            return [(name, found) for name, found in action.choices.items() if names[id(found)] == name]
    return []


def faults() -> dict[str, dict[str, Any]]:
    """Return the fault matrix, by id: `what`, `tests`, `state` and `why`."""
    blank = {"tests": [], "state": "tested", "why": ""}
    return {row: blank | told for row, told in tomllib.loads(FAULTS.read_text(encoding="utf-8")).items()}


def faults_page() -> str:
    """Return the matrix as a table: fault, tests, state."""
    rows = faults()
    counts = [f"{sum(told['state'] == state for told in rows.values())} {name}" for state, name in STATES.items()]
    lines = [f"{len(rows)} faults: {', '.join(counts)}.", "", "| | fault | tests | |", "|---|---|---|---|"]
    for row, told in rows.items():
        tests = "<br>".join(f"`{test}`" for test in told["tests"])
        state = STATES[told["state"]] + (f": {told['why']}" if told["why"] else "")
        lines.append(f"| {row} | {told['what']} | {tests} | {state} |")
    return "\n".join([*lines, ""])


def main() -> None:
    """Write all generated pages."""
    OUT.mkdir(exist_ok=True)
    (OUT / "states.svg").write_text(svg(), encoding="utf-8")
    (OUT / "states.md").write_text(states_page(), encoding="utf-8")
    (OUT / "commands.md").write_text(command_page(), encoding="utf-8")
    (OUT / "faults.md").write_text(faults_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
