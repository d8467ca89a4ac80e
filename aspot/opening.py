"""What a run is made of: jobs resolved, a name claimed, an adapter behind each port. Heavy imports wait."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from aspot.errors import ConfigError
from aspot.intake.boxes import BOX_TERM_S
from aspot.intake.jobs import ResolvedJob, as_list, resolve_jobs
from aspot.intake.names import default_fleet_name, owner
from aspot.intake.open_files import hold_open
from aspot.intake.options import FleetOptions
from aspot.jobs import Job
from aspot.machine.model import Run, RunSpec
from aspot.ports import CloudPlan, Lease
from aspot.profiles.profile import USUAL_ALLOCATION

if TYPE_CHECKING:
    from aspot.archive.local import LocalArchive
    from aspot.aws.cloud import Ec2Cloud
    from aspot.aws.regions import Ec2Regions
    from aspot.journal.folders import RunFolder
    from aspot.journal.runs import RunInfo
    from aspot.journal.sqlite import SqliteJournal
    from aspot.runtime.host import RunHost
    from aspot.ssh.keys import RunKeys

Given = str | Path | Job
Resolved = Sequence[ResolvedJob]

LEASE_TERM_S = 900.0
"""A machine that has not heard of us for this long looks for a reason to end itself (RUNNER.md D5)."""


class SystemClock:
    """The computer's clock."""

    def now(self) -> datetime:
        """Return the time, aware UTC."""
        return datetime.now(UTC)


def resolve(
    jobs: Sequence[Given],
    defaults: Mapping[str, Any],
    base: Path,
    folder: RunFolder,
    results: Path,
    *,
    taken: Collection[str],
) -> Resolved:
    """Return the jobs, checked, with their final names.

    Args:
        jobs: As given.
        defaults: Options for jobs that leave them at their default.
        base: The folder that relative paths are relative to.
        folder: Of the run: scripts given as text are kept there.
        results: The folder of all fleets' results: never sent.
        taken: Names of the fleet's other jobs.

    Raises:
        ConfigError: If one of them cannot run.
    """
    texts = folder.path / "scripts"
    return resolve_jobs(as_list(jobs), base=base, texts=texts, defaults=defaults, taken=tuple(taken), skip=results)


def make_archive(options: FleetOptions, jobs: Sequence[Given], run_id: str) -> LocalArchive:
    """Return the files of the run, and with them its name: the one given, or one that nobody has.

    Raises:
        ConfigError: If the name is taken, or the folder of results cannot be made.
    """
    from aspot.archive.local import LocalArchive
    from aspot.journal.runs import runs

    if options.name is not None:
        refuse_live(options.name)
        return LocalArchive(options.results, options.name, run=run_id)
    wanted = default_fleet_name(jobs[0] if jobs else "fleet", datetime.now(UTC).astimezone())
    taken = {item.name for item in runs() if item.ended is None}
    names = (f"{wanted}-{number}" if number > 1 else wanted for number in itertools.count(1))
    return LocalArchive.claim(options.results, (name for name in names if name not in taken), run=run_id)


def refuse_live(name: str, *, is_box: bool = False) -> None:
    """Refuse a name whose machines may still run, or that would leave two machines with one name.

    Args:
        name: Of a fleet or box that is to begin.
        is_box: Whether it is a box: a fleet's machines are called NAME_1 and so on.

    Raises:
        ConfigError: If there is such a run.
    """
    from aspot.journal.runs import runs

    for item in runs():
        if item.ended is not None or item.trouble:
            continue
        if is_box and not item.is_box and is_machine_of(item.name, name):
            raise ConfigError(f"{name} is what a machine of fleet {item.name} is called", fix="use another name")
        if item.is_box and not is_box and is_machine_of(name, item.name):
            raise ConfigError(
                f"box {item.name} has the name that a machine of a fleet {name} would have",
                fix=f"use another name, or end the box: aspot down {item.name}",
            )
        if item.name == name:
            state = "is running" if item.is_live else "was left by its process, and its machines may still run"
            back = f"aspot connect -n {name} opens it" if item.is_box else f"aspot attach {name} goes on with it"
            again = "" if item.is_live else f"{back}, "
            fix = f"{again}aspot down {name} ends it, or use another name"
            raise ConfigError(f"{item.kind} {name} {state}", fix=fix)


def is_machine_of(fleet: str, name: str) -> bool:
    """Tell whether a name is that of a fleet's machine."""
    stem, _, number = name.rpartition("_")
    return stem == fleet and number.isdecimal()


def make_host(
    spec: RunSpec, options: FleetOptions, cloud: Ec2Cloud | Ec2Regions, archive: LocalArchive, folder: RunFolder
) -> RunHost:
    """Return the host of a run, with an adapter behind each port; its journal is begun and locked, its keys are made.

    Raises:
        AspotError: If journal or keys cannot be written.
    """
    from aspot.journal.codec import encode_plan
    from aspot.journal.sqlite import SqliteJournal
    from aspot.ssh.keys import RunKeys

    plan = _plan(spec, options)
    setup = str(options.profile.setup or "")
    kind = "box" if spec.is_box else "fleet"
    kept: dict[str, Any] = {"kind": kind, "results": str(options.results), "plan": encode_plan(plan), "setup": setup}
    kept |= {"regions": list(spec.regions)} if spec.regions else {}
    journal = SqliteJournal.create(spec, created=SystemClock().now(), options=kept)
    keys = RunKeys.generate(folder.keys)
    return _wired(spec, cloud, journal, archive, keys, plan=plan, setup=setup, results=options.results)


def _wired(
    spec: RunSpec,
    cloud: Ec2Cloud | Ec2Regions,
    journal: SqliteJournal,
    archive: LocalArchive,
    keys: RunKeys,
    *,
    plan: CloudPlan,
    setup: str,
    results: Path,
    earlier: Run | None = None,
) -> RunHost:
    from aspot.files.carried import Carried
    from aspot.runtime.host import RunHost
    from aspot.ssh.boot import user_data
    from aspot.ssh.connect import SshRemote

    cloud.fence(journal.check)
    if earlier is not None:
        cloud.knows(earlier)
    if plan.filesystem is not None or plan.volumes:
        from aspot.storage.run import RunStorage

        cloud.stores_by(RunStorage)
    term_s = BOX_TERM_S if spec.is_box else LEASE_TERM_S
    lease = Lease(term_s=term_s, idle_s=spec.idle_s, hold_s=spec.hold_s, max_life_s=spec.max_life_s)
    host = RunHost(
        spec,
        cloud=cloud,
        remote=SshRemote(
            keys, spec.id, client=journal.client, skip=(results,), carried=Carried.load(journal.folder.carried)
        ),
        journal=journal,
        archive=archive,
        clock=SystemClock(),
        plan=attrs.evolve(plan, user_data=user_data(keys, max_life_s=spec.max_life_s)),
        lease=lease,
        setup=setup,
        secrets=lambda job: {key: os.environ[key] for key in host.run.jobs[job].spec.secrets if key in os.environ},
        earlier=earlier,
    )
    return host


def _plan(spec: RunSpec, options: FleetOptions) -> CloudPlan:
    """Return what the cloud is to prepare, but for the user data: that holds keys, and follows from them."""
    profile = options.profile
    return CloudPlan(
        run=spec,
        types=profile.types,
        zones=profile.zones,
        image=profile.image or "",
        user=profile.user or "",
        instance_profile=profile.instance_profile or "",
        key_pair=profile.key_pair or "",
        security_group=profile.security_group or "",
        firewall=profile.firewall,
        count=options.instances or 1,
        monitoring=bool(profile.monitoring),
        owner=owner(),
        allocation=profile.allocation or USUAL_ALLOCATION,
        expires=int(datetime.now(UTC).timestamp() + spec.max_life_s),
        filesystem=options.filesystem,
        volumes=options.volumes,
        deletes_volumes=options.deletes_volumes,
    )


async def take_up(
    known: RunInfo, cloud: Ec2Cloud | Ec2Regions, *, take_over: bool = False
) -> tuple[RunHost, LocalArchive]:
    """Return the host of an earlier run, as its journal tells it, and the run's files. The journal is locked from here.

    Raises:
        AspotError: If journal or keys cannot be read, or another process drives the run.
    """
    from aspot.archive.local import LocalArchive
    from aspot.journal.codec import decode_plan
    from aspot.journal.runs import replay
    from aspot.journal.sqlite import SqliteJournal
    from aspot.journal.takeover import take_over as taken_over

    journal = await taken_over(known.folder) if take_over else SqliteJournal.open(known.folder)
    try:
        earlier, results = replay(known.folder), Path(known.options["results"])
        hold_open(known.name, len(earlier.live))
        keys, plan = _keys_of(known, earlier), attrs.evolve(decode_plan(known.options["plan"]), is_again=True)
        archive = LocalArchive(results, known.name, run=known.id)
        setup = str(known.options["setup"])
        host = _wired(
            earlier.spec, cloud, journal, archive, keys, plan=plan, setup=setup, results=results, earlier=earlier
        )
    except BaseException:
        await journal.aclose()
        raise
    return host, archive


def _keys_of(known: RunInfo, earlier: Run) -> RunKeys:
    """Return the run's keys; new ones for a run whose client was killed before they were written down."""
    from aspot.ssh.keys import RunKeys

    try:
        return RunKeys.load(known.folder.keys)
    except ConfigError:
        if earlier.requests:  # machines may have them
            raise
        shutil.rmtree(known.folder.keys, ignore_errors=True)
        return RunKeys.generate(known.folder.keys)
