"""`aspot demo`: the main job, whole, on a local cloud of its own: eight trainings, one interruption, nothing left."""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import aspot
from aspot.cli.signals import run_interruptible
from aspot.errors import ConfigError, InternalError
from aspot.fleet import Fleet
from aspot.jobs import Job, grid
from aspot.machine.news import LogLine
from aspot.ui.live import LiveView
from aspot.ui.show import viewer

if TYPE_CHECKING:
    from aspot.local import LocalCloud
    from aspot.results import Result, Results

AXES = {"lr": [0.003, 0.01, 0.05, 0.3], "hidden": [4, 16]}
EPOCHS = 40
HALF_WAY = f"epoch {EPOCHS // 2} "
PACE_S = 0.4
"""Added to each epoch: stands in for a bigger model, so that there is something to watch and to interrupt."""
NOTICE_S = 20
"""EC2 gives 120 s; the demo has no patience for that, and says so."""
VICTIM = 3
"""Which of the eight is interrupted, counted from 0."""


def main(args: argparse.Namespace) -> int:
    """Run the demo; return 0 if everything was as promised."""
    with tempfile.TemporaryDirectory(prefix="aspot-demo-") as folder:
        demo = Demo(args, Path(folder))
        return run_interruptible(demo.run(), abandon=demo.abandon)


class Demo:
    """One demonstration.

    Args:
        args: The command line's words: `json`, `quiet`, `keep`.
        folder: For the local cloud and the undisturbed run; removed afterwards.
    """

    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self.args = args
        self.folder = folder
        self.sweep = sweep_folder()
        self.jobs = Job.each(
            self.sweep / "train.py",
            grid(**AXES),
            args=["--epochs", str(EPOCHS), "--pace", str(PACE_S)],
            upload=[str(self.sweep / "data.csv")],
            checkpoint=["ckpt"],
        )
        self.fleet: Fleet | None = None

    async def run(self) -> int:
        """Run it and return the exit code."""
        cloud_type = local_cloud()
        self.say("Starting a local cloud: EC2's wire protocol, real SSH, on this machine only.")
        async with cloud_type(folder=self.folder / "cloud", seed=7, boot="0.5-2") as cloud:
            with environment({**cloud.env, "ASPOT_STATE_DIR": str(self.folder / "state")}):
                reference = self.undisturbed()
                results = await self.sweep_on(cloud)
                reference.wait()
                return await self.verdict(cloud, results)

    async def sweep_on(self, cloud: LocalCloud) -> Results:
        """Run the eight jobs, and interrupt one half-way."""
        shown = viewer(True, json=self.args.json, quiet=self.args.quiet)
        if isinstance(shown, LiveView):
            shown.offers_leave = False  # the local cloud ends with this process
        results_dir = self.args.keep or "aspot-results"
        self.fleet = Fleet("demo", results=results_dir, existing="replace", show=shown)
        self.say(
            f"Training {len(self.jobs)} classifiers ({self.sweep.name}/train.py) on as many spot instances at once."
        )
        async with self.fleet:
            handles = self.fleet.submit_all(self.jobs)
            async with asyncio.TaskGroup() as group:
                drill = group.create_task(self.interrupt_half_way(cloud, handles[VICTIM].name))
                await self.fleet.wait()
                drill.cancel()
        return self.fleet.results

    async def interrupt_half_way(self, cloud: LocalCloud, name: str) -> None:
        """Interrupt the victim's machine when half its epochs are done."""
        assert self.fleet is not None
        async for news in self.fleet.events():
            if isinstance(news, LogLine) and news.job == name and news.line.startswith(HALF_WAY):
                machine = next(item for item in self.fleet.instances.values() if item.job == name)
                self.say(f"Interrupting {machine.name} under {name}, with {NOTICE_S} s of notice (EC2 gives 120 s).")
                await cloud.interrupt(machine.id, notice_s=NOTICE_S)
                return

    def undisturbed(self) -> subprocess.Popen[bytes]:
        """Start the victim's training as a plain local process, without the pauses, for comparison."""
        home = self.folder / "undisturbed"
        (home / "out").mkdir(parents=True)
        for name in ("train.py", "data.csv"):
            (home / name).write_bytes((self.sweep / name).read_bytes())
        words = [sys.executable, "train.py", *self.jobs[VICTIM].args, "--pace", "0"]
        return subprocess.Popen(words, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    async def verdict(self, cloud: LocalCloud, results: Results) -> int:
        """Print what became of it, check the promises, and return the exit code."""
        if not self.args.json:
            print(results)
        victim = results[VICTIM]
        same = self.same_bytes(victim)
        moved = len(victim.attempts) > 1
        left = [item for item in await cloud.instances() if item["state"] not in ("terminated", "shutting-down")]
        self.say(
            f"{victim.name} was interrupted and went on from its checkpoint: {len(victim.attempts)} attempts."
            if moved
            else f"{victim.name} was not interrupted: it was done before."
        )
        self.say(f"Its result equals an undisturbed run's, byte for byte: {'yes' if same else 'NO'}.")
        self.say("The local cloud shows nothing left." if not left else f"LEFT: {len(left)} instances.")
        return 0 if results.ok and same and moved and not left and not results.left else 1

    def same_bytes(self, victim: Result) -> bool:
        """Tell whether every output file equals the undisturbed run's."""
        there = self.folder / "undisturbed" / "out"
        here = victim.dir / "out"
        names = sorted(path.name for path in there.iterdir())
        if names != sorted(path.name for path in here.iterdir()) or not names:
            return False
        return all((there / name).read_bytes() == (here / name).read_bytes() for name in names)

    def say(self, text: str) -> None:
        """Print a line of the story on stderr."""
        if not self.args.quiet:
            print(f"demo: {text}", file=sys.stderr, flush=True)

    def abandon(self) -> None:
        """Leave at once; the local cloud ends with this process."""
        if self.fleet is not None:
            self.fleet.abandon()


def local_cloud() -> type[LocalCloud]:
    """Return the local cloud's class.

    Raises:
        ConfigError: If the extra is not installed.
    """
    try:
        from aspot.local import LocalCloud
    except ImportError as error:
        raise ConfigError(
            f"the local cloud is not installed ({error.name})", fix="pip install 'aspot[local]'"
        ) from error
    return LocalCloud


def sweep_folder() -> Path:
    """Return the folder of the example, in the installed package or in a checkout."""
    package = Path(aspot.__file__).parent
    for folder in (package / "_examples" / "sweep", package.parent / "examples" / "sweep"):
        if (folder / "train.py").is_file():
            return folder
    raise InternalError("examples/sweep is missing from this installation", fix="reinstall aspot")


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the time of a `with` block; other AWS settings are hidden for that time."""
    before = dict(os.environ)
    hidden = ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE")
    for name in hidden:
        os.environ.pop(name, None)
    os.environ.update(values)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
