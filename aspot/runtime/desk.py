"""The desk: accepts results, keeps them, and hands them to those who wait."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import anyio
import attrs

from aspot.errors import AspotError
from aspot.jobs import Job
from aspot.machine.effects import AcceptResult
from aspot.machine.events import ResultAccepted
from aspot.machine.model import JobSpec
from aspot.machine.news import JobEnded
from aspot.results import Result
from aspot.runtime.outcomes import job_of, result_json, result_of
from aspot.runtime.pauses import Pauses
from aspot.runtime.wiring import Wiring

ACCEPT_TRIES = 6
"""Tries to publish a job's folder, about a minute in all; a disk may be full for a moment."""


@attrs.define
class Desk:
    """Results on their way from staging to their callers."""

    wiring: Wiring
    results: dict[str, Result] = attrs.field(init=False, factory=dict)
    _jobs: dict[str, Job] = attrs.field(init=False, factory=dict)
    _folders: dict[str, Path] = attrs.field(init=False, factory=dict)
    _arrived: dict[str, anyio.Event] = attrs.field(init=False, factory=dict)

    def expect(self, specs: Iterable[JobSpec], jobs: Mapping[str, Job]) -> None:
        """Note jobs whose results will come.

        Args:
            specs: The jobs, resolved.
            jobs: The same as the user gave them, by name; those that lack are made from their specification.
        """
        for spec in specs:
            self._jobs[spec.name] = jobs.get(spec.name) or job_of(spec)
            self._arrived[spec.name] = anyio.Event()

    def resume(self) -> None:
        """Note the jobs of a run that is taken up again; results that were accepted are there already."""
        for name, record in self.wiring.run.jobs.items():
            self.expect([record.spec], {})
            if record.status.is_final:
                folder = self._folders[name] = self.wiring.archive.published(name)
                self.results[name] = result_of(record, self._jobs[name], folder)
                self._arrived[name].set()
                self._tell(name)

    @property
    def names(self) -> tuple[str, ...]:
        """Return the names of all jobs, in order of submission."""
        return tuple(self._jobs)

    def job(self, name: str) -> Job:
        """Return a job as given."""
        return self._jobs[name]

    async def accept(self, effect: AcceptResult) -> None:
        """Publish a job's folder."""
        record = self.wiring.run.jobs[effect.job]
        content = result_json(record, self._jobs[effect.job])
        pauses = Pauses(first_s=1.0, most_s=30.0, chance=self.wiring.chance)
        for tries in range(1, ACCEPT_TRIES + 1):
            try:
                self._folders[effect.job] = await self.wiring.archive.accept(effect.job, effect.attempt, content)
                break
            except (AspotError, OSError) as error:
                if tries == ACCEPT_TRIES:
                    raise
                self.wiring.warn(f"{effect.job}: its results could not be put in place: {error}", job=effect.job)
            await anyio.sleep(pauses.next_s())
        self.wiring.post(ResultAccepted(at=self.wiring.now(), job=effect.job, attempt=effect.attempt))

    def hand_over(self, name: str) -> None:
        """Give a job's result, now durable, to those who wait."""
        if name in self._folders and name not in self.results:
            record = self.wiring.run.jobs[name]
            self.results[name] = result_of(record, self._jobs[name], self._folders[name])
            self._arrived[name].set()
            self._tell(name)

    def _tell(self, name: str) -> None:
        result = self.results[name]
        why = f" ({result.reason})" if result.reason not in ("", result.status) else ""
        message = f"{name}: {result.status}{why}"
        self.wiring.tell(JobEnded, job=name, status=result.status, result=result, message=message)

    async def wait(self, name: str) -> Result | None:
        """Return a job's result when it is there; None if the run ends without it."""
        await self._arrived[name].wait()
        return self.results.get(name)

    def close(self) -> None:
        """Send everybody home."""
        for arrived in self._arrived.values():
            arrived.set()
