"""A user's and a project's files of profiles."""

from pathlib import Path

import pytest


@pytest.fixture
def user(tmp_path, monkeypatch):
    """Return a function that writes the user's file and returns its path."""
    monkeypatch.setenv("ASPOT_CONFIG_DIR", str(tmp_path / "config"))
    return lambda text: _write(tmp_path / "config" / "profiles.toml", text)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a function that writes the project's file; the working directory is two folders below it."""
    below = tmp_path / "project" / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    return lambda text: _write(tmp_path / "project" / "aspot.toml", text)


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
