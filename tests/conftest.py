"""What holds for all tests: no profiles and no cached prices of the person who runs them."""

import pytest


@pytest.fixture(autouse=True)
def nobody(monkeypatch, tmp_path_factory):
    """Folders of settings and caches that are not the user's."""
    monkeypatch.setenv("ASPOT_CONFIG_DIR", str(tmp_path_factory.getbasetemp() / "no-settings"))
    monkeypatch.setenv("ASPOT_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "some-cache"))
