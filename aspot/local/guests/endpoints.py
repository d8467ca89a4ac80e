"""Loopback addresses and ports for machines, each held by a bound socket from its reservation on.

Facts: Linux answers for all of 127.0.0.0/8, macOS for 127.0.0.1 only; a server on 0.0.0.0 takes its port away on
every loopback address. Being bound without SO_REUSEADDR, a reservation keeps other parks of this host off, and being
deaf it refuses connections, as a machine does that has not booted. May import: the seam.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import socket
from collections.abc import Iterator

from aspot.local.seam import Endpoint

__all__ = ["Endpoints", "NoEndpoint"]

_STANDARD_PORT = 22
_HIGH_PORTS = (2222, 2022, 22022, 22222)
_ONLY_ADDRESS = "127.0.0.1"
_PER_NETWORK = 254


class NoEndpoint(OSError):
    """Every address and port that could be tried is taken."""


class Endpoints:
    """The addresses and ports of one park."""

    def __init__(self, ssh_port: int | None) -> None:
        self._wanted = ssh_port
        self._port: int | None = None  # the same on every address; None: one address, many ports
        self._held: dict[Endpoint, socket.socket] = {}
        self._reserved: set[Endpoint] = set()
        self._addresses = _addresses()

    def probe(self) -> None:
        """Find out which addresses and port can be had here."""
        candidates = [self._wanted] if self._wanted else [_STANDARD_PORT, *_HIGH_PORTS]
        for port in candidates:
            with contextlib.suppress(OSError), _bound(next(self._addresses), port):
                self._port = port
                return

    def reserve(self) -> Endpoint:
        """Reserve an address and port that nobody else has.

        Raises:
            NoEndpoint: none is free.
        """
        tries = self._own_addresses() if self._port else self._own_ports()
        for address, port in itertools.islice(tries, _PER_NETWORK * 8):
            with contextlib.suppress(OSError):
                sock = _bound(address, port)
                endpoint = Endpoint(address, sock.getsockname()[1])
                self._held[endpoint] = sock
                self._reserved.add(endpoint)
                return endpoint
        raise NoEndpoint(98, "no free loopback address for another machine")

    def release(self, endpoint: Endpoint) -> None:
        """Give an endpoint back."""
        self._reserved.discard(endpoint)
        if sock := self._held.pop(endpoint, None):
            sock.close()

    def take(self, endpoint: Endpoint) -> socket.socket:
        """Hand out the bound socket of a reserved endpoint, to listen on."""
        return self._held.pop(endpoint, None) or _bound(*endpoint, again=True)

    def hold(self, endpoint: Endpoint) -> None:
        """Keep an endpoint whose listener was closed, for the machine's next boot."""
        if endpoint in self._reserved and endpoint not in self._held:
            with contextlib.suppress(OSError):
                self._held[endpoint] = _bound(*endpoint, again=True)

    def close(self) -> None:
        """Give everything back."""
        for endpoint in list(self._reserved):
            self.release(endpoint)

    def _own_addresses(self) -> Iterator[tuple[str, int]]:
        return ((address, self._port or 0) for address in self._addresses)

    def _own_ports(self) -> Iterator[tuple[str, int]]:
        first = self._wanted
        wanted = range(first, min(first + _PER_NETWORK, 65536)) if first else ()
        return itertools.chain(((_ONLY_ADDRESS, port) for port in wanted), itertools.repeat((_ONLY_ADDRESS, 0)))


def _addresses() -> Iterator[str]:
    """Yield the addresses of 127.77.0.0/16 for ever, from a place of this process's own on."""
    start = os.getpid() % 255
    for network in itertools.cycle((*range(start, 255), *range(start))):
        for host in range(1, _PER_NETWORK + 1):
            yield f"127.77.{network}.{host}"


def _bound(address: str, port: int, *, again: bool = False) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if again:  # past connections of ours may linger
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((address, port))
    except OSError:
        sock.close()
        raise
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # its connections' remains don't block `again`
    sock.setblocking(False)
    return sock
