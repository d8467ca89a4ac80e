"""One run of a fleet, from its opening to its end: what the public class asks of it."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs

from aspot.errors import AspotError, ConfigError
from aspot.intake.names import new_run_id
from aspot.intake.open_files import make_room, too_few
from aspot.intake.options import FleetOptions
from aspot.jobs import Job
from aspot.machine.farewell import farewell_lines, is_settled, taken_lines
from aspot.machine.model import Run
from aspot.machine.news import JobEnded, News
from aspot.machine.states import JobStatus
from aspot.opening import Given, Resolved, make_archive, make_host, refuse_live, resolve, take_up
from aspot.results import Result, Results
from aspot.runtime.outcomes import job_of

if TYPE_CHECKING:
    from aspot.archive.local import LocalArchive
    from aspot.carry.ways import Way
    from aspot.journal.folders import RunFolder
    from aspot.runtime.host import RunHost

logger = logging.getLogger(__name__)

NOTHING = "Nothing was launched."
JOBLESS = "{name} has no jobs: its client ended before any was written down, and nothing ran; start them again"


@attrs.frozen
class Watcher:
    """Somebody who follows a run: a viewer, or the user's own listener.

    Args:
        watch: Given the news and a way to see the run; served in the host's task group.
        wants_logs: Whether it hears the jobs' output line by line (it costs time).
    """

    watch: Callable[[AsyncIterator[News], Callable[[], Run]], Awaitable[None]]
    wants_logs: bool

    @classmethod
    def calling(cls, listener: Callable[[News], object]) -> Self:
        """Return a watcher that calls a function with all news; an exception in it is warned about."""

        async def watch(news: AsyncIterator[News], _: Callable[[], Run]) -> None:
            async for item in news:
                try:
                    listener(item)
                except Exception:
                    logger.warning("on_event raised", exc_info=True, extra={"event": item.name})

        return cls(watch, wants_logs=True)


class Session:
    """A fleet while it runs: its host, and what the public class asks of it. Made by `open`."""

    def __init__(
        self, base: Path, host: RunHost, archive: LocalArchive, folder: RunFolder, *, is_new: bool = True
    ) -> None:
        self.name = folder.name
        self.base = base
        self._host = host
        self._archive = archive
        self._folder = folder
        self._is_new = is_new
        self._jobs: dict[str, Job] = {}
        self._reused: dict[str, Result] = {}
        self._wanted = host.run.spec.limit
        self._notes: Sequence[str] = ()
        self._stays: Callable[[], Sequence[str]] = tuple

    # --- opening ---

    @classmethod
    async def attach(cls, name: str, *, regions: Sequence[str] = (), way: Way) -> Self:
        """Take up the newest run of this name again; `start` goes on with it.

        Args:
            name: The fleet's name.
            regions: None for the run's own; others are refused. For a run whose journal is lost: where it ran.
            way: Where what is known of the run comes from.

        Raises:
            AspotError: If there is none, it has ended, or another process drives it; nothing is changed then.
        """
        from aspot.aws.regions import open_cloud

        known, notes = await way.find(name, regions)
        cloud = await open_cloud(known.regions)
        try:
            host, archive = await take_up(known, cloud, take_over=way.take_over)
        except BaseException:
            await cloud.aclose()
            raise
        session = cls(Path.cwd(), host, archive, known.folder, is_new=False)
        session._notes = notes
        session._stays = lambda: cloud.stays
        session._jobs.update({job: job_of(record.spec) for job, record in host.run.jobs.items()})
        archive.expect({job: record.spec.inputs for job, record in host.run.jobs.items()})
        if host.run.spec.is_rebuilt:
            session._take_over({job: found for job, found in archive.home().items() if job not in session._jobs})
        return session

    @classmethod
    async def open(cls, options: FleetOptions, jobs: Sequence[Given], defaults: Mapping[str, Any]) -> Self:
        """Check everything that can be checked here, and wire the run; `start` begins it.

        Args:
            options: Of the fleet.
            jobs: Known before the start; more may be submitted later.
            defaults: Options for those jobs.

        Raises:
            AspotError: If the fleet cannot run; a note on the error says that nothing was launched.
        """
        with _nothing_launched():
            return await cls._open(options, jobs, defaults)

    @classmethod
    async def _open(cls, options: FleetOptions, jobs: Sequence[Given], defaults: Mapping[str, Any]) -> Self:
        from aspot.aws.regions import open_cloud
        from aspot.journal.folders import RunFolder, one_at_a_time

        base, run_id = Path.cwd(), new_run_id()
        archive = make_archive(options, jobs, run_id)
        async with AsyncExitStack() as undo:
            undo.callback(archive.abandon)
            folder = RunFolder.of(archive.name, run_id)
            resolved = resolve(jobs, defaults, base, folder, options.results, taken=())
            cloud = await open_cloud(options.profile.everywhere)
            undo.push_async_callback(cloud.aclose)
            spec = options.run_spec(run_id, archive.name, cloud.region)
            wanted, spec = spec.limit, attrs.evolve(spec, limit=make_room(spec.limit).instances)
            with one_at_a_time():
                refuse_live(archive.name)
                archive.prepare(options.existing)
                host = make_host(spec, options, cloud, archive, folder)
            session = cls(base, host, archive, folder)
            session._stays = lambda: cloud.stays
            session._wanted = wanted
            session.hand_in(resolved)
            undo.pop_all()
        return session

    async def start(self, watchers: Sequence[Watcher]) -> None:
        """Make ready what launches need.

        Args:
            watchers: Viewers and listeners, served while the run lasts.

        Raises:
            AspotError: If that is impossible; nothing is left then, and a note on the error says so.
        """
        host = self._host
        for watcher in watchers:
            host.listen(partial(watcher.watch, host.subscribe(logs=watcher.wants_logs), lambda: host.run))
        if not self._is_new and not self.run.jobs:
            host.warn(JOBLESS.format(name=self.name))
        for note in self._notes:
            host.warn(note)
        fitting = self._bounded(self._wanted)
        try:
            with _nothing_launched() if self._is_new else nullcontext():
                await host.start()
        except BaseException:
            if self._is_new:
                self._archive.abandon()
            raise
        if fitting < self.run.spec.limit:
            host.scale(fitting)

    def _bounded(self, instances: int) -> int:
        """Return for how many of these instances there are open files; fewer are warned about."""
        room = make_room(instances)
        if room.instances < instances:
            self._host.warn(too_few(room, instances))
        return room.instances

    def _take_over(self, home: Mapping[str, Result]) -> None:
        """Count results that came home earlier, which the run knows nothing of."""
        self._reused.update(home)
        self._jobs.update({name: result.job for name, result in home.items()})

    # --- work ---

    @property
    def run(self) -> Run:
        """Return the run as it is now."""
        return self._host.run

    @property
    def is_over(self) -> bool:
        """Tell whether the run has ended and was cleaned up."""
        return self._host.is_done

    def job(self, name: str) -> Job:
        """Return a job as given, with its final name."""
        return self._jobs[name]

    def submit(self, jobs: Sequence[Given], defaults: Mapping[str, Any]) -> list[str]:
        """Hand in jobs; return their names.

        Raises:
            ConfigError: If one cannot work; none is handed in then.
        """
        return self.hand_in(self._resolve(jobs, defaults))

    def _resolve(self, jobs: Sequence[Given], defaults: Mapping[str, Any]) -> Resolved:
        results = self._archive.layout.root.parent
        return resolve(jobs, defaults, self.base, self._folder, results, taken=self._jobs)

    def hand_in(self, resolved: Resolved) -> list[str]:
        """Hand in jobs that were checked; those whose earlier results are taken do not run again."""
        given = {item.spec.name: item.job for item in resolved}
        self._jobs.update(given)
        self._archive.expect({item.spec.name: item.spec.inputs for item in resolved})
        self._reused.update(self._archive.earlier(given))
        wanted = [item.spec for item in resolved if item.spec.name not in self._reused]
        if wanted:
            self._host.submit(wanted, given)
        return list(given)

    def cancel(self, names: Sequence[str] | None) -> None:
        """Cancel these jobs, or all."""
        self._host.cancel(names)

    def scale(self, limit: int) -> None:
        """Change how many instances may be alive."""
        if not 1 <= limit <= 1000:
            raise ConfigError(f"a fleet has 1 to 1000 instances, not {limit}", fix="to end it: await fleet.aclose()")
        self._host.scale(self._bounded(limit))

    # --- waiting ---

    async def result(self, name: str) -> Result:
        """Wait for a job's result."""
        return self._reused.get(name) or await self._host.wait_job(name)

    async def wait(self) -> Results:
        """Wait for every job submitted so far."""
        for name in tuple(self._jobs):
            try:
                await self.result(name)
            except AspotError:
                if not self._host.is_detached:
                    raise
        return self.results()

    async def settled(self) -> None:
        """Wait until leaving the run would delay nothing (or it is over)."""
        news = self._host.subscribe()
        try:
            while not is_settled(self.run):
                await anext(news)
        except StopAsyncIteration:
            return
        finally:
            news.close()

    async def as_completed(self) -> AsyncIterator[Result]:
        """Yield results as they are accepted, those of jobs submitted meanwhile too."""
        news = self._host.subscribe()
        told: set[str] = set()
        try:
            while True:
                for result in self.results():
                    if result.name not in told:
                        told.add(result.name)
                        yield result
                if len(told) == len(self._jobs) or not await _next_result(news):
                    return
        finally:
            news.close()

    async def subscribe(self, *, until_job: str = "") -> AsyncIterator[News]:
        """Yield news, log lines too, until the run has finished, or the job has."""
        news = self._host.subscribe(logs=True)
        try:
            if until_job and self._is_final(until_job):
                return
            async for item in news:
                yield item
                if until_job and isinstance(item, JobEnded) and item.job == until_job:
                    return
        finally:
            news.close()

    def status(self, name: str) -> str:
        """Return a job's status; that of a job handed in just now is `queued`."""
        if name in self._reused:
            return self._reused[name].status
        record = self.run.jobs.get(name)
        return record.status.value if record is not None else JobStatus.QUEUED.value

    def _is_final(self, name: str) -> bool:
        return JobStatus(self.status(name)).is_final

    def statuses(self) -> dict[str, str]:
        """Return each job's status by name, in order of submission."""
        return {name: self.status(name) for name in self._jobs}

    def results(self) -> Results:
        """Return the results there are, in order of submission."""
        found = {**self._reused, **self._host.results}
        return self._with_closing([found[name] for name in self._jobs if name in found])

    def _with_closing(self, found: Sequence[Result]) -> Results:
        from aspot.machine.money import cost_now
        from aspot.ui.closing import closing_lines
        from aspot.ui.safe import one_line

        results = Results(found, cost=cost_now(self.run), left=self._host.left, kept=self._host.kept)
        if self._host.taken is not None:
            results.summary = "\n".join(taken_lines(self.name, self._host.taken.client))
        elif self._host.is_detached:
            results.summary = "\n".join(farewell_lines(self.run))
        elif self._host.is_done:
            lines = closing_lines(self.run, results, self._host.left, self._host.kept)
            results.summary = "\n".join((*lines, *map(one_line, self._stays())))
        return results

    # --- the end ---

    async def finish(self) -> None:
        """Take no more jobs, wait for those there are, end everything.

        Raises:
            AspotError: If the run as a whole failed.
        """
        self._host.close()
        await self._host.finished()
        if self._host.error is not None:
            raise self._host.error

    async def stop(self, reason: str, *, spares_kept: bool = False) -> None:
        """Cancel all, end all, wait for that; machines that are kept for a look may be spared."""
        self._host.stop(reason, spares_kept=spares_kept)
        await self._host.finished()

    def close(self) -> None:
        """Take no more jobs."""
        self._host.close()

    def detach(self) -> None:
        """Leave the run to its machines."""
        self._host.detach()

    @property
    def is_detached(self) -> bool:
        """Tell whether the run was left to its machines."""
        return self._host.is_detached

    def abandon(self) -> None:
        """Leave at once."""
        self._host.abandon()


@contextmanager
def _nothing_launched() -> Iterator[None]:
    """Add to an error that nothing was launched."""
    try:
        yield
    except AspotError as error:
        error.add_note(NOTHING)
        raise


async def _next_result(news: AsyncIterator[News]) -> bool:
    """Wait for the next result; return False when the run is over."""
    async for item in news:
        if isinstance(item, JobEnded):
            return True
    return False
