from __future__ import annotations

import pytest

from tests.files.project import plant


@pytest.fixture
def here(tmp_path):
    """A project as users have them."""
    tree = {
        "train.py": "train",
        "src/a.py": "a",
        "src/deep/b.py": "b",
        "src/empty": None,
        "configs/a.yaml": "one",
        "configs/b.yaml": "two",
    }
    return plant(tmp_path / "here", tree)


@pytest.fixture
def beside(tmp_path):
    """A folder that is not in the project."""
    return plant(tmp_path / "beside", {"big/x.csv": "x", "big/y.csv": "y", "one.csv": "1"})
