"""A guest behind a proxy that spoils its connections; the local cloud for whole fleets."""

import attrs
import pytest

from aspot.ssh import connect
from tests.ssh.guest import guest_at, remote_of
from tests.toxics.proxy import Proxy


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def quick(monkeypatch):
    """Let a silent peer be given up within a second: what takes a minute in earnest."""
    monkeypatch.setattr(connect, "KEEPALIVE_S", 0.2)
    monkeypatch.setattr(connect, "KEEPALIVES", 3)
    monkeypatch.setattr(connect, "LOGIN_S", 2.0)


@pytest.fixture
async def guest(tmp_path):
    async with guest_at(tmp_path) as made:
        yield made


@pytest.fixture
async def proxy(guest):
    async with Proxy("127.0.0.1", guest.port).serving() as made:
        yield made


@pytest.fixture
async def remote(guest, proxy):
    async with remote_of(guest) as made:
        yield made


@pytest.fixture
def target(guest, proxy):
    """The guest, by way of the proxy."""
    return attrs.evolve(guest.target(), port=proxy.here)


@pytest.fixture
def base(tmp_path):
    folder = tmp_path / "base"
    folder.mkdir()
    return folder
