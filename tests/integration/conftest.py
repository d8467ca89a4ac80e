"""Whole runs through the public API, against a real local cloud: real AWS wire, real SSH."""

import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"
