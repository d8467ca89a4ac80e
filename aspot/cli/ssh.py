"""`aspot ssh`: a shell or a command on a machine of ours; a shell is found again when the connection breaks."""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

import anyio
import attrs

from aspot.cli.signals import run_interruptible
from aspot.errors import LinkError
from aspot.ssh.lines import line_of
from aspot.ui import raw
from aspot.ui.safe import one_line
from aspot.way import SESSION, Way

if TYPE_CHECKING:
    import asyncssh

    from aspot.ssh.console import End, Pty

PAUSE_S = 1.0
"""Before another try on a machine that takes connections but starts nothing over them."""


def main(args: argparse.Namespace) -> int:
    """Open a shell, or run a command; return its exit code."""
    words = [*args.words, *(["--"] if args.words and args.after is not None else []), *(args.after or [])]
    return on_machine(Way.to(args.name), " ".join(words), keeps=not args.no_tmux, quiet=args.quiet)


def on_machine(way: Way, command: str = "", *, keeps: bool = True, quiet: bool = False) -> int:
    """Join this terminal to a shell (no command) or a command on a machine; return its exit code.

    Args:
        way: Which machine.
        command: A command line for its login shell; "" for the shell itself.
        keeps: Whether tmux, where it is there, holds the shell while the connection is broken.
        quiet: Say nothing but errors.

    Raises:
        AspotError: If the machine cannot be reached, or is gone.
    """
    is_box = way.machine.info.is_box
    session = _Session(way=way, command=command, keeps=keeps and raw.has_terminal(), quiet=quiet, counts=is_box)
    return run_interruptible(session.run(), abandon=lambda: os._exit(130))


@attrs.define(kw_only=True)
class _Session:
    way: Way
    command: str
    keeps: bool
    quiet: bool
    counts: bool  # as use of the machine, which does not end itself meanwhile
    shell: str = ""  # the lasting shell that this is
    has_begun: bool = False

    async def run(self) -> int:
        connection = await self.way.connect()
        while True:
            try:
                end = await self._once(connection)
            finally:
                connection.abort()
            if end.has_left:
                return self._left()
            if end.code is not None:
                return end.code
            if not self.shell:
                raise self._broken()
            self._say(f"the connection to {self.way.label} broke; connecting again (Ctrl-C gives up)")
            connection = await self.way.connect_again(say=self._say)

    async def _once(self, connection: asyncssh.SSHClientConnection) -> End:
        """Play the shell or the command over one connection."""
        from aspot.ports import LinkDropped
        from aspot.ssh.console import End, play

        try:
            command = self.command or (await self._shell(connection) if self.keeps else None)
            command = counted(command) if self.counts else command
            with _terminal() as pty:
                end = await play(connection, command, pty=pty)
                self.has_begun = True
                if pty is not None and end.code is None:
                    raw.calm()
                return end
        except LinkDropped as error:
            if not (self.shell and self.has_begun):
                raise LinkError(f"{self.way.label}: {error}", instance=self.way.machine.instance) from error
            await anyio.sleep(PAUSE_S)
            return End()

    async def _shell(self, connection: asyncssh.SSHClientConnection) -> str | None:
        """Return the command line of a lasting shell; None where nothing there can hold one."""
        from aspot.ssh import lasting

        there = await lasting.look(connection)
        if not there.can_last:
            return None
        if self.shell in (*there.held, *there.ended):
            return lasting.shown_again(self.shell, "aspot: connected again, to the same shell")
        if self.shell:
            self._say("connected again; the shell that was there has ended (was the machine rebooted?): a new one")
        elif there.free:
            self.shell = there.free[0]
            return lasting.shown_again(self.shell, "aspot: back in the shell that an earlier connection left")
        self.shell = there.unused()
        return lasting.opened(self.shell)

    def _left(self) -> int:
        if self.shell:
            self._say(f"left; the shell goes on there, and aspot ssh {self.way.label} returns to it")
        else:
            self._say("left; what ran there may run on")
        return 0

    def _broken(self) -> LinkError:
        name = self.way.label
        if self.command:
            fix = "the command may have ended with it, or run on without it; for work that must not: aspot run"
            return LinkError(f"the connection to {name} broke before the command ended", fix=fix)
        fix = f"aspot ssh {name} opens a new one; where tmux is installed, a shell outlives its connection"
        return LinkError(f"the connection to {name} broke, and its shell with it", fix=fix)

    def _say(self, text: str) -> None:
        if not self.quiet:
            print(one_line(f"aspot: {text}"), file=sys.stderr)


def counted(command: str | None) -> str:
    """Return the command line of a session that counts as use of a box: the login shell, or a command that it runs."""
    return SESSION if command is None else line_of('exec "${SHELL:-/bin/sh}" -c "$1"', command, by=SESSION)


@contextlib.contextmanager
def _terminal() -> Iterator[Pty | None]:
    """Give the terminal here to the machine, if there is one."""
    if not raw.has_terminal():
        yield None
        return
    from aspot.ssh.console import Pty

    kind = os.environ.get("TERM") or "xterm-256color"
    made = Pty(kind=kind, size=raw.size, modes=raw.modes(), typed=raw.Escapes())
    with raw.raw():
        yield made
