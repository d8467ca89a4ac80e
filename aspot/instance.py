"""`Instance`: one machine by name. A box that this program opens, or a fleet's machine."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import anyio
import attrs

from aspot.boxes.storage import furnish, stays
from aspot.boxes.view import Shown, View
from aspot.errors import ConfigError
from aspot.intake.boxes import BoxOptions
from aspot.machine.model import InstanceRecord, InstanceState
from aspot.machine.news import InstanceLaunched, InstanceReady, LaunchRefused, News, Warned
from aspot.machine.quantities import Duration, round_duration
from aspot.machine.quantities import price as dollars_text
from aspot.profiles import Profile

if TYPE_CHECKING:
    from aspot.aws.account import Look
    from aspot.boxes.box import Box
    from aspot.boxes.commands import CommandResult, Stream
    from aspot.boxes.files import Local
    from aspot.ssh.box import Facts
    from aspot.storage.copying import Outcome

_PHASES = {
    "pending": InstanceState.RUNNING,
    "running": InstanceState.SSH_READY,
    "shutting-down": InstanceState.TERMINATING,
    "stopping": InstanceState.TERMINATING,
}
AT_ONCE = 10
"""So many boxes are made side by side: each takes some calls to EC2 before its launch, and a verified connection."""

STAYS_S = 60.0
"""To look at what stays of a box that ends with its block."""

_TOLD = (InstanceLaunched, InstanceReady, LaunchRefused, Warned)


class Instance(Shown):
    """One EC2 machine by name: created where there is none of that name, reconnected to where there is.

        async with Instance("dev", profile="g5.xlarge", idle="2h") as box:
            await box.upload("src", "test.py")
            print((await box.run("python3 test.py", check=True)).stdout)

    A named one stays afterwards, until it is told to go (`terminate`, `aspot down NAME`) or nobody has used it for
    `idle`; an unnamed one ends with the block.

    Args:
        name: Its name; names of boxes and fleets are one namespace. None: one that ends on exit.
        profile: `default`, an instance type's name, or a `Profile`; for a box that is there already it means nothing.
        id: EC2 id of a machine of yours in place of a name: a box or a fleet's.
        keep: Whether it stays on exit; None: if it has a name.
        idle: The machine ends itself after this long without use: without a client connected, a prompt, a command
            that runs, or something that was left behind and computes. None: `"2h"`; 60 s for one that ends on exit.
        max_price: Most US dollars an hour; None for no limit, as AWS advises.
        price: Another word for `max_price`.
        capacity_timeout: How long a new one waits for capacity before it is given up; None: `"1h"`.
        filesystem: An EFS file system, by name or id, mounted at `~/efs`, or `"name:/path"`, now and after every boot;
            made (encrypted) if there is none of this name. It stays when the box has ended, and so does what is in it.
        volumes: EBS volumes, each `"name:size:/path"`, mounted likewise; made, in the box's zone, if there is none of
            this name. The path may be left out (`~/name`), and the size of one that is there already.
        volume_policy: `keep` volumes when the box has ended, or `delete` those that were made for it.
        new_mount: Make the file system's mount targets anew, in the zones where the box may be: for one that does not
            work. Refused while another machine may be using it.
        on_event: Called with every event while it is made.
        region: AWS region; None: where it is, and for a new one its profile's or AWS's own configuration.
        show: Lines on standard error about what happens: None for "on a terminal or in a notebook".

    Durations are seconds, `"1h30m"` or `timedelta`.

    Raises:
        ConfigError: If an option cannot work. Nothing is launched by the constructor.
    """

    def __init__(
        self,
        name: str | None = None,
        *,
        profile: str | Profile = "default",
        id: str | None = None,  # noqa: A002 - EC2's word, and users'
        keep: bool | None = None,
        idle: Duration | None = None,
        max_price: float | str | None = None,
        price: float | str | None = None,
        capacity_timeout: Duration | None = None,
        filesystem: str | None = None,
        volumes: str | Sequence[str] = (),
        volume_policy: str = "keep",
        new_mount: bool = False,
        on_event: Callable[[News], object] | None = None,
        show: bool | None = None,
        region: str | None = None,
    ) -> None:
        if id is not None and name is not None:
            raise ConfigError("a name and an id were given: which?", fix="leave one out")
        self._options = BoxOptions.check(
            name,
            profile,
            keep=keep,
            idle=idle,
            max_price=max_price,
            price=price,
            region=region,
            capacity_timeout=capacity_timeout,
            filesystem=filesystem,
            volumes=volumes,
            volume_policy=volume_policy,
            new_mount=new_mount,
        )
        self._id = id
        self._on_event = on_event
        self._show = show
        self._box: Box | None = None
        self._opening = asyncio.Lock()
        self._users = 0
        self._view = View(name=name or "", id=id or "")

    @classmethod
    def of(cls, record: InstanceRecord, cost: float) -> Instance:
        """Return a fleet's machine as it is now; its methods connect to it when they are called."""
        found = cls(id=record.id, show=False)
        found._view = View(
            name=record.label,
            id=record.id,
            state=record.state.value,
            address=record.address,
            port=record.port,
            type=record.pool.type,
            zone=record.pool.zone,
            cost=cost,
            job=record.attempt[0] if record.attempt else "",
        )
        return found

    def __repr__(self) -> str:
        where = f"{self.type} {self.zone}" if self.type else "not opened"
        return f"<Instance {self.name or self.id or 'without a name'}: {where}, {self.state}>"

    # --- life ---

    async def start(self) -> Self:
        """Open it: reconnect, or create it and return when it is ready.

        Raises:
            AspotError: If that is impossible. A box that has ended meanwhile is said to have, once; only where a
                profile was named, a new one takes its place at once.
        """
        await self.found()
        return self

    async def aclose(self) -> None:
        """Leave it: an unnamed one is ended, one that is kept stays, and ends itself after `idle` without use."""
        box, self._box = self._box, None
        if box is None:
            return
        if self._options.is_kept or not box.is_box or self._id is not None or box.over is not None:
            await box.aclose()
            return
        await self._end(box)

    async def _end(self, box: Box) -> None:
        """End a box that is not kept, whatever is cancelled meanwhile."""
        left, stay = await box.end_surely(), tuple[str, ...]()
        with anyio.move_on_after(STAYS_S, shield=True):
            stay = await stays(box.known.info)
        self._note(left, stay)

    async def terminate(self) -> None:
        """End it for good, with everything on its disk.

        Raises:
            ConfigError: If it is a fleet's machine.
            AspotError: If EC2 could not be asked, or refuses.
        """
        box = await self._found()
        if not box.is_box:
            raise ConfigError(
                f"{box.name} is a machine of fleet {box.known.name}, which ends its machines itself",
                fix=f"await fleet.scale(n), or aspot down {box.known.name}",
            )
        self._box = None
        left = await box.end()
        self._note(left, await stays(box.known.info))

    def _note(self, left: Sequence[str], stay: Sequence[str]) -> None:
        """Take note that it has ended, of what is left, and of what stays on purpose."""
        self._view = attrs.evolve(self._view, state=InstanceState.TERMINATED.value)
        from aspot.boxes.box import end_text

        for line in (end_text(self.name, left), *stay):
            self._say(line)

    async def refresh(self) -> Self:
        """Ask EC2 for its state and address; it is not connected to, and nothing is created.

        Raises:
            AspotError: If EC2 could not be asked, or nothing of that name is known here.
        """
        box = await self._found()
        look = await box.look()
        self._see(box, look)
        return self

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    # --- what it does ---

    async def run(
        self,
        command: str | Sequence[str],
        *,
        check: bool = False,
        timeout: Duration | None = None,  # noqa: ASYNC109 - the command's own; it is ended over there
        env: Mapping[str, str] | None = None,
        cwd: str = "~",
        stream: Stream = False,
    ) -> CommandResult:
        """Run a shell command (or a list of words) and return what came of it.

        Args:
            command: One line, several, or words that no shell looks at.
            check: Raise `CommandFailed` if it does not exit with 0.
            timeout: It is ended, with what it started, when this has gone by; the exit code is 124 then.
            env: Environment variables, which are never written down there.
            cwd: Folder, relative to home.
            stream: True to print its output as it comes; or called with `stdout` or `stderr`, and text.

        Raises:
            CommandFailed: With `check`.
            LinkError: If it cannot be reached, or the connection broke meanwhile.
        """
        from aspot.boxes.commands import command_order, run

        async with self._using() as box:
            order, shown = command_order(command, env=env or {}, cwd=cwd)
            return await run(box, order, shown=shown, check=check, timeout=timeout, stream=stream)

    async def run_script(
        self,
        script: str | Path,
        *args: Any,
        check: bool = False,
        timeout: Duration | None = None,  # noqa: ASYNC109
        env: Mapping[str, str] | None = None,
        cwd: str = "~",
        stream: Stream = False,
    ) -> CommandResult:
        """Run a script of yours there: a path, or its text (with a newline, or starting with `#!`).

        It is run by its shebang, else `.py` by python3, else by sh. The other arguments are those of `run`.
        """
        from aspot.boxes.commands import run, script_order

        async with self._using() as box:
            texts = box.known.info.folder.scripts
            order, shown = script_order(script, args, env=env or {}, cwd=cwd, texts=texts)
            return await run(box, order, shown=shown, check=check, timeout=timeout, stream=stream)

    async def exists(self, path: str) -> bool:
        """Tell whether there is such a file or folder; relative to home."""
        if not path:
            raise ConfigError("the path is empty", fix='await box.exists("data")')
        plain = path.removeprefix("~/") if path.startswith("~/") else "." if path == "~" else path
        result = await self.run(["test", "-e", f"./{plain}" if not plain.startswith("/") else plain])
        return result.ok

    async def upload(self, *paths: Local, to: str = "~") -> None:
        """Send files, folders, patterns, or `{here: there}`; they keep their relative names below `to`.

        Each is checked by its hash and then takes its place whole; files that are there already do not travel again.

        Raises:
            ConfigError: If one is not there.
        """
        from aspot.boxes.files import upload

        async with self._using() as box:
            for note in await upload(box, paths, to):
                self._say(f"{box.name}: {note}")

    async def download(self, *paths: str, to: str | Path = ".") -> list[Path]:
        """Bring files, folders or patterns, relative to home there; they keep their relative names below `to`.

        Absolute paths come under their base name. Each file is checked by its hash.

        Returns:
            The files that came.

        Raises:
            LinkError: If one is not there; the others are here then.
        """
        from aspot.boxes.files import download

        async with self._using() as box:
            return await download(box, paths, to)

    async def sync(
        self,
        source: str | Path,
        dest: str | Path,
        *,
        delete: bool = False,
        checksum: bool = False,
        dry_run: bool = False,
    ) -> Outcome:
        """Make one folder like another, copying what is new or changed; a colon marks a folder of this machine.

            await box.sync("data", ":data")                     # from here to the box
            await box.sync("s3://lab-data/in", ":/mnt/in")      # by the box itself, with its instance profile

        The other side is a folder here, `s3://BUCKET/FOLDER`, or another folder of this machine.

        Args:
            source: From where.
            dest: To where.
            delete: Delete what is only at the destination.
            checksum: Compare contents, whatever the times say.
            dry_run: Change nothing; return what would be done.

        Returns:
            What was done. Files that could not be copied are in its `failed`.

        Raises:
            ConfigError: If there is no such sync.
            AspotError: If it cannot be done; what was copied until then stays, and the same call goes on from there.
        """
        from aspot.storage.copying import How
        from aspot.transfers.ends import Pair
        from aspot.transfers.sync import NoWatch, Sync

        async with self._using() as box:
            pair = Pair.with_machine(box.name, str(source), str(dest))
            how = How(delete=delete, by_content=checksum, dry=dry_run)
            return await Sync(pair=pair, how=how).run(NoWatch(), self._say)

    async def clone_repo(
        self, url: str, directory: str | None = None, *, token: str | None = None, key: str | Path | None = None
    ) -> CommandResult:
        """Clone a git repository there. A private one needs a token (https) or a deploy key (ssh).

        Neither is ever written to the machine's disk, nor into its environment or process list: git reads it from a
        pipe. Your SSH agent is not forwarded.

        Args:
            url: Of the repository.
            directory: Where to, relative to home; None: as git names it.
            token: For https; None: `ASPOT_GIT_TOKEN` of the environment here, if it is set.
            key: File here with a deploy key without a passphrase, for ssh.

        Raises:
            CommandFailed: If git does not succeed.
        """
        from aspot.boxes.git import clone

        async with self._using() as box:
            return await clone(box, url, directory, token=token, key=key)

    async def update_repo(
        self,
        path: str,
        branch: str | None = None,
        *,
        token: str | None = None,
        key: str | Path | None = None,
    ) -> CommandResult:
        """Bring a clone up to date with its origin, on this branch (None: the one it is on).

        What was changed there and not committed is never thrown away: git refuses then. The other arguments are those
        of `clone_repo`.

        Raises:
            CommandFailed: If git does not succeed.
        """
        from aspot.boxes.git import update

        async with self._using() as box:
            return await update(box, path, branch, token=token, key=key)

    # --- what it is ---

    @property
    def cost(self) -> float:
        """Return US dollars so far, an estimate from the newest price seen."""
        if self._box is not None and self._box.is_box:
            return self._box.known.cost(datetime.now(UTC))
        return self._view.cost

    @property
    def home(self) -> str:
        """Return its user's home folder."""
        return self._facts().home

    @property
    def cores(self) -> int:
        """Return how many CPUs it has."""
        return self._facts().cores

    @property
    def gpus(self) -> int:
        """Return how many GPUs it has."""
        return self._facts().gpus

    def _facts(self) -> Facts:
        if self._box is None or self._box.facts is None:
            raise self._not_open()
        return self._box.facts

    # --- how ---

    def among(self, together: int) -> Self:
        """Take note of how many boxes are launched together: the account has to have room for all of them."""
        self._options = attrs.evolve(self._options, together=together)
        return self

    async def found(self, *, is_quick: bool = False, say: Callable[[str], object] | None = None) -> Box:
        """Return what the command line needs of it, connected.

        Args:
            is_quick: Whether it will do that it answers where it was last seen: somebody else connects then.
            say: Told, in a sentence, what became of one that is gone; None: as everything else.
        """
        async with self._opening:
            if self._box is None:
                is_quick = is_quick and not self._options.has_storage
                box = await self._found(say or self._say, is_quick=is_quick)
                try:
                    if not (is_quick and await box.answers()):
                        await box.connect()
                except BaseException:
                    if box.is_new and not self._options.is_kept:
                        await self._end(box)
                    raise
                self._box = box
                if self._options.is_kept:  # a name that was made up is its name from now on
                    self._options = attrs.evolve(self._options, name=box.name)
                self._see(box, None)
                self._introduce(box)
                await self._furnish(box)
            return self._box

    async def _furnish(self, box: Box) -> None:
        try:
            await furnish(box, self._options, self._say)
        except BaseException:
            self._box = None
            if box.is_new and not self._options.is_kept:
                await self._end(box)
            else:
                await box.aclose()
            raise

    @asynccontextmanager
    async def _using(self) -> AsyncIterator[Box]:
        """Yield it connected. A box has to be open: no machine is ever made by the way.

        What is known by its id alone is opened for as long as somebody uses it.

        Raises:
            ConfigError: If it is not open.
        """
        if self._box is None and self._id is None:
            raise self._not_open()
        is_passing = self._box is None or self._users > 0
        self._users += is_passing
        try:
            box = await self.found()
            await box.connect()
            yield box
        finally:
            self._users -= is_passing
            if is_passing and not self._users:
                await self.aclose()

    def _not_open(self) -> ConfigError:
        name = self.name or "the instance"
        return ConfigError(f"{name} is not open", fix="async with Instance(...), or await box.start()")

    async def _found(self, say: Callable[[str], object] | None = None, *, is_quick: bool = False) -> Box:
        """Return it as it is known; opened, or made, where somebody is told of that."""
        from aspot.boxes.finding import by_id, by_name
        from aspot.boxes.opening import Events, opened

        if self._box is not None:
            return self._box
        if self._id is not None:
            return await by_id(self._id, self._options.profile.region)
        if say is not None:
            return await opened(self._options, Events(self._hear, say), is_quick=is_quick)
        return by_name(self._options)

    def _see(self, box: Box, look: Look | None) -> None:
        record = box.known.run.instances[box.instance]
        phase = InstanceState.SSH_READY if look is None else _PHASES.get(look.found.state, InstanceState.TERMINATED)
        if box.over is not None:
            phase = InstanceState.TERMINATED
        self._view = View(
            name=box.name,
            id=box.instance,
            state=phase.value,
            address=box.target.address,
            port=box.target.port,
            type=record.pool.type,
            zone=record.pool.zone,
            cost=box.known.cost(datetime.now(UTC)),
            job=self._view.job,
        )

    def _introduce(self, box: Box) -> None:
        """Say what was opened, what it costs, and when it ends."""
        if not box.is_box:
            return
        what = f"{box.name}: {self.type} {self.zone}, {dollars_text(box.known.usd_per_hour)}/h"
        idle_s = self._options.idle_s or box.known.run.spec.idle_s
        if self._options.is_kept:
            self._say(f"{what}; ends itself after {round_duration(idle_s)} without use; aspot down {box.name}")
        else:
            self._say(f"{what}; ends with this program")

    def _hear(self, news: News) -> None:
        if isinstance(news, _TOLD):
            self._say(news.message if news.message.startswith(news.fleet) else f"{news.fleet}: {news.message}")
        if self._on_event is not None:
            self._on_event(news)

    def _say(self, text: str) -> None:
        from aspot.ui.safe import one_line
        from aspot.ui.show import in_notebook, on_terminal

        if self._show or (self._show is None and (on_terminal() or in_notebook())):
            print(one_line(text, limit=1000), file=sys.stderr)  # noqa: T201 - what users asked to see
