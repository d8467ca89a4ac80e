"""Who may talk to the cloud."""

import os
import socket

import pytest

from aspot.local.peers import is_ours, owner_of_peer


@pytest.fixture(params=[socket.AF_INET, socket.AF_INET6])
def link(request):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        with socket.socket(request.param) as client:
            client.connect(("127.0.0.1" if request.param == socket.AF_INET else "::ffff:127.0.0.1", port))
            near, far = server.accept()
            with near:
                yield ("127.0.0.1", port), far


def test_the_owner_of_the_other_end_is_found(link):
    ours, theirs = link
    assert owner_of_peer(ours, theirs) == os.geteuid()
    assert is_ours(ours, theirs)


def test_nobody_is_at_the_end_of_no_connection(link):
    ours, (address, port) = link
    assert owner_of_peer(ours, (address, port ^ 1)) is None


def test_strangers_are_not_ours(link, monkeypatch):
    ours, theirs = link
    me = os.geteuid()
    monkeypatch.setattr(os, "geteuid", lambda: me + 1)
    assert is_ours(ours, theirs) is (me == 0)
