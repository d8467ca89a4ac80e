"""What a machine knows of a run: asked over a verified connection, and what has ended there brought home."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection

import anyio
import attrs

from aspot.archive.local import LocalArchive
from aspot.aws.account import Found
from aspot.errors import AspotError, LinkError
from aspot.machine.endings import CUT_OFF
from aspot.machine.model import Collected, ExitStatus, JobSpec
from aspot.ports import Gone, HostKeyMismatch, Lease, LinkDropped, NotReady, StillRunning, Target
from aspot.ssh.connect import SshRemote
from aspot.ssh.link import SshLink
from aspot.ssh.noted import spec_of

PATIENCE_S = 60.0
"""For a machine to let us in and say what it has; one that does not may have results that would be lost."""

FAILURES = 5
"""Connections that break on the way, in a row."""

PAUSE_S = 1.0

UNSETTLED = (*CUT_OFF, "interrupt")
"""Why an attempt ended that still has a checkpoint to save: the run itself does that."""


@attrs.frozen(kw_only=True)
class Held:
    """A job's newest attempt, and what became of it.

    Args:
        job: As far as the machine knows it.
        attempt: Its number.
        exit: Its status; None if it runs, or has none.
        collected: What came home of it; None if it is not brought home yet.
        gone: Why nothing of it runs and it has no status; "" if that is not so.
    """

    job: JobSpec
    attempt: int
    exit: ExitStatus | None = None
    collected: Collected | None = None
    gone: str = ""

    @property
    def is_settled(self) -> bool:
        """Tell whether nothing more will come of it."""
        return self.collected is not None or bool(self.gone)


@attrs.define(kw_only=True)
class Told:
    """What a machine told.

    Args:
        machine: Which.
        boot_id: Its boot; "" if it could not prove who it is: nobody can ask it anything.
        lease: What it was armed with before; None if nobody had armed it.
        attempts: Number and note of the newest attempt of each job there.
        held: Those asked about: settled ones first, the one that runs last.
    """

    machine: Found
    boot_id: str = ""
    lease: Lease | None = None
    attempts: dict[str, tuple[int, str]] = attrs.field(factory=dict)
    held: list[Held] = attrs.field(factory=list)


Act = Callable[[SshLink, Told], Awaitable[None]]


class Surveyor:
    """Asks the machines of a run.

    Args:
        remote: How to connect.
        user: Whom to log in as.
        lease: For machines that nobody has armed.
        archive: Where files go.
    """

    def __init__(self, remote: SshRemote, *, user: str, lease: Lease, archive: LocalArchive) -> None:
        self._remote = remote
        self._user = user
        self._lease = lease
        self._archive = archive

    async def list(self, machine: Found) -> Told:
        """Return which attempts a machine has.

        Raises:
            LinkError: If it does not say.
        """
        told = Told(machine=machine)
        try:
            await self._patiently(told, self._list)
        except HostKeyMismatch:
            return told
        return told

    async def bring(self, told: Told, jobs: Collection[str]) -> None:
        """Find out what became of these jobs' attempts on a machine, and bring home what has ended in order.

        Raises:
            LinkError: If it does not say, or its files cannot be brought home.
        """
        if jobs:
            await self._patiently(told, lambda link, told: self._bring(link, told, jobs))

    async def _patiently(self, told: Told, act: Act) -> None:
        """Do something over a connection, over another one if that breaks; what makes progress may take its time."""
        failures, until = 0, anyio.current_time() + PATIENCE_S
        why: Exception
        while True:
            try:
                link = await self._remote.connect(self._target(told.machine))
                until = anyio.current_time() + PATIENCE_S
                try:
                    told.boot_id = await self._armed(link, told)
                    await act(link, told)
                    return
                finally:
                    await link.aclose()
            except NotReady as error:
                why = error
            except (LinkDropped, LinkError) as error:
                failures, why = failures + 1, error
            if failures >= FAILURES or anyio.current_time() > until:
                raise _silent(told.machine, why) from why
            await anyio.sleep(PAUSE_S)

    async def _armed(self, link: SshLink, told: Told) -> str:
        """Renew the machine's lease, on the terms it has."""
        told.lease = told.lease or await link.lease()
        return (await link.arm(told.lease or self._lease)).boot_id

    async def _list(self, link: SshLink, told: Told) -> None:
        told.attempts.clear()
        for job, number, note in await link.attempts():
            if number > told.attempts.get(job, (0, ""))[0]:
                told.attempts[job] = (number, note)

    async def _bring(self, link: SshLink, told: Told, jobs: Collection[str]) -> None:
        told.held.clear()
        for job in jobs:
            number, note = told.attempts[job]
            told.held.append(await self._held(link, spec_of(job, note), number))
        told.held.sort(key=lambda held: (not held.is_settled, held.exit is None))

    async def _held(self, link: SshLink, spec: JobSpec, number: int) -> Held:
        spec = attrs.evolve(spec, interruptions=number)  # none that is to come is forgiven: see `is_rebuilt`
        status = await link.status(spec.name, number)
        if isinstance(status, Gone):
            return Held(job=spec, attempt=number, gone=status.reason)
        if isinstance(status, StillRunning):
            return Held(job=spec, attempt=number)
        if status.why in UNSETTLED:
            return Held(job=spec, attempt=number, exit=status)
        try:
            sink, into = self._archive.sink(spec.name, number), self._archive.staging(spec.name, number)
            collected = await link.fetch_result(spec, number, sink, into)
        except OSError as error:
            raise AspotError(f"{spec.name} cannot be brought home: {error}", fix="make room, then repeat") from error
        return Held(job=spec, attempt=number, exit=status, collected=collected)

    def _target(self, machine: Found) -> Target:
        return Target(
            instance=machine.instance,
            label=machine.instance,
            address=machine.address,
            port=machine.port,
            user=self._user,
        )


def _silent(machine: Found, why: Exception) -> LinkError:
    return LinkError(
        f"machine {machine.instance} does not say what it has: {why}",
        instance=machine.instance,
        fix="try again later; if its results may be lost, end it in EC2 first",
    )
