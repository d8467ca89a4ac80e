"""Reads profiles from TOML: typed, unknown keys refused, each problem with its file and line."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs

from aspot.errors import ConfigError
from aspot.profiles.profile import OPTIONS, Profile, guess

KEYS = ("extends", *OPTIONS)
LISTS = frozenset({"types", "regions", "zones", "firewall"})
SWITCHES = frozenset({"monitoring"})
TOGETHER: Mapping[str, tuple[str, ...]] = {
    "regions": ("region",),
    "zones": ("region", "regions"),
    "image": ("regions",),
    "security_group": ("regions",),
}
"""Keys that have to fit others beside them."""
PROFILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")
_AT_LINE = re.compile(r"\(at line (\d+), column \d+\)$")


@attrs.frozen(kw_only=True)
class Entry:
    """What one file says of one profile.

    Args:
        name: The profile's.
        source: `project`, `user` or `built-in`.
        options: Options of `Profile` that it sets.
        extends: The profile it extends; None: `default`.
        path: The file; None for built-in ones.
        lines: The line of each key, and of the profile itself under "".
    """

    name: str
    source: str
    options: Mapping[str, Any]
    extends: str | None = None
    path: Path | None = None
    lines: Mapping[str, int] = attrs.field(factory=dict)

    def place(self, key: str = "") -> str:
        """Return where a key stands, as editors understand it: `FILE:LINE`."""
        if self.path is None:
            return self.source
        return f"{self.path}:{self.lines.get(key, self.lines.get('', 1))}"


def read(path: Path, source: str) -> list[Entry]:
    """Return the profiles of a file, in its order; none if there is no such file.

    Args:
        path: The file.
        source: `user`, or `project`: there they stand below `[profiles]`.

    Raises:
        ConfigError: If it cannot be read, or something in it cannot work: every such thing is named.
    """
    text = text_of(path)
    return [] if text is None else parse(text, path=path, source=source)


def text_of(path: Path) -> str | None:
    """Return a file's text; None if there is no such file.

    Raises:
        ConfigError: If it cannot be read.
    """
    try:
        return path.read_bytes().decode("utf-8-sig")  # line ends as they are
    except FileNotFoundError:
        return None
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise ConfigError(f"{path}:{line}: this is not UTF-8 text", fix="save the file as UTF-8") from error
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", fix=f"look at it: ls -l {path}") from error


def parse(text: str, *, path: Path, source: str) -> list[Entry]:
    """Return the profiles of a text; arguments and errors as of `read`."""
    from aspot.profiles.toml_lines import lines_of

    data = loaded(text, path)
    reader = _Reader(path=path, source=source, lines=lines_of(text.replace("\r\n", "\n")))
    entries = list(reader.entries(data))
    reader.report()
    return entries


def loaded(text: str, path: Path) -> dict[str, Any]:
    """Return a TOML document, whatever it says.

    Raises:
        ConfigError: If it is none, with the line.
    """
    import tomllib

    try:
        return tomllib.loads(text.replace("\r\n", "\n"))
    except tomllib.TOMLDecodeError as error:
        at = _AT_LINE.search(str(error))
        line = int(at[1]) if at else text.count("\n") + 1
        words = _AT_LINE.sub("", str(error)).strip()
        raise ConfigError(f"{path}:{line}: {words[:1].lower()}{words[1:]}", fix="see https://toml.io") from error


@attrs.frozen(kw_only=True)
class _Reader:
    path: Path
    source: str
    lines: dict[tuple[str, ...], int]
    problems: list[tuple[int, str, str]] = attrs.field(factory=list)

    def entries(self, data: Mapping[str, Any]) -> Iterator[Entry]:
        inside: tuple[str, ...] = ()
        if self.source == "project":
            for key in data:
                if key != "profiles":
                    self._problem((key,), f"{key!r} means nothing here", "profiles stand below [profiles.NAME]")
            inside, data = ("profiles",), data.get("profiles", {})
            if not isinstance(data, dict):
                self._problem(inside, "profiles must be tables", "write [profiles.NAME] above its options")
                return
        for name, table in data.items():
            if not isinstance(table, dict):
                fix = f"write [{'.'.join((*inside, 'default'))}] above it" if name in KEYS else f"write [{name}]"
                self._problem((*inside, name), f"{name!r} stands outside of a profile", fix)
            elif not PROFILE_NAME.fullmatch(name):
                self._problem((*inside, name), f"{name!r} cannot name a profile", "use letters, digits, '.', '_', '-'")
            else:
                yield self._entry(name, table, (*inside, name))

    def _entry(self, name: str, table: Mapping[str, Any], path: tuple[str, ...]) -> Entry:
        from aspot.profiles.toml_lines import line_of

        options = {key: self._option(key, value, (*path, key)) for key, value in table.items()}
        self._check_together(options, path)
        return Entry(
            name=name,
            source=self.source,
            extends=options.pop("extends", None),
            options=options,
            path=self.path,
            lines={"": line_of(self.lines, path), **{key: line_of(self.lines, (*path, key)) for key in table}},
        )

    def _check_together(self, options: Mapping[str, Any], path: tuple[str, ...]) -> None:
        """Note the first of what contradicts each other in one profile, at the line of the key that does."""
        for key, others in TOGETHER.items():
            given = {name: options[name] for name in (key, *others) if options.get(name)}
            try:
                Profile(**given)
            except ConfigError as error:
                self._problem((*path, key), f"[{'.'.join(path)}] {error.message}", error.fix)
                return

    def _option(self, key: str, value: Any, path: tuple[str, ...]) -> Any:
        try:
            return checked(key, value, folder=self.path.parent, names=".".join(path))
        except ConfigError as error:
            self._problem(path, f"[{'.'.join(path[:-1])}] {error.message}", error.fix)
            return None

    def _problem(self, path: tuple[str, ...], message: str, fix: str) -> None:
        from aspot.profiles.toml_lines import line_of

        self.problems.append((line_of(self.lines, path), message, fix))

    def report(self) -> None:
        """Raise what was found, each with its line."""
        if not self.problems:
            return
        first, *more = sorted(self.problems)
        lines = [f"{self.path}:{line}: {message}" for line, message, _ in (first, *more)]
        raise ConfigError("\n".join(lines), fix=first[2])


def checked(key: str, value: Any, *, folder: Path, names: str = "") -> Any:
    """Return the value of one key as `Profile` keeps it.

    Args:
        key: The key.
        value: As TOML has it.
        folder: What a relative path of a setup script is relative to.
        names: The key with the names above it, for a dotted one that was not quoted.

    Raises:
        ConfigError: If there is no such key, or the value cannot work.
    """
    if key not in KEYS:
        if isinstance(value, dict):
            raise ConfigError(f"there is no option {key!r}", fix=f'a name with dots needs quotes: ["{names}"]')
        raise ConfigError(f"there is no option {key!r}", fix=guess(key, KEYS, f"one of: {', '.join(KEYS)}"))
    is_misplaced = isinstance(value, bool) and key not in SWITCHES
    if is_misplaced or isinstance(value, dict) or (isinstance(value, list) and (key not in LISTS or not value)):
        raise ConfigError(f"{key} cannot be {value!r}", fix=f"leave {key} out, or write {EXAMPLES[key]}")
    if key == "extends":
        if not isinstance(value, str):
            raise ConfigError(f"extends names one profile, not {value!r}", fix=f"write {EXAMPLES[key]}")
        return value
    if key == "setup" and isinstance(value, str) and value.strip() and not is_text(value):
        return folder / Path(value).expanduser()
    return getattr(Profile(**{key: value}), key)


def is_text(setup: str) -> bool:
    """Tell whether a setup script is given as its text: a path has no line breaks and no shebang."""
    return "\n" in setup or setup.startswith("#!")


EXAMPLES: Mapping[str, str] = {
    "extends": 'extends = "gpu"',
    "types": 'types = ["c7i.large", "m7i.large"]',
    "region": 'region = "us-east-1"',
    "regions": 'regions = ["us-east-1", "eu-west-1"]',
    "zones": 'zones = ["us-east-1a"]',
    "image": 'image = "al2023"',
    "user": 'user = "ec2-user"',
    "market": 'market = "spot"',
    "allocation": 'allocation = "capacity-optimized"',
    "max_price": "max_price = 0.5",
    "disk": 'disk = "20 GB"',
    "setup": 'setup = "setup.sh"',
    "instance_profile": 'instance_profile = "my-role"',
    "key_pair": 'key_pair = "my-key"',
    "security_group": 'security_group = "sg-0123456789abcdef0"',  # or its name
    "monitoring": "monitoring = true",
    "firewall": 'firewall = ["203.0.113.7/32"]',
}
"""How each key is written."""
