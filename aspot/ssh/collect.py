"""The client's side of `collect`: logs, listing, choice, contents, over one channel.

May import: anyio, `aspot.files`, `aspot.ssh`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import anyio.to_thread

from aspot.files.haul import Choice, Damaged, Listed, Unpacker, Wanted, choose, parse_listing, room_at
from aspot.files.landing import Landing
from aspot.files.names import shown
from aspot.files.patterns import Pattern
from aspot.machine.model import Collected
from aspot.ports import LogSink
from aspot.ssh.exchange import PATIENCE_S, Exchange
from aspot.ssh.order import status_of

INLINE = 1 << 20
"""Up to so many bytes are written and hashed in the loop."""

PIECE = 1 << 18
"""Bytes for one trip to a worker thread."""

MOST_LISTED_BYTES = 256 << 20

WORK_S = 600.0
"""For the machine to list, or to hash, without a byte."""


async def ask(there: Exchange, patterns: Sequence[Pattern]) -> None:
    """Say where to look."""
    roots = sorted({f"./{pattern.root}".rstrip("/") for pattern in patterns})
    await there.send("".join(f"{root}\n" for root in roots).encode("utf-8", "surrogateescape") + b"\n")
    there.patience_s = WORK_S
    await there.greeted()
    there.patience_s = PATIENCE_S


async def bring_logs(there: Exchange, sink: LogSink) -> None:
    """Bring the rest of both outputs, up to the lengths that the status states."""
    status = status_of(await there.line())
    if status is None:
        raise Damaged("the status makes no sense")
    for number, (stream, length) in enumerate((("stdout", status.out), ("stderr", status.err))):
        start, size = _two_numbers(await there.line())
        here = sink.offsets()[number]
        if start != here:
            if start != 0:
                raise Damaged(f"{stream} does not fit what is here")
            sink.restart(stream)
        if start + size != length:
            raise Damaged(f"{stream} does not have the length that the status states")
        await _bring(there, sink, stream, size)


async def _bring(there: Exchange, sink: LogSink, stream: str, size: int) -> None:
    while size:
        chunk = await there.read()
        if not chunk:
            raise Damaged(f"{stream} was cut short")
        there.put_back(chunk[size:])
        sink.write(stream, chunk[:size])
        size -= len(chunk[:size])


def _say_nothing(_done: int, _total: int) -> None:
    return


async def bring_files(
    there: Exchange, patterns: Sequence[Pattern], into: Path, *, progress: Callable[[int, int], None] = _say_nothing
) -> Collected:
    """Bring what the patterns name into an empty local folder, every file checked.

    Args:
        there: A command that lists, and then sends what is chosen.
        patterns: What is wanted.
        into: An empty folder of ours.
        progress: Told bytes that came and bytes in all.

    Raises:
        Damaged: If what came is not what was announced.
        OSError: If the disk here does not take it.
    """
    there.patience_s = WORK_S
    choice = choose(await listing(there), patterns, room=room_at(into))
    with Landing(into) as landing:
        for folder in choice.folders:
            landing.folder(folder)
        refused = await _contents(there, choice, landing, progress)
        if choice.files:
            await anyio.to_thread.run_sync(landing.sync)
    return _collected(choice, refused)


async def listing(there: Exchange) -> tuple[Listed, ...]:
    """Return what the machine says that there is.

    Raises:
        Damaged: If it makes no sense.
    """
    kind = await there.line()
    names = (await there.read_until(b"\0\0", most=MOST_LISTED_BYTES))[:-1]
    lines = (await there.read_until(b"\n\n", most=MOST_LISTED_BYTES))[:-1] if kind == "B" else b""
    return parse_listing(kind, names, lines)


async def _contents(
    there: Exchange, choice: Choice, landing: Landing, progress: Callable[[int, int], None]
) -> list[Wanted]:
    unpacker = Unpacker(landing, choice.files)
    await there.send(b"".join(file.raw + b"\0" for file in choice.files))
    there.end_input()
    is_small = choice.size <= INLINE
    done = 0
    while not unpacker.is_done:
        chunk = await there.read(least=1 if is_small else PIECE)
        if not chunk:
            await there.ended()
            raise Damaged("it was cut short")
        if is_small:
            unpacker.feed(chunk)
        else:
            await anyio.to_thread.run_sync(unpacker.feed, chunk)
        done += len(chunk)
        progress(min(done, choice.size), choice.size)
    return unpacker.refused


def _collected(choice: Choice, refused: list[Wanted]) -> Collected:
    lost = {file.parts for file in refused}
    files = sorted("/".join(file.parts) for file in choice.files if file.parts not in lost)
    missing = (*choice.missing, *(f"{shown(file.raw)} (its name is taken by another file here)" for file in refused))
    return Collected(files=tuple(files), missing=missing, size=choice.size - sum(file.size for file in refused))


def _two_numbers(line: str) -> tuple[int, int]:
    first, _, second = line.partition(" ")
    if not (first.isdigit() and second.isdigit()):
        raise Damaged("the machine's answer makes no sense")
    return int(first), int(second)
