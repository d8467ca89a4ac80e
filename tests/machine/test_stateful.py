"""Random legal schedules against the machine: the invariants of FAULTS.md B after every step, liveness after faults stop."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from aspot.machine import events as ev
from aspot.machine.model import EndReason
from aspot.machine.money import cost_now
from aspot.machine.outstanding import outstanding
from aspot.machine.pool import RefusalKind
from aspot.machine.step import is_over, start_run, step
from tests.machine.reality import ALIVE, Reality
from tests.machine.world import POOLS, PRICES

INDEX = st.integers(0, 50)
KINDS = st.sampled_from([None, *RefusalKind])


class Schedules(RuleBasedStateMachine):
    """Everything that may happen to a run, in any order."""

    @initialize(
        limit=st.integers(1, 4),
        market=st.sampled_from(["spot", "spot-first", "on-demand"]),
        pools=st.integers(1, 3),
        budget=st.sampled_from([None, None, 0.02, 0.2]),
        price=st.sampled_from([None, 0.045]),
    )
    def begin(self, limit, market, pools, budget, price) -> None:
        self.world = Reality(pools=POOLS[:pools], limit=limit, market=market, budget_usd=budget, max_price_usd=price)
        self.number = 0
        self.is_closed = False

    @rule()
    def prepare(self) -> None:
        self.world.prepare()

    @precondition(lambda self: not self.is_closed)
    @rule(
        count=st.integers(1, 4),
        checkpoint=st.booleans(),
        every=st.sampled_from([None, 30.0]),
        hook=st.booleans(),
        attempts=st.integers(1, 2),
        interruptions=st.integers(1, 3),
    )
    def submit(self, count, checkpoint, every, hook, attempts, interruptions) -> None:
        names = [f"j{self.number + number}" for number in range(count)]
        self.number += count
        self.world.submit(
            *names,
            checkpoint=("ckpt",) if checkpoint else (),
            checkpoint_every_s=every if checkpoint else None,
            on_notice="./save.sh" if hook else "",
            attempts=attempts,
            interruptions=interruptions,
        )

    @rule()
    def close(self) -> None:
        self.is_closed = True
        self.world.send(ev.SubmissionClosed)

    @precondition(lambda self: self.world.launches)
    @rule(index=INDEX, give=st.integers(0, 5), kind=KINDS, is_lost=st.booleans())
    def answer_launch(self, index, give, kind, is_lost) -> None:
        self.world.answer_launch(index, give=give, kind=kind, is_lost=is_lost)

    @precondition(lambda self: self.world.launches)
    @rule(index=INDEX)
    def launch(self, index) -> None:
        self.world.answer_launch(index, give=100, kind=None, is_lost=False)

    @rule()
    def poll(self) -> None:
        self.world.poll_found()

    @precondition(lambda self: self.world.told("pending"))
    @rule(index=INDEX, count=st.integers(1, 4))
    def boot(self, index, count) -> None:
        for box in self.world.told("pending")[:count]:
            self.world.boot_box(box)

    @precondition(lambda self: self.world.connects)
    @rule(index=INDEX, luck=st.integers(0, 5))
    def connect(self, index, luck) -> None:
        self.world.connect(index, is_good=luck > 0)

    @precondition(lambda self: self.world.starts)
    @rule(index=INDEX, how=st.sampled_from(["good", "good", "good", "vanish", "refused", "local"]))
    def start(self, index, how) -> None:
        self.world.start_script(index, how=how)

    @precondition(lambda self: self.world.running())
    @rule(
        index=INDEX,
        code=st.sampled_from([0, 0, 1, 143]),
        why=st.sampled_from(["exit", "exit", "timeout", "term", "ttl", "disk_full", "interrupt"]),
    )
    def exit(self, index, code, why) -> None:
        keys = self.world.running()
        key = keys[index % len(keys)]
        if self.world.boxes[self.world.where[key]].state in ALIVE:
            self.world.end_script(key, code, why)

    @precondition(lambda self: self.world.running())
    @rule(index=INDEX)
    def vanish(self, index) -> None:
        keys = self.world.running()
        key = keys[index % len(keys)]
        if self.world.boxes[self.world.where[key]].state in ALIVE:
            self.world.over(key, ev.AttemptVanished, reason="rebooted")

    @precondition(lambda self: self.world.stops)
    @rule(index=INDEX, luck=st.integers(0, 3))
    def stop_script(self, index, luck) -> None:
        self.world.stop_script(index, is_good=luck > 0)

    @precondition(lambda self: self.world.saves)
    @rule(index=INDEX, is_good=st.booleans())
    def save(self, index, is_good) -> None:
        self.world.save_checkpoint(index, is_good=is_good)

    @precondition(lambda self: self.world.running())
    @rule(index=INDEX)
    def hook(self, index) -> None:
        keys = self.world.running()
        self.world.send(ev.HookFinished, **self.world.on_key(keys[index % len(keys)]), code=0)

    @precondition(lambda self: self.world.collects)
    @rule(index=INDEX, luck=st.integers(0, 3))
    def collect(self, index, luck) -> None:
        self.world.collect(index, is_good=luck > 0)

    @precondition(lambda self: self.world.accepts)
    @rule(index=INDEX)
    def publish(self, index) -> None:
        self.world.publish(index)

    @precondition(lambda self: self.world.told(*ALIVE))
    @rule(index=INDEX, seconds=st.sampled_from([0.0, 2.0, 30.0, 120.0]))
    def notice(self, index, seconds) -> None:
        boxes = self.world.told(*ALIVE)
        self.world.give_notice(boxes[index % len(boxes)], seconds)

    @precondition(lambda self: self.world.told(*ALIVE))
    @rule(index=INDEX, reason=st.sampled_from([reason for reason in EndReason if reason is not EndReason.OURS]))
    def end_box(self, index, reason) -> None:
        boxes = self.world.told(*ALIVE)
        self.world.begin_end(boxes[index % len(boxes)], reason)

    @precondition(lambda self: self.world.ends)
    @rule(index=INDEX)
    def end_ours(self, index) -> None:
        self.world.end_ours(index)

    @precondition(lambda self: self.world.told("ending"))
    @rule(index=INDEX)
    def finish_end(self, index) -> None:
        boxes = self.world.told("ending")
        self.world.finish_end(boxes[index % len(boxes)])

    @precondition(lambda self: any(box.is_ready for box in self.world.told("running")))
    @rule(index=INDEX, what=st.sampled_from(["lost", "restored", "rebalance"]))
    def link(self, index, what) -> None:
        boxes = [box for box in self.world.told("running") if box.is_ready]
        name = boxes[index % len(boxes)].id
        if what == "lost":
            self.world.send(ev.LinkLost, instance=name, reason="reset")
        elif what == "restored":
            self.world.send(ev.LinkRestored, instance=name, boot_id="b1")
        else:
            self.world.send(ev.RebalanceAdvised, instance=name)

    @precondition(lambda self: self.world.run.jobs)
    @rule(index=INDEX)
    def cancel(self, index) -> None:
        names = list(self.world.run.jobs)
        self.world.send(ev.JobsCancelled, jobs=(names[index % len(names)],))

    @rule(limit=st.integers(1, 4))
    def scale(self, limit) -> None:
        self.world.send(ev.LimitChanged, limit=limit)

    @rule(factor=st.sampled_from([0.5, 1.0, 2.0]))
    def prices(self, factor) -> None:
        self.world.send(ev.PricesSeen, spot_usd_per_hour={pool: usd * factor for pool, usd in PRICES.items()})

    @rule(seconds=st.sampled_from([0.5, 3.0, 20.0, 60.0, 600.0]))
    def time(self, seconds) -> None:
        self.world.wait(seconds)

    @precondition(lambda self: len(self.world.events) > 40)
    @rule()
    def stop(self) -> None:
        self.world.send(ev.RunStopped, reason="stopped by the user")

    def teardown(self) -> None:
        if not hasattr(self, "world"):
            return
        world = self.world
        if not world.run.pools:
            world.prepare()
        world.send(ev.SubmissionClosed)
        world.send(ev.PricesSeen, spot_usd_per_hour=PRICES)
        for box in world.told("running"):
            if box.is_ready:
                world.send(ev.LinkRestored, instance=box.id, boot_id="b1")
        outstanding(world.run)
        world.live_out()
        assert is_over(world.run)
        assert all(job.status.is_final for job in world.run.jobs.values())
        assert all(box.state == "gone" for box in world.boxes.values() if box.is_told), world.boxes
        self.check_replay()
        self.check_budget()

    def check_replay(self) -> None:
        again = start_run(self.world.spec, self.world.run.started)
        for event in self.world.events:
            again, _ = step(again, event)
        assert again == self.world.run

    def check_budget(self) -> None:
        budget = self.world.run.spec.budget_usd
        assert budget is None or cost_now(self.world.run) >= 0


TestSchedules = Schedules.TestCase
TestSchedules.settings = settings(
    max_examples=150,
    stateful_step_count=60,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
