"""The network between a whole fleet and its machines: every connection that aspot makes goes through a proxy."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator

import anyio
import anyio.abc
import attrs

from aspot.ssh.dial import dial
from tests.toxics.proxy import Proxy


@attrs.define(eq=False)
class Network:
    """One proxy for each machine, made when it is first dialled.

    Args:
        hang_ups: So many connections to each machine are reset as soon as they are made.
    """

    hang_ups: int = 0
    proxies: dict[tuple[str, int], Proxy] = attrs.Factory(dict)
    _group: anyio.abc.TaskGroup | None = None

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[Network]:
        async with anyio.create_task_group() as self._group:
            yield self
            self._group.cancel_scope.cancel()

    async def dial(self, address: str, port: int) -> socket.socket:
        """Dial as aspot does, by way of the machine's proxy."""
        if (address, port) not in self.proxies:
            self.proxies[address, port] = Proxy(address, port, hang_ups=self.hang_ups)
            assert self._group is not None
            await self._group.start(self._serve, self.proxies[address, port])
        return await dial("127.0.0.1", self.proxies[address, port].here)

    async def _serve(self, proxy: Proxy, *, task_status: anyio.abc.TaskStatus[None]) -> None:
        async with proxy.serving():
            task_status.started()
            await anyio.sleep_forever()

    def move(self, source: str) -> None:
        """Be at another address from now on, as a laptop that changes networks: every connection is gone."""
        for proxy in self.proxies.values():
            proxy.source = source
        self.reset()

    @property
    def made(self) -> int:
        """Return how many connections were made."""
        return sum(proxy.made for proxy in self.proxies.values())

    def partition(self) -> None:
        for proxy in self.proxies.values():
            proxy.partition()

    def heal(self) -> None:
        for proxy in self.proxies.values():
            proxy.heal()

    def reset(self) -> None:
        for proxy in self.proxies.values():
            proxy.reset()
