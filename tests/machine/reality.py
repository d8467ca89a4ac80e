"""What really happens, as against what the machine believes: effects carried out in any order, with faults or not."""

from __future__ import annotations

from datetime import timedelta

import attrs

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine.change import is_advised
from aspot.machine.model import Checkpoint, Collected, EndReason, Evacuation, ExitStatus, LaunchSpec, StopWhy
from aspot.machine.money import budget_left
from aspot.machine.pool import Market, Pool, Refusal, RefusalKind
from tests.machine.world import World

ALIVE = ("pending", "running")


@attrs.define
class Box:
    """A machine as EC2 has it."""

    id: str
    request: str
    pool: Pool
    market: Market
    state: str = "pending"  # pending, running, ending, gone
    reason: EndReason = EndReason.UNKNOWN
    is_told: bool = False
    is_noticed: bool = False
    is_ready: bool = False
    is_ours_to_end: bool = False
    is_taken: bool = False


class Reality(World):
    """A world with a cloud, machines and scripts in it; every method is one thing that happens."""

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self.boxes: dict[str, Box] = {}
        self.launches: list[LaunchSpec] = []
        self.made: dict[str, list[str]] = {}  # what a request really launched: its token
        self.connects: list[str] = []
        self.scripts: dict[tuple[str, int], str] = {}  # ordered, running, over
        self.where: dict[tuple[str, int], str] = {}
        self.starts: list[tuple[str, int]] = []
        self.stops: list[ef.StopAttempt] = []
        self.saves: list[ef.SaveCheckpoint] = []
        self.evacuations: list[ef.Evacuate] = []
        self.collects: list[ef.CollectResult] = []
        self.accepts: list[ef.AcceptResult] = []
        self.ends: list[str] = []
        self.keeps: list[str] = []
        self.limit_seen = self.run.spec.limit

    def check(self, before, effects) -> None:
        super().check(before, effects)
        for effect in effects:
            self.take(effect)
        self.check_budget()
        assert len(self.accepts) == len({accept.job for accept in self.accepts})

    def check_budget(self) -> None:
        """What is spent and what is needed to come home are within the budget, save for surprises."""
        left = budget_left(self.run)
        surprises = (ev.PricesSeen, ev.LaunchInDoubt, ev.RunPrepared)
        if left is not None and self.run.stop is None and self.run.pools:
            assert left > -1e-6 or sum(isinstance(event, surprises) for event in self.events) > 1, left

    def take(self, effect: ef.Effect) -> None:
        """Note an effect that is to be carried out."""
        match effect:
            case ef.Launch():
                self.launches.append(effect.spec)
                if self.run.requests[effect.spec.id].tries == 1:
                    self.check_limit(effect.spec)
            case ef.Connect():
                self.connects.append(effect.instance)
            case ef.StartAttempt():
                key = (effect.job, effect.attempt)
                assert key not in self.scripts, "started twice"
                alive = [other for other, state in self.scripts.items() if other[0] == effect.job and state != "over"]
                assert not alive, f"{alive} may still run while {key} starts"
                assert not self.boxes[effect.instance].is_noticed
                assert self.run.instances[effect.instance].keep is None
                self.scripts[key], self.where[key] = "ordered", effect.instance
                self.starts.append(key)
            case ef.StopAttempt():
                self.stops.append(effect)
            case ef.SaveCheckpoint():
                self.saves.append(effect)
            case ef.Evacuate():
                assert self.boxes[effect.instance].state != "gone"
                self.evacuations.append(effect)
            case ef.CollectResult():
                self.collects.append(effect)
            case ef.AcceptResult():
                self.accepts.append(effect)
            case ef.Keep():
                assert self.boxes[effect.instance].state != "gone"
                assert not self.scripts_on(effect.instance)
                self.keeps.append(effect.instance)
            case ef.Terminate():
                self.boxes[effect.instance].is_ours_to_end = True
                self.ends.append(effect.instance)

    def check_limit(self, spec: LaunchSpec) -> None:
        """Instances alive or possible never exceed the limit (V7); successors may overlap what goes away."""
        limit = self.run.spec.limit
        alive = [box for box in self.boxes.values() if box.is_told and box.state != "gone" and not self.goes(box)]
        possible = sum(
            max(0, self.run.requests[name].spec.count - len(self.run.requests[name].instances))
            for name in self.run.asked
        )
        assert len(alive) + possible <= limit, (len(alive), possible, limit, spec)

    def scripts_on(self, name: str) -> list[tuple[str, int]]:
        return [key for key, state in self.scripts.items() if state != "over" and self.where[key] == name]

    def confirm(self, index: int, *, is_good: bool) -> None:
        """A machine says that it ends itself in time, or is never heard of."""
        name = self.keeps.pop(index % len(self.keeps))
        if is_good and self.boxes[name].state in ALIVE:
            self.send(ev.MachineKept, instance=name, user="u", way="")

    def goes(self, box: Box) -> bool:
        """Tell whether the machine is known to go away against our will, or is left by policy."""
        record = self.run.instances[box.id]
        if self.run.spec.moves_when_advised and is_advised(record):
            return True
        is_theirs = record.end_reason is not None and not record.terminate_asked
        return record.notice is not None or is_theirs or bool(record.protected) or record.keep is not None

    def answer_launch(self, index: int, *, give: int, kind: RefusalKind | None, is_lost: bool) -> None:
        """AWS takes a request: gives so many, refuses the rest, and the answer arrives or not."""
        spec = self.launches.pop(index % len(self.launches))
        if spec.id not in self.made:
            self.made[spec.id] = [self.make(spec, number) for number in range(min(give, spec.count))]
        made = [self.boxes[name] for name in self.made[spec.id]]
        if is_lost:
            self.send(ev.LaunchInDoubt, request=spec.id, reason="lost")
            return
        if not made and kind in (RefusalKind.THROTTLED, RefusalKind.AUTH_EXPIRED):
            del self.made[spec.id]
        for box in made:
            box.is_told = True
        launched = tuple(ev.Launched(instance=box.id, pool=box.pool, market=box.market) for box in made)
        refusals = () if kind is None or len(made) == spec.count else self.refuse(spec, kind)
        self.send(ev.LaunchAnswered, request=spec.id, launched=launched, refusals=refusals)

    def make(self, spec: LaunchSpec, number: int) -> str:
        box = Box(self.new_id(), spec.id, spec.pools[number % len(spec.pools)], spec.market)
        self.boxes[box.id] = box
        return box.id

    def refuse(self, spec: LaunchSpec, kind: RefusalKind) -> tuple[Refusal, ...]:
        whole = kind in (RefusalKind.QUOTA, RefusalKind.THROTTLED, RefusalKind.AUTH_EXPIRED, RefusalKind.FATAL)
        pools = (None,) if whole else spec.pools
        return tuple(Refusal(kind=kind, code=kind.name, pool=pool) for pool in pools)

    def poll_found(self) -> None:
        """The poller sees machines that no answer told of."""
        for box in list(self.boxes.values()):
            if not box.is_told and box.state in ALIVE:
                box.is_told = True
                self.send(ev.InstanceFound, instance=box.id, request=box.request, pool=box.pool, market=box.market)

    def told(self, *states: str) -> list[Box]:
        return [box for box in self.boxes.values() if box.is_told and box.state in states]

    def boot_box(self, box: Box) -> None:
        box.state = "running"
        self.ran(box.id)

    def connect(self, index: int, *, is_good: bool) -> None:
        name = self.connects.pop(index % len(self.connects))
        box = self.boxes[name]
        if box.state in ALIVE and is_good:
            box.is_ready = True
            self.ready(name)
        elif box.state in ALIVE:
            self.send(ev.InstanceUnusable, instance=name, reason="no sshd")

    def give_notice(self, box: Box, seconds: float) -> None:
        box.is_noticed = True
        self.notice(box.id, seconds)

    def begin_end(self, box: Box, reason: EndReason) -> None:
        box.state, box.reason = "ending", reason
        self.ending(box.id, reason)

    def finish_end(self, box: Box) -> None:
        """The machine is gone, and all that ran on it."""
        box.state = "gone"
        for key, name in self.where.items():
            if name == box.id:
                self.scripts[key] = "over"
        self.gone(box.id, box.reason)

    def end_ours(self, index: int) -> None:
        box = self.boxes[self.ends.pop(index % len(self.ends))]
        if box.state in ALIVE:
            self.begin_end(box, EndReason.OURS)

    def on_key(self, key: tuple[str, int]) -> dict[str, object]:
        return {"instance": self.where[key], "job": key[0], "attempt": key[1]}

    def start_script(self, index: int, *, how: str) -> None:
        key = self.starts.pop(index % len(self.starts))
        box = self.boxes[self.where[key]]
        if box.state not in ALIVE or self.scripts[key] == "over":
            return
        if how == "good":
            self.scripts[key] = "running"
            self.send(ev.AttemptStarted, **self.on_key(key))
        elif how == "vanish":
            self.over(key, ev.AttemptVanished, reason="never started")
        else:
            self.over(key, ev.AttemptRefused, reason="disk full", is_local=how == "local")

    def over(self, key: tuple[str, int], kind: type[ev.Event], **fields) -> None:
        self.scripts[key] = "over"
        self.send(kind, **self.on_key(key), **fields)

    def running(self) -> list[tuple[str, int]]:
        return [key for key, state in self.scripts.items() if state == "running"]

    def end_script(self, key: tuple[str, int], code: int, why: str) -> None:
        status = ExitStatus(code=code, why=why, ended=self.now, out=0, err=0, boot_id="b1")
        self.over(key, ev.AttemptExited, exit=status)

    def stop_script(self, index: int, *, is_good: bool) -> None:
        order = self.stops.pop(index % len(self.stops))
        key = (order.job, order.attempt)
        if self.scripts[key] == "over" or self.boxes[order.instance].state not in ALIVE:
            return
        if self.scripts[key] == "ordered" or not is_good:
            self.over(key, ev.AttemptVanished, reason="stopped before it began")
        else:
            words = {StopWhy.CANCEL: "cancel", StopWhy.INTERRUPT: "interrupt", StopWhy.BUDGET: "budget"}
            self.end_script(key, 143, words[order.why])

    def save_checkpoint(self, index: int, *, is_good: bool) -> None:
        order = self.saves.pop(index % len(self.saves))
        on = {"instance": order.instance, "job": order.job, "attempt": order.attempt}
        if is_good and self.boxes[order.instance].state in ALIVE:
            checkpoint = Checkpoint(
                job=order.job, attempt=order.attempt, serial=order.serial, files=1, size=1, taken=self.now
            )
            self.send(ev.CheckpointSaved, **on, checkpoint=checkpoint)
        else:
            self.send(ev.CheckpointMissed, **on, serial=order.serial, reason="no")

    def evacuate(self, index: int) -> None:
        """What was ordered has come, as far as it could, whatever became of the machine."""
        order = self.evacuations.pop(index % len(self.evacuations))
        on = {"instance": order.instance, "job": order.job, "attempt": order.attempt}
        self.send(ev.Evacuated, **on, serial=order.serial, evacuation=Evacuation(files=1, size=1))

    def collect(self, index: int, *, is_good: bool) -> None:
        order = self.collects.pop(index % len(self.collects))
        on = {"instance": order.instance, "job": order.job, "attempt": order.attempt}
        if is_good and self.boxes[order.instance].state in ALIVE:
            self.send(ev.ResultCollected, **on, collected=Collected(files=("out/a",)))
        else:
            self.send(ev.CollectFailed, **on, reason="no", is_final=False)
            self.send(ev.CollectFailed, **on, reason="no", is_final=True)

    def publish(self, index: int) -> None:
        order = self.accepts.pop(index % len(self.accepts))
        self.send(ev.ResultAccepted, job=order.job, attempt=order.attempt)

    def pass_time(self, seconds: float) -> None:
        self.wait(seconds)

    def settle(self) -> bool:
        """Carry out everything that is outstanding, without faults; tell whether anything was done."""
        before = len(self.events)
        self.settle_cloud()
        self.settle_scripts()
        while self.accepts:
            self.publish(0)
        while self.ends:
            self.end_ours(0)
        for box in self.told("ending"):
            self.finish_end(box)
        return len(self.events) > before

    def settle_cloud(self) -> None:
        self.poll_found()
        for box in self.told("pending"):
            if not box.is_ours_to_end:
                self.boot_box(box)
        for _ in range(len(self.launches)):
            self.answer_launch(0, give=100, kind=None, is_lost=False)

    def settle_scripts(self) -> None:
        while self.connects:
            self.connect(0, is_good=True)
        while self.starts:
            self.start_script(0, how="good")
        while self.stops:
            self.stop_script(0, is_good=True)
        while self.saves:
            self.save_checkpoint(0, is_good=True)
        for key in self.running():
            if self.boxes[self.where[key]].state in ALIVE:
                self.end_script(key, 0, "exit")
        while self.evacuations:
            self.evacuate(0)
        while self.collects:
            self.collect(0, is_good=True)
        while self.keeps:
            self.confirm(0, is_good=True)

    def reclaim(self) -> None:
        """EC2 takes the machines that it announced to take."""
        for box in self.told(*ALIVE):
            record = self.run.instances[box.id]
            if record.notice is not None and self.now >= record.notice.deadline:
                self.begin_end(box, EndReason.INTERRUPTED)
            elif record.keep is not None and self.now >= record.keep.until:
                self.begin_end(box, EndReason.ITSELF)

    def live_out(self, hours: float = 30.0) -> None:
        """Let the run end by itself once faults have stopped."""
        end = self.now + timedelta(hours=hours)
        while self.now < end:
            while self.settle():
                pass
            if self.run.phase.value == "ended":
                return
            self.reclaim()
            self.wait(5.0)
        raise AssertionError(f"not over after {hours} h: {self.run}")
