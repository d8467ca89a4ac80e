"""The command line, in process, against a real local cloud: one for all tests of a worker."""

import asyncio
import os

import pytest

from aspot.cli.main import main
from aspot.local import LocalCloud

LAUNCHES = ("CreateFleet", "RunInstances")


class Cloud:
    """A local cloud for synchronous tests."""

    def __init__(self, cloud):
        self._cloud = cloud

    def __getattr__(self, name):
        return lambda *words, **options: asyncio.run(getattr(self._cloud, name)(*words, **options))

    @property
    def env(self):
        return self._cloud.env

    def launches(self):
        return sum(number for name, number in self.calls().items() if name in LAUNCHES)

    def alive(self):
        return [item for item in self.instances() if item["state"] in ("pending", "running")]


@pytest.fixture(scope="session")
def shared_cloud(tmp_path_factory):
    cloud = LocalCloud(folder=tmp_path_factory.mktemp("cloud"), seed=5, boot="0.1-0.3")
    asyncio.run(cloud.start())
    yield Cloud(cloud)
    asyncio.run(cloud.aclose())


@pytest.fixture
def cloud(shared_cloud, tmp_path, monkeypatch):
    """The cloud, with the environment pointing at it, and a folder of one's own to work in."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in shared_cloud.env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ASPOT_STATE_DIR", str(tmp_path / "state"))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    shared_cloud.clear_faults()
    shared_cloud.reset_calls()
    return shared_cloud


@pytest.fixture
def aspot(capfd):
    """Run one command line; return (exit code, stdout, stderr)."""

    def call(*words):
        code = main([str(word) for word in words])
        told = capfd.readouterr()
        return code, told.out, told.err

    return call
