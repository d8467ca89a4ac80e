"""`aspot notebook`: Jupyter on a machine, tunnelled to a browser here. It goes on running there until told to stop."""

from __future__ import annotations

import argparse
import contextlib
import os
import secrets
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

import anyio
import attrs

from aspot.cli.forward import Forwarding, Ports
from aspot.cli.signals import run_interruptible
from aspot.errors import ConfigError, LinkError
from aspot.ui.safe import safe
from aspot.way import Way

if TYPE_CHECKING:
    import asyncssh

    from aspot.ssh.notebook import Server
    from aspot.ssh.tunnel import Tunnel

_PORTS = range(8888, 8988)
_READY_S = 90.0
_TOKEN_BYTES = 24


def main(args: argparse.Namespace) -> int:
    """Start, find or stop the server; return 0."""
    if args.stop and (args.command or args.install):
        raise ConfigError("--stop ends a server: it goes with neither --command nor --install")
    here = Ports.of(args.port).here if args.port else None
    notebook = _Notebook(
        way=Way.to(args.name), here=here, command=args.command, installs=args.install, is_quiet=args.quiet
    )
    try:
        run_interruptible(notebook.stop() if args.stop else notebook.run(), abandon=lambda: os._exit(130))
    except KeyboardInterrupt:
        if not notebook.is_open:
            raise
        notebook.say_goodbye()
    return 0


@attrs.define(kw_only=True)
class _Notebook:
    way: Way
    here: int | None
    command: str | None
    installs: bool
    is_quiet: bool
    is_open: bool = False
    _token: str = attrs.field(init=False, default="", repr=False)

    async def run(self) -> None:
        """Open it here until cancelled."""
        connection = await self.way.connect()
        try:
            with self._explained():
                server = await self._running(connection)
        except BaseException:
            connection.abort()
            raise
        self._token = server.token
        here = self.here if self.here is not None else self._free(server.port)
        forwarding = Forwarding(way=self.way, wanted=[Ports(here, server.port)], is_quiet=self.is_quiet)
        await forwarding.hold(connection, self._tell)

    def _tell(self, tunnels: Sequence[Tunnel]) -> None:
        print(f"http://127.0.0.1:{tunnels[0].here}/?token={self._token}", flush=True)
        self.is_open = True
        self._say("Ctrl-C closes the way to it; it goes on running there")

    async def stop(self) -> None:
        """End the server there."""
        from aspot.ssh.notebook import stop

        connection = await self.way.connect()
        try:
            with self._explained():
                did = await stop(connection)
        finally:
            connection.abort()
        self._say(f"the notebook server of {self.way.label} was ended" if did else f"none runs on {self.way.label}")

    def say_goodbye(self) -> None:
        """Say what goes on after Ctrl-C."""
        name = self.way.label
        self._say(
            f"it goes on running there: aspot notebook {name} opens it again, aspot notebook {name} --stop ends it"
        )

    async def _running(self, connection: asyncssh.SSHClientConnection) -> Server:
        """Return a server that answers: the one that runs, or a new one."""
        from aspot.ssh import notebook

        there = await notebook.look(connection)
        if there.port:
            self._say(
                f"found the one that runs on {self.way.label}" + (": --command is ignored" if self.command else "")
            )
        else:
            command = self.command or await self._jupyter(connection, there)
            token, port = secrets.token_hex(_TOKEN_BYTES), await self._port_there(connection)
            await notebook.start(connection, command, port=port, token=token)
            there = attrs.evolve(there, port=port, token=token)
        await self._answers(connection, there.port)
        return there

    async def _jupyter(self, connection: asyncssh.SSHClientConnection, there: Server) -> str:
        """Return the command that starts Jupyter, installed first if that was asked for."""
        import shlex

        from aspot.ssh import notebook

        if not there.program and self.installs:
            self._say(f"installing JupyterLab on {self.way.label}, into ~/.aspot/notebook")
            await notebook.install(connection, self._pass_on)
            there = await notebook.look(connection)
        if not there.program:
            raise ConfigError(
                f"{self.way.label} has no Jupyter",
                fix=f"aspot notebook {self.way.label} --install, which puts JupyterLab into ~/.aspot/notebook there",
            )
        return notebook.JUPYTER.format(program=shlex.quote(there.program))

    async def _port_there(self, connection: asyncssh.SSHClientConnection) -> int:
        from aspot.ssh.tunnel import is_open

        for port in _PORTS:
            if not await is_open(connection, port):
                return port
        raise LinkError(f"ports {_PORTS[0]} to {_PORTS[-1]} of {self.way.label} are all in use")

    async def _answers(self, connection: asyncssh.SSHClientConnection, port: int) -> None:
        """Wait until it takes connections; one that ends before says why."""
        from aspot.ssh import notebook
        from aspot.ssh.tunnel import is_open

        with anyio.move_on_after(_READY_S):
            while not await is_open(connection, port):
                await anyio.sleep(0.2)
                if not (there := await notebook.look(connection)).port:
                    raise LinkError(
                        f"the notebook server of {self.way.label} ended at once; it said at last:\n"
                        f"{safe(there.log).strip() or 'nothing'}"
                    )
            return
        raise LinkError(
            f"the notebook server of {self.way.label} did not answer on port {port} within {_READY_S:.0f} s",
            fix=f"aspot ssh {self.way.label} 'cat ~/.aspot/notebook/log'",
        )

    def _free(self, port: int) -> int:
        """Return this port if it is free here, too; else 0 for any."""
        import socket

        with contextlib.closing(socket.socket()) as trial, contextlib.suppress(OSError):
            trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            trial.bind(("127.0.0.1", port))
            return port
        return 0

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        import asyncssh

        from aspot.ports import LinkDropped
        from aspot.ssh.exchange import CommandRefused

        instance = self.way.machine.instance
        try:
            yield
        except CommandRefused as error:
            raise LinkError(f"{self.way.label}: {error}", instance=instance) from error
        except (LinkDropped, asyncssh.Error) as error:
            raise LinkError(f"{self.way.label}: {error}", instance=instance, fix="try again") from error

    def _pass_on(self, said: bytes) -> None:
        if not self.is_quiet:
            sys.stderr.write(safe(said))

    def _say(self, text: str) -> None:
        if not self.is_quiet:
            print(f"aspot: {text}", file=sys.stderr, flush=True)
