"""The proxy does to connections what it says."""

import asyncio
import contextlib

import anyio
import pytest

from tests.toxics.proxy import Proxy

pytestmark = pytest.mark.anyio


@pytest.fixture
async def echo():
    """An echo behind a proxy: the proxy, and a way to connect."""

    async def back(reader, writer):
        try:
            while chunk := await reader.read(1 << 16):
                writer.write(chunk)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(back, "127.0.0.1", 0)
    async with server, Proxy("127.0.0.1", server.sockets[0].getsockname()[1]).serving() as proxy:
        yield proxy


@contextlib.asynccontextmanager
async def said(proxy: Proxy, content: bytes):
    reader, writer = await asyncio.open_connection("127.0.0.1", proxy.here)
    writer.write(content)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()


async def test_it_is_a_plain_proxy(echo):
    content = bytes(range(256)) * 4000
    async with said(echo, content) as (reader, writer):
        assert await reader.readexactly(len(content)) == content
        writer.write_eof()
        assert await reader.read() == b""
    assert (echo.made, echo.up.passed, echo.down.passed) == (1, len(content), len(content))


async def test_latency(echo):
    echo.down.latency_s = 0.2
    began = anyio.current_time()
    async with said(echo, b"x") as (reader, _):
        assert await reader.readexactly(1) == b"x"
    assert anyio.current_time() - began >= 0.2


async def test_bandwidth(echo):
    echo.up.bytes_per_s = 50_000
    began = anyio.current_time()
    async with said(echo, bytes(20_000)) as (reader, _):
        await reader.readexactly(20_000)
    assert anyio.current_time() - began >= 0.3


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_reset_after_so_many_bytes(echo, way):
    getattr(echo, way).resets_after = 70
    async with said(echo, bytes(100)) as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.readexactly(1000)
    assert getattr(echo, way).passed == 70


@pytest.mark.parametrize("way", ["up", "down"])
async def test_silence_tells_nobody_and_healing_is_for_new_connections(echo, way):
    getattr(echo, way).silent_after = 70
    async with said(echo, bytes(100)) as (reader, writer):
        assert await reader.readexactly(70) == bytes(70)
        echo.heal()
        writer.write(bytes(100))
        with anyio.move_on_after(0.1) as limit:
            await reader.read(1)
        assert limit.cancelled_caught
    async with said(echo, b"fresh") as (reader, _):
        assert await reader.readexactly(5) == b"fresh"


async def test_connections_that_are_hung_up_on(echo):
    echo.hang_ups = 1
    async with said(echo, b"") as (reader, _):
        with pytest.raises(ConnectionResetError):
            await reader.read(1)
    async with said(echo, b"x") as (reader, _):
        assert await reader.readexactly(1) == b"x"
