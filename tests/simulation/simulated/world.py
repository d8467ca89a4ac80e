"""The simulated world: one seed decides everything in it, the order of callbacks included."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import attrs

from aspot.errors import AspotError
from aspot.machine.model import EndReason, JobSpec, Run, RunSpec
from aspot.machine.news import News
from aspot.ports import CloudPlan, Lease
from aspot.runtime.host import RunHost
from simulated.clients import ClientJournal, SimClient, Sleepy, Witnessed
from simulated.cloud import SimCloud
from simulated.disk import SimArchive, SimJournal
from simulated.machine import Machine
from simulated.oracle import Oracle
from simulated.remote import SimLink, SimRemote
from simulated.scripts import Script, spec_of
from simulated.virtual_loop import VirtualLoop, play

EPOCH = datetime(2026, 11, 23, tzinfo=UTC)
LONGEST_S = 12 * 3600.0
Story = Callable[["World"], Awaitable[None]]


@attrs.frozen(kw_only=True)
class Faults:
    """Rates of what goes wrong: chances per call, per machine, or seconds."""

    unavailable: float = 0.0
    lost: float = 0.0
    throttle: float = 0.0
    drop: float = 0.0
    blink: float = 0.0
    lag_s: float = 1.0
    stale_s: float = 0.0
    boot_s: tuple[float, float] = (15.0, 25.0)
    shutdown_s: float = 30.0
    notice: float = 0.0
    short_notice: float = 0.0
    sudden: float = 0.0
    reboot: float = 0.0
    someone: float = 0.0
    mute: float = 0.0  # sshd never answers
    foreign: float = 0.0  # somebody else's does
    stillborn: float = 0.0  # ends while pending: no capacity after all
    powerless: float = 0.0  # cannot power itself off: no lease holds there
    torn: float = 0.0  # a status is read without its end
    advice: float = 0.0  # EC2 recommends to leave it
    sluggish: float = 0.0  # a message to keep a machine is long on its way
    shut: float = 0.0  # one of several regions is silent, or its quota is used up
    until_s: float = 3600.0  # faults stop then, so that the end can be judged

    @classmethod
    def drawn(cls, seed: int) -> Faults:
        """Return rates drawn from a seed: some kinds of fault often, others not at all (swarm testing)."""
        chance = random.Random(f"faults {seed}")

        def rate(most: float) -> float:
            return chance.choice((0.0, 0.0, most / 4, most))

        return cls(
            unavailable=rate(0.3),
            lost=rate(0.4),
            throttle=rate(0.5),
            drop=rate(0.05),
            blink=rate(0.3),
            lag_s=chance.choice((0.0, 2.0, 20.0)),
            stale_s=chance.choice((0.0, 3.0)),
            boot_s=chance.choice(((0.5, 2.0), (15.0, 25.0), (20.0, 90.0))),
            shutdown_s=chance.choice((2.0, 40.0)),
            notice=rate(0.5),
            short_notice=rate(0.3),
            sudden=rate(0.4),
            reboot=rate(0.2),
            someone=rate(0.2),
            mute=rate(0.2),
            foreign=rate(0.1),
            stillborn=rate(0.2),
            powerless=rate(0.1),
            torn=rate(0.3),
            advice=rate(0.5),
            sluggish=rate(0.5),
            shut=rate(0.3),
        )


@attrs.define
class SimClock:
    """Implements `aspot.ports.Clock` on the loop's virtual time."""

    loop: VirtualLoop

    def now(self) -> datetime:
        return self.at(self.loop.time())

    def at(self, when: float) -> datetime:
        return EPOCH + timedelta(seconds=when)

    def since(self, when: datetime) -> float:
        """Return the loop's time then."""
        return (when - EPOCH).total_seconds()


class World:
    """A cloud, a disk, a network and one run."""

    def __init__(self, loop: VirtualLoop, seed: int, faults: Faults, options: Mapping[str, object]) -> None:
        self.loop = loop
        self.seed = seed
        self.chance = random.Random(f"world {seed}")
        self.faults = faults
        self.clock = SimClock(loop)
        self.spec = RunSpec(id=f"run{seed}", name="sim", region="us-east-1", **options)  # type: ignore[arg-type]
        self.limit_seen = self.spec.limit
        self.scripts: dict[str, Script] = {}
        self.undeliverable: set[str] = set()
        self.troubles: dict[str, int] = {}
        self.links: list[SimLink] = []
        self.news: list[News] = []
        self.oracle = Oracle(self)
        self.cloud = SimCloud(self)
        self.client = SimClient(self, epoch=1)
        self.remote = SimRemote(self, self.client)
        self.journal = SimJournal(self)
        self.archive = SimArchive(self)
        self.setup = ""
        self._host: RunHost | None = None
        self._earlier: Run | None = None
        self.is_away = False  # nobody drives the run
        self.came_back = 0
        self.happened: Counter[str] = Counter()  # faults and deeds, by kind

    @property
    def host(self) -> RunHost:
        """Return the run's host, made at first use."""
        if self._host is None:
            self._host = RunHost(
                self.spec,
                cloud=Witnessed(self.cloud, self.client),  # type: ignore[arg-type]
                remote=self.remote,
                journal=ClientJournal(self.journal, self.client),
                archive=Witnessed(self.archive, self.client),  # type: ignore[arg-type]
                clock=self.clock,
                plan=CloudPlan(run=self.spec, types=("c7i.large",)),
                lease=Lease(term_s=600.0, idle_s=60.0, hold_s=7200.0, max_life_s=self.spec.max_life_s),
                setup=self.setup,
                chance=random.Random(f"jitter {self.seed} {self.came_back}"),
                earlier=self._earlier,
            )
            wiring: Any = self._host._wiring
            for port in ("cloud", "archive"):
                setattr(wiring, port, Sleepy(getattr(wiring, port), self.client))
            self._host.listen(self._hear)
        return self._host

    async def _hear(self) -> None:
        async for news in self.host.subscribe(logs=True):
            self.news.append(news)

    async def kill(self) -> None:
        """End the client at once, as a crash would: nothing is written, ended or said any more."""
        self.is_away = True
        self.happened["crash"] += 1
        self.host.abandon()
        await self.host.finished()

    async def detach(self) -> None:
        """End the client on purpose: what it is asking of the cloud is finished, the machines go on."""
        self.is_away = True
        self.happened["detach"] += 1
        self.host.detach()
        await self.host.finished()

    async def come_back(self) -> None:
        """Take the run up again, from what its journal tells."""
        self._earlier, self._host = self.journal.shadow, None
        self.came_back += 1
        self.is_away = False
        try:
            await self.host.start()
        except AspotError:
            self.is_away = True
            raise

    async def take_over(self) -> None:
        """Take the run from the client that drives it, which may be asleep, or not know yet."""
        self.client = SimClient(self, epoch=self.client.epoch + 1)
        self.remote = SimRemote(self, self.client)
        self.journal.epoch = self.client.epoch
        self.happened["take-over"] += 1
        await self.come_back()

    async def finished(self) -> None:
        """Wait for the end of the run, whoever drives it then."""
        while True:
            host = self.host
            await host.finished()
            if host is self._host and not self.is_away:
                return
            await anyio.sleep(0.5)

    def strikes(self, fault: str) -> bool:
        """Tell whether a fault of this kind, a rate of `Faults`, happens now."""
        rate = getattr(self.faults, fault)
        has_struck = rate > 0 and self.loop.time() < self.faults.until_s and self.chance.random() < rate
        self.happened[fault] += has_struck
        return has_struck

    def trouble(self, place: str) -> None:
        """Raise what the local disk might, as often as was asked for."""
        if self.troubles.get(place, 0) > 0:
            self.troubles[place] -= 1
            raise OSError(28, "No space left on device")

    def add(self, name: str, script: Script | None = None, **options: object) -> JobSpec:
        """Describe a job and return its specification."""
        self.scripts[name] = script or Script()
        return spec_of(name, self.scripts[name], **options)

    def break_links(self, machine: Machine) -> None:
        for link in self.links:
            if link.machine is machine:
                link.cut()

    def partition(self, machine: Machine, seconds: float) -> None:
        """Let no packet through to the machine for a while."""
        machine.partition_until = self.loop.time() + seconds
        for link in self.links:
            if link.machine is machine and not link.is_closed:
                self.loop.call_later(min(60.0, seconds + 1.0), self._keepalive, link)

    def _keepalive(self, link: SimLink) -> None:
        if self.loop.time() < link.machine.partition_until:
            link.cut()

    def plan_fate(self, machine: Machine) -> None:
        """Draw what will befall a machine."""
        after = self.chance.uniform(1.0, 120.0)
        later = self.loop.call_later
        fates: dict[str, Callable[[], object]] = {
            "notice": lambda: later(after, machine.warn, 120.0),
            "short_notice": lambda: later(after, machine.warn, self.chance.uniform(1.0, 20.0)),
            "sudden": lambda: later(after, machine.interrupt),
            "reboot": lambda: later(after + 30.0, machine.reboot),
            "someone": lambda: later(after, machine.end, EndReason.SOMEONE),
            "mute": lambda: setattr(machine, "is_mute", True),
            "foreign": lambda: setattr(machine, "is_foreign", True),
            "stillborn": lambda: machine.end(EndReason.NO_CAPACITY),
            "powerless": lambda: setattr(machine, "is_powerless", True),
        }
        struck = next((fault for fault in fates if self.strikes(fault)), None)
        if struck is not None:
            fates[struck]()
        own = random.Random(f"advice {self.seed} {machine.id}")  # older seeds play as they did
        if own.random() < self.faults.advice:
            self.loop.call_later(own.uniform(1.0, 150.0), machine.advise)

    def machine(self, number: int) -> Machine:
        """Return the n-th machine ever made."""
        return list(self.cloud.machines.values())[number]

    def running(self, job: str) -> Machine:
        """Return the machine on which the job runs now."""
        return next(
            machine
            for machine in self.cloud.machines.values()
            for folder in machine.folders.values()
            if folder.job == job and folder.is_running
        )

    def running_once(self, job: str) -> Machine:
        """Return the machine on which the job ran last."""
        machines = self.cloud.machines.values()
        return [machine for machine in machines for folder in machine.folders.values() if folder.job == job][-1]

    async def until(self, holds: Callable[[], bool], within: float = 3600.0) -> None:
        """Wait until something holds."""
        with anyio.fail_after(within):
            while not holds():
                await anyio.sleep(0.25)

    async def run(self, *specs: JobSpec) -> None:
        """Start, hand in, close, and wait for the end."""
        await self.host.start()
        self.host.submit(specs)
        self.host.close()
        await self.host.finished()


def simulate(
    story: Story, *, seed: int = 0, faults: Faults | None = None, longest_s: float = LONGEST_S, **options: object
) -> World:
    """Play a story in a fresh world, judge it, and return the world as it is at the end.

    Args:
        story: What happens; when it returns the run must be over.
        seed: Decides everything.
        faults: What goes wrong; nothing by default.
        longest_s: Virtual seconds that it may take.
        **options: Of `RunSpec`.

    Raises:
        AssertionError: If an invariant did not hold.
    """

    async def main(loop: VirtualLoop) -> World:
        world = World(loop, seed, faults or Faults(), options)
        with anyio.fail_after(longest_s):
            await story(world)
        await anyio.sleep(0)
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        world.oracle.check(not others, f"V13: tasks are left: {others}")
        world.oracle.ends()
        if world.host.kept:
            await anyio.sleep(max(0.0, world.oracle.quiet_at() - loop.time()))
            world.oracle.lies_still()
        assert not world.oracle.violations, "\n".join([f"seed {seed}", *world.oracle.violations[:10]])
        return world

    return play(seed, main)
