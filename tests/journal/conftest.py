from __future__ import annotations

from datetime import UTC, datetime

import pytest

from aspot.journal.sqlite import SqliteJournal
from aspot.machine.model import RunSpec

AT = datetime(2026, 11, 23, 16, 7, tzinfo=UTC)
RUN = "01" + "k" * 24


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def state(tmp_path, monkeypatch):
    """The state folder of this test."""
    monkeypatch.setenv("ASPOT_STATE_DIR", str(tmp_path / "state"))
    return tmp_path / "state"


@pytest.fixture
def spec():
    return RunSpec(id=RUN, name="study", region="us-east-1", budget_usd=5.0)


@pytest.fixture
async def journal(state, spec):
    made = SqliteJournal.create(spec, created=AT, options={"results": "here"})
    yield made
    await made.aclose()
