"""Simulated disk: the journal and the archive, in memory, with what an oracle needs to see."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import attrs

from aspot.errors import AspotError
from aspot.machine.events import Event
from aspot.machine.invariants import violations
from aspot.machine.model import Checkpoint, Run
from aspot.machine.step import start_run, step

if TYPE_CHECKING:
    from simulated.world import World


@attrs.define
class SimJournal:
    """What the clients' journals write to; keeps a replayed shadow of the run, one step behind nothing."""

    world: World
    events: list[Event] = attrs.Factory(list)
    asked: list[str] = attrs.Factory(list)
    fails_after: int | None = None
    left: tuple[str, ...] | None = None
    epoch: int = 1  # of the newest client
    kept: tuple[Mapping[str, object], ...] = ()
    is_closed: bool = False
    _shadow: Run | None = None

    async def reach_disk(self) -> None:
        await anyio.sleep(self.world.chance.uniform(0.001, 0.02))

    def keep(self, events: Sequence[Event]) -> None:
        """Make events durable, all of them or none."""
        if self.fails_after is not None and len(self.events) >= self.fails_after:
            raise AspotError("the disk is full", fix="make room")
        self.events.extend(events)
        shadow = self.shadow
        for event in events:
            shadow, _ = step(shadow, event)
            for text in violations(shadow):
                self.world.oracle.check(False, f"after {type(event).__name__}: {text}")
        self._shadow = shadow

    @property
    def shadow(self) -> Run:
        """Return the run as the journal alone tells it."""
        if self._shadow is None:
            self._shadow = start_run(self.world.spec, self.world.clock.at(0.0))
        return self._shadow

    async def requests(self) -> Sequence[str]:
        asked, self.asked = self.asked, []
        return asked

    async def finish(self, left: Sequence[str], kept: Sequence[Mapping[str, object]] = ()) -> None:
        self.left, self.kept = tuple(left), tuple(kept)

    async def aclose(self) -> None:
        self.is_closed = True


@attrs.define
class SimSink:
    """Implements `aspot.ports.LogSink`."""

    streams: dict[str, bytearray] = attrs.Factory(lambda: {"stdout": bytearray(), "stderr": bytearray()})

    def offsets(self) -> tuple[int, int]:
        return len(self.streams["stdout"]), len(self.streams["stderr"])

    def write(self, stream: str, chunk: bytes) -> None:
        self.streams[stream] += chunk

    def restart(self, stream: str) -> None:
        self.streams[stream] += b"--- truncated ---\n"


@attrs.define
class SimArchive:
    """Implements `aspot.ports.Archive`. Paths are names; nothing is written."""

    world: World
    sinks: dict[tuple[str, int], SimSink] = attrs.Factory(dict)
    staged: dict[Path, str] = attrs.Factory(dict)
    staged_checkpoints: dict[Path, float] = attrs.Factory(dict)
    checkpoints: dict[Path, float] = attrs.Factory(dict)
    accepted: dict[str, tuple[int, str, Mapping[str, object]]] = attrs.Factory(dict)
    refusals: int = 0  # so many times `accept` fails
    summary: Mapping[str, Any] | None = None

    def sink(self, job: str, attempt: int) -> SimSink:
        return self.sinks.setdefault((job, attempt), SimSink())

    def staging(self, job: str, attempt: int) -> Path:
        path = Path("staging") / job / f"a{attempt}"
        self.staged.pop(path, None)
        return path

    def checkpoint_staging(self, job: str, serial: int) -> Path:
        path = Path("checkpoints") / job / str(serial)
        self.staged_checkpoints.pop(path, None)
        return path

    def evacuation(self, job: str, attempt: int) -> Path:
        return Path(f"evacuated/{job}/{attempt}")

    async def keep_checkpoint(self, job: str, serial: int) -> None:
        path = Path("checkpoints") / job / str(serial)
        await anyio.sleep(0.01)
        self.checkpoints[path] = self.staged_checkpoints.pop(path)

    def checkpoint(self, checkpoint: Checkpoint) -> Path:
        path = Path("checkpoints") / checkpoint.job / str(checkpoint.serial)
        self.world.oracle.check(path in self.checkpoints, f"{path} was never kept")
        return path

    async def accept(self, job: str, attempt: int, result: Mapping[str, object]) -> Path:
        await anyio.sleep(0.01)
        if self.refusals:
            self.refusals -= 1
            raise AspotError("no space left")
        text = self.staged.get(Path("staging") / job / f"a{attempt}", "")
        self.world.oracle.accepts(job, attempt, text, result)
        self.accepted.setdefault(job, (attempt, text, result))
        return Path("results") / job

    def published(self, job: str) -> Path:
        self.world.oracle.check(job in self.accepted, f"{job} was never published")
        return Path("results") / job

    async def finish(self, summary: Mapping[str, object]) -> None:
        self.summary = summary
