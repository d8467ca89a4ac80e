"""All profiles that can be named here, and what each comes down to.

The project's file counts before the user's, and that before what is built in: key by key. What is still open comes
from the profile it extends, and at last from `default`, so that a region set there holds for all.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import attrs

from aspot.errors import ConfigError
from aspot.machine.pool import region_of
from aspot.profiles.builtin import BUILT_IN, COMMON, built_in
from aspot.profiles.places import project_file, user_file
from aspot.profiles.profile import OPTIONS, Profile, guess
from aspot.profiles.read import Entry, is_text, read

DEFAULT = "default"


def resolve(profile: str | Profile) -> Profile:
    """Return the profile with everything filled in that its base, the files and `default` say.

    Args:
        profile: A profile's name, an instance type's, or a `Profile` that extends one of them.

    Raises:
        ConfigError: If there is no such profile, or a file of profiles cannot be used.
    """
    return Shelf.open().resolve(profile)


@attrs.frozen(kw_only=True)
class Option:
    """One option of a profile, and who says so."""

    key: str
    value: Any
    entry: Entry


@attrs.frozen
class Shelf:
    """The profiles of one place.

    Args:
        entries: Of files; those that count first come first.
    """

    entries: Sequence[Entry] = ()

    @classmethod
    def open(cls, folder: Path | None = None, *, without: str = "") -> Self:
        """Read the files.

        Args:
            folder: Where the project's is looked for; None for the working directory.
            without: Which file to leave out: `project` or `user`.

        Raises:
            ConfigError: If one cannot be used.
        """
        project = None if without == "project" else project_file(folder)
        own = () if without == "user" else read(user_file(), "user")
        return cls([*(read(project, "project") if project else ()), *own])

    def with_file(self, source: str, entries: Sequence[Entry]) -> Shelf:
        """Return the shelf as it would be if a file said this.

        Args:
            source: Which file: `project` or `user`.
            entries: What it would say.
        """
        rest = [entry for entry in self.entries if entry.source != source]
        return Shelf([*entries, *rest] if source == "project" else [*rest, *entries])

    def names(self) -> list[str]:
        """Return the names of all profiles but those that are mere instance types."""
        return list(dict.fromkeys([*(entry.name for entry in self.entries), *BUILT_IN]))

    def layers(self, name: str) -> list[Entry]:
        """Return what is said of a profile, what counts first first; empty if there is none.

        Who extends another by name in a file does without what is built in under that name.
        """
        found = [entry for entry in self.entries if entry.name == name]
        known = None if name in BUILT_IN and any(entry.extends for entry in found) else built_in(name)
        return found if known is None else [*found, Entry(name=name, source="built-in", options=known)]

    def options(self, name: str) -> dict[str, Option]:
        """Return every option of a profile that is set, by key, and who says so.

        Raises:
            ConfigError: If it, or one that it extends, does not exist, or they extend each other.
        """
        found: dict[str, Option] = {}
        for entry in self._chain(name):
            known = {key: option.value for key, option in found.items()}
            for key, value in entry.options.items():
                if key not in found and not _is_moot(key, value, known):
                    found[key] = Option(key=key, value=value, entry=entry)
        return {key: found[key] for key in OPTIONS if key in found}

    def base_of(self, name: str) -> str | None:
        """Return the profile that one extends by name; None for `default` alone."""
        return next((entry.extends for entry in self.layers(name) if entry.extends), None)

    def _chain(self, name: str) -> Iterator[Entry]:
        """Yield everything that is said of a profile, of those it extends, and of `default`."""
        names = self.ancestors(name)
        names += [one for one in self.ancestors(DEFAULT) if one not in names]
        for one in names:
            yield from self.layers(one)
        yield Entry(name=DEFAULT, source="built-in", options=BUILT_IN[DEFAULT])

    def ancestors(self, name: str) -> list[str]:
        """Return a profile and those that it extends by name; raises as `options`."""
        names: list[str] = []
        said_by: Entry | None = None
        while True:
            layers = self.layers(name)
            where = f"{said_by.place('extends')}: [{said_by.name}] " if said_by else ""
            if name in names:
                raise ConfigError(
                    f"{where}extends {name!r}, which extends it: {' → '.join([*names, name])}", fix="take one away"
                )
            if not layers:
                raise ConfigError(
                    f"{where and where + 'extends a profile that is not there: '}there is no profile {name!r}",
                    fix=self._nearest(name),
                )
            names.append(name)
            said_by = next((entry for entry in layers if entry.extends), None)
            if said_by is None or said_by.extends is None:
                return names
            name = said_by.extends

    def _nearest(self, name: str) -> str:
        known = [*self.names(), *COMMON]
        return guess(name, known, "use 'default', an instance type such as 'c7i.large', or one of: aspot profiles ls")

    def check(self) -> None:
        """Look at every profile of a file.

        Raises:
            ConfigError: If one cannot be used.
        """
        for entry in self.entries:
            self.resolve(entry.name)

    def resolve(self, profile: str | Profile) -> Profile:
        """Return a profile with everything filled in; arguments and errors as of the function."""
        own = Profile(profile) if isinstance(profile, str) else profile
        options = self.options(own.base if own.base is not None else DEFAULT)
        options = {key: option for key, option in options.items() if not _is_moot(key, option.value, own.given)}
        setup = own.setup if own.setup is not None else options["setup"].value if "setup" in options else None
        where = "" if own.setup is not None or "setup" not in options else options["setup"].entry.place("setup") + ": "
        values = {key: option.value for key, option in options.items()} | own.given
        return Profile(own.base, **values | {"setup": _script(setup, where)})


def _is_moot(key: str, value: Any, nearer: Mapping[str, Any]) -> bool:
    """Tell whether an option means nothing beside those that count before it.

    A login user belongs to the image it was named with, and zones to their regions; one region stands for several, and
    several for one.
    """
    if key == "user":
        return "image" in nearer
    if key in ("region", "regions"):
        return bool(nearer.keys() & {"region", "regions"})
    if key == "zones":
        places = nearer.get("regions") or [nearer[name] for name in ("region",) if name in nearer]
        return bool(places) and {region_of(zone) for zone in value} != set(places)
    return False


def _script(setup: str | Path | None, where: str) -> str | None:
    """Return a setup script's text.

    Raises:
        ConfigError: If its file cannot be read.
    """
    if setup is None or (isinstance(setup, str) and (is_text(setup) or not _is_file(setup))):
        return setup
    try:
        return Path(setup).expanduser().read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(
            f"{where}the setup script {setup} cannot be read: {why}",
            fix="name a shell script, or write its commands over several lines",
        ) from error


def _is_file(path: str) -> bool:
    try:
        return Path(path).expanduser().is_file()
    except OSError:  # too long for a name: a command
        return False
