"""Changes files of profiles: comments, order and layout stay. Nothing is written that could not be read again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from aspot.errors import ConfigError
from aspot.profiles.firewall import PROTOCOLS, rule
from aspot.profiles.profile import guess
from aspot.profiles.read import KEYS, LISTS, PROFILE_NAME, Entry, checked, loaded, parse, text_of

TEMPLATE = """\
# Profiles of aspot: what kind of machine, where, bought how. `aspot profiles show NAME` tells what one comes down to.
# What a profile leaves open comes from the one it extends, then from [default].
#
# [train]
# extends = "gpu"
# max_price = 1.5
"""


def values_of(words: list[str], *, folder: Path) -> dict[str, Any]:
    """Return what `KEY=VALUE...` asks for, as TOML has it; None takes a key away.

    Args:
        words: Such as `types=c7g.large,m7g.large`, `max_price=0.5`, `user=`.
        folder: Of the file they are for: a setup script in it is named from there.

    Raises:
        ConfigError: If one cannot work.
    """
    found: dict[str, Any] = {}
    for word in words:
        key, sign, text = word.partition("=")
        key = key.strip().replace("-", "_")
        if not sign:
            raise ConfigError(f"{word!r} is not KEY=VALUE", fix=f"write {key}=VALUE, or {key}= to take it away")
        if key not in KEYS:
            raise ConfigError(f"there is no option {key!r}", fix=guess(key, KEYS, f"one of: {', '.join(KEYS)}"))
        found[key] = _value(key, text.strip(), folder) if text.strip() else None
    return found


def _value(key: str, text: str, folder: Path) -> Any:
    if key in LISTS:
        items = [item.strip() for item in text.split(",") if item.strip()]
        value: Any = [_rule(item) for item in items] if key == "firewall" else items
    elif key == "max_price":
        try:
            value = float(text.removeprefix("$"))
        except ValueError:
            value = text
    elif key == "monitoring":
        value = {"true": True, "false": False}.get(text.lower(), text)
    elif key == "setup" and "\n" not in text:
        script = Path(text).expanduser().absolute()
        if not script.is_file():
            raise ConfigError(f"setup: no such file: {text}", fix="name a shell script here")
        value = str(script.relative_to(folder) if script.is_relative_to(folder) else script)
    else:
        value = text
    checked(key, value, folder=Path.cwd())
    return value


def _rule(text: str) -> str | list[str | int]:
    """Return a firewall rule as TOML has it: a CIDR, or `tcp:8888:CIDR` as a list."""
    found = rule(text)
    return list(found) if text.lower().startswith(PROTOCOLS) else text


def change(
    path: Path, source: str, name: str, values: Mapping[str, Any], *, check: Callable[[list[Entry]], object]
) -> bool:
    """Change options of a profile in a file; both are made if they are not there.

    Args:
        path: The file.
        source: `user` or `project`.
        name: The profile's.
        values: By key; None takes one away.
        check: Is shown what the file would say, before it is written; raises ConfigError to refuse it.

    Returns:
        Whether the file had such a profile.

    Raises:
        ConfigError: If the file cannot be read or written, or what it would hold could not be used.
    """
    if not PROFILE_NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a profile", fix="use letters, digits, '.', '_', '-'")
    with _alone(path):
        before = text_of(path)
        document = loaded(before or "", path)
        holder = document.get("profiles", {}) if source == "project" else document
        if not isinstance(holder, dict) or not isinstance(holder.get(name, {}), dict):
            parse(before or "", path=path, source=source)  # says which line that is
        was_there = name in holder
        after = _changed(before or "", source, name, values)
        check(parse(after, path=path, source=source))
        _write(path, after)
    return was_there


def _changed(text: str, source: str, name: str, values: Mapping[str, Any]) -> str:
    import tomlkit

    document = tomlkit.parse(text)
    holder: Any = document
    if source == "project":
        if "profiles" not in document:
            document.add("profiles", tomlkit.table(is_super_table=True))
        holder = document["profiles"]
    if name not in holder:
        if text.strip() and source == "user":
            document.add(tomlkit.nl())
        holder[name] = tomlkit.table()
    table = holder[name]
    tail = _cut_tail(table)
    for key, value in values.items():
        if value is None:
            table.pop(key, None)
        else:
            table[key] = value
    table.value.body.extend(tail)
    return tomlkit.dumps(document)


def _cut_tail(table: Any) -> list[Any]:
    """Take off and return what stands after a table's keys from the first blank line on: it is about what follows."""
    from tomlkit.items import InlineTable, Whitespace

    if isinstance(table, InlineTable):
        return []
    body = table.value.body
    last = max((place for place, (key, _) in enumerate(body) if key is not None), default=-1)
    blank = next((place for place in range(last + 1, len(body)) if isinstance(body[place][1], Whitespace)), len(body))
    tail = body[blank:]
    del body[blank:]
    return list(tail)


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Let no other process of aspot change files of this folder meanwhile."""
    descriptor = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(path.parent, os.O_RDONLY)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    except OSError as error:
        raise ConfigError(f"{path} cannot be written: {error.strerror}", fix=f"ls -ld {path.parent} {path}") from error
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _write(path: Path, text: str) -> None:
    """Write a file in one step, through a link that stands for it, with the rights that it had."""
    path = path.resolve()
    with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as file:
        try:
            file.write(text)
            os.fchmod(file.fileno(), path.stat().st_mode & 0o777 if path.exists() else 0o644)
            file.flush()
            os.replace(file.name, path)
        except BaseException:
            os.unlink(file.name)
            raise
