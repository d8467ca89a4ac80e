"""Files to and from a box: verified by their hashes, placed whole."""

from __future__ import annotations

import os
import posixpath
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import anyio.to_thread

from aspot.boxes.box import Box
from aspot.errors import ConfigError, LinkError
from aspot.files import patterns
from aspot.ports import Undeliverable

Local = str | Path | Mapping[str, str]


def pairs(paths: Iterable[Local]) -> list[tuple[str, str]]:
    """Return (path here, name there or "") for each thing to send.

    Raises:
        ConfigError: If there is none.
    """
    found: list[tuple[str, str]] = []
    for path in paths:
        if isinstance(path, Mapping):
            found += [(str(local), str(remote)) for local, remote in path.items()]
        elif isinstance(path, str | Path) and str(path):
            found.append((str(path), ""))
        else:
            raise ConfigError(f"{path!r} is not a path", fix='await box.upload("src", "test.py")')
    if not found:
        raise ConfigError("no file was named", fix='await box.upload("src", "test.py")')
    return found


def check(paths: Iterable[Local]) -> None:
    """Refuse files that cannot be sent, before a machine is made for them. Reads no contents.

    Raises:
        ConfigError: If one is not there, or cannot travel.
    """
    from aspot.files.scan import scan_uploads

    try:
        scan_uploads(Path.cwd(), pairs(paths))
    except Undeliverable as error:
        raise ConfigError(error.reason, fix="name what exists here") from error


async def upload(box: Box, paths: Iterable[Local], to: str) -> tuple[str, ...]:
    """Send files; return notes on what was left out."""
    wanted = pairs(paths)
    _, _, notes = await box.on_link(lambda link: link.put(Path.cwd(), wanted, to))
    return notes


async def download(box: Box, paths: Sequence[str], to: str | Path) -> list[Path]:
    """Bring files; return them. What is not there is an error, raised once everything else is here.

    Raises:
        ConfigError: If nothing was named.
        LinkError: If something is not there, or was not taken.
    """
    if not paths:
        raise ConfigError("no file was named", fix='await box.download("out/model.pt")')
    home = box.facts.home if box.facts is not None else ""
    brought: list[Path] = []
    missing: list[str] = []
    into = await anyio.to_thread.run_sync(_made, to)
    for folder, names in _by_folder(paths, home).items():
        files, absent = await _bring(box, folder, names, into)
        brought += files
        missing += absent
    if missing:
        raise LinkError(
            f"{box.name} did not send {', '.join(missing[:5])}{' and more' if len(missing) > 5 else ''}",
            instance=box.instance,
            fix=f"what else was asked for is in {to}; names are relative to {home or 'the home folder'} there",
        )
    return brought


def _made(to: str | Path) -> Path:
    into = Path(os.path.expanduser(to))
    try:
        into.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{into} cannot be written to: {error.strerror}", fix="name a folder with to=") from error
    return into


def _by_folder(paths: Sequence[str], home: str) -> dict[str, list[str]]:
    """Return the names to ask for, by the folder that they are relative to: home, or for others their own."""
    found: dict[str, list[str]] = {}
    for given in map(str, paths):
        path = given.removeprefix("~/") if given.startswith("~/") else "." if given == "~" else given
        if home and path.startswith(f"{home}/"):
            path = path.removeprefix(f"{home}/")
        plain = posixpath.normpath(path)
        if plain.startswith(("/", "../")) or plain == "..":
            folder, name = posixpath.split(plain)
            if not name or name == ".." or any(patterns.parse([part])[0] == () for part in [name]):
                raise ConfigError(f"{given!r} cannot be brought as a whole", fix="name a file or folder in it")
            found.setdefault(folder, []).append(name)
        else:
            found.setdefault("~", []).append(plain)
    return found


async def _bring(box: Box, folder: str, names: Sequence[str], to: Path) -> tuple[list[Path], tuple[str, ...]]:
    """Bring what is in one folder, first beside its place, then into it: a broken connection leaves nothing half."""
    with tempfile.TemporaryDirectory(prefix=".aspot-", dir=to) as staging:
        tries = iter(range(1, 100))

        async def fetch(link):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202 - a link, imported late
            into = Path(staging) / str(next(tries))
            into.mkdir()
            return into, await link.get(folder, names, into)

        into, (files, missing) = await box.on_link(fetch)
        return await anyio.to_thread.run_sync(_place, into, files, to), missing


def _place(staged: Path, files: Sequence[str], to: Path) -> list[Path]:
    """Move what came into its place, over older files."""
    placed = []
    for folder, _, _ in os.walk(staged):
        (to / Path(folder).relative_to(staged)).mkdir(parents=True, exist_ok=True)
    for name in files:
        (staged / name).replace(to / name)
        placed.append(to / name)
    return placed
