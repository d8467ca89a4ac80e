"""A folder here and one of a machine, made like each other over a verified connection; what is there already stays.

What the machine says is judged (THREATS T3): names, sizes, times, lengths; every file is checked by its SHA-256 on the
side that gets it. May import: `program`, `shelf`, `copying`, `rules`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import anyio.to_thread
import attrs

from aspot.errors import ConfigError, LinkError
from aspot.files.haul import MOST_LISTED, Damaged
from aspot.files.names import HostileName, components, printable
from aspot.ssh.exchange import Exchange
from aspot.storage import rules
from aspot.storage.copying import How, Outcome, Watch, delete_files, files_of, is_spared, refuse_full
from aspot.storage.disk import NotCopied
from aspot.storage.program import refuse_failure, started
from aspot.storage.rules import Item
from aspot.storage.shelf import Shelf, hashed

if TYPE_CHECKING:
    import asyncssh

PIECE = rules.MIB
MOST_WAITING = 64
"""Questions that may wait for an answer at a time."""
MOST_WAITING_BYTES = 32 * rules.MIB
LONGEST = 8 * rules.MIB
"""Of a line."""
CHANGED = "it changed while it was copied; the same command copies it anew"
NO_SENSE = "the machine's answer makes no sense"
in_thread = anyio.to_thread.run_sync


@attrs.frozen(kw_only=True)
class Ferry:
    """A sync between a folder here and one of a machine.

    Args:
        here: The folder here.
        there: The machine's: below its user's home, unless absolute.
        is_upload: Whether the machine's is to be like the one here.
        how: How.
    """

    here: Path
    there: str
    is_upload: bool
    how: How

    async def run(
        self, connection: asyncssh.SSHClientConnection, *, label: str, watch: Watch, prefix: str = "exec"
    ) -> Outcome:
        """Do it; return what came of it.

        Args:
            connection: To the machine.
            label: What users call the machine.
            watch: Is told how it goes.
            prefix: What the shell there runs the program by.

        Raises:
            LinkDropped: If the connection breaks: the same again goes on from there.
            AspotError: If either folder cannot be used.
        """
        outcome = Outcome()
        found = await in_thread(files_of, self.here, outcome.skipped if self.is_upload else None)
        order = {"folder": self.there, "client": f"{os.uname().nodename} {self.here.absolute()} {self.is_upload}"}
        async with started(connection, order, label=label, prefix=prefix) as there:
            try:
                crossing = _Crossing(self, _Ears(there, label), there, outcome, watch)
                if self.is_upload or self.how.dry:
                    return await crossing.run(found, None)
                with await in_thread(_shelf, self.here) as shelf:
                    return await crossing.run(found, shelf)
            except Damaged as error:
                raise LinkError(f"{label}: {error}", fix="the same command tries again") from error


def _shelf(folder: Path) -> Shelf:
    try:
        return Shelf(folder)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written to: {error.strerror}", fix="name another folder") from error


class _Ears:
    """What the machine says, in lines and in frames."""

    def __init__(self, there: Exchange, label: str) -> None:
        self._there, self._label = there, label
        self._held = bytearray()

    async def _more(self) -> None:
        chunk = await self._there.read()
        if not chunk:
            await self._there.ended()
            raise Damaged("it ended before it had said everything")
        self._held += chunk

    async def _line(self) -> bytes:
        start = 0
        while (at := self._held.find(b"\n", start)) < 0:
            if len(self._held) > LONGEST:
                raise Damaged(NO_SENSE)
            start = len(self._held)
            await self._more()
        line = bytes(self._held[:at])
        del self._held[: at + 1]
        return line if line != b"{}" else await self._line()

    async def line(self) -> dict[str, Any]:
        """Return the next line that says something.

        Raises:
            AspotError: If it says that all has failed.
        """
        try:
            found = json.loads(await self._line())
        except ValueError:
            found = None
        if not isinstance(found, dict):
            raise Damaged(NO_SENSE)
        refuse_failure(found, self._label)
        return found

    async def frames(self, most: int) -> AsyncIterator[bytes]:
        """Yield a file's content, of so many bytes at most."""
        while True:
            line = await self._line()
            length = int(line) if line.isdigit() and len(line) < 16 else -1
            if length == 0:
                return
            most -= length
            if length < 0 or length > LONGEST or most < 0:
                raise Damaged(NO_SENSE)
            while len(self._held) < length:
                await self._more()
            piece = bytes(self._held[:length])
            del self._held[:length]
            yield piece


class _Crossing:
    """One sync over one connection."""

    def __init__(self, ferry: Ferry, ears: _Ears, there: Exchange, outcome: Outcome, watch: Watch) -> None:
        self._ferry, self._ears, self._there = ferry, ears, there
        self.outcome, self._watch = outcome, watch
        self._shelf: Shelf | None = None
        self._started: dict[str, tuple[int, Any]] = {}
        self._dropped: dict[str, str] = {}

    async def run(self, here: dict[str, Item], shelf: Shelf | None) -> Outcome:
        """Do it; return what came of it."""
        ferry, outcome, self._shelf = self._ferry, self.outcome, shelf
        there = await self._listed()
        sources, dests = (here, there) if ferry.is_upload else (there, here)
        plan = rules.plan(sources, dests, delete=ferry.how.delete, by_content=ferry.how.by_content)
        outcome.same = len(plan.same)
        self._watch.begin(len(plan.copy) + len(plan.look), sum(item.size for item in (*plan.copy, *plan.look)))
        wanted = [*plan.copy, *await self._differing(plan.look)]
        if ferry.how.dry:
            outcome.copied += [item.name for item in wanted]
            outcome.size += sum(item.size for item in wanted)
        elif ferry.is_upload:
            await self._in_turn(wanted, self._send, self._sent)
        else:
            await self._in_turn(wanted, self._fetch, self._fetched)
        await self._delete([item.name for item in plan.delete if not is_spared(item.name, outcome)])
        return outcome

    async def _say(self, **words: object) -> None:
        await self._there.send(json.dumps(words).encode() + b"\n")

    async def _listed(self) -> dict[str, Item]:
        """Return the files of the machine's folder, judged."""
        await self._say(do="list", is_source=not self._ferry.is_upload)
        found: dict[str, Item] = {}
        while "end" not in (line := await self._ears.line()):
            for row in line.get("files", ()):
                item = _judged(row)
                if len(found) > MOST_LISTED:
                    raise Damaged(f"more than {MOST_LISTED:,} files are listed")
                try:
                    components(item.name.encode("utf-8", "surrogatepass"))
                    found[item.name] = item
                except HostileName as error:
                    if self._ferry.is_upload and not self._ferry.how.delete:
                        continue  # it stays there, whatever it is called
                    self.outcome.failed[printable(item.name)[:200]] = f"not taken: {error}"
        if not self._ferry.is_upload:
            self.outcome.skipped |= {str(name): str(why) for name, why in dict(line.get("skipped", {})).items()}
        return found

    async def _in_turn(
        self,
        items: Sequence[Item],
        ask: Callable[[Item], Awaitable[bool]],
        answer: Callable[[Item], Awaitable[None]],
        *,
        is_last: bool = True,
    ) -> None:
        """Ask about each item, and hear the answers, some questions ahead. A large file has the line for itself.

        Args:
            items: About which.
            ask: Asks; tells whether an answer will come.
            answer: Hears it.
            is_last: Whether items are done with then; else only those are that fail.
        """
        waiting: deque[Item] = deque()

        def fails(item: Item, error: Exception) -> None:
            refuse_full(error, self._ferry.here)
            self.outcome.failed[item.name] = str(error)
            self._watch.done(item.name)

        async def heard(*, most: int, most_bytes: int) -> None:
            while len(waiting) > most or (waiting and sum(item.size for item in waiting) > most_bytes):
                item = waiting.popleft()
                try:
                    await answer(item)
                except NotCopied as error:
                    fails(item, error)
                else:
                    if is_last:
                        self._watch.done(item.name)

        for item in items:
            is_large = item.size > rules.PART
            await heard(most=0 if is_large else MOST_WAITING, most_bytes=MOST_WAITING_BYTES)
            try:
                if await ask(item):
                    waiting.append(item)
            except (NotCopied, OSError) as error:
                fails(item, error)
        await heard(most=0, most_bytes=0)

    # --- what differs ---

    async def _differing(self, items: Sequence[Item]) -> list[Item]:
        """Compare contents by their hashes; what is the same gets its source's time, so that the next look is short."""
        differing: list[Item] = []
        alike: list[Item] = []

        async def ask(item: Item) -> bool:
            await self._say(do="hash", name=item.name)
            return True

        async def answer(item: Item) -> None:
            try:
                ours = (await in_thread(hashed, self._ferry.here / item.name)).hexdigest()
            except OSError as error:
                await self._ears.line()
                raise NotCopied(str(error)) from error
            said = _unless_failed(await self._ears.line())
            (alike if said.get("sha256") == ours else differing).append(item)

        await self._in_turn(items, ask, answer, is_last=False)
        for item in alike:
            self._watch.moved(item.size)
            self._watch.done(item.name)
        self.outcome.same += len(alike)
        if not self._ferry.how.dry:
            await self._in_turn(alike, self._touch, self._touched, is_last=False)
        return differing

    async def _touch(self, item: Item) -> bool:
        if self._ferry.is_upload:
            await self._say(do="touch", name=item.name, mtime=item.modified)
            return True
        assert self._shelf is not None
        await in_thread(self._shelf.touch, tuple(item.name.split("/")), item.modified)
        return False

    async def _touched(self, item: Item) -> None:  # noqa: ARG002
        _unless_failed(await self._ears.line())

    # --- to the machine ---

    async def _send(self, item: Item) -> bool:
        path = self._ferry.here / item.name
        source = await in_thread(open, path, "rb")
        try:
            before = os.fstat(source.fileno())
            start, digest = await self._start_there(item, path)
            await self._say(do="put", name=item.name, start=start)
            self._watch.moved(start)
            trouble = await self._send_content(source, start, digest)
            after = os.fstat(source.fileno())
        finally:
            source.close()
        if trouble or (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            self._dropped[item.name] = trouble or CHANGED
            await self._say(drop=True)
        else:
            await self._say(sha256=digest.hexdigest(), mtime=before.st_mtime, x=bool(before.st_mode & 0o100))
        return True

    async def _send_content(self, source: BinaryIO, start: int, digest: Any) -> str:
        """Send a file from here on; return what went wrong, if it did."""
        trouble = ""
        try:
            await in_thread(source.seek, start)
            while piece := await in_thread(_read, source, digest):
                await self._there.send(b"%d\n" % len(piece))
                await self._there.send(piece)
                self._watch.moved(len(piece))
        except OSError as error:
            trouble = error.strerror or str(error)
        await self._there.send(b"0\n")
        return trouble

    async def _start_there(self, item: Item, path: Path) -> tuple[int, Any]:
        """Return how much of a file is there already, and the hash of that."""
        if item.size > rules.PART:
            await self._say(do="part", name=item.name)
            said = _unless_failed(await self._ears.line())
            length = _number(said.get("length"))
            if 0 < length <= item.size:
                digest = await in_thread(hashed, path, length)
                if digest.hexdigest() == said.get("sha256"):
                    return length, digest
        return 0, hashlib.sha256()

    async def _sent(self, item: Item) -> None:
        said = await self._ears.line()
        if why := self._dropped.pop(item.name, ""):
            raise NotCopied(why)
        _unless_failed(said)
        self.outcome.copied.append(item.name)
        self.outcome.size += item.size

    # --- from the machine ---

    async def _fetch(self, item: Item) -> bool:
        assert self._shelf is not None
        start, digest = 0, hashlib.sha256()
        if item.size > rules.PART:
            length, ours = await in_thread(self._shelf.part, tuple(item.name.split("/")), item.size)
            if length:
                await self._say(do="hash", name=item.name, length=length)
                if _unless_failed(await self._ears.line()).get("sha256") == ours.hexdigest():
                    start, digest = length, ours
        self._started[item.name] = start, digest
        await self._say(do="get", name=item.name, start=start, size=item.size)
        return True

    async def _fetched(self, item: Item) -> None:
        assert self._shelf is not None
        shelf, parts = self._shelf, tuple(item.name.split("/"))
        start, digest = self._started.pop(item.name)
        left = item.size - start
        _unless_failed(await self._ears.line())
        self._watch.moved(start)
        trouble: Exception | None = None
        target: BinaryIO | None = None
        try:
            target = await in_thread(shelf.begin, parts, start)
        except (NotCopied, OSError) as error:
            trouble = error
        try:
            async for piece in self._ears.frames(left):
                self._watch.moved(len(piece))
                left -= len(piece)
                if target is not None and trouble is None:
                    try:
                        await in_thread(_write, target, digest, piece)
                    except OSError as error:
                        refuse_full(error, self._ferry.here)
                        trouble = error
        finally:
            if target is not None:
                await in_thread(target.close)
        said = _unless_failed(await self._ears.line())
        if trouble is not None:
            raise trouble if isinstance(trouble, NotCopied) else NotCopied(str(trouble)) from trouble
        if left:
            raise NotCopied(CHANGED)
        if said.get("sha256") != digest.hexdigest():
            await in_thread(shelf.drop, parts)
            raise NotCopied("what came is not what was sent (checksum); the same command copies it anew")
        place = partial(shelf.place, parts, modified=_moment(said.get("mtime")), is_executable=said.get("x") is True)
        await in_thread(place)
        self.outcome.copied.append(item.name)
        self.outcome.size += item.size

    # --- what is only at the destination ---

    async def _delete(self, names: list[str]) -> None:
        refused: dict[str, str] = {}
        if names and not self._ferry.how.dry:
            if self._ferry.is_upload:
                await self._say(do="delete", names=names)
                said = dict((await self._ears.line()).get("refused", {}))
                refused = {name: str(said[name]) for name in names if name in said}
            else:
                refused = await in_thread(delete_files, self._ferry.here, names)
        self.outcome.failed |= refused
        self.outcome.deleted += [name for name in names if name not in refused]


def _unless_failed(line: dict[str, Any]) -> dict[str, Any]:
    if "failed" in line:
        raise NotCopied(printable(str(line["failed"]))[:500])
    return line


def _judged(row: Any) -> Item:
    """Return a file that a machine claims to have."""
    if not isinstance(row, list) or len(row) != 3 or not isinstance(row[0], str):
        raise Damaged(NO_SENSE)
    return Item(row[0], _number(row[1]), _moment(row[2]))


def _number(value: Any) -> int:
    if not isinstance(value, int) or not 0 <= value < 1 << 62:
        raise Damaged(NO_SENSE)
    return value


def _moment(value: Any) -> float:
    if not isinstance(value, int | float) or not abs(value) < 1 << 40:
        raise Damaged(NO_SENSE)
    return float(value)


def _read(source: BinaryIO, digest: Any) -> bytes:
    piece = source.read(PIECE)
    digest.update(piece)
    return piece


def _write(target: BinaryIO, digest: Any, piece: bytes) -> None:
    target.write(piece)
    digest.update(piece)
