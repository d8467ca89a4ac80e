"""Shells that outlive their connections: held by tmux on the machine, where it is there, and found again.

tmux is asked for nothing but to hold the shell: a server of aspot's own (`tmux -L aspot`) without status line or keys.
May import: `aspot.ssh`.
"""

from __future__ import annotations

import functools
import re
from importlib import resources

import asyncssh
import attrs

from aspot.ssh.commands import answers
from aspot.ssh.exchange import GREETING, exchange, plain
from aspot.ssh.lines import line_of

_LINE = re.compile(r"shell-(\d+) (\d+)")

_LOOK = (
    f"echo {GREETING.decode().strip()}; command -v tmux >/dev/null || exit 0; echo tmux; "
    "tmux -L aspot list-sessions -F '#{session_name} #{session_attached}' 2>/dev/null; "
    'cd "$HOME/.aspot/shells" 2>/dev/null && ls; exit 0'
)


@attrs.frozen(kw_only=True)
class Shells:
    """What holds shells on a machine.

    Args:
        can_last: Whether tmux is there.
        held: Names of the shells that it holds, oldest first.
        free: Those of them that no connection shows.
        ended: Names of shells that ended while no connection showed them, their exit codes waiting.
    """

    can_last: bool
    held: tuple[str, ...] = ()
    free: tuple[str, ...] = ()
    ended: tuple[str, ...] = ()

    def unused(self) -> str:
        """Return a name that no shell has."""
        taken = {*self.held, *self.ended}
        return next(name for number in range(1, len(taken) + 2) if (name := f"shell-{number}") not in taken)


async def look(connection: asyncssh.SSHClientConnection) -> Shells:
    """Return what holds shells there.

    Raises:
        LinkDropped: If the connection broke.
    """
    with answers():
        async with exchange(connection, line_of(_LOOK), refusal=plain) as there:
            there.end_input()
            await there.greeted()
            lines = (await there.rest()).splitlines()
    return parse(lines)


def parse(lines: list[str]) -> Shells:
    """Return what the machine said.

    >>> parse(["tmux", "shell-2 0", "shell-1 1", "mine 0", "shell-3.exit", "tmux.conf"])
    Shells(can_last=True, held=('shell-1', 'shell-2'), free=('shell-2',), ended=('shell-3',))
    """
    found = sorted((int(seen[1]), int(seen[2])) for line in lines if (seen := _LINE.fullmatch(line)))
    ended = [name for line in lines if (name := line.removesuffix(".exit")) != line]
    return Shells(
        can_last="tmux" in lines,
        held=tuple(f"shell-{number}" for number, _ in found),
        free=tuple(f"shell-{number}" for number, shown in found if not shown),
        ended=tuple(name for name in ended if re.fullmatch(r"shell-\d+", name)),
    )


def opened(name: str) -> str:
    """Return the command line that opens a lasting shell of this name."""
    return _line("new", name, "")


def shown_again(name: str, note: str) -> str:
    """Return the command line that shows a lasting shell again, with a note over its last line for a while."""
    return _line("again", name, note)


def _line(how: str, name: str, note: str) -> str:
    return line_of(_script(), name, how, note)


@functools.cache
def _script() -> str:
    return resources.files("aspot.ssh").joinpath("shell.sh").read_text(encoding="utf-8")
