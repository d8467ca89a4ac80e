"""Write the generated pages: the instance's diagram and table, and the command line's help. Run before Sphinx."""

from __future__ import annotations

import argparse
import html
import os
from pathlib import Path

os.environ["COLUMNS"] = "100"

from aspot.cli.arguments import build
from aspot.machine.instance_table import INSTANCE_TABLE, Move, Rule
from aspot.machine.model import InstanceState

HERE = Path(__file__).parent
OUT = HERE / "_generated"

PLACES = {
    InstanceState.REQUESTED: (90, 60),
    InstanceState.RUNNING: (300, 60),
    InstanceState.SSH_READY: (510, 60),
    InstanceState.JOB: (720, 60),
    InstanceState.INTERRUPTED: (405, 220),
    InstanceState.TERMINATING: (405, 370),
    InstanceState.TERMINATED: (720, 370),
}
BOX_W, BOX_H = 130, 40


def name_of(trigger: object) -> str:
    """Return a trigger as people read it."""
    return trigger.value if isinstance(trigger, Move) else trigger.__name__


def edges() -> dict[tuple[InstanceState, InstanceState], list[str]]:
    """Return every change of state with what causes it, from the table that the program runs by."""
    found: dict[tuple[InstanceState, InstanceState], list[str]] = {}
    for (state, trigger), cell in INSTANCE_TABLE.items():
        if isinstance(cell, InstanceState) and cell is not state:
            found.setdefault((state, cell), []).append(name_of(trigger))
    return found


def svg() -> str:
    """Return the diagram: states as boxes, changes as numbered arrows."""
    parts = [
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 820 430" font-family="sans-serif" font-size="13">',
        '<defs><marker id="a" markerWidth="9" markerHeight="9" refX="8" refY="4" orient="auto">'
        '<path d="M0,0 L9,4 L0,8 z" fill="#555"/></marker></defs>',
        '<rect width="820" height="430" fill="#fff"/>',
    ]
    for number, (old, new) in enumerate(edges(), 1):
        parts.append(_arrow(number, PLACES[old], PLACES[new], is_back=(new, old) in edges() and old.name > new.name))
    for state, (x, y) in PLACES.items():
        parts.append(
            f'<rect x="{x - BOX_W / 2}" y="{y - BOX_H / 2}" width="{BOX_W}" height="{BOX_H}" rx="8" fill="#eef3fb" stroke="#35507a"/>'
            f'<text x="{x}" y="{y + 5}" text-anchor="middle" fill="#1c2c45">{html.escape(state.value)}</text>'
        )
    return "\n".join([*parts, "</svg>", ""])


def _edge_point(one: tuple[float, float], other: tuple[float, float]) -> tuple[float, float]:
    """Return where the line from a box's centre to another point leaves the box."""
    dx, dy = other[0] - one[0], other[1] - one[1]
    scale = min(
        (BOX_W / 2) / abs(dx) if dx else float("inf"),
        (BOX_H / 2) / abs(dy) if dy else float("inf"),
    )
    return one[0] + dx * scale, one[1] + dy * scale


def _arrow(number: int, one: tuple[float, float], other: tuple[float, float], *, is_back: bool) -> str:
    length = ((other[0] - one[0]) ** 2 + (other[1] - one[1]) ** 2) ** 0.5
    shift = 12 if is_back else -6
    nx, ny = -(other[1] - one[1]) / length * shift, (other[0] - one[0]) / length * shift
    start = _edge_point(one, other)
    end = _edge_point(other, one)
    (x1, y1), (x2, y2) = (start[0] + nx, start[1] + ny), (end[0] + nx, end[1] + ny)
    at = 0.35 if abs(y2 - y1) > 60 else 0.5
    lx, ly = x1 + (x2 - x1) * at, y1 + (y2 - y1) * at
    return (
        f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="#555" marker-end="url(#a)"/>'
        f'<circle cx="{lx:.0f}" cy="{ly:.0f}" r="9" fill="#fff" stroke="#555"/>'
        f'<text x="{lx:.0f}" y="{ly + 4:.0f}" text-anchor="middle" font-size="11">{number}</text>'
    )


def states_page() -> str:
    """Return the diagram, its legend, and the whole table."""
    legend = [
        f"{number}. {old.value} → {new.value}: {', '.join(f'`{item}`' for item in causes)}"
        for number, ((old, new), causes) in enumerate(edges().items(), 1)
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
            return list(action.choices.items())
    return []


def main() -> None:
    """Write all generated pages."""
    OUT.mkdir(exist_ok=True)
    (OUT / "states.svg").write_text(svg(), encoding="utf-8")
    (OUT / "states.md").write_text(states_page(), encoding="utf-8")
    (OUT / "commands.md").write_text(command_page(), encoding="utf-8")


if __name__ == "__main__":
    main()
