"""`aspot cp`: files and folders to and from a machine, verified by hash, all of a source or nothing of it."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, TypeVar

import anyio
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

TRIES = 4
"""Connections that a copy may break before it is given up."""

AGAIN_S = 600.0
"""To connect again: nobody may be there to press Ctrl-C."""

T = TypeVar("T")


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
        from aspot.ssh.copy import Upload

        upload = Upload(items=items, dest=dest, how="into" if is_folder else "as")
        progress = self._progress(f"to {self.way.label}")
        try:
            with _explained(self.way, lambda: "" if upload.may_be_there else "nothing was changed there"):
                files, total = await self._persistently(partial(upload.send, progress=progress), progress)
        finally:
            progress.clear()
        self._say(f"{_count(files)}, {size(total)} to {self.way.label}")

    async def take(self, sources: Sequence[tuple[_End, Source]], folder: Path, name: str | None) -> None:
        """Copy from the machine into a folder; under a name of its own, if one is given."""
        lacking: list[str] = []
        for end, source in sources:
            lacking += await self._take(source, end, folder, name)
        if lacking:
            more = f" and {len(lacking) - _MOST_NAMED} more" if len(lacking) > _MOST_NAMED else ""
            raise LinkError(one_line(f"not copied: {', '.join(lacking[:_MOST_NAMED])}{more}", limit=1000))

    async def _take(self, source: Source, end: _End, folder: Path, name: str | None) -> list[str]:
        """Copy one source; return what of it was not copied, and why."""
        progress = self._progress(f"from {self.way.label}")
        with _Staging(folder) as staging:
            try:
                with _explained(self.way, lambda: f"nothing of {end.path or 'it'} was changed here"):
                    brought = await self._persistently(partial(_bring, staging, source, progress=progress), progress)
            finally:
                progress.clear()
            if not brought.files and staging.is_empty:
                raise ConfigError(f"{end.name}:{end.path} is not there", fix="; ".join(brought.missing[1:2]))
            refused = await anyio.to_thread.run_sync(_place, staging.fresh, folder, name)
        self._say(f"{_count(len(brought.files) - len(refused))}, {size(brought.size)} from {self.way.label}")
        return [*brought.missing, *(f"{item} (something else of that name is here)" for item in refused)]

    async def _persistently(
        self, act: Callable[[asyncssh.SSHClientConnection], Awaitable[T]], progress: CopyProgress
    ) -> T:
        """Do it; when the connection breaks, do it again over another, a few times."""
        from aspot.ports import LinkDropped

        connection = await self.way.connect()
        for left in reversed(range(TRIES)):
            try:
                return await act(connection)
            except LinkDropped:
                if not left:
                    raise
            finally:
                connection.abort()
            progress.clear()
            self._say(f"the connection to {self.way.label} broke: copying again from the beginning")
            connection = await self._again()
        raise AssertionError("unreachable")

    async def _again(self) -> asyncssh.SSHClientConnection:
        try:
            with anyio.fail_after(AGAIN_S):
                return await self.way.connect_again(say=self._say)
        except TimeoutError as error:
            raise LinkError(
                f"{self.way.label} could not be reached again within {AGAIN_S:.0f} s",
                instance=self.way.machine.instance,
                fix="the same command copies it again",
            ) from error

    def _progress(self, label: str) -> CopyProgress:
        return CopyProgress(label, not self.is_quiet and sys.stderr.isatty())

    def _say(self, text: str) -> None:
        if not self.is_quiet:
            print(one_line(text), file=sys.stderr)


async def _bring(
    staging: _Staging, source: Source, connection: asyncssh.SSHClientConnection, *, progress: CopyProgress
) -> Collected:
    from aspot.ssh.copy import take

    await anyio.to_thread.run_sync(staging.renew)
    return await take(connection, source, staging.fresh, progress=progress)


class _Staging:
    """A fresh folder beside what will take its place, removed with all that is left in it.

    Args:
        folder: What is in it will be moved there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __enter__(self) -> Self:
        self.fresh = Path(tempfile.mkdtemp(prefix=".aspot-cp-", dir=self._folder))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        shutil.rmtree(self.fresh)

    def renew(self) -> None:
        """Empty it."""
        shutil.rmtree(self.fresh)
        self.fresh.mkdir(mode=0o700)

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is in it."""
        return not os.listdir(self.fresh)


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
        for parts, is_file in _found(fresh):
            there = (name, *parts[1:]) if name else parts
            try:
                if is_file:
                    landing.place(str(Path(fresh.name, *parts)), there)
                elif landing.folder(there) < 0:
                    raise NotADirectoryError(20, "not a folder", parts[-1])
            except OSError as error:
                if not is_about_name(error):
                    raise AspotError(f"cannot write {folder / Path(*there)}: {error.strerror}") from error
                refused.append("/".join(there))
    return refused


def _found(fresh: Path) -> Iterator[tuple[tuple[str, ...], bool]]:
    """Yield what is in a folder, from the top down: the parts of its name below it, and whether it is a file."""
    for above, folders, files in os.walk(fresh):
        inside = Path(above).relative_to(fresh).parts
        yield from (((*inside, item), True) for item in files)
        yield from (((*inside, item), False) for item in folders)


class _explained:  # noqa: N801 - reads as a promise
    """Turns what went wrong on the way into an error with the machine's name."""

    def __init__(self, way: Way, promise: Callable[[], str]) -> None:
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
            said = "; ".join(item for item in (f"{label}: {error}", self._promise()) if item)
            raise LinkError(said, instance=instance, fix="the same command copies it again") from error
        if isinstance(error, OSError):
            raise AspotError(f"{error.strerror}: {error.filename or 'here'}") from error
