"""A world of values for the machine: its effects are carried out by hand, and the run is checked after each step."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine.invariants import violations
from aspot.machine.model import (
    Checkpoint,
    Collected,
    EndReason,
    ExitStatus,
    InstanceState,
    JobRecord,
    JobSpec,
    Run,
    RunSpec,
)
from aspot.machine.pool import Market, Pool
from aspot.machine.step import start_run, step, wakeup

START = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
A = Pool("c7i.large", "us-east-1a")
B = Pool("c7i.large", "us-east-1b")
C = Pool("m7i.large", "us-east-1a")
POOLS = (A, B, C)
PRICES = {A: 0.03, B: 0.04, C: 0.05}
ON_DEMAND = {"c7i.large": 0.0893, "m7i.large": 0.1008}


class World:
    """One run, driven by hand."""

    def __init__(self, *, pools=POOLS, **options) -> None:
        options.setdefault("limit", 10)
        self.now = START
        self.spec = RunSpec(id="run1", name="f", region="us-east-1", **options)
        self.run: Run = start_run(self.spec, START)
        self.pools = pools
        self.log: list[ef.Effect] = []
        self.events: list[ev.Event] = []
        self.count = 0

    def send(self, kind: type[ev.Event], **fields) -> list[ef.Effect]:
        """Send one event and check the run; return its effects."""
        event = kind(at=self.now, **fields)
        self.events.append(event)
        before = self.run
        self.run, effects = step(self.run, event)
        assert violations(self.run) == [], violations(self.run)
        assert self.run.seen == before.seen + 1
        self.check(before, effects)
        self.log.extend(effects)
        return list(effects)

    def check(self, before: Run, effects: tuple[ef.Effect, ...]) -> None:
        for effect in effects:
            name = getattr(effect, "instance", None)
            if name is not None:
                assert (
                    before.instances.get(name) is None or before.instances[name].state is not InstanceState.TERMINATED
                )
        for name, job in before.jobs.items():
            if job.status.is_final:
                assert self.run.jobs[name].status is job.status
                assert self.run.jobs[name].accepted == job.accepted

    def wait(self, seconds: float) -> list[ef.Effect]:
        """Let time pass, ticking whenever something is due; return the effects."""
        effects, end, ticks = [], self.now + timedelta(seconds=seconds), 0
        while (due := wakeup(self.run)) is not None and due <= end:
            self.now = max(self.now, due)
            effects += self.send(ev.Ticked)
            ticks += 1
            assert ticks < 2000, f"busy loop at {self.now}: {due}"
        self.now = end
        return effects

    def prepare(self, **fields) -> list[ef.Effect]:
        fields = {"pools": self.pools, "spot_usd_per_hour": PRICES, "on_demand_usd_per_hour": ON_DEMAND} | fields
        return self.send(ev.RunPrepared, **fields)

    def submit(self, *names: str, **options) -> list[ef.Effect]:
        jobs = tuple(JobSpec(name=name, script=f"{name}.py", **options) for name in names)
        return self.send(ev.JobsSubmitted, jobs=jobs)

    def answer(self, request: str = "", *, launched=None, refusals=(), market: Market | None = None) -> list[str]:
        """Answer the newest request (or this one) with instances in these pools; return their ids."""
        request = request or self.run.asked[-1]
        spec = self.run.requests[request].spec
        pools = [spec.pools[0]] * spec.count if launched is None else launched
        names = [self.new_id() for _ in pools]
        given = tuple(
            ev.Launched(instance=name, pool=pool, market=market or spec.market)
            for name, pool in zip(names, pools, strict=True)
        )
        self.send(ev.LaunchAnswered, request=request, launched=given, refusals=tuple(refusals))
        return names

    def new_id(self) -> str:
        self.count += 1
        return f"i-{self.count:04}"

    def ran(self, name: str) -> list[ef.Effect]:
        return self.send(ev.InstanceRan, instance=name, address="127.0.0.1", port=22, launched=self.now)

    def ready(self, name: str) -> list[ef.Effect]:
        return self.send(ev.InstanceReady, instance=name, boot_id="b1")

    def boot(self, *names: str) -> list[ef.Effect]:
        effects = []
        for name in names:
            self.ran(name)
            effects += self.ready(name)
        return effects

    def on(self, name: str) -> dict[str, object]:
        attempt = self.run.instances[name].attempt
        assert attempt is not None, self.run.instances[name]
        return {"instance": name, "job": attempt[0], "attempt": attempt[1]}

    def started(self, name: str) -> list[ef.Effect]:
        return self.send(ev.AttemptStarted, **self.on(name))

    def exited(self, name: str, code: int = 0, why: str = "exit") -> list[ef.Effect]:
        status = ExitStatus(code=code, why=why, ended=self.now, out=0, err=0, boot_id="b1")
        return self.send(ev.AttemptExited, **self.on(name), exit=status)

    def collected(self, name: str, *files: str) -> list[ef.Effect]:
        return self.send(ev.ResultCollected, **self.on(name), collected=Collected(files=files))

    def accepted(self, job: str) -> list[ef.Effect]:
        found = [effect for effect in self.log if isinstance(effect, ef.AcceptResult) and effect.job == job]
        assert len(found) == 1, found
        return self.send(ev.ResultAccepted, job=job, attempt=found[0].attempt)

    def complete(self, name: str, code: int = 0, why: str = "exit") -> list[ef.Effect]:
        """Let the attempt on the instance exit and come home."""
        return self.exited(name, code, why) + self.collected(name)

    def notice(self, name: str, seconds: float = 120.0) -> list[ef.Effect]:
        deadline = self.now + timedelta(seconds=seconds)
        return self.send(ev.NoticeReceived, instance=name, deadline=deadline, channel="runner")

    def saved(self, name: str, serial: int, *, files: int = 1, **on) -> list[ef.Effect]:
        where = on or self.on(name)
        checkpoint = Checkpoint(
            job=where["job"], attempt=where["attempt"], serial=serial, files=files, size=10, taken=self.now
        )
        return self.send(ev.CheckpointSaved, **(where | {"instance": name}), checkpoint=checkpoint)

    def missed(self, name: str, serial: int) -> list[ef.Effect]:
        return self.send(ev.CheckpointMissed, **self.on(name), serial=serial, reason="nothing there")

    def ending(self, name: str, reason: EndReason = EndReason.OURS) -> list[ef.Effect]:
        return self.send(ev.InstanceEnding, instance=name, reason=reason)

    def gone(self, name: str, reason: EndReason = EndReason.OURS) -> list[ef.Effect]:
        return self.send(ev.InstanceEnded, instance=name, reason=reason)

    def job(self, name: str) -> JobRecord:
        return self.run.jobs[name]

    def state(self, name: str) -> InstanceState:
        return self.run.instances[name].state


def working(*jobs: str, options=None, **job_options) -> tuple[World, list[str]]:
    """Return a world in which these jobs run, each on an instance of its own."""
    world = World(**(options or {}))
    world.prepare()
    world.submit(*jobs, **job_options)
    names = world.answer()
    world.wait(20)
    world.boot(*names)
    for name in names:
        world.started(name)
    return world, names


def only(kind: type, effects) -> list:
    """Return the effects of one kind."""
    return [effect for effect in effects if isinstance(effect, kind)]


def news(kind: type, effects) -> list:
    """Return the news of one kind."""
    return [effect.news for effect in effects if isinstance(effect, ef.Announce) and isinstance(effect.news, kind)]
