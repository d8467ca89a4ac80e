"""`Fleet`: the public class. What drives it is in `aspot.session`, imported when a fleet starts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from aspot.errors import AspotError, ConfigError
from aspot.intake.jobs import as_list
from aspot.intake.options import FleetOptions, split_options
from aspot.jobs import Job
from aspot.machine.money import cost_now, cost_per_hour, instance_cost
from aspot.machine.news import LogLine, News
from aspot.profiles import Profile
from aspot.results import Result, Results

if TYPE_CHECKING:
    from aspot.beside import Beside
    from aspot.carry.pack import Exported
    from aspot.instance import Instance
    from aspot.session import Session, Watcher
    from aspot.storage.copying import Outcome
    from aspot.ui.pump import Viewer

Jobs = str | Path | Job | Iterable[str | Path | Job]
Listener = Callable[[News], object]


class Fleet:
    """A named set of spot instances and a queue of jobs, driven from your own event loop.

    Args:
        name: Shown, tagged, and the folder of the results; made up when left out.
        profile: `default`, an instance type's name, or a `Profile`.
        instances: Most instances alive at once; None: one per job, at most 50.
        budget: Most US dollars to spend; at that point nothing more is launched and what runs is brought home.
        deadline: Most seconds from start to end.
        max_life: Each instance ends itself this long after its boot, whatever happens.
        idle: An instance without work ends after this long.
        hold: An instance that aspot lost touch with keeps uncollected results for at most this long.
        results: Local folder; results are in `<results>/<name>/<job>/`.
        existing: What to do when that folder is there: `refuse`, `resume` (skip jobs that succeeded with the same
            inputs) or `replace` (the old folder moves to `<name>.1`).
        capacity_timeout: How long a job waits for capacity before it is `lost`.
        on_demand_base: So many of the instances are bought on demand, which EC2 does not interrupt; the rest as the
            profile's `market` says.
        rebalance: What jobs do when EC2 recommends to leave their machine, which may come before a notice, or without
            one: `save` their checkpoint, or `move` to another pool as well, if they have one (and no `on_notice`).
        keep_failed: The instance of a job that failed or timed out for good stays this long for a look, then ends
            itself; `Results.kept` says how to get in and what it costs. None: it ends with the others.
        filesystem: An EFS file system, by name or id, that each instance mounts at `~/efs` before its first job, or
            where `"name:/path"` says; made, encrypted, if there is none of this name. It stays after the run.
        volumes: EBS volumes of the fleet's one instance, each `"name:size:/path"`: attached and mounted before its
            first job; made, encrypted and formatted, if there is none of this name. Only its zone is used then.
        volume_policy: `keep` volumes after the run, or `delete` those that it made.
        on_event: Called with every event; an exception in it is warned about, the fleet goes on.
        show: Live view: None for "on a terminal or in a notebook".

    Durations are seconds, `"1h30m"` or `timedelta`.

    Raises:
        ConfigError: If an option cannot work. Nothing is launched by the constructor.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        profile: str | Profile = "default",
        on_event: Listener | None = None,
        show: bool | Viewer | None = None,
        **options: Any,
    ) -> None:
        self._options = FleetOptions.check(name, profile, options)
        self._on_event = on_event
        self._show = show
        self._session: Session | None = None
        self._beside: Beside | None = None

    # --- life ---

    @classmethod
    async def run_many(cls, jobs: Jobs, name: str | None = None, *, check: bool = False, **options: Any) -> Results:
        """Run jobs, one instance each unless told otherwise, bring their results home, leave nothing running.

        Args:
            jobs: A path, a script's text, a `Job`, or a list of them.
            name: As for `Fleet`.
            check: Raise `JobsFailed` if a job did not succeed.
            **options: Options of `Fleet`, and of `Job` as defaults for all jobs.

        Returns:
            One result for each job, in the order given.

        Raises:
            AspotError: If nothing could be run. A job that fails is a result, not a raise.
        """
        fleet_options, job_options = split_options(options)
        fleet = cls(name, **fleet_options)
        results = await fleet.run(jobs, **job_options)
        return results.check() if check else results

    async def run(self, jobs: Jobs, *, detach: bool = False, **defaults: Any) -> Results:
        """Run these jobs and no others, from start to teardown; see `run_many`.

        Args:
            jobs: As for `run_many`.
            detach: Leave the fleet to its machines as soon as that delays nothing; returns the results so far.
            **defaults: Options of `Job`.
        """
        wanted = as_list(jobs)
        if not wanted:
            return Results()
        self._options = self._options.sized_for(wanted)
        await self._open(wanted, defaults)
        async with self:
            if detach:
                await self._leave_soon()
            await self.wait()
        return self.results

    async def _leave_soon(self) -> None:
        self._live.close()
        await self._live.settled()
        if self._live.run.unfinished:
            self.leave()

    @classmethod
    def attach(
        cls,
        name: str,
        *,
        region: str | Sequence[str] | None = None,
        take_over: bool = False,
        key: str | Path | None = None,
        from_cloud: bool = False,
        results: str | Path | None = None,
        on_event: Listener | None = None,
        show: bool | Viewer | None = None,
    ) -> Attachment:
        """Take up a fleet again that its process left: it was killed, the laptop slept, or it was detached.

        Logs go on from the byte they stopped at, finished results are fetched, waiting jobs start. Use it as
        `async with Fleet.attach("lr-study") as fleet:` or `fleet = await Fleet.attach("lr-study")`.

        Args:
            name: The fleet's name.
            region: AWS region, or several; None: where it runs.
            take_over: Take it from the process that drives it here, if one does: that one is asked to leave, and shut
                out if it does not.
            key: A file that `Fleet.export` made on another computer: the fleet goes on here from now on.
            from_cloud: Its journal is lost: rebuild it from EC2's tags and what lies on its machines. Its keys have to
                be here still, or come with `key`. Jobs that had not started are not known any more.
            results: With `key` or `from_cloud`, the folder for results here; None: `aspot-results`.
            on_event: As for `Fleet`.
            show: As for `Fleet`.

        Raises:
            ConfigError: If `results` or `take_over` cannot go with the others.
            AspotError: (when awaited) If there is no such fleet here, it has ended, another process drives it (and
                `take_over` is not set), the file cannot be used, or the cloud cannot be asked; nothing about the fleet
                is changed then.
        """
        if results is not None and key is None and not from_cloud:
            raise ConfigError("results= goes with key= or from_cloud=", fix="else results go where they went before")
        if take_over and (key is not None or from_cloud):
            raise ConfigError(
                "taking over goes without a bundle and without from_cloud", fix=f"aspot attach {name} --take-over"
            )
        given = {} if results is None else {"results": Path(results).absolute()}
        way = {"take_over": take_over, "from_cloud": from_cloud, "key": None if key is None else Path(key)}
        regions = (region,) if isinstance(region, str) else tuple(region or ())
        return Attachment(cls(name, on_event=on_event, show=show), regions, {**way, **given})

    async def _attach(self, regions: Sequence[str], way: Mapping[str, Any]) -> Self:
        from aspot.carry.ways import Way
        from aspot.session import Session

        assert self._options.name is not None
        session = self._session = await Session.attach(self._options.name, regions=regions, way=Way(**way))
        try:
            await session.start(self._listeners())
        except AspotError:
            self._session = None
            raise
        return self

    @classmethod
    async def export(cls, name: str, path: str | Path | None = None, *, with_results: bool = False) -> Exported:
        """Write what another computer needs to go on with a fleet into one file: `Fleet.attach(name, key=file)` there.

        The file holds the fleet's private keys: whoever has it can log in to its machines. It is readable by you only,
        and nothing about the fleet is changed. Let one computer at a time go on with it.

        Args:
            name: The fleet's name.
            path: The file, which must not exist; None: `NAME.aspot` here.
            with_results: Results that came home travel, too.

        Returns:
            Its `path`, `size`, and what is not in it: `lost`, `secrets`, `stayed`.

        Raises:
            AspotError: If there is no such fleet here, it has ended, or the file cannot be written.
        """
        from aspot.carry.pack import export

        return await asyncio.to_thread(export, name, None if path is None else Path(path), with_results=with_results)

    @classmethod
    async def sync(
        cls,
        source: str | Path,
        dest: str | Path,
        *,
        delete: bool = False,
        checksum: bool = False,
        dry_run: bool = False,
        instance_profile: str | None = None,
        profile: str | Profile = "default",
        region: str | None = None,
    ) -> Outcome:
        """Make one folder like another, wherever they are, copying what is new or changed: `aspot sync`.

            await fleet.sync("s3://lab-data/in", "efs://lab/in", instance_profile="lab")
            await fleet.sync("search_1:out", "out")

        Each side is `s3://BUCKET/FOLDER`, `NAME:FOLDER` on a machine, `efs://NAME/FOLDER`, `ebs://NAME/FOLDER`, or a
        folder here. For a file system or volume a small machine is made, which ends with the sync.

        Args:
            source: From where.
            dest: To where.
            delete: Delete what is only at the destination.
            checksum: Compare contents, whatever the times say.
            dry_run: Change nothing; return what would be done.
            instance_profile: Of the machine that is made, for S3. With it, one is made from S3 to S3, too.
            profile: What the machine is to be.
            region: Of S3, and of what is made; None: the profile's, or AWS's own configuration.

        Returns:
            What was done. Files that could not be copied are in its `failed`.

        Raises:
            AspotError: If it cannot be done; what was copied until then stays, and the same call goes on from there.
        """
        from aspot.transfers.sync import NoWatch, words_to_sync

        work = words_to_sync(
            str(source),
            str(dest),
            delete=delete,
            checksum=checksum,
            dry_run=dry_run,
            instance_profile=instance_profile,
            profile=profile,
            region=region,
        )
        return await work.run(NoWatch())

    async def detach(self) -> None:
        """Leave the fleet to its machines and return: attempts go on there, `Fleet.attach` takes it up again.

        Jobs that wait for a machine start when somebody has come back. Each machine ends itself: when its work is done
        and its results have waited for `hold`, and in any case `max_life` after its boot.
        """
        self.leave()
        await self.aclose()

    @property
    def is_detached(self) -> bool:
        """Tell whether the fleet was left to its machines, or to a client that took it over."""
        return self._session is not None and self._session.is_detached

    def leave(self) -> None:
        """Ask for `detach` from where nothing can be awaited; whoever waits for results gets those there are."""
        if self._session is not None:
            self._session.detach()

    async def start(self) -> Self:
        """Make ready what launches need; instances come with the first job.

        Raises:
            AspotError: If the cloud cannot be used; nothing is left then.
        """
        await self._open([], {})
        return self

    async def _open(self, jobs: list[str | Path | Job], defaults: Mapping[str, Any]) -> None:
        from aspot.session import Session

        if self._session is not None:
            if jobs or self._session.is_over:
                raise ConfigError("this fleet was started before: it runs once", fix="make a new Fleet(...)")
            return
        session = self._session = await Session.open(self._options, jobs, defaults)
        try:
            await session.start(self._listeners())
        except AspotError:
            self._session = None
            raise

    def _listeners(self) -> tuple[Watcher, ...]:
        from aspot.session import Watcher
        from aspot.ui.show import viewer

        shown = viewer(self._show) if self._show is None or isinstance(self._show, bool) else self._show
        if getattr(shown, "offers_leave", False):
            shown.leave = self.leave  # type: ignore[attr-defined]
        found = [Watcher(shown.watch, wants_logs=shown.wants_logs)]
        if self._on_event is not None:
            found.append(Watcher.calling(self._on_event))
        return tuple(found)

    async def aclose(self) -> None:
        """Take no more jobs, wait for those there are, end everything; boxes that were launched stay."""
        try:
            if self._session is not None:
                await self._session.finish()
        finally:
            await self._leave_boxes()

    async def cancel(self, *jobs: str | Job | JobHandle) -> None:
        """Cancel these jobs, or, without any, all of them."""
        self._live.cancel([_name_of(job) for job in jobs] if jobs else None)

    async def stop(self, reason: str = "stopped") -> None:
        """Cancel all jobs, end all instances, and return when that is done (bounded)."""
        if self._session is not None:
            await self._session.stop(reason)

    def abandon(self) -> None:
        """Leave at once: instances stay until their lease or `aspot down` ends them. Nothing is waited for."""
        if self._session is not None:
            self._session.abandon()

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            await self.aclose()
            return
        try:
            if issubclass(kind, asyncio.CancelledError):
                await self.stop("cancelled")
            elif self._session is not None:  # an exception may well tell of the very failure that is to be looked at
                await self._session.stop(f"{kind.__name__} in the caller", spares_kept=issubclass(kind, Exception))
        finally:
            await self._leave_boxes()

    # --- boxes ---

    async def launch(self, name: str | None = None, profile: str | Profile | None = None, **options: Any) -> Instance:
        """Open a box beside the fleet's own machines, one machine by name: created, or reconnected to.

            monitor = await fleet.launch("monitor", "t3.small")
            print((await monitor.run("ls ~/efs/results", check=True)).stdout)

        It mounts the fleet's file system. It is in `instances`, open until the fleet is closed, and stays after that,
        as every box does: until it is told to go (`terminate`, `aspot down NAME`) or nobody has used it for `idle`. It
        has none of the fleet's jobs, nor a share in its budget and deadline, and the fleet need not have been started.
        Several at once: `asyncio.gather(fleet.launch("a"), fleet.launch("b"))`.

        Args:
            name: Its name; None: one is made up.
            profile: As for `Fleet`; None: the fleet's own.
            **options: Options of `Instance`, such as `idle`, `max_price`, `filesystem`; `keep=False` for one that ends
                with the fleet.

        Returns:
            The box, ready for use.

        Raises:
            AspotError: If that is impossible; nothing of it is left then.
        """
        from aspot.beside import Beside

        if self._beside is None:
            self._beside = Beside()
        if isinstance(self._show, bool):
            options.setdefault("show", self._show)
        if self._options.filesystem is not None:
            shared = self._options.filesystem
            options.setdefault("filesystem", f"{shared.name}:{shared.path}")
        return await self._beside.launch(name, self._options.profile if profile is None else profile, options)

    async def _leave_boxes(self) -> None:
        if self._beside is not None:
            await self._beside.aclose()

    # --- work ---

    def submit(self, job: str | Path | Job) -> JobHandle:
        """Hand in one job and return at once.

        Raises:
            ConfigError: If the job cannot work; nothing is launched for it then.
        """
        return self.submit_all(job)[0]

    def map(
        self, script: str | Path, items: Iterable[object] | Path, *, pass_as: str = "flags", **job_options: Any
    ) -> list[JobHandle]:
        """Hand in one job for each item (`Job.each`) and return at once."""
        return self.submit_all(Job.each(script, items, pass_as=pass_as, **job_options))

    def submit_all(self, jobs: Jobs, **defaults: Any) -> list[JobHandle]:
        """Hand in several jobs, or none if one of them cannot work; `defaults` are options of `Job`."""
        return [JobHandle(self._live, name) for name in self._live.submit(as_list(jobs), defaults)]

    async def wait(self) -> Results:
        """Wait for every job submitted so far; return their results in order of submission."""
        return await self._live.wait()

    async def as_completed(self) -> AsyncIterator[Result]:
        """Yield each result when it is accepted, those of jobs submitted meanwhile too."""
        async for result in self._live.as_completed():
            yield result

    async def scale(self, n: int) -> None:
        """Change how many instances may be alive at once; those over the limit end when their job does.

        Args:
            n: Instances, at least 1.
        """
        if self._options.volumes and n != 1:
            raise ConfigError("a volume can be attached to one machine at a time", fix="share files by filesystem=")
        self._live.scale(n)

    async def events(self) -> AsyncIterator[News]:
        """Yield what happens, from now on, until the fleet has finished."""
        async for news in self._live.subscribe():
            yield news

    # --- what it is ---

    @property
    def name(self) -> str:
        """Return the fleet's name."""
        return self._session.name if self._session is not None else self._options.name or ""

    @property
    def instances(self) -> Mapping[str, Instance]:
        """Return the instances by name, those that ended too, and the boxes that were launched beside them."""
        from aspot.instance import Instance

        found = dict(self._beside.by_name) if self._beside is not None else {}
        if self._session is not None:
            run = self._session.run
            found |= {item.label: Instance.of(item, instance_cost(run, item)) for item in run.instances.values()}
        return MappingProxyType(found)

    @property
    def jobs(self) -> Mapping[str, str]:
        """Return each job's status by name, in order of submission."""
        return self._live.statuses()

    @property
    def results(self) -> Results:
        """Return the results there are so far; none before the fleet was started."""
        return self._session.results() if self._session is not None else Results()

    @property
    def cost(self) -> float:
        """Return US dollars spent so far, an estimate from prices seen."""
        return cost_now(self._live.run)

    @property
    def cost_per_hour(self) -> float:
        """Return US dollars an hour that the instances alive now cost."""
        return cost_per_hour(self._live.run)

    @property
    def _live(self) -> Session:
        if self._session is None:
            raise ConfigError("the fleet has not been started", fix="async with Fleet(...), or await fleet.start()")
        return self._session


class Attachment:
    """What `Fleet.attach` returns: await it, or enter it, to get the fleet."""

    def __init__(self, fleet: Fleet, regions: Sequence[str], way: Mapping[str, Any]) -> None:
        self.fleet = fleet
        self._regions = regions
        self._way = way

    def __await__(self) -> Generator[Any, None, Fleet]:
        return self.fleet._attach(self._regions, self._way).__await__()  # noqa: SLF001

    async def __aenter__(self) -> Fleet:
        return await self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.fleet.__aexit__(kind, error, trace)


class JobHandle:
    """A job that was handed in. `await handle` gives its `Result`; cancelling that wait leaves the job alone."""

    def __init__(self, session: Session, name: str) -> None:
        self._session = session
        self.name = name

    @property
    def job(self) -> Job:
        """Return the job as given, with its final name."""
        return self._session.job(self.name)

    @property
    def status(self) -> str:
        """Return `queued`, `running`, or how it ended."""
        return self._session.status(self.name)

    async def cancel(self) -> None:
        """Cancel the job."""
        self._session.cancel([self.name])

    async def logs(self) -> AsyncIterator[str]:
        """Yield the job's lines of stdout and stderr from now on, until the job has ended."""
        async for news in self._session.subscribe(until_job=self.name):
            if isinstance(news, LogLine) and news.job == self.name:
                yield news.line

    def __await__(self) -> Generator[Any, None, Result]:
        return self._session.result(self.name).__await__()


def run_many(jobs: Jobs, name: str | None = None, **options: Any) -> Results:
    """Run jobs from a plain script: `asyncio.run` around `Fleet.run_many`, with the same arguments.

    Raises:
        ConfigError: If an event loop runs already, as in a notebook: use `await Fleet.run_many(...)` there.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return asyncio.run(Fleet.run_many(jobs, name, **options))
    raise ConfigError("an event loop is running here already", fix="await Fleet.run_many(...)")


def _name_of(job: str | Job | JobHandle) -> str:
    return job if isinstance(job, str) else job.name or ""
