"""The command line, in process and as processes, against a real local cloud."""

import sys
from pathlib import Path

import pytest

from aspot.cli.main import main

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "worlds"))

from fleet import fleet_of, machine
from local_world import cloud, shared_cloud
from wires import wire

__all__ = ["cloud", "fleet_of", "machine", "shared_cloud", "wire"]


@pytest.fixture
def aspot(capfd):
    """Run one command line; return (exit code, stdout, stderr)."""

    def call(*words):
        code = main([str(word) for word in words])
        told = capfd.readouterr()
        return code, told.out, told.err

    return call


@pytest.fixture
def start(request):
    """Start `aspot` as a process (a class of `processes` first); whatever the test forgets is killed."""

    def call(kind, *words, **options):
        started = kind(*words, **options)
        request.addfinalizer(started.kill)
        return started

    return call
