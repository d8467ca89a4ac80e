"""`aspot forward`: ports of a machine on 127.0.0.1 here, until Ctrl-C, whatever becomes of the connection meanwhile."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from typing import TYPE_CHECKING

import anyio
import anyio.abc
import attrs

from aspot.cli.signals import run_interruptible
from aspot.errors import AspotError, ConfigError
from aspot.ui.safe import one_line
from aspot.way import Way

if TYPE_CHECKING:
    import asyncssh

    from aspot.ssh.tunnel import Tunnel

_PRIVILEGED = range(1, 1024)


@attrs.frozen
class Ports:
    """A port here (0: any) and the one there that it leads to."""

    here: int
    there: int

    @classmethod
    def of(cls, text: str) -> Ports:
        """Return what a word means: `PORT`, or `HERE:THERE`.

        Raises:
            ConfigError: If it is neither.
        """
        here, colon, there = text.partition(":")
        words = (here, there if colon else here)
        if not all(word.isdecimal() and len(word) <= 5 and int(word) < 65536 for word in words) or not int(words[1]):
            raise ConfigError(f"{text!r} is no port", fix="PORT, or HERE:THERE, such as 8888 or 9000:8888")
        return cls(int(words[0]), int(words[1]))


def main(args: argparse.Namespace) -> int:
    """Forward until Ctrl-C; return 0."""
    wanted = [Ports.of(text) for text in args.ports]
    forwarding = Forwarding(way=Way.to(args.name), wanted=wanted, is_quiet=args.quiet)
    with contextlib.suppress(KeyboardInterrupt):
        run_interruptible(forwarding.run(), abandon=lambda: os._exit(130))
    return 0


@attrs.frozen(kw_only=True)
class Forwarding:
    """Tunnels to one machine that outlast its connections.

    Args:
        way: Which machine.
        wanted: Ports.
        is_quiet: Whether to say nothing but what was asked for.
    """

    way: Way
    wanted: Sequence[Ports]
    is_quiet: bool

    async def run(self) -> None:
        """Say where the ports are and keep them open, until cancelled or the machine is gone."""
        await self.hold(await self.way.connect(), self._tell)

    def _tell(self, tunnels: Sequence[Tunnel]) -> None:
        for tunnel in tunnels:
            print(f"http://127.0.0.1:{tunnel.here} is port {tunnel.there} of {self.way.label}", flush=True)
        self.say("Ctrl-C ends it")

    async def hold(self, connection: asyncssh.SSHClientConnection, tell: Callable[[Sequence[Tunnel]], None]) -> None:
        """Keep the ports open, until cancelled or the machine is gone.

        Args:
            connection: The first; ours from here on.
            tell: Told when they are open.

        Raises:
            AspotError: If a port cannot be had, or the machine is gone.
        """
        trouble: list[AspotError] = []
        try:
            async with anyio.create_task_group() as group:
                try:
                    async with self._tunnels(group) as tunnels:
                        tell(tunnels)
                        await self._keep(connection, tunnels)
                except AspotError as error:
                    trouble.append(error)
                group.cancel_scope.cancel()
        finally:
            connection.abort()
        if trouble:
            raise trouble[0]

    @contextlib.asynccontextmanager
    async def _tunnels(self, group: anyio.abc.TaskGroup) -> AsyncIterator[list[Tunnel]]:
        from aspot.ssh.tunnel import Tunnel

        async with contextlib.AsyncExitStack() as stack:
            made = []
            for ports in self.wanted:
                tunnel = Tunnel(ports.here, ports.there, self.say)
                try:
                    made.append(await stack.enter_async_context(tunnel.serving(group)))
                except OSError as error:
                    raise self._refused(ports, error) from error
            yield made

    def _refused(self, ports: Ports, error: OSError) -> ConfigError:
        other = ports.here + 8000 if ports.here in _PRIVILEGED else ports.here + 1
        why = (
            "is in use here"
            if error.errno == errno.EADDRINUSE
            else f"cannot be had here: {os.strerror(error.errno or 0)}"
        )
        return ConfigError(f"port {ports.here} {why}", fix=f"another one: {other}:{ports.there}")

    async def _keep(self, connection: asyncssh.SSHClientConnection, tunnels: Sequence[Tunnel]) -> None:
        """Have the tunnels go by this connection and, when it breaks, by the next."""
        try:
            while True:
                for tunnel in tunnels:
                    tunnel.use(connection)
                await connection.wait_closed()
                for tunnel in tunnels:
                    tunnel.use(None)
                self.say(f"the connection to {self.way.label} broke; connecting again")
                connection = await self.way.connect_again(say=self.say)
                self.say("connected again")
        finally:
            connection.abort()

    def say(self, text: str) -> None:
        """Say what happens, on stderr."""
        if not self.is_quiet:
            print(one_line(f"aspot: {text}"), file=sys.stderr, flush=True)
