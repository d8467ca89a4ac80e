"""Addresses and ports: nobody gets another's, and a reserved one refuses."""

from __future__ import annotations

import os
import socket

import pytest

from aspot.local.guests import endpoints
from aspot.local.guests.endpoints import Endpoints, NoEndpoint


@pytest.fixture
def made():
    kept = []

    def make(port=None):
        found = Endpoints(port)
        found.probe()
        kept.append(found)
        return found

    yield make
    for found in kept:
        found.close()


def free_port(address="127.0.0.1"):
    with socket.socket() as sock:
        sock.bind((address, 0))
        return sock.getsockname()[1]


def test_each_machine_has_an_address_of_its_own_and_the_same_port(made):
    reserved = [made().reserve() for _ in range(3)]
    assert len(set(reserved)) == 3
    assert all(endpoint.address.startswith("127.77.") for endpoint in reserved)
    assert len({endpoint.port for endpoint in reserved}) == 1


def test_a_reserved_endpoint_refuses_and_is_nobody_elses(made):
    endpoint = made().reserve()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(endpoint)
    with pytest.raises(OSError, match="in use"):
        endpoints._bound(*endpoint)


def test_the_wanted_port_is_taken(made):
    port = free_port("127.77.255.1")
    assert made(port).reserve().port == port


def test_where_a_server_has_the_port_everywhere_another_is_found(made):
    with socket.socket() as everywhere:
        everywhere.bind(("0.0.0.0", 0))
        everywhere.listen()
        port = everywhere.getsockname()[1]
        reserved = [made(port).reserve() for _ in range(2)]
    assert all(endpoint.port != port for endpoint in reserved)
    assert {endpoint.address for endpoint in reserved} == {"127.0.0.1"}


def test_with_one_address_each_machine_has_a_port_of_its_own(monkeypatch):
    real = endpoints._bound

    def only_one(address, port, **more):
        if address != "127.0.0.1":
            raise OSError(99, "Cannot assign requested address")
        return real(address, port, **more)

    monkeypatch.setattr(endpoints, "_bound", only_one)
    wanted = free_port()
    found = Endpoints(wanted)
    found.probe()
    reserved = [found.reserve() for _ in range(3)]
    assert {endpoint.address for endpoint in reserved} == {"127.0.0.1"}
    assert len({endpoint.port for endpoint in reserved}) == 3
    assert reserved[0].port == wanted
    found.close()


def test_it_says_so_when_nothing_is_left(monkeypatch, made):
    found = made()

    def full(*_address, **_more):
        raise OSError(98, "Address already in use")

    monkeypatch.setattr(endpoints, "_bound", full)
    with pytest.raises(NoEndpoint):
        found.reserve()


def test_a_released_endpoint_is_free(made):
    found = made()
    endpoint = found.reserve()
    found.release(endpoint)
    endpoints._bound(*endpoint).close()


def test_an_endpoint_is_held_between_boots_and_only_while_reserved(made):
    found = made()
    endpoint = found.reserve()
    found.take(endpoint).close()
    found.hold(endpoint)
    with pytest.raises(OSError, match="in use"):
        endpoints._bound(*endpoint)
    found.release(endpoint)
    found.hold(endpoint)
    endpoints._bound(*endpoint).close()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may have any port")
def test_an_ordinary_user_gets_a_high_port(made):
    assert made().reserve().port >= 1024
