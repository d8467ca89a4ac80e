"""Files to and from a machine outside of any job: the verified streams of deliveries and results, for `aspot cp`.

The machine's half travels along: it needs nothing of ours there. May import: anyio, `aspot.files`, `aspot.ssh`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Collection
from importlib import resources
from pathlib import Path

import anyio.to_thread
import asyncssh
import attrs

from aspot.files import patterns
from aspot.files.haul import Damaged
from aspot.files.parcel import Hashes, Parcel, pack
from aspot.files.patterns import Pattern
from aspot.files.scan import scan_everything
from aspot.machine.model import Collected
from aspot.ssh.collect import bring_files
from aspot.ssh.exchange import PATIENCE_S, Exchange, exchange, plain
from aspot.ssh.lines import line_of
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


@attrs.define(kw_only=True)
class Upload:
    """Local files and folders on their way to a machine: all of them arrive, or none. May be sent again after a drop.

    Args:
        items: Local path and the name it is to have there; "" for all that is in it.
        dest: Where they go; below the home unless absolute.
        how: `into` a folder, made if it is not there; `as`: under that name, unless it is a folder there.
        may_be_there: Everything was sent, and the answer is not here: it may have arrived.
    """

    items: Collection[tuple[Path, str]]
    dest: str
    how: str
    may_be_there: bool = False
    _parcel: Parcel | None = attrs.field(init=False, default=None)

    async def send(self, connection: asyncssh.SSHClientConnection, *, progress: Progress) -> tuple[int, int]:
        """Send them; return (files, bytes).

        Args:
            connection: Verified.
            progress: Told how far it is.

        Raises:
            Undeliverable: If they cannot be read here.
            CommandRefused: If they cannot be put there.
            LinkDropped: If the connection broke.
        """
        if self._parcel is None:
            scan = await anyio.to_thread.run_sync(scan_everything, tuple(self.items))
            self._parcel = await anyio.to_thread.run_sync(pack, scan, Hashes())
        load = Load(parcel=self._parcel, saved=None, how=How.FULL)
        line = _line("put", str(load.length), self.how, home_relative(self.dest) or ".")
        async with exchange(connection, line, refusal=plain) as there:
            await there.greeted()
            self.how = _one_of(await there.line(), ("into", "onto"))  # for another try, which may find it placed
            await _send(load, there, progress)
            self.may_be_there = True
            there.patience_s = PLACE_S
            await there.ended()
        return self._parcel.count(tuple(self._parcel.entries))


def _one_of(said: str, words: tuple[str, ...]) -> str:
    if said not in words:
        raise Damaged("the machine's answer makes no sense")
    return said


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
    async with exchange(connection, _line("take"), refusal=plain) as there:
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
    return line_of(_script(), *words)


@functools.cache
def _script() -> str:
    return resources.files("aspot.ssh").joinpath("copy.sh").read_text(encoding="utf-8")
