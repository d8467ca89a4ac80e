"""`attach --key BUNDLE`: a run that came from another computer, made ready here. All of it appears, or none."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import attrs

from aspot.archive import disk
from aspot.archive.layout import STAGING, Layout
from aspot.carry.bundle import AGAIN, Bundle
from aspot.carry.pack import CARRIED, HERE, JOURNAL, KEYS, RUN
from aspot.errors import AspotError, ConfigError, InternalError
from aspot.files.carried import Carried
from aspot.files.haul import room_at
from aspot.files.landing import Landing
from aspot.journal import moving
from aspot.journal.folders import RunFolder, one_at_a_time, state_dir
from aspot.journal.runs import RunInfo, info, replay, runs
from aspot.machine.model import Run
from aspot.machine.names import NAME, check_name, run_began
from aspot.ssh.keys import RunKeys

INCOMING = "incoming"
"""Beside the runs, in the state folder: what is not yet one."""


@attrs.frozen(kw_only=True)
class Incoming:
    """A run that was unpacked and verified, and is not yet known here.

    Args:
        folder: Where its journal and keys are, for the moment.
        files: Its files beside them, that belong into the folder of results.
        home: Where its folder will be.
        layout: The fleet's folder of results here.
        run: The run, as its journal tells it.
        note: What its user should know; "" for nothing.
    """

    folder: RunFolder
    files: Path
    home: RunFolder
    layout: Layout
    run: Run
    note: str

    def accept(self) -> RunInfo:
        """Make it a run of this computer's, and return what is known of it. Blocks.

        Raises:
            AspotError: If it is one already, or the disk refuses; nothing is changed then.
        """
        with one_at_a_time():
            refuse_known(self.home.name, self.home.run)
            refuse_results(self.layout)
            refuse_folder(self.home)
            with disk.explained(self.layout.root):
                try:
                    _spread(self.files, self.layout)
                    self.home.path.parent.mkdir(mode=0o700, exist_ok=True)
                    self.folder.path.rename(self.home.path)
                except BaseException:
                    disk.remove(self.layout.root)
                    raise
        self.discard()
        return info(self.home)

    def discard(self) -> None:
        """Remove what was unpacked and not accepted. Harmless to repeat."""
        disk.remove(self.folder.path.parent)


def unpack(path: Path, name: str, results: Path) -> Incoming:
    """Unpack a bundle beside the runs, and verify all of it. Blocks.

    Args:
        path: The bundle.
        name: The fleet's name, as the user gave it.
        results: The folder of all fleets' results here.

    Raises:
        AspotError: If it is no bundle, damaged, of a newer aspot or of another fleet, or its run is known here, or its
            name is taken; nothing is changed then.
    """
    with Bundle(path) as bundle:
        home = home_of(bundle, name)
        refuse_known(name, home.run)
        layout = Layout(results.absolute() / name)
        refuse_results(layout)
        refuse_folder(home)
        scratch = _scratch(bundle, home)
        try:
            return _unpacked(bundle, scratch, home, layout)
        except BaseException:
            disk.remove(scratch)
            raise


def keys_of(path: Path, name: str) -> Incoming:
    """Unpack and verify a bundle for its keys alone, whatever is known of its run here; `discard` what comes. Blocks.

    Raises:
        AspotError: As `unpack`.
    """
    with Bundle(path) as bundle:
        home = home_of(bundle, name)
        scratch = _scratch(bundle, home)
        try:
            return _unpacked(bundle, scratch, home, Layout(scratch))
        except BaseException:
            disk.remove(scratch)
            raise


def home_of(bundle: Bundle, name: str) -> RunFolder:
    """Return where the bundle's run has its place here.

    Raises:
        ConfigError: If it is of another fleet.
    """
    cover = bundle.cover
    if run_began(cover.run) is None or not NAME.fullmatch(cover.name):
        raise ConfigError(f"{bundle.path} names no run", fix="name a file that aspot export made")
    if cover.name != name:
        raise ConfigError(
            f"{bundle.path} is of fleet {cover.name}, not of {name}",
            fix=f"aspot attach {cover.name} --key {bundle.path}",
        )
    return RunFolder.of(check_name(name), cover.run)


def refuse_known(name: str, run: str) -> None:
    """Refuse a run that is known here, and a name whose machines may still run.

    Raises:
        ConfigError: If it is.
    """
    for item in runs():
        if item.id == run and item.trouble:
            raise ConfigError(
                f"fleet {name} is known here, and its journal cannot be read: {item.trouble}",
                fix=f"aspot attach {name} --from-cloud rebuilds it; or move {item.folder.path} aside, then repeat",
            )
        if item.id == run:
            state = "has ended here" if item.ended else "is known here already"
            fix = f"aspot status {name}" if item.ended else f"aspot attach {name} goes on with it, without the file"
            raise ConfigError(f"fleet {name} {state}", fix=fix)
        if item.name == name and item.ended is None and not item.trouble:
            raise ConfigError(
                f"another fleet {name} is known here, and has not ended",
                fix=f"aspot attach {name} or aspot down {name} ends that one",
            )


def refuse_results(layout: Layout) -> None:
    """Refuse a folder of results that is there: it is another run's.

    Raises:
        ConfigError: If there is one.
    """
    if os.path.lexists(layout.root):
        raise ConfigError(
            f"results of another {layout.root.name} are in {layout.root}",
            fix="choose another folder for results: --results FOLDER",
        )


def refuse_folder(home: RunFolder) -> None:
    """Refuse a run whose folder is here without a journal: there are keys in it that nobody may overwrite.

    Raises:
        ConfigError: If it is there.
    """
    if os.path.lexists(home.path):
        raise ConfigError(
            f"{home.path} is there, without a journal",
            fix=f"aspot attach {home.name} --from-cloud rebuilds it; or move that folder aside, then repeat",
        )


def _scratch(bundle: Bundle, home: RunFolder) -> Path:
    """Return a fresh folder of this process's; what a killed one left there goes, for it holds keys."""
    parent = state_dir() / INCOMING
    with disk.explained(parent):
        parent.mkdir(mode=0o700, exist_ok=True)
        for item in parent.iterdir():
            if not _is_alive(item.name.rpartition(".")[2]):
                disk.remove(item)
        if bundle.size > room_at(parent):
            raise AspotError(f"there is no room for {bundle.size} bytes in {parent}", fix="make room there")
        scratch = parent / f"{home.run}.{os.getpid()}"
        disk.fresh(scratch).chmod(0o700)
    return scratch


def _is_alive(pid: str) -> bool:
    try:
        os.kill(int(pid), 0)
    except (ValueError, ProcessLookupError):
        return False
    except PermissionError:
        return True
    return True


def _unpacked(bundle: Bundle, scratch: Path, home: RunFolder, layout: Layout) -> Incoming:
    folder, files, raw = RunFolder(scratch / home.path.name), scratch / HERE, scratch / RUN
    folder.make()
    files.mkdir(mode=0o700)
    raw.mkdir(mode=0o700)
    with disk.explained(scratch), Landing(files) as there, Landing(raw) as here:

        def place(parts: tuple[str, ...]) -> tuple[Landing, tuple[str, ...]]:
            if parts[0] in (HERE, RUN) and len(parts) > 1:
                return (there if parts[0] == HERE else here), parts[1:]
            raise ConfigError(f"{bundle.path} holds what is in no bundle: {'/'.join(parts)}")

        bundle.unpack(place)
        there.sync()
        here.sync()
    try:
        run = _run(raw, folder, layout)
    except AspotError as error:
        raise AspotError(f"{bundle.path} cannot be used: {error.message}", fix=error.fix or AGAIN) from error
    return _verified(
        bundle, Incoming(folder=folder, files=files, home=home, layout=layout, run=run, note=_note(bundle))
    )


def _run(raw: Path, folder: RunFolder, layout: Layout) -> Run:
    """Make the run's folder from what came, each part read as what it should be."""
    moving.adopt(raw / JOURNAL, folder, {"results": str(layout.root.parent)})
    shutil.rmtree(folder.keys)
    (raw / KEYS).rename(folder.keys)
    RunKeys.load(folder.keys)
    if (raw / CARRIED).is_dir():
        (raw / CARRIED).rename(folder.carried)
    Carried.load(folder.carried)
    try:
        return replay(folder)
    except (InternalError, LookupError, AssertionError, ValueError) as error:
        raise AspotError(f"its journal makes no sense: {error}") from error


def _note(bundle: Bundle) -> str:
    """Return where results are that did not come along."""
    cover = bundle.cover
    if not cover.stayed:
        return ""
    some = ", ".join(cover.stayed[:5]) + (f" and {len(cover.stayed) - 5} more" if len(cover.stayed) > 5 else "")
    return f"results that came home earlier are in {cover.origin}:{cover.results} ({some})"


def _verified(bundle: Bundle, found: Incoming) -> Incoming:
    """Refuse files that belong to no job of the run."""
    known = set(found.run.jobs)
    for here in found.files.iterdir():
        jobs = {item.name for item in here.iterdir()} if here.name == STAGING else {here.name}
        if not jobs <= known:
            raise AspotError(
                f"{bundle.path} holds files of {', '.join(sorted(jobs - known))}, which is no job of its run"
            )
    return found


def _spread(files: Path, layout: Layout) -> None:
    """Move files into the folder of results, which may be on another disk."""
    layout.root.mkdir(parents=True)
    for item in files.iterdir():
        shutil.move(item, layout.root / item.name)
