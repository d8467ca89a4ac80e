"""Whole runs through the public API, against a real local cloud: real AWS wire, real SSH."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "worlds"))

from local_world import cloud, shared_cloud

__all__ = ["cloud", "shared_cloud"]


@pytest.fixture
def anyio_backend():
    return "asyncio"
