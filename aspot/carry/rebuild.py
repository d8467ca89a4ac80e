"""`attach --from-cloud`: a run whose journal is lost, rebuilt from EC2's tags and what lies on its machines.

What has ended there is brought home first; then a new journal is written, as if its client had seen all that. What no
machine holds is not known: jobs that had not started, and the files that a job would need to start again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import attrs

from aspot.archive import disk, earlier
from aspot.archive.earlier import Existing
from aspot.archive.layout import RESULTS, Layout, stored
from aspot.archive.local import LocalArchive
from aspot.aws.account import Found
from aspot.aws.together import together
from aspot.carry.survey import Held, Surveyor, Told
from aspot.errors import AspotError, ConfigError
from aspot.intake.names import owner
from aspot.journal import moving
from aspot.journal.codec import encode_plan
from aspot.journal.epochs import this_process
from aspot.journal.folders import RunFolder, one_at_a_time
from aspot.journal.runs import RunInfo, info, runs
from aspot.machine import events as ev
from aspot.machine.model import RunSpec
from aspot.machine.names import run_began
from aspot.machine.pool import Market, Pool
from aspot.machine.remains import SKEW
from aspot.ports import Cloud, CloudPlan, Lease, Prepared
from aspot.ssh.connect import SshRemote
from aspot.ssh.keys import CLIENT_KEY, RunKeys

AT_ONCE = 8
"""Machines asked at the same time."""

USUAL = Lease(term_s=900.0, idle_s=60.0, hold_s=7200.0, max_life_s=86400.0)
"""For a machine that no client ever armed."""

UNKNOWN = "jobs that had not started are not known any more: aspot run with the same words and --resume starts the rest"


@attrs.frozen(kw_only=True)
class Remnant:
    """A run that EC2 and its keys tell of, and no journal here.

    Args:
        folder: Its place here.
        keys: The folder of its keys: there, or where a bundle was unpacked.
        machines: Those that run, or are about to, oldest first.
        regions: Where.
    """

    folder: RunFolder
    keys: Path
    machines: tuple[Found, ...]
    regions: tuple[str, ...]


def remnant(name: str, there: Mapping[str, Sequence[Found]], brought: tuple[str, Path] | None) -> Remnant:
    """Return what is left of a fleet.

    Args:
        name: The fleet's name.
        there: Every machine with aspot's tags, by the region where EC2 was asked.
        brought: A run's id and the folder of its keys, from a bundle; None: the keys are here.

    Raises:
        ConfigError: If no machine of it runs, nobody can log in to those that do, or the run is known here.
    """
    machines = [item for items in there.values() for item in items if item.name == name and _is_plausible(item)]
    ours = sorted(machines, key=lambda one: one.launched)
    if not ours:
        raise ConfigError(
            f"no machine of a fleet {name!r} runs in {', '.join(there)}",
            fix="--region, if it ran elsewhere; aspot clean shows what else is left of it",
        )
    keys = {run: RunFolder.of(name, run).keys for run in dict.fromkeys(item.run for item in ours)}
    known = {run: folder for run, folder in keys.items() if (folder / CLIENT_KEY).is_file()}
    if brought is not None:
        _refuse_other_keys(name, brought[0], known, keys)
        known = {brought[0]: brought[1]}
    _refuse_known(name, known or keys)
    if not known:
        raise _locked_out(name, ours)
    run = max(known)  # ids sort by time
    found = tuple(item for item in ours if item.run == run)
    regions = tuple(region for region, items in there.items() if any(item in found for item in items))
    return Remnant(folder=RunFolder.of(name, run), keys=known[run], machines=found, regions=regions)


def _is_plausible(machine: Found) -> bool:
    """Tell whether a launch of aspot's may have made it: tags are anybody's to write (THREATS T11)."""
    began = run_began(machine.run)
    is_alive = machine.state in ("pending", "running")
    return bool(is_alive and machine.request and began is not None and machine.launched >= began - SKEW)


def _refuse_other_keys(name: str, run: str, known: Collection[str], there: Collection[str]) -> None:
    if run in known:
        raise ConfigError(
            f"the keys of {name} are here already", fix=f"aspot attach {name} --from-cloud, without --key"
        )
    if run not in there:
        raise ConfigError(f"no machine of the run in that bundle is there ({run})", fix="aspot ls shows what runs")


def _refuse_known(name: str, known: Collection[str]) -> None:
    """Refuse to rebuild what a whole journal tells better."""
    for item in runs():
        if item.id not in known:
            continue
        if item.is_live:
            raise ConfigError(f"fleet {name} is being driven by another process", fix=f"aspot status {name}")
        if item.ended is not None:
            raise ConfigError(f"fleet {name} has ended, and left machines", fix=f"aspot down {name} ends them")
        if item.trouble and not item.is_lost:
            raise AspotError(f"{name} cannot be rebuilt while its journal is here: {item.trouble}")
        if not item.trouble:
            raise ConfigError(
                f"the journal of {name} is here, and whole", fix=f"aspot attach {name}, without --from-cloud"
            )


def _locked_out(name: str, machines: Sequence[Found]) -> ConfigError:
    """Return the error of who has no key. A key pair does not help: its private half is nobody's here to find."""
    pairs = sorted({item.key_pair for item in machines} - {""})
    there = ", ".join(f"{item.instance} ({item.address or item.state})" for item in machines[:10])
    own = (
        f"; your key pair {pairs[0]} opens them, but EC2 has its public half only, and the keys that prove who the "
        "machines are were lost with the folder: what you want of them, fetch by ssh -i yourself"
        if pairs
        else ""
    )
    return ConfigError(
        f"the keys of fleet {name} are not here, so nobody can log in to its machines: {there}{own}",
        fix=f"--key BUNDLE, if aspot export made one; or aspot down {name} ends them",
    )


async def rebuild(left: Remnant, cloud: Cloud, results: Path, *, notes: list[str]) -> RunInfo:
    """Bring home what has ended, write a new journal, and return what is known of the run now.

    Args:
        left: The run.
        cloud: EC2, not yet prepared for this run.
        results: The folder of all fleets' results.
        notes: Gets what the user should know.

    Raises:
        AspotError: If a machine does not say what it has, or the disk refuses; no journal is written then.
    """
    archive = LocalArchive(results, left.folder.name, run=left.folder.run)
    refuse_foreign(archive.layout, left.folder.run)
    spec, plan = _planned(left)
    ready = await cloud.prepare(plan)
    earlier.prepare(archive.layout, Existing.RESUME)
    remote = SshRemote(RunKeys.load(left.keys), left.folder.run, client=this_process())
    try:
        told = await _surveyed(Surveyor(remote, user=ready.user, lease=USUAL, archive=archive), left, archive)
    finally:
        await remote.aclose()
    spec = _with_lease(spec, told)
    plan = attrs.evolve(plan, run=spec, user=ready.user)
    events = list(_events(told, ready, left.folder.run))
    aside = await anyio.to_thread.run_sync(_write, left, spec, plan, results, events)
    notes += [f"the journal that could not be read is kept in {aside}"] if aside else []
    notes.append(UNKNOWN)
    return info(left.folder)


def refuse_foreign(layout: Layout, run: str) -> None:
    """Refuse a folder that holds another run's results: they would make way for this one's.

    Raises:
        ConfigError: If it does.
    """
    there = list(layout.root.iterdir()) if layout.root.is_dir() else []
    told = [stored(item).get("run", run) for item in there]
    if any(other != run for other in told) or (layout.root / RESULTS).exists():
        raise ConfigError(
            f"results of another run are in {layout.root}", fix="choose another folder for results: --results FOLDER"
        )


def _planned(left: Remnant) -> tuple[RunSpec, CloudPlan]:
    first = left.machines[0]
    expires = max((item.expires for item in left.machines if item.expires), default=None)
    began = run_began(left.folder.run)
    assert began is not None
    life_s = (expires - began).total_seconds() if expires else USUAL.max_life_s
    spec = RunSpec(
        id=left.folder.run,
        name=left.folder.name,
        region=left.regions[0],
        regions=left.regions if len(left.regions) > 1 else (),
        limit=max(1, len(left.machines)),
        max_life_s=min(max(life_s, 60.0), 366 * 86400.0),
        market="spot" if first.lifecycle == "spot" else "on-demand",
        is_rebuilt=True,
    )
    plan = CloudPlan(
        run=spec,
        types=tuple(dict.fromkeys(item.type for item in left.machines)),
        zones=tuple(dict.fromkeys(item.zone for item in left.machines)),
        image=first.image,
        owner=first.owner or owner(),
        expires=int((expires or began + timedelta(seconds=life_s)).timestamp()),
    )
    return spec, plan


async def _surveyed(surveyor: Surveyor, left: Remnant, archive: LocalArchive) -> list[Told]:
    """Return what each machine holds of jobs whose results are not here; of each job, the newest attempt anywhere."""
    limiter = anyio.CapacityLimiter(AT_ONCE)
    told: dict[str, Told] = {}
    here = archive.home()

    async def look(machine: Found) -> None:
        async with limiter:
            told[machine.instance] = await surveyor.list(machine)

    async def bring(one: Told, jobs: Sequence[str]) -> None:
        async with limiter:
            await surveyor.bring(one, jobs)

    machines = [item for item in left.machines if item.state == "running" and item.address]
    await together(*(partial(look, item) for item in machines))
    newest: dict[str, tuple[int, str]] = {}
    for name, one in told.items():
        for job, (number, _) in one.attempts.items():
            newest[job] = max(newest.get(job, (0, "")), (number, name))
    wanted = {
        name: [job for job in one.attempts if newest[job][1] == name and job not in here] for name, one in told.items()
    }
    await together(*(partial(bring, one, wanted[name]) for name, one in told.items()))
    return [told.get(item.instance) or Told(machine=item) for item in left.machines]


def _with_lease(spec: RunSpec, told: Sequence[Told]) -> RunSpec:
    """Return the run with the terms that its machines were armed with."""
    lease = next((one.lease for one in told if one.lease is not None), None)
    if lease is None:
        return spec
    return attrs.evolve(spec, idle_s=lease.idle_s, hold_s=lease.hold_s, max_life_s=lease.max_life_s)


def _events(told: Sequence[Told], ready: Prepared, run: str) -> Iterator[ev.Event]:
    """Yield what a client would have seen, as far as it is known: machines since their launch, attempts since now."""
    began, now = run_began(run), datetime.now(UTC)
    assert began is not None
    yield ev.RunPrepared(
        at=began,
        pools=ready.pools,
        spot_usd_per_hour=ready.spot_usd_per_hour,
        on_demand_usd_per_hour=ready.on_demand_usd_per_hour,
        user=ready.user,
    )
    for one in told:
        yield from _machine(one.machine)
    for one in told:
        if one.boot_id:
            yield ev.InstanceReady(at=now, instance=one.machine.instance, boot_id=one.boot_id)
            for held in one.held:
                yield from _attempt(one.machine.instance, held, now, is_last=held is one.held[-1])
    yield ev.SubmissionClosed(at=now)


def _machine(machine: Found) -> Iterator[ev.Event]:
    name, at = machine.instance, machine.launched
    pool = Pool(machine.type, machine.zone)
    market = Market.SPOT if machine.lifecycle == "spot" else Market.ON_DEMAND
    yield ev.InstanceFound(at=at, instance=name, request=machine.request, pool=pool, market=market)
    if machine.state == "running" and machine.address:
        yield ev.InstanceRan(at=at, instance=name, address=machine.address, port=machine.port, launched=at)


def _attempt(instance: str, held: Held, now: datetime, *, is_last: bool) -> Iterator[ev.Event]:
    """Yield how an attempt was found. Only the last one on a machine may be left to go on there."""
    yield ev.AttemptFound(at=now, instance=instance, job=held.job, attempt=held.attempt)
    on: Any = {"at": now, "instance": instance, "job": held.job.name, "attempt": held.attempt}
    if held.exit is not None and (held.is_settled or is_last):
        yield ev.AttemptExited(**on, exit=held.exit)
    if held.collected is not None:
        yield ev.ResultCollected(**on, collected=held.collected)
    elif held.gone or not is_last:
        yield ev.AttemptVanished(**on, reason=held.gone or "another attempt is on its machine")


def _write(left: Remnant, spec: RunSpec, plan: CloudPlan, results: Path, events: Sequence[ev.Event]) -> Path | None:
    """Write the journal, all of it or nothing; return where one is now that could not be read."""
    began = run_began(spec.id)
    assert began is not None
    kept: dict[str, Any] = {"results": str(results), "plan": encode_plan(plan), "setup": ""}
    kept |= {"regions": list(spec.regions)} if spec.regions else {}
    with one_at_a_time(), disk.explained(left.folder.path):
        _refuse_known(spec.name, [spec.id])
        left.folder.make()
        if left.keys != left.folder.keys:
            left.folder.keys.rename(disk.free_name(left.folder.keys))  # of no use: the client's key is not in it
            left.keys.rename(left.folder.keys)
        return moving.replace(left.folder, spec, created=began, options=kept, events=events)
