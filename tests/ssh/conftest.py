"""Guests with a real SSH server, in the shells and with the tools that instances may have."""

from __future__ import annotations

import shutil

import pytest

from tests.ssh.guest import guest_at, remote_of

KINDS = {
    "dash": {"shell": "dash"},
    "bash": {"shell": "bash --posix"},
    "busybox": {"shell": "busybox ash", "only_busybox": True},
}
ODD = {
    "csh": {"login": shutil.which("csh")},
    "tcsh": {"login": shutil.which("tcsh")},
    "fish": {"login": shutil.which("fish")},
}


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture(params=KINDS)
async def any_guest(request, tmp_path):
    """A guest, once for each shell."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    async with guest_at(tmp_path, **KINDS[request.param]) as guest:
        yield guest


@pytest.fixture(params=[*KINDS, *ODD])
async def every_guest(request, tmp_path):
    """A guest, once for each shell that it may have, and for each that its user may log in to."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    async with guest_at(tmp_path, **{**KINDS, **ODD}[request.param]) as guest:
        yield guest


@pytest.fixture(params=ODD)
async def odd_guest(request, tmp_path):
    """A guest whose login shell is none of sh's kind."""
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    async with guest_at(tmp_path, **ODD[request.param]) as guest:
        yield guest


@pytest.fixture
async def guest(tmp_path):
    async with guest_at(tmp_path) as made:
        yield made


@pytest.fixture
async def remote(guest):
    async with remote_of(guest) as made:
        yield made


@pytest.fixture
async def link(guest, remote):
    """A link to an armed guest."""
    from tests.ssh.guest import LEASE

    made = await remote.connect(guest.target())
    await made.arm(LEASE)
    return made


@pytest.fixture
def base(tmp_path):
    """A user's folder."""
    folder = tmp_path / "base"
    folder.mkdir()
    return folder


@pytest.fixture
def into(tmp_path):
    """An empty folder for what comes home."""
    folder = tmp_path / "into"
    folder.mkdir()
    return folder
