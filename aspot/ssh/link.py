"""`SshLink`: the runtime's verbs over one connection; each is one or two commands of the runner.

May import: asyncssh, anyio, `aspot.files`, `aspot.ssh`.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import asyncssh

from aspot.files import patterns
from aspot.machine.haul import Haul
from aspot.machine.model import Collected, ExitStatus, JobSpec, StopWhy
from aspot.machine.names import NAME
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
from aspot.ssh.badge import Badge
from aspot.ssh.collect import ask, bring_files, bring_logs
from aspot.ssh.commands import answers, command, honest, install_command, runner_text
from aspot.ssh.evacuate import Carrier, TooSlow, clean
from aspot.ssh.exchange import CommandRefused, Exchange, begin, exchange
from aspot.ssh.follow import Following, Full
from aspot.ssh.keys import RunKeys
from aspot.ssh.lines import line_of
from aspot.ssh.order import fact_of, hundredths, order_text, setup_text, status_in, status_of
from aspot.ssh.rotation import Probe, is_seen, noted
from aspot.ssh.upload import Delivery, Uploads

ANSWER_S = 60.0
"""For a command of the runner that has little to do."""

SETUP_S = 3600.0
"""For a profile's set-up script."""

NEVER_STARTED = "it was never started"
"""What the runner says of an attempt that it knows nothing of, or got no order for."""

CLOSE_S = 2.0

MOST_LINE, MOST_ATTEMPTS, MOST_NUMBER = 1 << 20, 10_000, 1_000
"""Of what a machine lists: characters a line, lines, and the number of an attempt. It is a machine's claim."""

CHANNELS = 6
"""At once, beside the watch and the output: OpenSSH takes 10 sessions a connection (sshd_config, MaxSessions)."""


class SshLink(Link):
    """One verified connection to one instance.

    Args:
        connection: Verified.
        target: Whose it is.
        run: The run's id.
        keys: The run's keys.
        uploads: What the run uploads, and what its machines have.
        probe: Returns the host key that the machine serves now.
        badge: Says to the machine who we are.
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
        badge: Badge,
    ) -> None:
        self.on_close: Callable[[], None] = lambda: None
        self._connection = connection
        self._target = target
        self._run = run
        self._keys = keys
        self._uploads = uploads
        self._probe = probe
        self._badge = badge
        self._channels = anyio.Semaphore(CHANNELS)
        self._events: Exchange | None = None  # armed, and about to be watched
        self._ready: dict[tuple[str, int], Exchange] = {}  # delivered, waiting for the order
        self._running: dict[tuple[str, int], Exchange] = {}  # started, its output waiting to be followed
        self._statuses: dict[tuple[str, int], ExitStatus] = {}  # final

    # --- the machine --------------------------------------------------------------------------------------------------

    async def arm(self, lease: Lease) -> Armed:
        """Install the runner, give the machine a host key of its own, arm the lease and check it. Re-entrant."""
        durations = (lease.term_s, lease.idle_s, lease.hold_s, lease.max_life_s)
        words = (self._badge.word, "arm", *(str(hundredths(seconds)) for seconds in durations))
        said: dict[str, str] = {}
        there = await self._begin(install_command(" ".join(words)))
        with answers():
            await there.send(runner_text())
            await there.greeted()
            while (line := await there.line()) != "end":
                name, _, value = line.partition("=")
                said[name] = value
            is_noted = await noted(self._keys, self._target, said.get("key", ""))
            await there.send(b"serve\n" if is_noted else b"keep\n")
            there.end_input()
            is_served = await there.line() == "served"
        self._events = there
        return Armed(
            boot_id=said.get("boot", ""),
            powers_off=said.get("off") == "yes",
            watches=said.get("watch") == "yes",
            rotated=is_noted and is_served and await is_seen(self._keys, self._target, self._probe),
        )

    async def set_up(self, script: str) -> None:
        """Run the profile's set-up once on this machine. Re-entrant.

        Raises:
            Undeliverable: If it fails.
        """
        digest = hashlib.sha256(script.encode("utf-8", "surrogateescape")).hexdigest()
        try:
            async with self._command(self._line("setup", digest)) as there:
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

    async def lease(self) -> Lease | None:
        """Return the lease that the machine was armed with; None if it was not. Asks nothing of the runner."""
        line = line_of('echo @aspot; cat "$HOME/.aspot/.machine/lease" 2>/dev/null; echo')
        with answers():
            async with self._command(line) as there:
                there.end_input()
                await there.greeted()
                numbers = (await there.line()).split()
        if len(numbers) != 4 or not all(number.isdigit() and len(number) < 12 for number in numbers):
            return None
        term_s, idle_s, hold_s, life_s = (int(number) / 100 for number in numbers)
        return Lease(term_s=term_s, idle_s=idle_s, hold_s=hold_s, max_life_s=life_s)

    async def attempts(self) -> list[tuple[str, int, str]]:
        """Return each attempt of the run that was started here: its job, its number, and the note beside it."""
        found: list[tuple[str, int, str]] = []
        with answers():
            async with self._command(self._line("list", self._run)) as there:
                there.end_input()
                await there.greeted()
                while (line := await there.line(most=MOST_LINE)) != "end" and len(found) < MOST_ATTEMPTS:
                    job, _, rest = line.partition(" ")
                    number, _, note = rest.partition(" ")
                    if NAME.fullmatch(job) and number.isdigit() and 0 < int(number[:9]) <= MOST_NUMBER:
                        found.append((job, int(number), note))
        return found

    async def renew(self) -> None:
        """Renew the lease."""
        await self._say("lease")

    async def keep(self, seconds: float) -> None:
        """Have the machine end itself after so many seconds, and not before, whoever is there then. May be repeated."""
        await self._say("keep", hundredths(seconds))

    async def watch(self) -> AsyncIterator[RunnerFact]:
        """Yield what the machine says by itself, facts of before this connection too."""
        there, self._events = self._events, None
        with answers():
            if there is None:
                there = await self._begin(self._line("watch"))
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
            begin=self._begin,
            command=self._line("deliver", self._run, order.spec.name, order.attempt),
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
        there = there or await self._begin(self._line("start", self._run, order.spec.name, order.attempt))
        try:
            there.patience_s = ANSWER_S
            await there.send(text)
            there.end_input()
            if is_fresh:
                await there.greeted()
            await there.line()
        except CommandRefused as error:
            raise Undeliverable(f"{self._target.label} did not start it: {error}") from error
        except BaseException:
            there.close()
            raise
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
            reason = line.removeprefix("gone ")
            return Gone(reason=reason, was_started=reason != NEVER_STARTED)
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
        if there is not None and sink.offsets() != (0, 0):
            there.close()
            there = None
        with answers():
            for _ in range(3):
                there = there or await self._begin(self._line("follow", self._run, job, attempt, *sink.offsets()))
                try:
                    return await _followed(there, sink)
                except Full:  # of one output; go on with the other
                    there = None
        raise LinkDropped("the machine's answer makes no sense")

    async def fetch_result(self, spec: JobSpec, attempt: int, sink: LogSink, into: Path) -> Collected:
        """Bring the rest of the logs and the downloads into a local folder, verified.

        Raises:
            LinkError: If what came is not what was announced.
        """
        wanted, bad = patterns.parse(spec.download)
        out, err = sink.offsets()
        line = self._line("collect", self._run, spec.name, attempt, "result", out, err)
        with honest(self._target.label):
            async with self._command(line) as there:
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
        with honest(self._target.label):
            async with self._command(self._line("collect", self._run, spec.name, attempt, "checkpoint", 0, 0)) as there:
                await ask(there, wanted)
                brought = await bring_files(there, wanted, into)
        return len(brought.files), brought.size

    async def evacuate(self, spec: JobSpec, attempt: int, into: Path, haul: Haul) -> None:
        """Bring what `spec.evacuate` names into a local folder, in order and in time, each file noted when verified.

        Raises:
            LinkError: If the machine's answers make no sense.
        """
        wanted, _ = patterns.parse(spec.evacuate)
        carrier = Carrier(wanted, into, haul)
        try:
            while await self._carried(carrier, self._line("evacuate", self._run, spec.name, attempt)):
                continue
        finally:
            clean(into)

    async def _carried(self, carrier: Carrier, line: str) -> bool:
        """Tell whether there is more to bring over another channel."""
        with honest(self._target.label):
            async with self._command(line) as there:
                try:
                    await carrier.carry(there)
                except TooSlow:
                    return True
        return False

    # --- how ----------------------------------------------------------------------------------------------------------

    def _line(self, *words: str | float) -> str:
        return command(self._badge.word, *words)

    async def _begin(self, line: str) -> Exchange:
        return await begin(self._connection, line, refusal=self._badge.refusal)

    @asynccontextmanager
    async def _command(self, line: str) -> AsyncIterator[Exchange]:
        async with self._channels, exchange(self._connection, line, refusal=self._badge.refusal) as there:
            yield there

    async def _say(self, *words: str | float, more_s: float = 0.0) -> str:
        """Return the first line of the runner's answer to a command that takes no input."""
        with answers():
            async with self._command(self._line(*words)) as there:
                there.patience_s = ANSWER_S + more_s
                return await there.answer()

    def _keep(self, where: dict[tuple[str, int], Exchange], order: AttemptOrder, there: Exchange | None) -> None:
        """Keep a command for the attempt's next step, in place of an older one."""
        if (older := where.pop(_key(order), None)) is not None:
            older.close()
        if there is not None:
            where[_key(order)] = there


async def _followed(there: Exchange, sink: LogSink) -> None:
    there.patience_s = None
    there.divert(Following(sink))
    try:
        await there.diverted()
    except Full:
        raise
    except ValueError as error:
        raise LinkDropped(str(error)) from error
    finally:
        there.close()


def _key(order: AttemptOrder) -> tuple[str, int]:
    return order.spec.name, order.attempt
