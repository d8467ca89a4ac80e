"""A TCP proxy that spoils connections: slow, narrow, cut after so many bytes, silent, reset. As Toxiproxy, in asyncio.

Toxics are set per direction and may be changed while connections are open: `up` is from the client to the server.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import socket
import struct
from collections.abc import AsyncIterator

import anyio
import anyio.abc
import attrs

PIECE = 1 << 14
RESET = struct.pack("ii", 1, 0)  # SO_LINGER with no time: closing sends RST
HELD = 16
"""Pieces under way in one direction before the sender is made to wait."""


@attrs.define
class Way:
    """One direction of every connection.

    Args:
        latency_s: Each byte arrives so much later.
        bytes_per_s: No faster than this.
        resets_after: Connections are reset when so many more bytes have come this way.
        silent_after: When so many more bytes have come, nothing comes through any more, and nobody is told.
    """

    latency_s: float = 0.0
    bytes_per_s: float = math.inf
    resets_after: float = math.inf
    silent_after: float = math.inf
    passed: int = 0

    def take(self, chunk: bytes) -> bytes:
        """Count a piece and return what of it comes through."""
        through = chunk[: max(0, int(min(len(chunk), self.silent_after, self.resets_after)))]
        self.silent_after -= len(chunk)
        self.resets_after -= len(chunk)
        self.passed += len(through)
        return through


@attrs.define(eq=False)
class Connection:
    """A client's connection and the one to the server that was made for it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter

    def reset(self) -> None:
        """Have both sides see a reset."""
        for writer in (self.client, self.server):
            made = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):
                made.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
            writer.transport.abort()

    async def aclose(self) -> None:
        """Reset it, and see it closed."""
        self.reset()
        with anyio.CancelScope(shield=True):
            for writer in (self.client, self.server):
                with contextlib.suppress(OSError):
                    await writer.wait_closed()


@attrs.define(eq=False)
class Proxy:
    """A port on loopback that leads to a server.

    Args:
        address: The server's.
        port: The server's.
        up, down: The two directions.
        hang_ups: So many connections are reset as soon as they are made.
        source: The address that the server sees connections come from; None for the usual one.
    """

    address: str
    port: int
    up: Way = attrs.Factory(Way)
    down: Way = attrs.Factory(Way)
    hang_ups: int = 0
    source: str | None = None
    made: int = 0
    connections: set[Connection] = attrs.Factory(set)
    _group: anyio.abc.TaskGroup | None = None
    _server: asyncio.Server | None = None

    @property
    def here(self) -> int:
        """Return the proxy's own port."""
        assert self._server is not None
        return self._server.sockets[0].getsockname()[1]

    def reset(self) -> None:
        """Reset every connection."""
        for connection in tuple(self.connections):
            connection.reset()

    def partition(self) -> None:
        """Let nothing through from now on; nobody is told."""
        self.up.silent_after = self.down.silent_after = 0

    def heal(self) -> None:
        """Be a plain proxy again; what was lost meanwhile stays lost, and the connections with it."""
        self.up, self.down = Way(passed=self.up.passed), Way(passed=self.down.passed)

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Proxy]:
        """Serve for the length of the block."""
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        try:
            async with anyio.create_task_group() as self._group:
                yield self
                self._server.close()
                self.reset()
                self._group.cancel_scope.cancel()
        finally:
            self._server.close()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.made += 1
        if self._group is not None:
            self._group.start_soon(self._serve, reader, writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self.hang_ups > 0:
            self.hang_ups -= 1
            await Connection(writer, writer).aclose()
            return
        try:
            here = (self.source, 0) if self.source else None
            there, server = await asyncio.open_connection(self.address, self.port, local_addr=here)
        except OSError:
            await Connection(writer, writer).aclose()
            return
        connection = Connection(writer, server)
        self.connections.add(connection)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._carry, connection, reader, server, "up")
                group.start_soon(self._carry, connection, there, writer, "down")
        finally:
            self.connections.discard(connection)
            await connection.aclose()

    async def _carry(
        self, connection: Connection, source: asyncio.StreamReader, sink: asyncio.StreamWriter, way: str
    ) -> None:
        """Carry one direction until it ends; a piece that waits for its time does not keep the next from being read."""
        under_way: asyncio.Queue[tuple[float, bytes | None]] = asyncio.Queue(HELD)
        due, is_lost = 0.0, False
        async with anyio.create_task_group() as group:
            group.start_soon(self._deliver, connection, sink, under_way)
            while chunk := await _read(source):
                toxic: Way = getattr(self, way)
                through = toxic.take(chunk)
                due = max(due, anyio.current_time()) + len(through) / toxic.bytes_per_s
                if through and not is_lost:
                    await under_way.put((due + toxic.latency_s, through))
                if toxic.resets_after < 0:
                    await under_way.put((due + toxic.latency_s, b""))
                is_lost = is_lost or len(through) < len(chunk)
            if is_lost:
                await anyio.sleep_forever()  # its end is as unheard as what went before
            await under_way.put((due + getattr(self, way).latency_s, None))

    async def _deliver(
        self, connection: Connection, sink: asyncio.StreamWriter, under_way: asyncio.Queue[tuple[float, bytes | None]]
    ) -> None:
        while True:
            due, chunk = await under_way.get()
            await anyio.sleep_until(due)
            if chunk is None:
                sink.close()
                return
            if not chunk:
                connection.reset()
                return
            with contextlib.suppress(OSError):
                sink.write(chunk)
                await sink.drain()


async def _read(source: asyncio.StreamReader) -> bytes:
    """Return the next piece; nothing at the end, however it comes."""
    try:
        return await source.read(PIECE)
    except OSError:
        return b""
