"""A simulated EC2 machine: it boots, runs attempts, hears notices, keeps its lease, and dies."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

import anyio
import attrs

from aspot.machine.model import EndReason, ExitStatus
from aspot.machine.pool import Market, Pool
from aspot.ports import (
    CloudChange,
    CloudNotice,
    CloudRebalance,
    Lease,
    RunnerExited,
    RunnerFact,
    RunnerNotice,
    RunnerRebalance,
)
from simulated.scripts import Script, seconds

UNCLAIMED_S = 1800.0

if TYPE_CHECKING:
    from simulated.world import World


@attrs.define
class Folder:
    """An attempt's folder on a machine."""

    job: str
    number: int
    script: Script
    timeout_s: float | None
    resumed: float = 0.0  # work that the checkpoint put back holds
    is_delivered: bool = False
    starts: int = 0
    boot_id: str = ""
    began: float = math.nan  # loop time
    status: ExitStatus | None = None
    is_dead: bool = False  # ended without a status
    why: str = ""
    out: bytes = b""
    checkpoint: float | None = None
    done: float = 0.0  # work done when it ended, what it resumed included
    is_released: bool = False
    timer: object = None

    @property
    def is_running(self) -> bool:
        return self.starts > 0 and self.status is None and not self.is_dead


@attrs.define(eq=False)
class Machine:
    """One machine; `state` is EC2's word for it."""

    world: World
    id: str
    request: str
    pool: Pool
    market: Market
    born: float
    visible_at: float
    state: str = "pending"
    address: str = ""
    boots: int = 0
    opens_at: float = math.inf  # sshd answers from then on
    running_since: float | None = None
    ending_since: float | None = None
    gone_at: float | None = None
    end_reason: EndReason | None = None
    notice: datetime | None = None
    is_advised: bool = False
    is_interrupted: bool = False
    is_stuck: bool = False  # EC2 never gets it running
    is_mute: bool = False  # its sshd never answers
    is_foreign: bool = False  # somebody else answers in its place
    is_powerless: bool = False  # it cannot power itself off
    partition_until: float = -1.0
    folders: dict[tuple[str, int], Folder] = attrs.Factory(dict)
    facts: list[RunnerFact] = attrs.Factory(list)
    changed: anyio.Event = attrs.Factory(anyio.Event)
    lease: Lease | None = None
    epoch: int = 0  # of the newest client that armed it
    renewed: float = 0.0
    kept_until: float | None = None  # by the loop's clock; for this boot
    history: list[tuple[float, str]] = attrs.Factory(list)
    set_ups: list[str] = attrs.Factory(list)  # the scripts that were to set it up

    @property
    def now(self) -> float:
        return self.world.loop.time()

    @property
    def is_up(self) -> bool:
        return self.state == "running"

    @property
    def is_alive(self) -> bool:
        return self.state in ("pending", "running")

    @property
    def boot_id(self) -> str:
        return f"{self.id}-boot{self.boots}"

    def touch(self) -> None:
        """Wake whoever waits for something to change here."""
        old, self.changed = self.changed, anyio.Event()
        old.set()

    def at(self, when: float, act: Callable[[], None]) -> None:
        self.world.loop.call_at(when, act)

    # --- life -------------------------------------------------------------------------------------------------------

    def boot(self, boot_s: float, ssh_s: float) -> None:
        def runs() -> None:
            if self.state == "pending" and not self.is_stuck:
                self._set("running")
                self.running_since = self.now
                self.address = f"10.0.0.{len(self.world.cloud.machines)}"
                self.boots = 1
                self.opens_at = math.inf if self.is_mute else self.now + ssh_s
                self.renewed = self.now
                self.at(self.now + UNCLAIMED_S, unclaimed)

        def unclaimed() -> None:
            if self.lease is None:
                self.end(EndReason.ITSELF)

        self.at(self.now + boot_s, runs)

    def reboot(self) -> None:
        self._kill_attempts()
        self.boots += 1
        self.opens_at = self.now + 20.0
        self.world.break_links(self)
        if self.kept_until is not None:
            self.kept_until = None  # it is forgotten, and so is the lease; what every boot begins with ends it

            def unclaimed() -> None:
                if self.kept_until is None:
                    self.end(EndReason.ITSELF)

            self.at(self.now + UNCLAIMED_S, unclaimed)

    def warn(self, notice_s: float) -> None:
        """Give an interruption notice."""
        if not self.is_alive or self.notice is not None:
            return
        self.notice = self.world.clock.now() + seconds(notice_s)
        if "runner" not in self.world.cloud.mute_channels:
            self.facts.append(RunnerNotice(deadline=self.notice))
        self.world.cloud.tell(CloudNotice(instance=self.id, deadline=self.notice))
        self.at(self.now + notice_s, self.interrupt)
        self.touch()

    def advise(self) -> None:
        """Recommend to leave it."""
        if self.is_alive and self.world.loop.time() < self.world.faults.until_s:
            self.is_advised = True
            self.world.happened["advice"] += 1
            self.facts.append(RunnerRebalance())
            self.world.cloud.tell(CloudRebalance(instance=self.id))
            self.touch()

    def interrupt(self) -> None:
        self.is_interrupted = True
        self.end(EndReason.INTERRUPTED)

    def end(self, reason: EndReason) -> None:
        """Shut down, whoever wants it."""
        if not self.is_alive:
            return
        self._set("shutting-down")
        self.end_reason, self.ending_since = reason, self.now
        self._kill_attempts()
        self.world.break_links(self)
        self.at(self.now + self.world.chance.uniform(1.0, self.world.faults.shutdown_s), self._gone)

    def _gone(self) -> None:
        self._set("terminated")
        self.gone_at = self.now
        self.touch()

    def _set(self, state: str) -> None:
        self.state = state
        self.history.append((self.now, state))
        self.world.cloud.tell(CloudChange(instance=self.id, state=state))

    def state_at(self, when: float) -> str:
        """Return the state EC2 shows if its view is that old."""
        shown = "pending"
        for since, state in self.history:
            if since <= when:
                shown = state
        return shown

    def _kill_attempts(self) -> None:
        for folder in self.folders.values():
            if folder.is_running:
                folder.done = self._done(folder)
                folder.is_dead = True
        self.touch()

    # --- the lease --------------------------------------------------------------------------------------------------

    def arm(self, lease: Lease) -> None:
        is_new = self.lease is None
        self.lease, self.renewed = lease, self.now
        if is_new:
            self.at(self.now + lease.term_s, self._check_lease)
            self.at((self.running_since or self.now) + lease.max_life_s, lambda: self.end(EndReason.ITSELF))

    def keep(self, seconds_: float) -> None:
        """End at a fixed time, whoever is there then, and not before."""
        boot, self.kept_until = self.boots, self.now + seconds_

        def over() -> None:
            if self.boots == boot and self.kept_until is not None and self.now >= self.kept_until - 1e-6:
                self.end(EndReason.ITSELF)

        self.at(self.kept_until, over)

    def _check_lease(self) -> None:
        assert self.lease is not None
        if not self.is_alive:
            return
        if self.kept_until is not None:
            self.at(self.now + 60.0, self._check_lease)
            return
        out_at = self.renewed + self.lease.term_s
        busy = any(folder.is_running for folder in self.folders.values())
        held = any(folder.status and not folder.is_released for folder in self.folders.values())
        if self.now < out_at:
            self.at(out_at, self._check_lease)
        elif busy or (held and self.now < out_at + self.lease.hold_s):
            self.at(self.now + 60.0, self._check_lease)
        else:
            self.at(self.now + self.lease.idle_s, self._expire)

    def _expire(self) -> None:
        assert self.lease is not None
        if self.kept_until is None and self.now >= self.renewed + self.lease.term_s + self.lease.idle_s:
            self.end(EndReason.ITSELF)
        else:
            self._check_lease()

    # --- attempts ---------------------------------------------------------------------------------------------------

    def start(self, folder: Folder) -> None:
        """Start the attempt; a second start does nothing."""
        if folder.starts:
            return
        self.world.oracle.starts(self, folder)
        folder.starts, folder.began, folder.boot_id = 1, self.now, self.boot_id
        folder.out += f"{folder.job} a{folder.number} from {folder.resumed:.3f}\n".encode()
        work = max(0.0, folder.script.work_s - folder.resumed)
        if folder.timeout_s is not None and folder.timeout_s < work:
            self._later(folder, folder.timeout_s, 143, "timeout")
        elif folder.number <= folder.script.fails_first:
            self._later(folder, work / 2, 1, "exit")
        else:
            self._later(folder, work, folder.script.code, "exit")
        self.touch()

    def stop(self, folder: Folder, why: str, grace_s: float) -> None:
        if folder.is_running:
            delay = 0.1 if folder.script.heeds_term else grace_s
            folder.why = folder.why or why
            self._later(folder, delay, 143 if folder.script.heeds_term else 137, folder.why)

    def note_checkpoint(self, folder: Folder) -> float | None:
        """Return the work that the newest checkpoint on disk holds; None if there is none."""
        every = folder.script.checkpoint_s
        if every is None or not folder.starts:
            return None
        if folder.is_running:
            folder.checkpoint = self._saved_work(folder, every)
        return folder.checkpoint

    def _saved_work(self, folder: Folder, every: float) -> float | None:
        whole = math.floor(self._done(folder) / every) * every
        return whole if whole > 0 else None

    def _done(self, folder: Folder) -> float:
        """Return the seconds of work that a running attempt has behind it."""
        return min(folder.script.work_s, folder.resumed + self.now - folder.began)

    def _later(self, folder: Folder, delay: float, code: int, why: str) -> None:
        def ends() -> None:
            if folder.is_running and self.is_up:
                self._publish(folder, code, why)

        self.at(self.now + delay, ends)

    def _publish(self, folder: Folder, code: int, why: str) -> None:
        folder.checkpoint, folder.done = self.note_checkpoint(folder), self._done(folder)
        folder.out += b"end\n"
        folder.status = ExitStatus(
            code=code, why=why, ended=self.world.clock.now(), out=len(folder.out), err=0, boot_id=folder.boot_id
        )
        self.facts.append(RunnerExited(job=folder.job, attempt=folder.number))
        self.touch()
