"""What a client that was taken over must not do: it looks, before whatever changes EC2 or the local files, if it was.

What it would change on the machines they refuse themselves; what it would write into the journal, the journal does. A
client may sleep at any point, for days: so the look is right before the deed, and costs a microsecond.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path

import attrs

from aspot.machine.model import Checkpoint, LaunchSpec
from aspot.machine.pool import Pool
from aspot.ports import (
    Archive,
    Cloud,
    CloudFact,
    CloudPlan,
    LaunchAnswer,
    LogSink,
    Mounted,
    Mounting,
    Prepared,
    Sighting,
)

Check = Callable[[], None]
"""Raises `TakenOver` if this client was."""


@attrs.frozen
class FencedCloud(Cloud):
    """A cloud that changes nothing for a client that was taken over."""

    inner: Cloud
    check: Check

    async def prepare(self, plan: CloudPlan) -> Prepared:
        """Make ready what launches need."""
        self.check()
        return await self.inner.prepare(plan)

    async def launch(self, spec: LaunchSpec) -> LaunchAnswer:
        """Ask for instances."""
        self.check()
        return await self.inner.launch(spec)

    async def sightings(self) -> Sequence[Sighting]:
        """Return every instance of the run that EC2 still shows."""
        return await self.inner.sightings()

    async def furnish(self, instance: str, zone: str) -> Sequence[Mounting]:
        """Make ready what a machine is to mount."""
        self.check()
        return await self.inner.furnish(instance, zone)

    async def hear(self, region: str) -> Sequence[CloudFact] | None:
        """Wait for what EC2 says by itself; what it needs for that is made by calls that look themselves."""
        return await self.inner.hear(region)

    async def let_caller_in(self) -> str:
        """Have SSH let in from where the caller is now."""
        self.check()
        return await self.inner.let_caller_in()

    async def terminate(self, instances: Collection[str]) -> Mapping[str, str]:
        """End instances."""
        self.check()
        return await self.inner.terminate(instances)

    async def console(self, instance: str) -> str:
        """Return the end of what an instance wrote to its console."""
        return await self.inner.console(instance)

    async def spot_prices(self) -> Mapping[Pool, float]:
        """Return the current spot price of each of the run's pools."""
        return await self.inner.spot_prices()

    async def mark_kept(self, instance: str, until: datetime) -> None:
        """Write onto an instance until when it is kept for a look."""
        self.check()
        await self.inner.mark_kept(instance, until)

    def mounted(self) -> Sequence[Mounted]:
        """Return what the machines mount."""
        return self.inner.mounted()

    async def clean_up(self, kept: Collection[str] = ()) -> Sequence[str]:
        """Delete what the run made beside instances."""
        self.check()
        return await self.inner.clean_up(kept)

    async def aclose(self) -> None:
        """Close connections."""
        await self.inner.aclose()


@attrs.frozen
class FencedSink(LogSink):
    """A log that takes nothing from a client that was taken over: the other one appends to the same file."""

    inner: LogSink
    check: Check

    def offsets(self) -> tuple[int, int]:
        """Return how many bytes are here."""
        return self.inner.offsets()

    def write(self, stream: str, chunk: bytes) -> None:
        """Append bytes."""
        self.check()
        self.inner.write(stream, chunk)

    def restart(self, stream: str) -> None:
        """Begin again at 0."""
        self.check()
        self.inner.restart(stream)


@attrs.frozen
class FencedArchive(Archive):
    """Local files that a client that was taken over neither empties, moves nor publishes."""

    inner: Archive
    check: Check

    def sink(self, job: str, attempt: int) -> LogSink:
        """Return where the attempt's output goes."""
        return FencedSink(self.inner.sink(job, attempt), self.check)

    def staging(self, job: str, attempt: int) -> Path:
        """Return a fresh, empty folder for what an attempt brings home."""
        self.check()
        return self.inner.staging(job, attempt)

    def checkpoint_staging(self, job: str, serial: int) -> Path:
        """Return a fresh, empty folder for a checkpoint."""
        self.check()
        return self.inner.checkpoint_staging(job, serial)

    def evacuation(self, job: str, attempt: int) -> Path:
        """Return the folder of an attempt's evacuated files."""
        self.check()
        return self.inner.evacuation(job, attempt)

    async def keep_checkpoint(self, job: str, serial: int) -> None:
        """Make the staged checkpoint the job's newest."""
        self.check()
        await self.inner.keep_checkpoint(job, serial)

    def checkpoint(self, checkpoint: Checkpoint) -> Path:
        """Return the folder of a checkpoint that was kept."""
        return self.inner.checkpoint(checkpoint)

    async def accept(self, job: str, attempt: int, result: Mapping[str, object]) -> Path:
        """Publish the job's folder."""
        self.check()
        return await self.inner.accept(job, attempt, result)

    def published(self, job: str) -> Path:
        """Return the folder of a job whose result was accepted."""
        return self.inner.published(job)

    async def finish(self, summary: Mapping[str, object]) -> None:
        """Write `results.json`."""
        self.check()
        await self.inner.finish(summary)
