"""`SshLink`: the runtime's verbs over one connection; each is one or two commands of the runner.

May import: asyncssh, anyio, `aspot.files`, `aspot.ssh`.
"""

from __future__ import annotations

import functools
import hashlib
import shlex
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from importlib import resources
from pathlib import Path

import anyio
import anyio.to_thread
import asyncssh

from aspot.errors import LinkError
from aspot.files import patterns
from aspot.files.haul import Damaged
from aspot.machine.model import Collected, ExitStatus, JobSpec, StopWhy
from aspot.ports import (
    Armed,
    AttemptOrder,
    Delivered,
    Gone,
    Lease,
    Link,
    LinkDropped,
    LogSink,
    RunnerExited,
    RunnerFact,
    StillRunning,
    Target,
    Undeliverable,
)
from aspot.ssh.collect import ask, bring_files, bring_logs
from aspot.ssh.exchange import CommandRefused, Exchange, begin, exchange
from aspot.ssh.follow import Following
from aspot.ssh.keys import RunKeys
from aspot.ssh.order import fact_of, hundredths, order_text, setup_text, status_in, status_of
from aspot.ssh.upload import Delivery, Uploads

ANSWER_S = 60.0
"""For a command of the runner that has little to do."""

SETUP_S = 3600.0
"""For a profile's set-up script."""

PROBE_S = 3.0
"""For the server to show its new host key; a real sshd needs about 0.1 s."""

CLOSE_S = 2.0

CHANNELS = 6
"""At once, beside the watch and the output: OpenSSH takes 10 sessions a connection (sshd_config, MaxSessions)."""

Probe = Callable[[Target], Awaitable[asyncssh.SSHKey | None]]


class SshLink(Link):
    """One verified connection to one instance.

    Args:
        connection: Verified.
        target: Whose it is.
        run: The run's id.
        keys: The run's keys.
        uploads: What the run uploads, and what its machines have.
        probe: Returns the host key that the machine serves now.
    """

    def __init__(
        self,
        connection: asyncssh.SSHClientConnection,
        target: Target,
        *,
        run: str,
        keys: RunKeys,
        uploads: Uploads,
        probe: Probe,
    ) -> None:
        self.on_close: Callable[[], None] = lambda: None
        self._connection = connection
        self._target = target
        self._run = run
        self._keys = keys
        self._uploads = uploads
        self._probe = probe
        self._channels = anyio.Semaphore(CHANNELS)
        self._events: Exchange | None = None  # armed, and about to be watched
        self._ready: dict[tuple[str, int], Exchange] = {}  # delivered, waiting for the order
        self._running: dict[tuple[str, int], Exchange] = {}  # started, its output waiting to be followed
        self._statuses: dict[tuple[str, int], ExitStatus] = {}  # final

    # --- the machine --------------------------------------------------------------------------------------------------

    async def arm(self, lease: Lease) -> Armed:
        """Install the runner, give the machine a host key of its own, arm the lease and check it. Re-entrant."""
        durations = (lease.term_s, lease.idle_s, lease.hold_s, lease.max_life_s)
        said: dict[str, str] = {}
        there = await begin(self._connection, _install(" ".join(str(hundredths(seconds)) for seconds in durations)))
        with _answers():
            await there.send(_runner())
            there.end_input()
            await there.greeted()
            while (line := await there.line()) != "end":
                name, _, value = line.partition("=")
                said[name] = value
        self._events = there
        return Armed(
            boot_id=said.get("boot", ""),
            powers_off=said.get("off") == "yes",
            watches=said.get("watch") == "yes",
            rotated=await self._rotated(said.get("key", "")),
        )

    async def set_up(self, script: str) -> None:
        """Run the profile's set-up once on this machine. Re-entrant.

        Raises:
            Undeliverable: If it fails.
        """
        digest = hashlib.sha256(script.encode("utf-8", "surrogateescape")).hexdigest()
        try:
            async with self._command(_run("setup", digest)) as there:
                there.patience_s = SETUP_S
                await there.send(setup_text(script))
                there.end_input()
                await there.greeted()
                line = await there.line()
                output = await there.rest()
        except CommandRefused as error:
            raise Undeliverable(f"it could not be started: {error}") from error
        status = status_of(line)
        if status is None or status.code != 0:
            why = f"exit code {status.code}" if status else line
            raise Undeliverable(f"{why}; it said at last: {output[-1500:] or 'nothing'}")

    async def renew(self) -> None:
        """Renew the lease."""
        await self._say("lease")

    async def watch(self) -> AsyncIterator[RunnerFact]:
        """Yield what the machine says by itself, facts of before this connection too."""
        there, self._events = self._events, None
        with _answers():
            if there is None:
                there = await begin(self._connection, _run("watch"))
                await there.greeted()
            there.patience_s = None
            try:
                while True:
                    fact = self._heard(await there.line())
                    if fact is not None:
                        yield fact
            finally:
                there.close()

    def _heard(self, line: str) -> RunnerFact | None:
        """Return the fact; keep the status that comes along: it need not be asked for."""
        fact = fact_of(line)
        if isinstance(fact, RunnerExited) and (status := status_in(line)):
            self._statuses[(fact.job, fact.attempt)] = status
        return fact

    async def aclose(self) -> None:
        """Close the connection."""
        self.on_close()
        self._connection.close()
        with anyio.move_on_after(CLOSE_S, shield=True) as limit:
            await self._connection.wait_closed()
        if limit.cancelled_caught:
            self._connection.abort()

    # --- attempts -----------------------------------------------------------------------------------------------------

    async def deliver(self, order: AttemptOrder) -> Delivered:
        """Put the job's files and checkpoint into the attempt's fresh folder, verified.

        Raises:
            Undeliverable: If they cannot be read here or taken there.
        """
        delivery = Delivery(
            connection=self._connection,
            command=_run("deliver", self._run, order.spec.name, order.attempt),
            instance=self._target.instance,
            label=self._target.label,
            uploads=self._uploads,
        )
        async with self._channels:
            delivered, there = await delivery.bring(order)
        self._keep(self._ready, order, there)
        return delivered

    async def start(self, order: AttemptOrder) -> None:
        """Start the attempt; a second start of the same one does nothing.

        Raises:
            Undeliverable: If nothing ran and nothing will.
        """
        text = order_text(order, self._run)
        there = self._ready.pop(_key(order), None)
        is_fresh = there is None
        there = there or await begin(self._connection, _run("start", self._run, order.spec.name, order.attempt))
        try:
            there.patience_s = ANSWER_S
            await there.send(text)
            there.end_input()
            if is_fresh:
                await there.greeted()
            await there.line()
        except CommandRefused as error:
            raise Undeliverable(f"{self._target.label} did not start it: {error}") from error
        self._keep(self._running, order, there)

    async def status(self, job: str, attempt: int) -> ExitStatus | StillRunning | Gone:
        """Return where the attempt is; an orphaned one is ended first."""
        known = self._statuses.get((job, attempt))
        if known is not None:
            return known
        line = await self._say("status", self._run, job, attempt)
        if line == "running":
            return StillRunning()
        if line.startswith("gone "):
            return Gone(reason=line.removeprefix("gone "))
        status = status_of(line)
        if status is None:
            raise LinkDropped("the machine's answer makes no sense")
        return status

    async def stop(self, job: str, attempt: int, why: StopWhy, grace_s: float) -> None:
        """Stop the attempt; returns when its group is gone. Harmless to repeat."""
        await self._say("stop", self._run, job, attempt, why.value, hundredths(grace_s), more_s=grace_s)

    async def release(self, job: str, attempt: int) -> None:
        """Tell the machine that the attempt's results are home."""
        await self._say("release", self._run, job, attempt)

    async def follow(self, job: str, attempt: int, sink: LogSink) -> None:
        """Copy the attempt's output into the sink as it appears, until the attempt has ended."""
        there = self._running.pop((job, attempt), None)
        with _answers():
            if there is not None and sink.offsets() != (0, 0):
                there.close()
                there = None
            if there is None:
                there = await begin(self._connection, _run("follow", self._run, job, attempt, *sink.offsets()))
            there.patience_s = None
            there.divert(Following(sink))
            try:
                await there.diverted()
            except ValueError as error:
                raise LinkDropped(str(error)) from error
            finally:
                there.close()

    async def fetch_result(self, spec: JobSpec, attempt: int, sink: LogSink, into: Path) -> Collected:
        """Bring the rest of the logs and the downloads into a local folder, verified.

        Raises:
            LinkError: If what came is not what was announced.
        """
        wanted, bad = patterns.parse(spec.download)
        out, err = sink.offsets()
        command = _run("collect", self._run, spec.name, attempt, "result", out, err)
        with self._honest():
            async with self._command(command) as there:
                await ask(there, wanted)
                await bring_logs(there, sink)
                brought = await bring_files(there, wanted, into)
        absent = tuple(name for name in brought.missing if spec.download != ("out",) or name != "out")
        return Collected(files=brought.files, missing=(*bad, *absent), size=brought.size)

    async def fetch_checkpoint(self, spec: JobSpec, attempt: int, into: Path) -> tuple[int, int]:
        """Bring the checkpoint into an empty local folder, verified; return (files, bytes).

        Raises:
            LinkError: If it kept changing, or what came is not what was announced.
        """
        wanted, _ = patterns.parse(spec.checkpoint)
        with self._honest():
            async with self._command(_run("collect", self._run, spec.name, attempt, "checkpoint", 0, 0)) as there:
                await ask(there, wanted)
                brought = await bring_files(there, wanted, into)
        return len(brought.files), brought.size

    # --- how ----------------------------------------------------------------------------------------------------------

    @asynccontextmanager
    async def _command(self, line: str) -> AsyncIterator[Exchange]:
        async with self._channels, exchange(self._connection, line) as there:
            yield there

    async def _say(self, *words: str | float, more_s: float = 0.0) -> str:
        """Return the first line of the runner's answer to a command that takes no input."""
        with _answers():
            async with self._command(_run(*words)) as there:
                there.patience_s = ANSWER_S + more_s
                there.end_input()
                await there.greeted()
                line = await there.line()
                await there.ended()
                return line

    def _keep(self, where: dict[tuple[str, int], Exchange], order: AttemptOrder, there: Exchange | None) -> None:
        """Keep a command for the attempt's next step, in place of an older one."""
        if (older := where.pop(_key(order), None)) is not None:
            older.close()
        if there is not None:
            where[_key(order)] = there

    async def _rotated(self, line: str) -> bool:
        """Pin the key that the machine made, once it is seen to be served; until then the injected one stays."""
        instance = self._target.instance
        if self._keys.is_pinned(instance):
            return True
        try:
            key = asyncssh.import_public_key(line)
        except asyncssh.KeyImportError:
            return False
        await anyio.to_thread.run_sync(self._keys.propose, instance, key)
        pause_s = 0.02
        with anyio.move_on_after(PROBE_S):
            while await self._probe(self._target) != key:
                await anyio.sleep(pause_s)
                pause_s = min(2 * pause_s, 0.5)
            self._keys.pin(instance)
        return self._keys.is_pinned(instance)

    def _honest(self) -> _Honest:
        return _Honest(self._target.label)


def _key(order: AttemptOrder) -> tuple[str, int]:
    return order.spec.name, order.attempt


class _answers:  # noqa: N801 - reads as a verb
    """A runner that refuses what it should not has lost its files or its mind: connect and arm again."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, CommandRefused):
            raise LinkDropped(f"the runner refused: {error}") from error


class _Honest:
    """Turns what an instance claimed wrongly into an error that names it."""

    def __init__(self, label: str) -> None:
        self._label = label

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Damaged | CommandRefused):
            raise LinkError(f"{self._label}: {error}") from error


@functools.cache
def _runner() -> bytes:
    return resources.files("aspot.ssh").joinpath("runner.sh").read_bytes()


def _run(*words: str | float) -> str:
    """Return the command line of a runner's command, the same to every login shell."""
    return 'exec /bin/sh "$HOME/.aspot/run" ' + " ".join(str(word) for word in words)


def _install(numbers: str) -> str:
    """Return the command line that installs the runner from stdin and arms the machine."""
    steps = (
        'umask 077; mkdir -p "$HOME/.aspot" && cd "$HOME/.aspot" && cat >.run.$$ '
        f'&& [ "$(wc -c <.run.$$)" -eq {len(_runner())} ] && chmod 700 .run.$$ && mv -f .run.$$ run '
        f'&& cd && exec /bin/sh "$HOME/.aspot/run" arm {numbers}'
    )
    return f"exec /bin/sh -c {shlex.quote(steps)}"
