"""What may happen next in a world: every act that is possible now, each by a number that says how it goes."""

from __future__ import annotations

from collections.abc import Callable

from aspot.machine import events as ev
from aspot.machine.model import EndReason
from aspot.machine.pool import RefusalKind
from tests.machine.reality import ALIVE, Box, Reality
from tests.machine.world import PRICES

Act = Callable[[int], None]

KINDS = (None, None, *RefusalKind, *(kind for kind in RefusalKind if kind is not RefusalKind.FATAL))
EXITS = ((0, "exit"), (0, "exit"), (1, "exit"), (143, "exit"), (143, "timeout"), (143, "term"), (143, "ttl"))
EXITS += ((1, "disk_full"), (143, "interrupt"))
HOW_STARTS = ("good",) * 17 + ("vanish", "refused", "local")
REASONS = tuple(reason for reason in EndReason if reason is not EndReason.OURS)
DELAYS_S = (0.5, 0.5, 1.0, 3.0, 3.0, 3.0, 5.0, 10.0, 20.0, 60.0, 600.0)
NOTICES_S = (0.0, 2.0, 30.0, 120.0)


class Fate:
    """Chooses among what is possible; the same numbers make the same story."""

    def __init__(self, world: Reality) -> None:
        self.world = world
        self.submitted = 0
        self.is_closed = False

    def act(self, which: int, how: int) -> None:
        """Let one of the possible acts happen; every twelfth or so is trouble."""
        acts = self.troubles() if which % 100 > 91 else self.progress()
        acts[which // 100 % len(acts)](how)

    def progress(self) -> list[Act]:
        """Return the acts of a run without trouble (but scripts and machines may fail)."""
        world = self.world
        acts: list[Act] = [self.time]
        acts += [] if world.run.pools else [self.prepare]
        acts += [self.submit] if not world.run.unfinished and not self.is_closed else []
        acts += [self.launch] if world.launches else []
        acts += [self.boot] if world.told("pending") else []
        acts += [self.connect] if world.connects else []
        acts += [self.start] if world.starts else []
        acts += [self.script] if self.scripts() else []
        acts += [self.stop] if world.stops else []
        acts += [self.save] if world.saves else []
        acts += [self.evacuate] if world.evacuations else []
        acts += [self.collect] if world.collects else []
        acts += [self.publish] if world.accepts else []
        acts += [self.confirm] if world.keeps else []
        acts += [self.end_ours] if world.ends else []
        acts += [self.gone] if world.told("ending") else []
        return acts

    def troubles(self) -> list[Act]:
        """Return the acts that disturb."""
        world = self.world
        acts: list[Act] = [self.prices, self.scale, self.poll]
        acts += [] if self.is_closed else [self.submit, self.submit]
        acts += [self.close] if len(world.events) > 60 and not self.is_closed else []
        acts += [self.cancel] if world.run.jobs else []
        acts += [self.notice] * 3 + [self.end] if world.told(*ALIVE) else []
        acts += [self.link] * 2 if self.ready() else []
        acts += [self.hook] if self.scripts() else []
        acts += [self.halt] if len(world.events) > 200 else []
        return acts

    def ready(self) -> list[Box]:
        return [box for box in self.world.told("running") if box.is_ready]

    def scripts(self) -> list[tuple[str, int]]:
        return [key for key in self.world.running() if self.world.boxes[self.world.where[key]].state in ALIVE]

    def prepare(self, _how: int) -> None:
        self.world.prepare()

    def submit(self, how: int) -> None:
        names = [f"j{self.submitted + number}" for number in range(how % 4 + 1)]
        self.submitted += len(names)
        self.world.submit(
            *names,
            checkpoint=("ckpt",) if how & 8 else (),
            checkpoint_every_s=30.0 if how & 16 else None,
            on_notice="./save.sh" if how & 32 else "",
            evacuate=("model",) if how & 512 else (),
            attempts=1 + (how >> 6) % 2,
            interruptions=1 + (how >> 7) % 4,
        )

    def close(self, _how: int) -> None:
        self.is_closed = True
        self.world.send(ev.SubmissionClosed)

    def launch(self, how: int) -> None:
        if how % 3:
            self.world.answer_launch(how, give=100, kind=None, is_lost=False)
        else:
            kind = KINDS[how // 10 % len(KINDS)]
            self.world.answer_launch(how, give=how // 2 % 5, kind=kind, is_lost=how % 2 == 0)

    def evacuate(self, how: int) -> None:
        self.world.evacuate(how)

    def poll(self, _how: int) -> None:
        self.world.poll_found()

    def boot(self, how: int) -> None:
        boxes = self.world.told("pending")
        self.world.boot_box(boxes[how % len(boxes)])

    def connect(self, how: int) -> None:
        self.world.connect(how, is_good=how % 12 > 0)

    def start(self, how: int) -> None:
        self.world.start_script(how, how=HOW_STARTS[how % len(HOW_STARTS)])

    def script(self, how: int) -> None:
        scripts = self.scripts()
        key = scripts[how % len(scripts)]
        if how % 10 == 0:
            self.world.over(key, ev.AttemptVanished, reason="rebooted")
        else:
            self.world.end_script(key, *EXITS[how // 10 % len(EXITS)])

    def hook(self, how: int) -> None:
        scripts = self.scripts()
        self.world.send(ev.HookFinished, **self.world.on_key(scripts[how % len(scripts)]), code=0)

    def stop(self, how: int) -> None:
        self.world.stop_script(how, is_good=how % 4 > 0)

    def save(self, how: int) -> None:
        self.world.save_checkpoint(how, is_good=how % 3 > 0)

    def collect(self, how: int) -> None:
        self.world.collect(how, is_good=how % 4 > 0)

    def confirm(self, how: int) -> None:
        self.world.confirm(how, is_good=how % 4 > 0)

    def publish(self, how: int) -> None:
        self.world.publish(how)

    def notice(self, how: int) -> None:
        boxes = self.world.told(*ALIVE)
        self.world.give_notice(boxes[how % len(boxes)], NOTICES_S[how // 10 % len(NOTICES_S)])

    def end(self, how: int) -> None:
        boxes = self.world.told(*ALIVE)
        self.world.begin_end(boxes[how % len(boxes)], REASONS[how // 10 % len(REASONS)])

    def end_ours(self, how: int) -> None:
        self.world.end_ours(how)

    def gone(self, how: int) -> None:
        boxes = self.world.told("ending")
        self.world.finish_end(boxes[how % len(boxes)])

    def link(self, how: int) -> None:
        boxes = self.ready()
        name = boxes[how % len(boxes)].id
        kinds = ((ev.LinkLost, {"reason": "reset"}), (ev.LinkRestored, {"boot_id": "b1"}), (ev.RebalanceAdvised, {}))
        kind, fields = kinds[how // 10 % len(kinds)]
        self.world.send(kind, instance=name, **fields)

    def cancel(self, how: int) -> None:
        names = list(self.world.run.jobs)
        self.world.send(ev.JobsCancelled, jobs=(names[how % len(names)],))

    def scale(self, how: int) -> None:
        self.world.send(ev.LimitChanged, limit=how % 4 + 1)

    def prices(self, how: int) -> None:
        factor = (0.5, 1.0, 2.0)[how % 3]
        self.world.send(ev.PricesSeen, spot_usd_per_hour={pool: usd * factor for pool, usd in PRICES.items()})

    def time(self, how: int) -> None:
        self.world.wait(DELAYS_S[how % len(DELAYS_S)])

    def halt(self, how: int) -> None:
        self.world.send(ev.RunStopped, reason="stopped by the user", spares_kept=how % 2 == 0)
