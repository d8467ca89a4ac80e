"""What holds for all tests: no profiles and no cached prices of the person who runs them, and Ctrl-C works.

The local cloud's fixtures are here so that a worker starts one daemon, whatever folders its tests come from.
"""

import gc
import signal
import sys
from pathlib import Path

import pytest
from hypothesis import settings

sys.path.insert(0, str(Path(__file__).parent / "worlds"))

from local_world import cloud, shared_cloud

__all__ = ["cloud", "shared_cloud"]

signal.signal(signal.SIGINT, signal.default_int_handler)  # what a shell starts with `&` ignores it, and all below too
settings.register_profile("aspot", deadline=None)
settings.load_profile("aspot")


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path_factory):
    """Folders of settings and caches that are not the user's."""
    monkeypatch.setenv("ASPOT_CONFIG_DIR", str(tmp_path_factory.getbasetemp() / "no-settings"))
    monkeypatch.setenv("ASPOT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "some-cache"))


def pytest_collection_finish():
    """Let the garbage collector pass over what is imported by now: it stays."""
    gc.collect()
    gc.freeze()
