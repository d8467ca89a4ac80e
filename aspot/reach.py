"""Which machine a name means, as the state folder knows it. May import: `aspot.journal`, `aspot.ssh`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import attrs

from aspot.errors import ConfigError, LinkError
from aspot.journal import runs as journals
from aspot.journal.runs import RunInfo
from aspot.machine.model import InstanceRecord, InstanceState, Run
from aspot.ports import Target

if TYPE_CHECKING:
    from aspot.ssh.keys import RunKeys

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
    now = datetime.now(UTC)
    known = [item for item in reversed(journals.runs()) if item.ended is None or item.left or item.kept_at(now)]
    return [(item, journals.replay(item.folder)) for item in known if not item.trouble]


def machines(runs: Sequence[tuple[RunInfo, Run]]) -> list[Machine]:
    """Return the machines of these runs that have not ended, as far as is known here."""
    return [machine for info, run in runs for machine in _of(info, run)]


def _of(info: RunInfo, run: Run) -> Iterator[Machine]:
    for record in run.instances.values():
        if record.state not in _GONE:
            yield machine_of(info, run, record)


def machine_of(info: RunInfo, run: Run, record: InstanceRecord) -> Machine:
    """Return a run's machine as its journal tells it."""
    return Machine(
        label=record.label,
        instance=record.id,
        info=info,
        user=run.user or "ec2-user",
        address=record.address,
        port=record.port,
        job=record.attempt[0] if record.attempt else "",
    )


def run_of(instance: str) -> tuple[RunInfo, Run] | None:
    """Return the run that has, or had, the machine with this EC2 id; None if none here knows it."""
    return next(((info, run) for info, run in open_runs() if instance in run.instances), None)


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
