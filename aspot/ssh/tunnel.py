"""A port here that leads to a port of a machine, over whichever connection is up.

May import: asyncssh, anyio.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable

import anyio
import anyio.abc
import asyncssh
import attrs

WAIT_S = 60.0
"""So long a caller here waits for a connection that broke."""

PAUSE_S = 0.05
"""Until it is noticed that the connection in use is gone."""

PIECE = 1 << 16

THERE = "localhost"
"""Servers listen on 127.0.0.1 or on ::1; the machine tries both."""


@attrs.define
class Tunnel:
    """One forwarded port, on 127.0.0.1 alone.

    Args:
        here: Port here; 0 for any free one, and then the one that it is.
        there: Port on the machine.
        say: Told what callers here cannot see: nobody listens there.
    """

    here: int
    there: int
    say: Callable[[str], None]
    _connection: asyncssh.SSHClientConnection | None = attrs.field(init=False, default=None)
    _up: anyio.Event = attrs.field(init=False, factory=anyio.Event)
    _group: anyio.abc.TaskGroup | None = attrs.field(init=False, default=None)
    _is_told: bool = attrs.field(init=False, default=False)

    @contextlib.asynccontextmanager
    async def serving(self, group: anyio.abc.TaskGroup) -> AsyncIterator[Tunnel]:
        """Listen for the length of the block.

        Args:
            group: What carries the connections.

        Raises:
            OSError: If the port here cannot be had.
        """
        self._group = group
        server = await asyncio.start_server(self._accept, "127.0.0.1", self.here)
        self.here = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()

    def use(self, connection: asyncssh.SSHClientConnection | None) -> None:
        """Go by this connection from now on; None: there is none just now."""
        self._connection = connection
        if connection is None:
            self._up = anyio.Event()
        else:
            self._up.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._group is not None:
            self._group.start_soon(self._serve, reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, asyncssh.Error):
                await self._carry(reader, writer)
        finally:
            writer.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with anyio.fail_after(WAIT_S):
            answer, request = await self._open()
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_pump, reader, request)
                group.start_soon(_pump, answer, writer)
        finally:
            request.close()

    async def _open(self) -> tuple[asyncssh.SSHReader[bytes], asyncssh.SSHWriter[bytes]]:
        """Reach the port there, over the next connection if this one breaks meanwhile."""
        while True:
            await self._up.wait()
            connection = self._connection
            assert connection is not None
            try:
                made = await connection.open_connection(THERE, self.there, encoding=None)
            except (asyncssh.Error, OSError) as error:
                if connection.is_closed():
                    await anyio.sleep(PAUSE_S)
                    continue
                if isinstance(error, asyncssh.ChannelOpenError) and not self._is_told:
                    self.say(f"nothing listens on port {self.there} there yet")
                    self._is_told = True
                raise
            self._is_told = False
            return made


async def _pump(
    source: asyncio.StreamReader | asyncssh.SSHReader[bytes], sink: asyncio.StreamWriter | asyncssh.SSHWriter[bytes]
) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while chunk := await source.read(PIECE):
            sink.write(chunk)
            await sink.drain()
        sink.write_eof()


async def is_open(connection: asyncssh.SSHClientConnection, port: int) -> bool:
    """Tell whether anything listens on a port of the machine.

    Raises:
        asyncssh.Error: If the connection broke.
    """
    try:
        _, writer = await connection.open_connection(THERE, port, encoding=None)
    except asyncssh.ChannelOpenError:
        return False
    writer.close()
    return True
