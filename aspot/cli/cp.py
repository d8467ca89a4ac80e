"""`aspot cp`: files and folders to and from a machine, verified by hash, all of a source or nothing of it."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import attrs

from aspot.cli.signals import run_interruptible
from aspot.errors import AspotError, ConfigError, LinkError
from aspot.ui.figures import size
from aspot.ui.progress import CopyProgress
from aspot.ui.safe import one_line
from aspot.way import Way

if TYPE_CHECKING:
    import asyncssh

    from aspot.machine.model import Collected
    from aspot.ssh.copy import Source

_REMOTE = re.compile(r"([A-Za-z0-9][A-Za-z0-9._-]*(?:/[A-Za-z0-9][A-Za-z0-9._-]*)?):(.*)", re.DOTALL)
_MOST_NAMED = 5


@attrs.frozen
class _End:
    """One side of a copy.

    Args:
        name: The machine's; "" for this computer.
        path: There.
    """

    name: str
    path: str

    @classmethod
    def of(cls, text: str) -> _End:
        """Return what a word means; what is a file here is never a machine."""
        found = _REMOTE.fullmatch(text)
        if found is None or os.path.lexists(text):
            return cls("", text)
        return cls(found[1], found[2])


def main(args: argparse.Namespace) -> int:
    """Copy; return 0."""
    *sources, dest = map(_End.of, args.paths)
    names = {end.name for end in (*sources, dest)} - {""}
    if not sources:
        raise ConfigError("name what to copy, and where to", fix="aspot cp SRC... DST")
    if len(names) != 1 or len({end.name for end in sources}) != 1 or (dest.name and sources[0].name):
        raise ConfigError(
            "one side of a copy is a machine, the other is here",
            fix="aspot cp HERE NAME:THERE, or aspot cp NAME:THERE HERE; a file here with ':' in its name: ./FILE",
        )
    way = Way.to(names.pop())
    copy = _Copy(way=way, is_quiet=args.quiet)
    work = _putting(copy, sources, dest.path) if dest.name else _taking(copy, sources, dest.path)
    run_interruptible(work, abandon=lambda: os._exit(130))
    return 0


def _putting(copy: _Copy, sources: Sequence[_End], dest: str) -> Coroutine[Any, Any, None]:
    items = [(Path(end.path), _name(end.path)) for end in sources]
    for path, _ in items:
        if not path.exists():
            raise ConfigError(f"no such file here: {path}")
    is_folder = len(items) > 1 or dest in ("", "~", ".") or dest.endswith("/") or not items[0][1]
    return copy.put(items, dest, is_folder=is_folder)


def _taking(copy: _Copy, sources: Sequence[_End], dest: str) -> Coroutine[Any, Any, None]:
    from aspot.ssh.copy import Source

    wanted = [(end, Source.of(end.path)) for end in sources]
    is_folder = Path(dest).is_dir() or dest.endswith("/") or len(wanted) > 1 or not wanted[0][1].is_one
    folder = Path(dest) if is_folder else Path(dest).absolute().parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"cannot copy to {folder}: {error.strerror}") from error
    return copy.take(wanted, folder, None if is_folder else Path(dest).name)


@attrs.frozen(kw_only=True)
class _Copy:
    way: Way
    is_quiet: bool

    async def put(self, items: Sequence[tuple[Path, str]], dest: str, *, is_folder: bool) -> None:
        """Copy to the machine."""
        from aspot.ssh.copy import put

        connection = await self.way.connect()
        progress = self._progress(f"to {self.way.label}")
        try:
            with _explained(self.way, "nothing was changed there"):
                files, total = await put(connection, items, dest, is_folder=is_folder, progress=progress)
        finally:
            progress.clear()
            connection.abort()
        self._say(f"{_count(files)}, {size(total)} to {self.way.label}")

    async def take(self, sources: Sequence[tuple[_End, Source]], folder: Path, name: str | None) -> None:
        """Copy from the machine into a folder; under a name of its own, if one is given."""
        connection = await self.way.connect()
        try:
            for end, source in sources:
                await self._take(connection, source, end, folder, name)
        finally:
            connection.abort()

    async def _take(
        self, connection: asyncssh.SSHClientConnection, source: Source, end: _End, folder: Path, name: str | None
    ) -> None:
        from aspot.ssh.copy import take

        fresh = Path(tempfile.mkdtemp(prefix=".aspot-cp-", dir=folder))
        progress = self._progress(f"from {self.way.label}")
        try:
            with _explained(self.way, "nothing was changed here"):
                brought = await take(connection, source, fresh, progress=progress)
            progress.clear()
            if not brought.files and not os.listdir(fresh):
                raise ConfigError(f"{end.name}:{end.path} is not there", fix="; ".join(brought.missing[1:2]))
            refused = await anyio.to_thread.run_sync(_place, fresh, folder, name)
        finally:
            progress.clear()
            await anyio.to_thread.run_sync(shutil.rmtree, fresh)
        self._report(brought, refused)

    def _report(self, brought: Collected, refused: Sequence[str]) -> None:
        lacking = (*brought.missing, *(f"{item} (something else of that name is here)" for item in refused))
        self._say(f"{_count(len(brought.files) - len(refused))}, {size(brought.size)} from {self.way.label}")
        if lacking:
            more = f" and {len(lacking) - _MOST_NAMED} more" if len(lacking) > _MOST_NAMED else ""
            raise LinkError(one_line(f"not copied: {', '.join(lacking[:_MOST_NAMED])}{more}", limit=1000))

    def _progress(self, label: str) -> CopyProgress:
        return CopyProgress(label, not self.is_quiet and sys.stderr.isatty())

    def _say(self, text: str) -> None:
        if not self.is_quiet:
            print(one_line(text), file=sys.stderr)


def _name(path: str) -> str:
    """Return what a file here is called there: "" for the contents of `.`, `..` or `/`."""
    last = os.path.basename(path.rstrip("/"))
    return "" if last in ("", ".", "..") else last


def _count(files: int) -> str:
    return f"{files} file{'' if files == 1 else 's'}"


def _place(fresh: Path, folder: Path, name: str | None) -> list[str]:
    """Move what came to where it belongs, following no link; return what something else stands in the way of."""
    from aspot.files.landing import Landing, is_about_name

    refused = []
    with Landing(folder) as landing:
        for above, folders, files in os.walk(fresh):
            inside = Path(above).relative_to(fresh).parts
            for item in (*files, *folders):
                parts = (*inside, item)
                there = (name, *parts[1:]) if name else parts
                try:
                    if item in files:
                        landing.place(str(Path(fresh.name, *parts)), there)
                    elif landing.folder(there) < 0:
                        raise NotADirectoryError(20, "not a folder", item)
                except OSError as error:
                    if not is_about_name(error):
                        raise AspotError(f"cannot write {folder / Path(*there)}: {error.strerror}") from error
                    refused.append("/".join(there))
    return refused


class _explained:  # noqa: N801 - reads as a promise
    """Turns what went wrong on the way into an error with the machine's name."""

    def __init__(self, way: Way, promise: str) -> None:
        self._way, self._promise = way, promise

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        from aspot.files.haul import Damaged
        from aspot.ports import LinkDropped, Undeliverable
        from aspot.ssh.exchange import CommandRefused

        label, instance = self._way.label, self._way.machine.instance
        if isinstance(error, Undeliverable):
            raise ConfigError(error.reason) from error
        if isinstance(error, CommandRefused):
            raise LinkError(f"{label}: {error}", instance=instance) from error
        if isinstance(error, LinkDropped | Damaged):
            raise LinkError(
                f"{label}: {error}; {self._promise}", instance=instance, fix="the same command copies it again"
            ) from error
        if isinstance(error, OSError):
            raise AspotError(f"{error.strerror}: {error.filename or 'here'}") from error
