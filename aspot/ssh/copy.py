"""Files to and from a machine outside of any job: the verified streams of deliveries and results, for `aspot cp`.

The machine's half travels along: it needs nothing of ours there. May import: anyio, `aspot.files`, `aspot.ssh`.
"""

from __future__ import annotations

import functools
import re
import shlex
from collections.abc import Callable, Collection
from importlib import resources
from pathlib import Path

import anyio.to_thread
import asyncssh
import attrs

from aspot.files import patterns
from aspot.files.parcel import Hashes, pack
from aspot.files.patterns import Pattern
from aspot.files.scan import scan_everything
from aspot.machine.model import Collected
from aspot.ssh.collect import bring_files
from aspot.ssh.exchange import PATIENCE_S, Exchange, exchange
from aspot.ssh.upload import PLACE_S, How, Load

Progress = Callable[[int, int], None]
"""Told bytes done and bytes in all."""

_WILD = re.compile(r"[*?\[]")


@attrs.frozen(kw_only=True)
class Source:
    """What to bring from a machine.

    Args:
        folder: Where to look; relative to the home, or absolute.
        pattern: Below it; "" is all that is in it.
    """

    folder: str
    pattern: str

    @classmethod
    def of(cls, path: str) -> Source:
        """Return what a path on a machine means.

        >>> Source.of("~/out/*.pt"), Source.of("/data/model/")
        (Source(folder='out', pattern='*.pt'), Source(folder='/data', pattern='model'))
        >>> Source.of(""), Source.of("runs/*/a.txt")
        (Source(folder='.', pattern=''), Source(folder='runs', pattern='*/a.txt'))
        """
        parts = [part for part in home_relative(path).split("/") if part not in ("", ".")]
        root = "/" if path.startswith("/") else ""
        wild = next((at for at, part in enumerate(parts) if _WILD.search(part)), len(parts))
        cut = min(wild, len(parts) - 1 if parts and parts[-1] != ".." else len(parts))
        return cls(folder=root + "/".join(parts[:cut]) or ".", pattern="/".join(parts[cut:]))

    @property
    def is_one(self) -> bool:
        """Tell whether it names one file or folder, by its own name."""
        return bool(self.pattern) and not _WILD.search(self.pattern)


def home_relative(path: str) -> str:
    """Return the path without a leading `~/`: relative paths are below the home anyway."""
    return "" if path == "~" else path.removeprefix("~/")


async def put(
    connection: asyncssh.SSHClientConnection,
    items: Collection[tuple[Path, str]],
    dest: str,
    *,
    is_folder: bool,
    progress: Progress,
) -> tuple[int, int]:
    """Put local files and folders on a machine, all of them or none; return (files, bytes).

    Args:
        connection: Verified.
        items: Local path and the name it is to have there; "" for all that is in it.
        dest: Where they go; below the home unless absolute.
        is_folder: Whether `dest` is a folder even if there is none yet; else a single item is called so.
        progress: Told how far it is.

    Raises:
        Undeliverable: If they cannot be read here.
        CommandRefused: If they cannot be put there.
        LinkDropped: If the connection broke.
    """
    scan = await anyio.to_thread.run_sync(scan_everything, tuple(items))
    parcel = await anyio.to_thread.run_sync(pack, scan, Hashes())
    load = Load(parcel=parcel, saved=None, how=How.FULL)
    how = "into" if is_folder else "as"
    async with exchange(connection, _line("put", str(load.length), how, home_relative(dest) or ".")) as there:
        await _send(load, there, progress)
        there.patience_s = PLACE_S
        await there.greeted()
        await there.line()
        await there.ended()
    return parcel.count(tuple(parcel.entries))


async def _send(load: Load, there: Exchange, progress: Progress) -> None:
    pieces, done, total = load.stream(), 0, load.length
    while piece := await anyio.to_thread.run_sync(next, pieces, b""):
        await there.send(piece)
        done += len(piece)
        progress(done, total)


async def take(
    connection: asyncssh.SSHClientConnection, source: Source, into: Path, *, progress: Progress
) -> Collected:
    """Bring what a source names into an empty local folder, every file checked.

    Raises:
        Damaged: If what came is not what was announced.
        CommandRefused: If it cannot be read there.
        LinkDropped: If the connection broke.
    """
    wanted, _ = patterns.parse([source.pattern])
    async with exchange(connection, _line("take")) as there:
        asked = f"{source.folder}\n{_roots(wanted, source)}\n\n"
        await there.send(asked.encode("utf-8", "surrogateescape"))
        there.patience_s = PLACE_S
        await there.greeted()
        there.patience_s = PATIENCE_S
        return await bring_files(there, wanted, into, progress=progress)


def _roots(wanted: tuple[Pattern, ...], source: Source) -> str:
    """Return what the machine is to list: what its own shell makes of the wildcards, but for `**`."""
    if "**" in source.pattern.split("/"):
        return f"./{wanted[0].root}".rstrip("/")
    return f"./{source.pattern}".rstrip("/")


def _line(*words: str) -> str:
    return f"exec /bin/sh -c {shlex.quote(_script())} sh {' '.join(map(shlex.quote, words))}"


@functools.cache
def _script() -> str:
    return resources.files("aspot.ssh").joinpath("copy.sh").read_text(encoding="utf-8")
