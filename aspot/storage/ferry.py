"""A folder here and one of a machine, made like each other over a verified connection; what is there already stays.

What the machine says is judged (THREATS T3): names, sizes, times, lengths; every file is checked by its SHA-256 on the
side that gets it. May import: `program`, `frames`, `passage`, `shelf`, `copying`, `rules`.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import anyio.to_thread
import attrs

from aspot.errors import ConfigError, LinkError
from aspot.files.haul import MOST_LISTED, Damaged
from aspot.files.names import HostileName, components, printable
from aspot.storage import rules
from aspot.storage.copying import How, Outcome, Watch, delete_files, files_of, is_spared, refuse_full
from aspot.storage.disk import NotCopied
from aspot.storage.frames import Talk, judged, unless_failed
from aspot.storage.passage import Fetcher, Sender
from aspot.storage.program import started
from aspot.storage.rules import Item
from aspot.storage.shelf import Shelf, hashed

if TYPE_CHECKING:
    import asyncssh

MOST_WAITING = 64
"""Questions that may wait for an answer at a time."""
MOST_WAITING_BYTES = 32 * rules.MIB
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
                crossing = _Crossing(self, Talk(there, label), outcome, watch)
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


class _Crossing:
    """One sync over one connection."""

    def __init__(self, ferry: Ferry, talk: Talk, outcome: Outcome, watch: Watch) -> None:
        self._ferry, self._talk = ferry, talk
        self.outcome, self._watch = outcome, watch
        self._shelf: Shelf | None = None

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
        else:
            way = (
                Sender(self._talk, ferry.here, self._watch)
                if shelf is None
                else Fetcher(self._talk, shelf, self._watch)
            )
            await self._in_turn(wanted, way.ask, way.answer, is_copy=True)
        await self._delete([item.name for item in plan.delete if not is_spared(item.name, outcome)])
        return outcome

    async def _listed(self) -> dict[str, Item]:
        """Return the files of the machine's folder, judged."""
        await self._talk.say(do="list", is_source=not self._ferry.is_upload)
        found: dict[str, Item] = {}
        while "end" not in (line := await self._talk.line()):
            for row in line.get("files", ()):
                item = judged(row)
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
        is_copy: bool = False,
    ) -> None:
        """Ask about each item, and hear the answers, some questions ahead. A large file has the line for itself.

        Args:
            items: About which.
            ask: Asks; tells whether an answer will come.
            answer: Hears it.
            is_copy: Whether items are copied then; else only those are done with that fail.
        """
        waiting: deque[Item] = deque()

        def fails(item: Item, error: Exception) -> None:
            refuse_full(error, self._ferry.here)
            said = error.strerror if isinstance(error, OSError) else None
            self.outcome.failed[item.name] = said or str(error)
            self._watch.done(item.name)

        async def heard(*, most: int, most_bytes: int) -> None:
            while len(waiting) > most or (waiting and sum(item.size for item in waiting) > most_bytes):
                item = waiting.popleft()
                try:
                    await answer(item)
                except (NotCopied, OSError) as error:
                    fails(item, error)
                    continue
                if is_copy:
                    self.outcome.copied.append(item.name)
                    self.outcome.size += item.size
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
            await self._talk.say(do="hash", name=item.name)
            return True

        async def answer(item: Item) -> None:
            try:
                ours = (await in_thread(hashed, self._ferry.here / item.name)).hexdigest()
            except OSError as error:
                await self._talk.line()
                raise NotCopied(str(error)) from error
            said = unless_failed(await self._talk.line())
            (alike if said.get("sha256") == ours else differing).append(item)

        await self._in_turn(items, ask, answer)
        for item in alike:
            self._watch.moved(item.size)
            self._watch.done(item.name)
        self.outcome.same += len(alike)
        if not self._ferry.how.dry:
            await self._in_turn(alike, self._touch, self._touched)
        return differing

    async def _touch(self, item: Item) -> bool:
        if self._ferry.is_upload:
            await self._talk.say(do="touch", name=item.name, mtime=item.modified)
            return True
        assert self._shelf is not None
        await in_thread(self._shelf.touch, tuple(item.name.split("/")), item.modified)
        return False

    async def _touched(self, item: Item) -> None:  # noqa: ARG002
        unless_failed(await self._talk.line())

    # --- what is only at the destination ---

    async def _delete(self, names: list[str]) -> None:
        refused: dict[str, str] = {}
        if names and not self._ferry.how.dry:
            if self._ferry.is_upload:
                await self._talk.say(do="delete", names=names)
                said = dict((await self._talk.line()).get("refused", {}))
                refused = {name: str(said[name]) for name in names if name in said}
            else:
                refused = await in_thread(delete_files, self._ferry.here, names)
        self.outcome.failed |= refused
        self.outcome.deleted += [name for name in names if name not in refused]
