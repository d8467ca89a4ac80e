"""Where what is known of a run comes from that is to be taken up again: its journal, a bundle, or its machines."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import anyio.to_thread
import attrs

from aspot.aws.account import Account, Found
from aspot.aws.regions import open_cloud
from aspot.aws.together import together
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

    async def find(self, name: str, regions: Sequence[str]) -> tuple[RunInfo, Sequence[str]]:
        """Return the run, ready to be taken up, and what its user should know.

        Args:
            name: The fleet's name.
            regions: As the user gave them; none: the run's own.

        Raises:
            AspotError: If it cannot be; nothing is changed then.
        """
        if self.from_cloud:
            return await from_cloud(name, regions, self.key, self.results)
        if self.key is not None:
            return await bring_in(name, regions, self.key, self.results)
        return attachable(name, regions, take_over=self.take_over), ()


def attachable(name: str, regions: Sequence[str], *, take_over: bool = False) -> RunInfo:
    """Return the run of this name that can be taken up again.

    Args:
        name: The fleet's name.
        regions: As the user gave them; none: the run's own.
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
    _refuse_others(name, regions, found.regions)
    if found.is_live and not take_over:
        raise ConfigError(
            f"fleet {name} is being driven by another process{who_drives(found)}",
            fix=f"aspot status {name}, aspot logs {name}/JOB -f, or aspot attach {name} --take-over",
        )
    return found


def _refuse_others(name: str, given: Sequence[str], own: Sequence[str]) -> None:
    """Refuse regions that a run does not use: it cannot be moved."""
    others = [region for region in given if region not in own]
    if others:
        raise ConfigError(
            f"fleet {name} runs in {', '.join(own)}, not in {', '.join(others)}", fix="leave --region out"
        )


async def bring_in(name: str, regions: Sequence[str], bundle: Path, results: Path) -> tuple[RunInfo, Sequence[str]]:
    """Make a run from another computer known here, and return it, and what its user should know.

    Args:
        name: The fleet's name.
        regions: As the user gave them; none: the run's own.
        bundle: What `export` wrote there.
        results: The folder of all fleets' results here.

    Raises:
        AspotError: If that file cannot be used, the run went on after it was written, or EC2 cannot be asked; nothing
            is changed then.
    """
    incoming = await anyio.to_thread.run_sync(unpack, bundle, name, results)
    try:
        _refuse_others(name, regions, incoming.run.spec.everywhere)
        await _refuse_stale(incoming.run, bundle)
        return await anyio.to_thread.run_sync(incoming.accept), list(filter(None, [incoming.note]))
    finally:
        incoming.discard()


async def _refuse_stale(run: Run, bundle: Path) -> None:
    """Refuse a bundle whose run has launched something since: jobs may run that the bundle takes for waiting."""
    there = await _machines(run.spec.everywhere)
    newer = {item.request for items in there.values() for item in items if item.run == run.spec.id} - set(run.requests)
    if newer:
        raise ConfigError(
            f"fleet {run.spec.name} went on after {bundle} was written: it has launched machines since",
            fix=f"aspot export {run.spec.name} where it is driven, or go on there",
        )


async def _machines(regions: Sequence[str | None]) -> dict[str, list[Found]]:
    """Return every machine with aspot's tags, by region."""

    async def those_in(region: str | None) -> tuple[str, list[Found]]:
        async with await Account.open(region) as account:
            return account.region, await account.instances()

    return dict(await together(*(partial(those_in, region) for region in regions)))


async def from_cloud(
    name: str, regions: Sequence[str], bundle: Path | None, results: Path
) -> tuple[RunInfo, Sequence[str]]:
    """Rebuild a run whose journal is lost, and return it, and what its user should know.

    Args:
        name: The fleet's name.
        regions: Where it ran; none for the region of AWS's own configuration, and those that its machines there name.
        bundle: Whence its keys come; None: they are here.
        results: The folder of all fleets' results.

    Raises:
        AspotError: If no machine of it runs, nobody can log in to those that do, or one does not say what it has.
    """
    there = await _machines(regions or [None])
    if not regions:
        named = {region for items in there.values() for item in items if item.name == name for region in item.regions}
        there |= await _machines(sorted(named - there.keys()))
    incoming = None if bundle is None else await anyio.to_thread.run_sync(keys_of, bundle, name)
    notes: list[str] = []
    try:
        brought = None if incoming is None else (incoming.home.run, incoming.folder.keys)
        left = remnant(name, there, brought)
        cloud = await open_cloud(left.regions)
        try:
            return await rebuild(left, cloud, results, notes=notes), notes
        finally:
            await cloud.aclose()
    finally:
        if incoming is not None:
            incoming.discard()
