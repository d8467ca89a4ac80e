"""The network between `aspot` and a machine, which can be cut."""

from __future__ import annotations

import asyncio
import math
import sys
import threading
from pathlib import Path

import attrs
import pytest

from tests.toxics.proxy import Proxy

BY_PROXY = str(Path(__file__).with_name("by_proxy.py"))


@attrs.define(eq=False)
class EachLimited(Proxy):
    """A proxy that resets each connection when so many bytes have come either way; one connection at a time."""

    each: float = math.inf

    def _accept(self, reader, writer):
        self.up.resets_after = self.down.resets_after = self.each
        super()._accept(reader, writer)


class ByProxy:
    """A proxy to a machine, served from a thread of its own."""

    def __init__(self, address, port):
        self.proxy = EachLimited(address, port)
        self._ready = threading.Event()
        self._thread = threading.Thread(target=asyncio.run, args=(self._serve(),), daemon=True)
        self._thread.start()
        assert self._ready.wait(10)

    async def _serve(self):
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        async with self.proxy.serving():
            self._ready.set()
            await self._end.wait()

    def reset(self):
        self._loop.call_soon_threadsafe(self.proxy.reset)

    def limit(self, count):
        """Reset each connection when so many bytes have come either way."""
        self.proxy.each = count

    def close(self):
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(10)
        assert not self._thread.is_alive()


@pytest.fixture
def wire(machine):
    """The way to the machine, which can be cut: `aspot` by way of it is `[*wire.aspot, "ssh", ...]`."""
    made = ByProxy(*machine.address())
    made.aspot = [sys.executable, BY_PROXY, str(made.proxy.here)]
    yield made
    made.close()
