"""How a name becomes a machine that can be logged in to: the state folder says which, EC2 where, noted keys that it is.

The one place for all commands that go to a machine. May import: `aspot.journal`, `aspot.ssh`, `aspot.aws`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from typing import TYPE_CHECKING

import anyio
import attrs

from aspot.errors import CloudError, ConfigError, HostKeyError, LinkError
from aspot.journal import runs as journals
from aspot.journal.runs import RunInfo
from aspot.machine.model import InstanceRecord, InstanceState, Run
from aspot.ports import HostKeyMismatch, NotReady, Target

if TYPE_CHECKING:
    import asyncssh

    from aspot.aws.account import Found
    from aspot.ssh.keys import RunKeys

SILENCE_S = 20.0
"""Somebody waits before the screen: a peer that says nothing for so long is given up."""

PAUSE_S, MOST_PAUSE_S = 0.3, 5.0
"""Between tries to connect again."""

FIRST_LOOK_S, LOOK_EVERY_S = 1.0, 15.0
"""While a machine cannot be reached, EC2 is asked so often whether it is still there."""

_GONE = (InstanceState.TERMINATING, InstanceState.TERMINATED)
_SHOWN = 8


@attrs.frozen(kw_only=True)
class Machine:
    """A machine of ours, as the state folder knows it.

    Args:
        label: What users call it: `NAME_1`.
        instance: EC2 id.
        info: The run that it belongs to.
        user: Login user.
        address, port: Where it was last seen; "" while it was not.
        job: The job on it; "" for none.
    """

    label: str
    instance: str
    info: RunInfo
    user: str
    address: str
    port: int
    job: str

    @property
    def is_fresh(self) -> bool:
        """Tell whether what is known of its address is up to date: a process that drives the run looks after it."""
        return self.info.is_live and bool(self.address)

    def target(self) -> Target:
        """Return whom to connect to."""
        return Target(instance=self.instance, label=self.label, address=self.address, port=self.port, user=self.user)

    def keys(self) -> RunKeys:
        """Return the keys of its run.

        Raises:
            ConfigError: If they cannot be read.
        """
        from aspot.ssh.keys import RunKeys

        return RunKeys.load(self.info.folder.keys)


def open_runs() -> list[tuple[RunInfo, Run]]:
    """Return the runs that may have machines, newest first; those whose journal cannot be read are left out."""
    known = [item for item in reversed(journals.runs()) if item.ended is None or item.left]
    return [(item, journals.replay(item.folder)) for item in known if not item.trouble]


def machines(runs: Sequence[tuple[RunInfo, Run]]) -> list[Machine]:
    """Return the machines of these runs that have not ended, as far as is known here."""
    return [machine for info, run in runs for machine in _of(info, run)]


def _of(info: RunInfo, run: Run) -> Iterator[Machine]:
    for record in run.instances.values():
        if record.state not in _GONE:
            yield _machine(info, run, record)


def _machine(info: RunInfo, run: Run, record: InstanceRecord) -> Machine:
    return Machine(
        label=record.label,
        instance=record.id,
        info=info,
        user=run.user or "ec2-user",
        address=record.address,
        port=record.port,
        job=record.attempt[0] if record.attempt else "",
    )


def find(name: str) -> Machine:
    """Return the machine of this name: a fleet's only one, `NAME_1`, `FLEET/JOB`, or an instance id.

    Raises:
        ConfigError: If there is none, or several.
        LinkError: If it has ended, or is not there yet.
    """
    runs = open_runs()
    fleet, slash, job = name.partition("/")
    for info, run in runs:
        if info.name == fleet:
            return _on_which(info, run, job) if slash else _only(info, run)
    everything = machines(runs)
    found = next((item for item in everything if name in (item.label, item.instance)), None)
    if found is not None:
        return found
    for _, run in runs:
        gone = next((item for item in run.instances.values() if name in (item.label, item.id)), None)
        if gone is not None:
            raise LinkError(f"{name} has ended", instance=gone.id, fix=_there(everything))
    if any(item.name == fleet for item in journals.runs()):
        raise ConfigError(f"fleet {fleet} has ended", fix=_there(everything))
    raise ConfigError(f"nothing called {name!r} is running", fix=_there(everything))


def _there(found: Sequence[Machine]) -> str:
    """Return what to do about a name that is not there: the names that are."""
    if not found:
        return "no machine of yours that is known here is running; aspot ls --all shows what was"
    more = len(found) - _SHOWN
    names = ", ".join(item.label for item in found[:_SHOWN])
    return f"these are running: {names}{f' and {more} more (aspot ls)' if more > 0 else ''}"


def _only(info: RunInfo, run: Run) -> Machine:
    found = list(_of(info, run))
    if not found:
        raise LinkError(f"{info.name} has no machine now", fix=f"aspot status {info.name} shows what it waits for")
    if len(found) > 1:
        names = ", ".join(item.label for item in found[:_SHOWN])
        raise ConfigError(
            f"{info.name} has {len(found)} machines",
            fix=f"say which: {names}{', …' if len(found) > _SHOWN else ''}, or {info.name}/JOB",
        )
    return found[0]


def _on_which(info: RunInfo, run: Run, job: str) -> Machine:
    record = run.jobs.get(job)
    if record is None:
        raise ConfigError(f"{info.name} has no job {job!r}", fix=f"one of: {', '.join(list(run.jobs)[:_SHOWN])}")
    where = record.live.instance if record.live is not None else ""
    found = next((item for item in _of(info, run) if item.instance == where), None)
    if found is None:
        raise LinkError(
            f"{info.name}/{job} is on no machine now ({record.status.value})", fix=f"aspot status {info.name}"
        )
    return found


def _say_nothing(_: str) -> None:
    return


@attrs.define
class Way:
    """The way to one machine: connects, and connects again while the machine is there.

    Args:
        machine: Whom to connect to.
    """

    machine: Machine
    _is_sure: bool = attrs.field(init=False, default=False)

    @classmethod
    def to(cls, name: str) -> Way:
        """Return the way to the machine of this name.

        Raises:
            AspotError: As `find`.
        """
        return cls(find(name))

    @property
    def label(self) -> str:
        """Return what users call the machine."""
        return self.machine.label

    async def connect(self) -> asyncssh.SSHClientConnection:
        """Return a verified connection; one try at the address that is known, one at the one that EC2 says.

        Raises:
            LinkError: If the machine is gone, still boots, or cannot be reached.
            HostKeyError: If it could not prove who it is.
            CloudError: If EC2 had to be asked and could not be.
        """
        if self.machine.is_fresh or self._is_sure:
            try:
                return await self._try()
            except NotReady:
                pass
        await self.look()
        try:
            return await self._try()
        except NotReady as error:
            raise LinkError(
                str(error),
                instance=self.machine.instance,
                fix=f"a machine that boots takes a moment: try again; aspot status {self.machine.info.name} shows it",
            ) from error

    async def connect_again(self, *, say: Callable[[str], None] = _say_nothing) -> asyncssh.SSHClientConnection:
        """Return a new connection after one that broke, however long that takes.

        Args:
            say: Told, now and then, what it is waiting for.

        Raises:
            LinkError: If EC2 says that the machine is gone.
            HostKeyError: If it could not prove who it is.
        """
        pause_s, why = PAUSE_S, ""
        looked = anyio.current_time() - LOOK_EVERY_S + FIRST_LOOK_S
        while True:
            try:
                return await self._try()
            except NotReady as error:
                if str(error) != why:
                    say(why := str(error))
            await anyio.sleep(pause_s)
            pause_s = min(MOST_PAUSE_S, 2 * pause_s)
            if anyio.current_time() - looked >= LOOK_EVERY_S:
                looked = anyio.current_time()
                await self._look_if_possible(say)

    async def _look_if_possible(self, say: Callable[[str], None]) -> None:
        """Ask EC2; a network that is down here keeps nobody from trying on."""
        try:
            await self.look()
        except CloudError as error:
            say(f"EC2 could not be asked: {error.message}")

    async def look(self) -> None:
        """Ask EC2 once where the machine is.

        Raises:
            LinkError: If it is gone, or has no address yet.
            CloudError: If EC2 could not be asked.
        """
        found = await _seen(self.machine)
        label, instance = self.machine.label, self.machine.instance
        if found is None or found.state in ("terminated", "shutting-down"):
            state = found.state if found is not None else "EC2 no longer knows it"
            raise LinkError(f"{label} ({instance}) is gone: {state}", instance=instance, fix="aspot ls shows what runs")
        if found.state != "running" or not found.address:
            raise LinkError(
                f"{label} ({instance}) is not running yet: {found.state}",
                instance=instance,
                fix="try again in a moment",
            )
        self.machine = attrs.evolve(self.machine, address=found.address, port=found.port)
        self._is_sure = True

    async def _try(self) -> asyncssh.SSHClientConnection:
        from aspot.ssh.connect import SshRemote

        remote = SshRemote(self.machine.keys(), self.machine.info.id)
        try:
            return await remote.log_in(self.machine.target(), silence_s=SILENCE_S)
        except HostKeyMismatch as error:
            raise HostKeyError(
                str(error),
                instance=self.machine.instance,
                fix="nothing was sent; somebody else may answer at its address. If you changed its host key yourself, "
                f"end it: aspot down {self.machine.info.name}",
            ) from error


async def _seen(machine: Machine) -> Found | None:
    return (await seen([machine.info])).get(machine.instance)


async def seen(runs: Collection[RunInfo]) -> dict[str, Found]:
    """Return what EC2 shows of the instances of these runs, by id: one question a region.

    Raises:
        CloudError: If EC2 could not be asked.
    """
    from aspot.aws.account import Account

    found: dict[str, Found] = {}
    for region in sorted({item.region for item in runs}):
        account = await Account.open(region or None)
        try:
            ids = [item.id for item in runs if item.region == region]
            found |= {item.instance: item for item in await account.instances(runs=ids)}
        finally:
            await account.aclose()
    return found
