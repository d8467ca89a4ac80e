"""`export`: everything that another computer needs to go on with a run, in one private file."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Collection, Iterator
from pathlib import Path

import attrs

from aspot.archive.layout import STAGING, Layout, stored
from aspot.carry.bundle import Changed, Cover, Item, listed, write
from aspot.errors import AspotError, ConfigError
from aspot.files import carried
from aspot.files.carried import Carried
from aspot.files.parcel import Hashes, pack
from aspot.files.scan import Scan, scan_script, scan_uploads
from aspot.intake.names import owner
from aspot.journal import moving
from aspot.journal.runs import RunInfo, newest, replay_file
from aspot.machine.model import JobSpec, Run
from aspot.ports import Undeliverable
from aspot.ssh.keys import CLIENT_KEY, HOST_KEY, PINNED

TRIES = 5
"""A run that is driven meanwhile may change what is being copied; then all is begun again."""

SUFFIX = ".aspot"

RUN, HERE = "run", "here"
"""First parts of names in a bundle: the run's folder in the state folder, and the fleet's folder of results."""

JOURNAL, KEYS, CARRIED = "journal.db", "keys", "carried"

FILES = "files"
"""Below an attempt's folder: what it brings home."""


@attrs.frozen(kw_only=True)
class Exported:
    """What was written.

    Args:
        path: The bundle.
        run, name: Of the run.
        size: Bytes.
        jobs: How many jobs have no result yet.
        lost: Jobs whose files could not be read here, with why: there they cannot start on another machine.
        secrets: Names of environment variables that jobs want from whoever goes on with them.
        stayed: Jobs whose results stay here.
        results: The fleet's folder of results here.
        is_driven: Whether a process drove the run meanwhile: what it has done since is not in the bundle.
    """

    path: Path
    run: str
    name: str
    size: int
    jobs: int
    lost: dict[str, str]
    secrets: tuple[str, ...]
    stayed: tuple[str, ...]
    results: Path
    is_driven: bool


def export(name: str, path: Path | None = None, *, with_results: bool = False) -> Exported:
    """Write what another computer needs to go on with a run. Blocks.

    Args:
        name: The fleet's name: its newest run.
        path: The file to write; it must not exist. None: `NAME.aspot` here.
        with_results: Results that came home travel, too.

    Raises:
        AspotError: If there is no such run, it has ended, or the file cannot be written.
    """
    info = newest(name)
    if info.trouble:
        raise AspotError(f"{name} cannot be exported: {info.trouble}")
    if info.ended is not None:
        raise ConfigError(f"fleet {name} has ended", fix=f"its results are in {Path(info.options['results']) / name}")
    target = (path or Path(f"{name}{SUFFIX}")).absolute()
    if os.path.lexists(target):
        raise ConfigError(f"{target} is there already", fix="name another file, or remove that one")
    if not target.parent.is_dir():
        raise ConfigError(f"there is no folder {target.parent}", fix="make it, or name another file")
    for _ in range(TRIES):
        try:
            with tempfile.TemporaryDirectory(prefix="export-", dir=info.folder.path) as scratch:  # 0700, on our disk
                return _Packer(info, Path(scratch), with_results).write(target)
        except (Changed, FileNotFoundError) as error:
            last: Exception = error
        except OSError as error:
            why = f"{error.filename or target}: {error.strerror}"
            raise AspotError(f"{name} cannot be exported: {why}", fix="name a file on a disk with room") from error
    raise AspotError(
        f"{name} changes faster than it can be copied ({last})", fix=f"leave it (press d), then aspot export {name}"
    )


class _Packer:
    """One try."""

    def __init__(self, info: RunInfo, scratch: Path, with_results: bool) -> None:
        self._info = info
        self._scratch = scratch
        self._with_results = with_results
        self._results = Path(info.options["results"])
        self._layout = Layout(self._results / info.name)
        self._files: dict[str, tuple[Item, Path]] = {}
        self._folders: list[str] = []
        self._lost: dict[str, str] = {}

    def write(self, target: Path) -> Exported:
        info, journal = self._info, self._scratch / JOURNAL
        is_driven = info.folder.is_live
        moving.snapshot(info.folder, journal)
        run = replay_file(journal)
        self._add(f"{RUN}/{JOURNAL}", journal)
        self._keys(info.folder.keys)
        open_jobs = [record.spec for record in run.jobs.values() if not record.status.is_final]
        self._uploads(open_jobs)
        self._staged(run)
        done = [name for name, record in run.jobs.items() if record.status.is_final]
        stayed = () if self._with_results else tuple(done)
        if self._with_results:
            for job in done:
                self._tree(f"{HERE}/{job}", self._layout.job(job))
        cover = Cover(
            run=info.id,
            name=info.name,
            region=info.region,
            origin=owner(),
            results=str(self._layout.root),
            stayed=stayed,
        )
        write(target, cover, list(self._files.values()), self._folders)
        return Exported(
            path=target,
            run=info.id,
            name=info.name,
            size=target.stat().st_size,
            jobs=len(open_jobs),
            lost=self._lost,
            secrets=tuple(sorted({key for spec in open_jobs for key in spec.secrets})),
            stayed=stayed,
            results=self._layout.root,
            is_driven=is_driven,
        )

    def _add(self, name: str, source: Path) -> None:
        self._files[name] = (listed(name, source), source)

    def _keys(self, folder: Path) -> None:
        """Add the keys, but none that is just being written."""
        for path in (folder / CLIENT_KEY, folder / HOST_KEY, *sorted((folder / PINNED).glob("*"))):
            if path.parent == folder or path.suffix in (".pub", ".next"):
                self._add(f"{RUN}/{KEYS}/{path.relative_to(folder).as_posix()}", path)

    def _tree(self, name: str, folder: Path, *, skip: Collection[str] = ()) -> None:
        """Add a folder of ours with all that is in it; nothing but folders and files ever is.

        Args:
            name: What it is called in the bundle.
            folder: Where it is.
            skip: Folders right below it that are left out.
        """
        for here, below, names in os.walk(folder):
            if Path(here) == folder:
                below[:] = [item for item in below if item not in skip]
            inside = Path(here).relative_to(folder)
            place = f"{name}/{inside.as_posix()}".removesuffix("/.")
            self._folders.append(place)
            for file in names:
                if not os.path.islink(Path(here, file)):
                    self._add(f"{place}/{file}", Path(here, file))

    # --- what jobs need to start elsewhere ---

    def _uploads(self, specs: list[JobSpec]) -> None:
        known, hashes = Carried.load(self._info.folder.carried), Hashes()
        jobs: dict[str, str] = {}
        sets: dict[str, list[carried.Row]] = {}
        for spec in specs:
            try:
                parcel = pack(_scan(spec, known, self._results), hashes)
            except Undeliverable as error:
                self._lost[spec.name] = error.reason
                continue
            jobs[spec.name] = parcel.digest
            sets[parcel.digest] = carried.rows(parcel)
            for entry_name, sha in parcel.hashes.items():
                self._content(sha, Path(parcel.entries[entry_name].source))
        table = self._scratch / carried.LIST
        table.write_bytes(carried.dump(jobs, sets, self._lost))
        self._add(f"{RUN}/{CARRIED}/{carried.LIST}", table)

    def _content(self, sha: str, source: Path) -> None:
        name = f"{RUN}/{CARRIED}/{carried.FILES}/{sha}"
        if name not in self._files:
            item = listed(name, source)
            if item.sha256 != sha:
                raise Changed(str(source))
            self._files[name] = (attrs.evolve(item, is_executable=False), source)

    # --- what came home of jobs that have no result yet ---

    def _staged(self, run: Run) -> None:
        """Add output, checkpoints, evacuated files, and files of jobs whose result is about to be published."""
        for name, record in run.jobs.items():
            if record.status.is_final:
                continue
            if stored(self._layout.job(name)).get("run") == self._info.id:  # published, and not yet noted so
                self._tree(f"{HERE}/{name}", self._layout.job(name))
                continue
            saved = record.checkpoint
            if saved is not None and not (self._layout.checkpoints(name) / str(saved.serial)).is_dir():
                raise Changed(f"the checkpoint of {name}")  # a newer one came, and the journal's copy is too old
            half = () if record.verdict is not None else (FILES,)  # fetched again from the machine
            for place, folder in self._parts(name):
                self._tree(f"{HERE}/{STAGING}/{name}/{place}", folder, skip=half if place[0] == "a" else ())

    def _parts(self, job: str) -> Iterator[tuple[str, Path]]:
        for number, folder in self._layout.staged_logs(job):
            yield f"a{number}", folder
        checkpoints = self._layout.checkpoints(job)
        for folder in sorted(checkpoints.iterdir()) if checkpoints.is_dir() else ():
            if folder.name.isdigit():
                yield f"checkpoints/{folder.name}", folder


def _scan(spec: JobSpec, known: Carried | None, results: Path) -> Scan:
    if known is not None and known.knows(spec.name):
        return known.scan(spec.name)
    scan = scan_uploads(Path(spec.base), spec.upload, skip=(results,))
    if spec.source:
        scan_script(scan, Path(spec.source), spec.remote_path)
    return scan
