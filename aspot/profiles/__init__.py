"""Profiles: what kind of machine, where, bought how; from Python, from TOML files, or built in."""

from aspot.profiles.profile import Profile
from aspot.profiles.shelf import resolve

__all__ = ["Profile", "resolve"]
