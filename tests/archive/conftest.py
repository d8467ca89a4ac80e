from __future__ import annotations

import pytest

from aspot.archive.local import LocalArchive

RUN = "01" + "k" * 24


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def archive(tmp_path):
    made = LocalArchive(tmp_path / "results", "study", run=RUN)
    made.prepare()
    return made


def tree(folder):
    """Return every file below a folder with its content."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
