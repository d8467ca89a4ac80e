"""The host of one run: the one task that owns every other. Callers, in whatever task, send it messages and wait.

A caller's cancellation never reaches the work: it becomes a message ("stop"), and the caller waits for the bounded
teardown. A second one is taken as "leave at once". A task group must be left in the task that entered it, and notebook
cells are different tasks: hence a task of its own, the only one that is created outside a task group.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

import anyio

from aspot.errors import AspotError, ConfigError
from aspot.jobs import Job
from aspot.machine.events import JobsCancelled, JobsSubmitted, LimitChanged, RunStopped, SubmissionClosed
from aspot.machine.model import JobSpec, Run, RunPhase, RunSpec
from aspot.ports import Archive, Clock, Cloud, CloudPlan, Journal, Lease, Remote, TakenOver
from aspot.results import Kept, Result
from aspot.runtime.hub import Subscription
from aspot.runtime.supervisor import Supervisor
from aspot.runtime.wiring import Wiring

TEARDOWN_S = 120.0
"""Machines and security group may take this long to go once every job is final (DESIGN 2)."""


class RunHost:
    """Carries one run out, from preparation to a clean end.

    Args:
        spec: The run.
        cloud, remote, journal, archive, clock: The ports; all but archive and clock are closed at the end.
        plan: What the cloud is to prepare.
        lease: The machines' dead-man's switch.
        setup: The profile's set-up script, run once per machine.
        secrets: Returns the values of a job's secrets, by the job's name.
        detach: Whether a cancelled caller leaves the run alone instead of stopping it.
        teardown_s: Seconds that machines and security group may take to go.
        chance: Jitter; seeded in the simulation.
        earlier: The run as its journal tells it, to take it up again; None for a new one.
    """

    def __init__(
        self,
        spec: RunSpec,
        *,
        cloud: Cloud,
        remote: Remote,
        journal: Journal,
        archive: Archive,
        clock: Clock,
        plan: CloudPlan,
        lease: Lease,
        setup: str = "",
        secrets: Callable[[str], Mapping[str, str]] = lambda _: {},
        detach: bool = False,
        teardown_s: float = TEARDOWN_S,
        chance: random.Random | None = None,
        earlier: Run | None = None,
    ) -> None:
        wiring = Wiring(
            spec=spec,
            cloud=cloud,
            remote=remote,
            journal=journal,
            archive=archive,
            clock=clock,
            lease=lease,
            setup=setup,
            secrets=secrets,
            chance=chance or random.Random(),  # noqa: S311 - jitter, not secrets
            earlier=earlier,
        )
        self._wiring = wiring
        self._supervisor = Supervisor(wiring, plan, teardown_s)
        self._detach = detach
        self._task: asyncio.Task[None] | None = None
        self._is_closed = earlier is not None and earlier.is_submission_closed
        self._is_stopping = False

    # --- what callers see ---------------------------------------------------------------------------------------------

    @property
    def run(self) -> Run:
        """Return the run as it is now."""
        return self._supervisor.run

    @property
    def error(self) -> AspotError | None:
        """Return what made the run as a whole fail: its preparation, its journal, or a bug of ours."""
        return self._supervisor.error

    @property
    def left(self) -> tuple[str, ...]:
        """Return what was still there at the end, as text for people; empty: nothing, checked."""
        return self._supervisor.left

    @property
    def kept(self) -> tuple[Kept, ...]:
        """Return the machines of failed jobs that stayed at the end, on purpose."""
        return self._supervisor.kept

    @property
    def results(self) -> Mapping[str, Result]:
        """Return the results that are accepted, by job name."""
        return self._supervisor.desk.results

    @property
    def is_detached(self) -> bool:
        """Tell whether the run was left to its machines on purpose."""
        return self._supervisor.is_detached

    @property
    def taken(self) -> TakenOver | None:
        """Return who has taken the run over, if somebody has."""
        return self._wiring.taken

    @property
    def is_done(self) -> bool:
        """Tell whether the run is over and cleaned up."""
        return self._supervisor.done.is_set()

    def subscribe(self, *, logs: bool = False) -> Subscription:
        """Return an async iterator over news from now on; it ends with the run. A slow reader loses only log lines.

        Args:
            logs: Whether to hear the jobs' output, line by line (it costs time).
        """
        return self._wiring.hub.subscribe(logs=logs)

    def listen(self, listener: Callable[[], Awaitable[None]]) -> None:
        """Have a coroutine function run in the host's task group, from `start` to shortly after the end."""
        self._supervisor.listeners.append(listener)

    def warn(self, message: str) -> None:
        """Tell whoever listens of something that they should know."""
        self._wiring.warn(message)

    # --- messages -----------------------------------------------------------------------------------------------------

    def submit(self, specs: Sequence[JobSpec], jobs: Mapping[str, Job] | None = None) -> None:
        """Hand in jobs.

        Args:
            specs: The jobs, resolved.
            jobs: The same as the user gave them, by name, for their results.

        Raises:
            ConfigError: If no more jobs are taken.
            AspotError: If the run has failed.
        """
        if self.error is not None:
            raise self.error
        if self._is_closed or self._is_stopping:
            raise ConfigError("the fleet takes no more jobs", fix="submit before it is closed, or use a new fleet")
        self._supervisor.desk.expect(specs, jobs or {})
        self._wiring.post(JobsSubmitted(at=self._wiring.now(), jobs=tuple(specs)))

    def close(self) -> None:
        """Take no more jobs: the run ends when those there are have ended. Harmless to repeat."""
        if not self._is_closed:
            self._is_closed = True
            self._wiring.post(SubmissionClosed(at=self._wiring.now()))

    def cancel(self, jobs: Sequence[str] | None = None) -> None:
        """Cancel these jobs; None for all that were submitted so far.

        Raises:
            ConfigError: If there is no such job.
        """
        known = self._supervisor.desk.names
        names = known if jobs is None else tuple(jobs)
        for name in names:
            if name not in known:
                raise ConfigError(f"there is no job {name!r}", fix=f"jobs: {', '.join(known)}")
        self._wiring.post(JobsCancelled(at=self._wiring.now(), jobs=names))

    def scale(self, limit: int) -> None:
        """Change how many instances may be alive at once."""
        self._wiring.post(LimitChanged(at=self._wiring.now(), limit=limit))

    def stop(self, reason: str, *, spares_kept: bool = False) -> None:
        """Cancel every job and end every machine, bounded in time. Harmless to repeat.

        Args:
            reason: For people.
            spares_kept: Whether machines that are kept for a look stay.
        """
        self._is_closed = True
        if not self._is_stopping:
            self._is_stopping = True
            self._supervisor.hasten()
            self._wiring.post(RunStopped(at=self._wiring.now(), reason=reason, spares_kept=spares_kept))

    def detach(self) -> None:
        """Leave the run to its machines: attempts go on there, and another process can take the run up again."""
        if self._task is None or self.run.phase is RunPhase.ENDED:
            return
        self._is_closed = self._is_stopping = True
        self._supervisor.detach()

    def abandon(self) -> None:
        """Leave at once: machines stay until their lease or `aspot down` ends them; `left` names them."""
        self._is_closed = self._is_stopping = True
        self._supervisor.abandon()

    # --- waiting ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Start the host task and return when launches may begin.

        Raises:
            AspotError: If the cloud side could not be made ready; nothing is left then.
        """
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._supervisor.host(), name=f"aspot-{self._wiring.spec.name}"
            )
        await self._outlast(self._supervisor.prepared)
        if self.error is not None:
            await self.finished()
            raise self.error

    async def wait_job(self, name: str) -> Result:
        """Return a job's result once it is accepted; cancelling this wait leaves the job alone.

        Raises:
            AspotError: If the run failed or was left before there was one.
        """
        result = await self._supervisor.desk.wait(name)
        if result is not None:
            return result
        raise self.error or AspotError(
            f"job {name}: the run was left before it ended", fix="aspot ls shows what still runs"
        )

    async def finished(self) -> None:
        """Wait until the run is over and cleaned up; a cancelled caller stops the run and waits all the same."""
        if self._task is not None:
            await self._outlast(self._supervisor.done)

    async def _outlast(self, event: anyio.Event) -> None:
        try:
            await event.wait()
        except asyncio.CancelledError:
            if self._detach:
                self.detach()
            else:
                self.stop("cancelled")
            await self._wait_for_end()
            raise

    async def _wait_for_end(self) -> None:
        """Wait under a shield, which a second cancellation of the task pierces: that one means "at once"."""
        with anyio.CancelScope(shield=True):
            while not self._supervisor.done.is_set():
                try:
                    await self._supervisor.done.wait()
                except asyncio.CancelledError:
                    self.abandon()
