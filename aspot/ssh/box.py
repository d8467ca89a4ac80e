"""`BoxLink`: what a box is asked for over one connection; each is one command of the runner.

May import: asyncssh, anyio, `aspot.files`, `aspot.ssh`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
import asyncssh
import attrs

from aspot.errors import ConfigError, LinkError
from aspot.files import patterns, tar
from aspot.files.haul import Damaged
from aspot.files.parcel import Hashes, Parcel, lone, pack
from aspot.files.scan import scan_uploads
from aspot.ports import LinkDropped, Undeliverable
from aspot.ssh.box_order import Command
from aspot.ssh.collect import ask, bring_files
from aspot.ssh.commands import command, install_line, runner_text
from aspot.ssh.exchange import GREETING, CommandRefused, Diversion, Exchange, exchange
from aspot.ssh.order import hundredths
from aspot.ssh.upload import INLINE

ANSWER_S = 60.0
WORK_S = 3600.0
"""For the box to check files, or to list them."""

GRACE_S = 2.0
"""Between TERM and KILL for a command that is to end."""


@attrs.frozen(kw_only=True)
class Facts:
    """What a box is like: cores, GPUs, its user's home folder, and this boot."""

    cores: int
    gpus: int
    home: str
    boot_id: str


@attrs.frozen(kw_only=True)
class Use:
    """How long nobody has used a box, and how long until it ends itself, in seconds."""

    idle_s: float
    left_s: float


class _Output:
    """Drops the greeting from both outputs of a command, and hands on what follows."""

    def __init__(self, sink: Diversion) -> None:
        self._sink = sink
        self._held: dict[bool, bytes | None] = {False: b"", True: b""}

    def __call__(self, data: bytes, is_error: bool) -> None:
        held = self._held[is_error]
        if held is None:
            self._sink(data, is_error)
            return
        before, mark, after = (held + data).partition(GREETING)
        self._held[is_error] = None if mark else before
        if after:
            self._sink(after, is_error)

    @property
    def has_begun(self) -> bool:
        """Tell whether the command itself was begun."""
        return self._held[False] is None

    @property
    def noise(self) -> str:
        """Return what was said on stderr before that."""
        return (self._held[True] or b"").decode("utf-8", "replace").strip()


class BoxLink:
    """One verified connection to a box.

    Args:
        connection: Verified.
        label: What users call it.
    """

    def __init__(self, connection: asyncssh.SSHClientConnection, label: str) -> None:
        self._connection = connection
        self._label = label

    @property
    def is_open(self) -> bool:
        """Tell whether the connection is not known to be closed."""
        return not self._connection.is_closed()

    async def hello(self, idle_s: float | None = None) -> Facts:
        """Install the runner, say that this is a box and somebody is here, and return what it is like.

        Args:
            idle_s: From now on it ends itself after this long without use; None: as it was told before.
        """
        told = "keep" if idle_s is None else str(hundredths(idle_s))
        async with self._asked(install_line("hello", told)) as there:
            await there.send(runner_text())
            return await _facts(there)

    async def look(self) -> Facts:
        """Return what a fleet's machine is like; nothing about it is changed."""
        async with self._asked(command("hello", "look")) as there:
            return await _facts(there)

    async def renew(self) -> None:
        """Say that somebody is here."""
        await self._say("lease")

    async def use(self) -> Use:
        """Return how long nobody has used it; that question is no use."""
        idle, _, left = (await self._say("use")).partition(" ")
        return Use(idle_s=_number(idle) / 100, left_s=_number(left) / 100)

    async def run(self, order: Command, sink: Diversion) -> int:
        """Run a command to its end, its output going to the sink; return its exit code (128 + n after signal n).

        Raises:
            LinkError: If it could not be begun there.
        """
        output = _Output(sink)
        async with exchange(self._connection, command("exec", order.id), refusal=LinkDropped) as there:
            there.divert(output)
            await there.send(order.text())
            there.end_input()
            there.patience_s = None
            try:
                await there.diverted()
            except CommandRefused as error:
                if not output.has_begun:
                    raise LinkError(f"{self._label} could not begin it: {output.noise or error}") from error
                return error.code
        return 0

    async def end(self, order: str, *, grace_s: float | None = GRACE_S) -> None:
        """Forget a command, and unless `grace_s` is None end all that it started, TERM first."""
        told = "keep" if grace_s is None else str(hundredths(grace_s))
        await self._say("end", order, told, more_s=grace_s or 0.0)

    # --- files --------------------------------------------------------------------------------------------------------

    async def put(self, base: Path, uploads: Sequence[tuple[str, str]], to: str) -> tuple[int, int, tuple[str, ...]]:
        """Send files, checked there by their hashes and then placed; those that are there already do not travel.

        Args:
            base: The folder that relative paths are relative to.
            uploads: (path or pattern, name below `to` or "" for the usual one).
            to: Folder there, made where it is not.

        Returns:
            Files sent, files that were there, and notes on what was left out.
        """
        try:
            scan = await anyio.to_thread.run_sync(scan_uploads, base, uploads)
            parcel = await anyio.to_thread.run_sync(pack, scan, Hashes())
        except Undeliverable as error:
            raise ConfigError(error.reason, fix="name what exists here; .aspotignore leaves things out") from error
        return (*await self._put(parcel, to), scan.notes())

    async def _put(self, parcel: Parcel, to: str) -> tuple[int, int]:
        plain = [name for name in parcel.hashes if not parcel.entries[name].is_executable]
        async with self._asked(command("put")) as there:
            sums = b"".join(f"{parcel.hashes[name]}  {name}\n".encode("utf-8", "surrogateescape") for name in plain)
            await there.send(f"{_line(to)}\n{len(sums)}\n".encode("utf-8", "surrogateescape"))
            await there.greeted()
            await there.line()
            await there.send(sums)
            there.patience_s = WORK_S
            verdicts = []
            while (line := await there.line()) != "end":
                verdicts.append(line)
            known = {name for name, line in zip(plain, verdicts, strict=False) if line == "OK"}
            await _send(there, parcel, [name for name in parcel.entries if name not in known])
            there.end_input()
            await there.line()
            await there.ended()
        files, _ = parcel.count(tuple(parcel.entries))
        return files - len(known), len(known)

    async def get(self, folder: str, names: Sequence[str], into: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Bring files into an empty local folder, every one checked.

        Args:
            folder: Where the names are relative to.
            names: Paths or patterns.
            into: Local folder.

        Returns:
            Names that came, and what is not there or was not taken, as text.
        """
        wanted, bad = patterns.parse(names)
        async with self._asked(command("get")) as there:
            await there.send(f"{_line(folder)}\n".encode("utf-8", "surrogateescape"))
            await ask(there, wanted)
            brought = await bring_files(there, wanted, into)
        return brought.files, (*bad, *brought.missing)

    # --- how ----------------------------------------------------------------------------------------------------------

    async def aclose(self) -> None:
        """Close the connection."""
        self._connection.close()
        with anyio.move_on_after(2.0, shield=True) as limit:
            await self._connection.wait_closed()
        if limit.cancelled_caught:
            self._connection.abort()

    @asynccontextmanager
    async def _asked(self, line: str) -> AsyncIterator[Exchange]:
        try:
            async with exchange(self._connection, line, refusal=LinkDropped) as there:
                yield there
        except (CommandRefused, Damaged) as error:
            raise LinkError(f"{self._label}: {error}") from error

    async def _say(self, *words: str, more_s: float = 0.0) -> str:
        async with self._asked(command(*words)) as there:
            there.patience_s = ANSWER_S + more_s
            return await there.answer()


async def _facts(there: Exchange) -> Facts:
    there.end_input()
    await there.greeted()
    said: dict[str, str] = {}
    while (line := await there.line()) != "end":
        name, _, value = line.partition("=")
        said[name] = value
    await there.ended()
    return Facts(
        cores=_number(said.get("cores")),
        gpus=_number(said.get("gpus")),
        home=said.get("home", ""),
        boot_id=said.get("boot", ""),
    )


def _line(text: str) -> str:
    if not text or "\n" in text or "\0" in text:
        raise ConfigError(f"{text!r} is not a folder", fix='name a folder on the box, such as "~/data"')
    return text


def _number(text: str | None) -> int:
    if text is None or not text.strip("-").isdigit():
        raise LinkDropped("the machine's answer makes no sense")
    return int(text)


async def _send(there: Exchange, parcel: Parcel, names: Sequence[str]) -> None:
    """Send these entries: a line with the length, then the stream; a small one from here, a big one by threads."""
    if not names:
        await there.send(b"0\n")
        return
    hashes = ((name, parcel.hashes[name]) for name in names if name in parcel.hashes)
    sums = lone("sums", b"".join(f"{sha}  t/{name}\n".encode("utf-8", "surrogateescape") for name, sha in hashes))
    length = len(sums) + parcel.length("t/", names) + len(tar.END)
    await there.send(f"{length}\n".encode() + sums)
    pieces = parcel.stream("t/", names)
    while piece := (next(pieces, b"") if length <= INLINE else await anyio.to_thread.run_sync(next, pieces, b"")):
        await there.send(piece)
    await there.send(tar.END)
