"""Watches the simulated world and judges the run by FAULTS.md's invariants, without asking the machine's opinion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import attrs

from aspot.machine.model import JobStatus, LaunchSpec, Outcome
from simulated.machine import UNCLAIMED_S

if TYPE_CHECKING:
    from aspot.results import Kept
    from simulated.machine import Folder, Machine
    from simulated.world import World

CALLS_PER_MINUTE = 140
LATE_S = 5.0
"""A machine is told its end by a message, which takes so long at most."""


@attrs.define
class Oracle:
    """Collects violations; they are raised at the end, since an exception in a port would itself disturb the run."""

    world: World
    violations: list[str] = attrs.Factory(list)
    is_left: bool = False  # the run was left on purpose: jobs need not be final, nor anything cleaned up

    def check(self, holds: bool, what: str) -> None:
        if not holds:
            self.violations.append(f"{self.world.loop.time():.1f} s: {what}")

    # --- during the run -----------------------------------------------------------------------------------------------

    def launches(self, spec: LaunchSpec) -> None:
        """V2: the intent is in the journal before the call."""
        known = self.world.journal.shadow.requests.get(spec.id)
        self.check(known is not None and known.spec == spec, f"V2: {spec.id} was sent before it was written down")
        regions = {pool.zone[:-1] for pool in spec.pools}
        self.check(len(regions) == 1, f"{spec.id} asks {len(regions)} regions in one call")

    def made(self, machine: Machine) -> None:
        """V7: never more machines than the limit, but for successors of what EC2 takes back or advises to leave."""
        alive = [other for other in self.world.cloud.machines.values() if other.is_alive]
        moves = self.world.spec.moves_when_advised
        kept = [other for other in alive if self.was_kept(other)]
        replaced = [other for other in alive if other.notice is not None or (moves and other.is_advised)]
        replaced = [other for other in replaced if other not in kept]
        limit = self.world.limit_seen + len(kept)
        self.check(len(kept) <= self.world.limit_seen, f"V7: {len(kept)} are kept > {self.world.limit_seen}")
        self.check(len(alive) - len(replaced) <= limit, f"V7: {len(alive)} alive ({len(replaced)} noticed) > {limit}")
        self.check(self.world.host.run.stop is None or self._was_on_its_way(machine), "launched after the stop")

    def _was_on_its_way(self, machine: Machine) -> bool:
        return machine.request in self.world.journal.shadow.requests

    def starts(self, machine: Machine, folder: Folder) -> None:
        """V5, V6: one start an attempt, one live attempt a job; written down before."""
        name = f"{folder.job} a{folder.number}"
        self.check(folder.starts == 0, f"V6: {name} started twice")
        for other in self.world.cloud.machines.values():
            for rival in other.folders.values():
                is_rival = rival is not folder and rival.job == folder.job and rival.is_running
                self.check(not is_rival, f"V5: {name} started while a{rival.number} runs on {other.id}")
        accepted = self.world.archive.accepted.get(folder.job)
        self.check(accepted is None, f"V5: {name} started after a result was accepted")
        record = self.world.journal.shadow.jobs[folder.job]
        self.check(len(record.attempts) >= folder.number, f"V2: {name} was started before it was written down")
        self.check(machine.lease is not None, f"{name} started on a machine without a lease")
        self.check(not self.was_kept(machine), f"{name} started on {machine.id}, which is kept for a look")

    def was_kept(self, machine: Machine) -> bool:
        """Tell whether the machine was to stay for a look, by what was written down."""
        record = self.world.journal.shadow.instances.get(machine.id)
        return machine.kept_until is not None or (record is not None and record.keep is not None)

    def accepts(self, job: str, attempt: int, text: str, result: Mapping[str, object]) -> None:
        """V3, V4, V12: one result a job, from an attempt with a status, and its whole log."""
        before = self.world.archive.accepted.get(job)
        self.check(before is None or before[:2] == (attempt, text), f"V3: {job} was accepted twice, differently")
        if result["status"] != "succeeded":
            return
        folders = [m.folders[job, attempt] for m in self.world.cloud.machines.values() if (job, attempt) in m.folders]
        good = [folder for folder in folders if folder.status is not None and folder.status.code == 0]
        self.check(len(good) == 1, f"V4: {job} accepted from a{attempt} without a good status")
        self.check(text == self.world.scripts[job].result(job), f"V4: {job} has a wrong result: {text!r}")
        if good and good[0].status:
            here, _ = self.world.archive.sink(job, attempt).offsets()
            self.check(here == good[0].status.out, f"V12: {job} has {here} of {good[0].status.out} log bytes")

    # --- at the end ---------------------------------------------------------------------------------------------------

    def ends(self) -> None:
        """V1, V7, V8, V11, V13, and one result for each job."""
        self._check_machines()
        self._check_jobs()
        self._check_calls()
        self._check_replay()
        open_links = [link for link in self.world.links if not link.is_closed]
        self.check(not open_links or self.is_left, f"V13: {len(open_links)} links are open")

    def _check_machines(self) -> None:
        alive = [m for m in self.world.cloud.machines.values() if m.state != "terminated"]
        left, kept = " ".join(self.world.host.left), {item.instance_id: item for item in self.world.host.kept}
        for machine in alive:
            self.check(machine.id in left or machine.id in kept, f"V1: {machine.id} is {machine.state}, nobody says so")
        for item in kept.values():
            self._check_kept(self.world.cloud.machines[item.instance_id], item)
        if not (self.world.host.left or self.is_left or kept):
            self.check(not self.world.cloud.has_group, "V1: the group is left and nobody says so")

    def _check_kept(self, machine: Machine, item: Kept) -> None:
        """V1: who is told that a machine is kept is told the truth: for a failed job, with an end that is fixed."""
        self.check(self.world.spec.keep_failed_s is not None, f"V1: nobody asked to keep {machine.id}")
        folders = [folder for folder in machine.folders.values() if folder.job == item.job and folder.status]
        failed = [folder for folder in folders if folder.status.code != 0 and folder.status.why in ("exit", "timeout")]
        self.check(bool(failed), f"V1: {machine.id} is kept for {item.job}, which did not fail there")
        if machine.is_alive:
            is_fixed = machine.kept_until is not None or machine.boots > 1
            self.check(is_fixed, f"V1: {machine.id} is kept, and does not end itself")
            late_s = 0.0 if machine.kept_until is None else machine.kept_until - self.world.clock.since(item.until)
            self.check(late_s <= LATE_S, f"V1: {machine.id} ends itself {late_s:.0f} s later than it says")

    def quiet_at(self) -> float:
        """Return when, with the client gone for ever, every kept machine has to be gone."""
        ends = [self.world.clock.since(item.until) for item in self.world.host.kept]
        longer_s = UNCLAIMED_S if self.world.faults.reboot else LATE_S  # one that is booted again may need that long
        return max(ends, default=0.0) + longer_s + self.world.faults.shutdown_s + 1.0

    def lies_still(self) -> None:
        """V1: the client is dead for good, and the time of the last kept machine is over: none is alive."""
        left = " ".join(self.world.host.left)
        for item in self.world.host.kept:
            machine = self.world.cloud.machines[item.instance_id]
            is_gone = machine.state == "terminated" or machine.id in left
            self.check(is_gone, f"V1: {machine.id} was kept until {item.until}, and is {machine.state}")

    def _check_jobs(self) -> None:
        for name, record in self.world.host.run.jobs.items():
            if self.world.host.error is None and not self.is_left:
                self.check(record.status.is_final, f"{name} has no final status: {record.status}")
                self.check(name in self.world.archive.accepted, f"{name} has no result")
            self._check_charges(name)

    def _check_charges(self, name: str) -> None:
        """V11: failures are the script's own, interruptions EC2's."""
        record = self.world.host.run.jobs[name]
        own = interrupted = 0
        for attempt in record.attempts:
            machine = self.world.cloud.machines[attempt.instance]
            folder = machine.folders.get((name, attempt.number))
            ended = folder.status if folder is not None else None
            own += ended is not None and (ended.why == "timeout" or (ended.why == "exit" and ended.code != 0))
            interrupted += machine.notice is not None or machine.is_interrupted
            if attempt.outcome is Outcome.SUCCEEDED:
                self.check(ended is not None and ended.code == 0, f"V4: {name} a{attempt.number} did not succeed")
        self.check(record.failures <= own, f"V11: {name}: {record.failures} failures charged, {own} happened")
        self.check(record.interruptions <= interrupted, f"V11: {name}: {record.interruptions} interruptions charged")
        if record.status is JobStatus.FAILED and not (self.world.troubles or name in self.world.undeliverable):
            self.check(own > 0, f"V11: {name} failed without a failure of its own")

    def _check_replay(self) -> None:
        """V8: the journal alone tells the run as it ended."""
        if self.world.host.error is None and not self.is_left:
            told = self.world.journal.shadow
            self.check(told == self.world.host.run, "V8: the journal tells another run than there was")

    def _check_calls(self) -> None:
        times = self.world.cloud.call_times
        for start, when in enumerate(times):
            later = start + CALLS_PER_MINUTE
            if later < len(times) and times[later] - when < 60.0:
                self.check(False, f"more than {CALLS_PER_MINUTE} API calls within a minute")
                return
