"""The command line, in process and as processes, against a real local cloud."""

import os
import shutil
import sys
from pathlib import Path

import pytest

from aspot.cli.main import main

sys.path.insert(0, str(Path(__file__).parent))

from fleet import fleet_of, machine
from local_world import left_here
from stores import box, bucket, held, role
from wires import wire

__all__ = ["box", "bucket", "fleet_of", "held", "machine", "role", "wire"]


@pytest.fixture(autouse=True)
def _unmeasured_processes(monkeypatch):
    """Measuring each `aspot` process would take a third of its time; what they run is measured in process, too."""
    monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


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


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """Go to another computer: nothing of the first one is there any more but the files that are carried along."""
    homes = []

    def go(*carried):
        number = len(homes) + 1
        here = tmp_path / f"there-{number}"
        (here / "work").mkdir(parents=True)
        taken = [shutil.copy(path, here / "work") for path in carried]
        state = Path(os.environ["ASPOT_STATE_DIR"])
        if state.exists():
            state.rename(state.with_name(f"{state.name}-gone-{number}"))
        old = Path.cwd()
        monkeypatch.chdir(here / "work")
        old.rename(old.with_name(f"{old.name}-gone-{number}"))
        monkeypatch.setenv("ASPOT_STATE_DIR", str(here / "state"))
        monkeypatch.setenv("HOME", str(here))
        homes.append(here / "state")
        return taken

    yield go
    left = [item for home in homes[-1:] for item in left_here(home)]
    assert not left, f"left in the state folder: {left}"
