"""Deliveries: one verified stream a job, nothing sent that the machine has already.

May import: anyio, `aspot.files`, `aspot.ssh`.
"""

from __future__ import annotations

import enum
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import anyio.to_thread
import attrs

from aspot.files import tar
from aspot.files.carried import Carried
from aspot.files.parcel import Hashes, Parcel, lone, pack
from aspot.files.scan import Scan, scan_folder, scan_script, scan_uploads
from aspot.machine.model import JobSpec
from aspot.ports import AttemptOrder, Delivered, Undeliverable
from aspot.ssh.exchange import CommandRefused, Exchange

INLINE = 1 << 20
"""Sets of up to so many bytes are read in the loop: a worker thread would cost more than it saves."""

PLACE_S = 600.0
"""For the machine to check and copy what it got."""

BROKEN_STREAM = 122
"""The runner's code for a stream that did not come through whole."""


class How(enum.Enum):
    """How a set gets to a machine."""

    FULL = "full"
    KNOWN = "known"  # it is there
    DELTA = "delta"  # an earlier one is there


@attrs.define
class Uploads:
    """What a run uploads, and what each of its machines is known to have.

    Args:
        skip: Local folders that never travel.
        carried: What jobs send that came from another computer; None: there are no such jobs.
    """

    skip: tuple[Path, ...] = ()
    carried: Carried | None = None
    _hashes: Hashes = attrs.field(init=False, factory=Hashes)
    _there: dict[str, Parcel] = attrs.field(init=False, factory=dict)

    async def parcel(self, spec: JobSpec) -> tuple[Parcel, tuple[str, ...]]:
        """Return what a job sends, and notes on what it does not.

        Raises:
            Undeliverable: If its files cannot travel (`is_local`).
        """
        scan = await anyio.to_thread.run_sync(self._scan, spec) if spec.upload else self._scan(spec)
        return await self.pack(scan), scan.notes()

    async def pack(self, scan: Scan) -> Parcel:
        """Return the parcel of a scan."""
        size = sum(entry.size for entry in scan.entries.values())
        if (size <= INLINE and len(scan.entries) < 100) or self._hashes.knows(scan):
            return pack(scan, self._hashes)
        return await anyio.to_thread.run_sync(pack, scan, self._hashes)

    def last(self, instance: str) -> Parcel | None:
        """Return the set that the machine got last."""
        return self._there.get(instance)

    def remember(self, instance: str, parcel: Parcel | None) -> None:
        """Note what the machine has now."""
        if parcel is None:
            self._there.pop(instance, None)
        else:
            self._there[instance] = parcel

    def _scan(self, spec: JobSpec) -> Scan:
        if self.carried is not None and self.carried.knows(spec.name):
            return self.carried.scan(spec.name)
        scan = scan_uploads(Path(spec.base), spec.upload, skip=self.skip)
        if spec.source:
            scan_script(scan, Path(spec.source), spec.remote_path)
        return scan


@attrs.frozen(kw_only=True)
class Load:
    """One delivery: a set and perhaps a checkpoint, for one machine.

    Args:
        parcel: The set.
        saved: The checkpoint; None for none.
        how: What the machine is believed to have.
        base: The earlier set for DELTA.
    """

    parcel: Parcel
    saved: Parcel | None
    how: How
    base: Parcel | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Return the entries of the set that are sent."""
        if self.how is How.KNOWN:
            return ()
        there = self.base.marks if self.how is How.DELTA and self.base else {}
        return tuple(name for name, mark in self.parcel.marks.items() if there.get(name) != mark)

    @property
    def length(self) -> int:
        """Return the length of the stream."""
        if not self.has_stream:
            return 0
        sizes = sum(len(piece) for piece in self._heads()) + len(tar.END)
        sizes += self.parcel.length("t/", self.names)
        return sizes + (self.saved.length("c/", tuple(self.saved.entries)) if self.saved else 0)

    @property
    def has_stream(self) -> bool:
        """Tell whether anything is sent at all."""
        return self.how is How.DELTA or bool(self.names) or self.saved is not None

    @property
    def words(self) -> str:
        """Return the runner's words for it."""
        base = self.base.digest if self.how is How.DELTA and self.base else "-"
        base = "none" if base == "-" else base
        return f"{self.parcel.digest} {self.how.value} {base} {self.length}"

    def stream(self) -> Iterator[bytes]:
        """Yield the tar stream."""
        yield from self._heads()
        yield from self.parcel.stream("t/", self.names)
        if self.saved:
            yield from self.saved.stream("c/", tuple(self.saved.entries))
        yield tar.END

    def _heads(self) -> Iterator[bytes]:
        sums = b"" if self.how is How.KNOWN else self.parcel.sums("t/")
        yield lone("sums", sums + (self.saved.sums("c/") if self.saved else b""))
        if self.how is How.DELTA and self.base:
            gone = (name for name in self.base.entries if name not in self.parcel.entries)
            yield lone("gone", b"".join(name.encode("utf-8", "surrogateescape") + b"\0" for name in gone))

    def delivered(self, notes: tuple[str, ...]) -> Delivered:
        """Return what was sent."""
        files, size = self.parcel.count(self.names)
        more, more_size = self.saved.count(tuple(self.saved.entries)) if self.saved else (0, 0)
        everything, _ = self.parcel.count(tuple(self.parcel.entries))
        return Delivered(files=files + more, size=size + more_size, skipped=everything - files, notes=notes)


@attrs.frozen(kw_only=True)
class Delivery:
    """Brings one attempt's files to one machine.

    Args:
        begin: Starts a command there.
        command: The runner's `deliver RUN JOB N`, as a command line.
        instance: EC2 id.
        label: What users call it.
        uploads: The run's.
    """

    begin: Callable[[str], Awaitable[Exchange]]
    command: str
    instance: str
    label: str
    uploads: Uploads

    async def bring(self, order: AttemptOrder) -> tuple[Delivered, Exchange | None]:
        """Deliver; a machine that has not what it was believed to have gets everything.

        Returns:
            What was sent, and the command, which now waits for the order; None if the attempt was started before.

        Raises:
            Undeliverable: If it cannot be done.
            LinkDropped: If the connection broke.
        """
        parcel, notes = await self.uploads.parcel(order.spec)
        saved = await self._saved(order)
        last = self.uploads.last(self.instance)
        how = How.FULL if last is None else How.KNOWN if last.digest == parcel.digest else How.DELTA
        load = Load(parcel=parcel, saved=saved, how=how, base=last)
        self.uploads.remember(self.instance, None)
        answer, there = await self._try(load)
        if answer == "need":
            load = attrs.evolve(load, how=How.FULL)
            answer, there = await self._try(load)
        self.uploads.remember(self.instance, parcel)
        return load.delivered(notes), there

    async def _saved(self, order: AttemptOrder) -> Parcel | None:
        if order.checkpoint is None:
            return None
        scan = await anyio.to_thread.run_sync(scan_folder, order.checkpoint)
        return await self.uploads.pack(scan)

    async def _try(self, load: Load) -> tuple[str, Exchange | None]:
        """Return the answer, and the command if it waits for the order. `need`: try again with everything."""
        there = await self.begin(f"{self.command} {load.words}")
        try:
            if load.has_stream:
                await _send(load, there)
            there.patience_s = PLACE_S
            await there.greeted()
            answer = await there.line()
        except CommandRefused as error:
            there.close()
            if load.how is not How.FULL and error.code == BROKEN_STREAM:
                return "need", None
            raise Undeliverable(f"{self.label} did not take the files: {error}") from error
        except BaseException:
            there.close()
            raise
        if answer == "ready":
            return answer, there
        there.close()
        return answer, None


async def _send(load: Load, there: Exchange) -> None:
    """Send the stream: a small one from here, a big one read in worker threads."""
    pieces = load.stream()
    if load.length <= INLINE:
        for piece in pieces:
            await there.send(piece)
        return
    while piece := await anyio.to_thread.run_sync(_next, pieces):
        await there.send(piece)


def _next(pieces: Iterator[bytes]) -> bytes:
    return next(pieces, b"")
