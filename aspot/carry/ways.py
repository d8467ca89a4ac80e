"""Where what is known of a run comes from that is to be taken up again: its journal, a bundle, or its machines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import anyio.to_thread
import attrs

from aspot.aws.account import Account
from aspot.aws.cloud import Ec2Cloud
from aspot.carry.rebuild import rebuild, remnant
from aspot.carry.unpack import keys_of, unpack
from aspot.errors import AspotError, ConfigError
from aspot.journal.runs import RunInfo, runs, who_drives
from aspot.machine.model import Run


@attrs.frozen(kw_only=True)
class Way:
    """How a run that is to be taken up again is known here.

    Args:
        key: A bundle that was exported on another computer; None: by its journal here.
        from_cloud: By what EC2 and its machines tell, its journal being lost; its keys are here, or in the bundle.
        results: The folder of all fleets' results, for a run that has none here yet.
        take_over: Whether to take it from the process that drives it here, if one does.
    """

    key: Path | None = None
    from_cloud: bool = False
    results: Path = attrs.field(factory=lambda: Path("aspot-results").absolute())
    take_over: bool = False

    async def find(self, name: str, region: str | None) -> tuple[RunInfo, Sequence[str]]:
        """Return the run, ready to be taken up, and what its user should know.

        Raises:
            AspotError: If it cannot be; nothing is changed then.
        """
        if self.from_cloud:
            return await from_cloud(name, region, self.key, self.results)
        if self.key is not None:
            return await bring_in(name, region, self.key, self.results)
        return attachable(name, region, take_over=self.take_over), ()


def attachable(name: str, region: str | None, *, take_over: bool = False) -> RunInfo:
    """Return the run of this name that can be taken up again.

    Args:
        name: The fleet's name.
        region: As the user gave it; None: the run's own.
        take_over: Whether it may be taken from the process that drives it.

    Raises:
        AspotError: If there is none, it has ended, another process drives it (and is to keep it), or its journal cannot
            be read.
    """
    everything = runs()
    found = next((item for item in reversed(everything) if item.name == name), None)
    if found is None:
        known = ", ".join(item.name for item in everything if item.ended is None)
        there = f"these have not ended: {known}" if known else "no run that has not ended is known here"
        raise ConfigError(f"no fleet {name!r} is known here", fix=f"{there}; aspot ls shows what runs in EC2")
    if found.is_box:
        raise ConfigError(f"{name} is a box, not a fleet", fix=f"aspot connect -n {name} -a opens it")
    if found.trouble:
        again = f"aspot attach {name} --from-cloud rebuilds it from what its machines know" if found.is_lost else ""
        raise AspotError(f"{name} cannot be taken up: {found.trouble}", fix=again)
    if found.ended is not None:
        raise ConfigError(f"fleet {name} has ended", fix=f"aspot status {name} shows what came of it")
    if region is not None and region != found.region:
        raise ConfigError(f"fleet {name} runs in {found.region}, not in {region}", fix="leave --region out")
    if found.is_live and not take_over:
        raise ConfigError(
            f"fleet {name} is being driven by another process{who_drives(found)}",
            fix=f"aspot status {name}, aspot logs {name}/JOB -f, or aspot attach {name} --take-over",
        )
    return found


async def bring_in(name: str, region: str | None, bundle: Path, results: Path) -> tuple[RunInfo, Sequence[str]]:
    """Make a run from another computer known here, and return it, and what its user should know.

    Args:
        name: The fleet's name.
        region: As the user gave it; None: the run's own.
        bundle: What `export` wrote there.
        results: The folder of all fleets' results here.

    Raises:
        AspotError: If that file cannot be used, the run went on after it was written, or EC2 cannot be asked; nothing
            is changed then.
    """
    incoming = await anyio.to_thread.run_sync(unpack, bundle, name, results)
    try:
        spec = incoming.run.spec
        if region is not None and region != spec.region:
            raise ConfigError(f"fleet {name} runs in {spec.region}, not in {region}", fix="leave --region out")
        await _refuse_stale(incoming.run, bundle)
        return await anyio.to_thread.run_sync(incoming.accept), list(filter(None, [incoming.note]))
    finally:
        incoming.discard()


async def _refuse_stale(run: Run, bundle: Path) -> None:
    """Refuse a bundle whose run has launched something since: jobs may run that the bundle takes for waiting."""
    async with await Account.open(run.spec.region) as account:
        there = await account.instances()
    newer = {item.request for item in there if item.run == run.spec.id} - set(run.requests)
    if newer:
        raise ConfigError(
            f"fleet {run.spec.name} went on after {bundle} was written: it has launched machines since",
            fix=f"aspot export {run.spec.name} where it is driven, or go on there",
        )


async def from_cloud(
    name: str, region: str | None, bundle: Path | None, results: Path
) -> tuple[RunInfo, Sequence[str]]:
    """Rebuild a run whose journal is lost, and return it, and what its user should know.

    Args:
        name: The fleet's name.
        region: AWS region; None for the one of AWS's own configuration.
        bundle: Whence its keys come; None: they are here.
        results: The folder of all fleets' results.

    Raises:
        AspotError: If no machine of it runs, nobody can log in to those that do, or one does not say what it has.
    """
    async with await Account.open(region) as account:
        machines = await account.instances()
    incoming = None if bundle is None else await anyio.to_thread.run_sync(keys_of, bundle, name)
    cloud = await Ec2Cloud.open(account.region)
    notes: list[str] = []
    try:
        brought = None if incoming is None else (incoming.home.run, incoming.folder.keys)
        left = remnant(name, account.region, machines, brought)
        return await rebuild(left, cloud, results, notes=notes), notes
    finally:
        await cloud.aclose()
        if incoming is not None:
            incoming.discard()
