"""Simulated SSH: links that need time, drop, hang in partitions, and reach a machine's attempt folders."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING

import anyio
import attrs

from aspot.errors import ConfigError
from aspot.machine.client import Client
from aspot.machine.haul import Haul
from aspot.machine.model import Collected, ExitStatus, JobSpec, StopWhy
from aspot.ports import (
    Armed,
    AttemptOrder,
    Delivered,
    Gone,
    HostKeyMismatch,
    Lease,
    Link,
    LinkDropped,
    LogSink,
    NotReady,
    RunnerFact,
    StillRunning,
    TakenOver,
    Target,
    Undeliverable,
)
from aspot.ssh.order import status_of
from simulated.machine import Folder, Machine

if TYPE_CHECKING:
    from simulated.clients import SimClient
    from simulated.world import World

KEEPALIVE_S = 60.0


def line_of(status: ExitStatus) -> str:
    """Return a status as the runner publishes it (RUNNER.md)."""
    ended, boot = int(status.ended.timestamp()), status.boot_id
    return f"v1 rc={status.code} why={status.why} end={ended} boot={boot} out={status.out} err={status.err} ok"


@attrs.define(eq=False)
class SimRemote:
    """Implements `aspot.ports.Remote`."""

    world: World
    client: SimClient
    is_closed: bool = False
    connects: int = 0
    has_full_disk: bool = False

    async def connect(self, target: Target) -> Link:
        machine = self.world.cloud.machines[target.instance]
        self.connects += 1
        await anyio.sleep(self.world.chance.uniform(0.05, 0.2))
        now = self.world.loop.time()
        if now < machine.partition_until:
            await anyio.sleep(10.0)
            raise NotReady("timed out")
        if not machine.is_up or now < machine.opens_at:
            raise NotReady("connection refused")
        if machine.is_foreign:
            raise HostKeyMismatch("another host key")
        link = SimLink(self.world, machine, self.client)
        self.world.links.append(link)
        return link

    async def way_in(self, target: Target) -> str:
        if self.has_full_disk:
            raise ConfigError("host keys cannot be written: no space left on device")
        return f"ssh {target.user}@{target.address}"

    async def aclose(self) -> None:
        self.is_closed = True


@attrs.define(eq=False)
class SimLink:
    """Implements `aspot.ports.Link`."""

    world: World
    machine: Machine
    client: SimClient
    is_broken: bool = False
    is_closed: bool = False
    hangs_since: float | None = None
    _heard: int = 0

    def cut(self) -> None:
        """Break the connection now."""
        self.is_broken = True
        self.machine.touch()

    def _check(self) -> None:
        if self.is_broken or self.is_closed or not self.machine.is_up:
            raise LinkDropped("connection lost")

    async def _hop(self, least: float = 0.01, most: float = 0.1) -> None:
        """One exchange with the machine."""
        if self.world.strikes("drop"):
            self.cut()
        self._check()
        await anyio.sleep(self.world.chance.uniform(least, most))
        now = self.world.loop.time()
        if now < self.machine.partition_until:
            await anyio.sleep(min(KEEPALIVE_S, self.machine.partition_until - now))
            if self.world.loop.time() < self.machine.partition_until:
                self.cut()
        await self.client.slept()
        self._check()

    async def _command(self, least: float = 0.01, most: float = 0.1) -> None:
        """One exchange that is to change something there: the machine heeds the newest client that armed it only."""
        await self._hop(least, most)
        if self.client.epoch < self.machine.epoch:
            raise TakenOver(Client(epoch=self.machine.epoch, pid=self.machine.epoch, host="sim"))

    async def arm(self, lease: Lease) -> Armed:
        await self._command(0.1, 0.3)
        if self.machine.epoch != self.client.epoch:
            self.machine.epoch = self.client.epoch
            self.machine.touch()  # who watches here is another's
        can_end = not self.machine.is_powerless
        if can_end:
            self.machine.arm(lease)
        return Armed(boot_id=self.machine.boot_id, powers_off=can_end, watches=True, rotated=True)

    async def set_up(self, script: str) -> None:
        await self._command(1.0, 2.0)
        self.machine.set_ups.append(script)
        if script.partition("\n")[0] == "false":
            raise Undeliverable("exit code 1")

    async def renew(self) -> None:
        await self._command()
        self.machine.renewed = self.world.loop.time()

    async def keep(self, seconds: float) -> None:
        await self._command()
        if self.world.strikes("sluggish"):
            await self._hop(10.0, 20.0)
        self.machine.keep(seconds)
        self.world.happened["keep"] += 1
        await self._hop()

    async def deliver(self, order: AttemptOrder) -> Delivered:
        await self._command(0.05, 1.0)
        self.world.trouble("deliver")
        if order.spec.name in self.world.undeliverable:
            raise Undeliverable("data.csv vanished", is_local=True)
        folder = Folder(order.spec.name, order.attempt, self.world.scripts[order.spec.name], order.spec.timeout_s)
        folder.resumed = self.world.archive.checkpoints[order.checkpoint] if order.checkpoint else 0.0
        folder.is_delivered = True
        known = self.machine.folders.get((folder.job, folder.number))
        if known is None or not known.starts:
            self.machine.folders[folder.job, folder.number] = folder
        await self._hop()
        return Delivered(files=1, size=100, skipped=0)

    async def start(self, order: AttemptOrder) -> None:
        await self._command()
        folder = self.machine.folders.get((order.spec.name, order.attempt))
        if folder is None:
            raise Undeliverable("nothing was delivered")
        self.machine.start(folder)
        await self._hop()

    async def watch(self) -> AsyncIterator[RunnerFact]:
        heard = 0
        await self._command()
        while True:
            await self._hop()
            if self.client.epoch < self.machine.epoch:
                raise LinkDropped("another watches now")
            while heard < len(self.machine.facts):
                heard += 1
                yield self.machine.facts[heard - 1]
            await self._changed()

    async def _changed(self) -> None:
        self._check()
        await self.machine.changed.wait()
        self._check()

    async def follow(self, job: str, attempt: int, sink: LogSink) -> None:
        folder = self._folder(job, attempt)
        if folder is None:
            return
        while True:
            await self._hop()
            is_over = not folder.is_running
            self.world.trouble("follow")
            await self._copy(folder, sink)
            if is_over:
                return
            await self._changed()

    async def _copy(self, folder: Folder, sink: LogSink) -> None:
        """Copy what is missing here; two copiers at once would write it twice."""
        here, _ = sink.offsets()
        rest = folder.out[here:]
        await self._hop(0.01, 3.0)
        await self.client.slept()  # with the piece in its hands
        if rest:
            sink.write("stdout", rest)

    async def status(self, job: str, attempt: int) -> ExitStatus | StillRunning | Gone:
        await self._hop()
        folder = self._folder(job, attempt)
        if folder is None or not folder.starts:
            return Gone(reason="it was never started", was_started=False)
        if folder.status is not None:
            return self._read(line_of(folder.status))
        return StillRunning() if folder.is_running else Gone(reason="the machine was rebooted")

    def _read(self, line: str) -> ExitStatus:
        """Read a status as the product does; now and then its end is missing."""
        is_torn = self.world.strikes("torn")
        if is_torn:
            line = line[: self.world.chance.choice((len(line) - 1, line.rindex(" "), len(line) // 2))]
        status = status_of(line)
        self.world.oracle.check(status is None or not is_torn, f"V4: a status without its end was believed: {line}")
        if status is None:
            raise LinkDropped("the machine's answer makes no sense")
        return status

    async def stop(self, job: str, attempt: int, why: StopWhy, grace_s: float) -> None:
        await self._command()
        folder = self._folder(job, attempt)
        if folder is None:
            return
        if not folder.starts:
            folder.starts, folder.is_dead = 1, True  # the folder is locked: a start that comes late does nothing
            return
        self.machine.stop(folder, why.value, grace_s)
        while folder.is_running:
            await self._changed()

    async def fetch_checkpoint(self, spec: JobSpec, attempt: int, into: Path) -> tuple[int, int]:
        await self._hop(0.1, 2.0)
        self.world.trouble("fetch_checkpoint")
        folder = self._folder(spec.name, attempt)
        work = self.machine.note_checkpoint(folder) if folder is not None else None
        if work is None:
            return (0, 0)
        self.world.archive.staged_checkpoints[into] = work
        await self._hop()
        return (1, int(work))

    async def evacuate(self, spec: JobSpec, attempt: int, into: Path, haul: Haul) -> None:
        """Bring one file a path, as long as each takes."""
        names = [name for name in spec.evacuate if name not in haul.saved]
        haul.expect(names)
        for name in names:
            await self._hop(1.0, 3.0)
            self.world.trouble("evacuate")
            haul.keep(name, "hash", 10)

    async def fetch_result(self, spec: JobSpec, attempt: int, sink: LogSink, into: Path) -> Collected:
        await self._hop(0.1, 2.0)
        self.world.trouble("fetch_result")
        folder = self._folder(spec.name, attempt)
        self.world.oracle.check(
            folder is not None and folder.status is not None, f"{spec.name}: fetched without status"
        )
        assert folder is not None
        await self._copy(folder, sink)
        text = folder.script.result(spec.name) if folder.status and folder.status.why == "exit" else "partial"
        self.world.archive.staged[into] = text
        return Collected(files=("out/result.txt",), size=len(text))

    async def release(self, job: str, attempt: int) -> None:
        await self._command()
        self.machine.folders[job, attempt].is_released = True

    async def aclose(self) -> None:
        self.is_closed = True
        self.machine.touch()

    def _folder(self, job: str, attempt: int) -> Folder | None:
        return self.machine.folders.get((job, attempt))
