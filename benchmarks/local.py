"""A local cloud and `aspot` as a process beside it, for benchmarks that look at whole commands from outside."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from aspot.journal.folders import RunFolder
from aspot.journal.runs import runs
from aspot.local.home import Control, Home, Settings

ASPOT = (sys.executable, "-m", "aspot")


@attrs.frozen
class Place:
    """A cloud, a folder to work in, and the environment of processes that use both."""

    control: Control
    folder: Path

    @property
    def env(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("AWS_", "ASPOT_"))}
        return {**kept, **self.control.environment, "ASPOT_STATE_DIR": str(self.folder / "state")}

    def start(self, *words: str, **options: Any) -> subprocess.Popen[bytes]:
        """Start `aspot` in the folder."""
        return subprocess.Popen([*ASPOT, *words], env=self.env, cwd=self.folder, **options)

    def end(self, *words: str) -> str:
        """Run `aspot` to its end and return what it printed."""
        done = subprocess.run(
            [*ASPOT, *words], env=self.env, cwd=self.folder, stdout=subprocess.PIPE, text=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"aspot {' '.join(words)} ended with {done.returncode}")
        return done.stdout

    def run_folder(self, fleet: str) -> RunFolder:
        """Return the folder of a fleet's newest run, once there is one."""
        state = self.folder / "state"

        def written_down() -> list[RunFolder]:
            known = runs(state=state) if state.exists() else []
            return [item.folder for item in known if item.name == fleet and not item.trouble]

        return until(written_down)[-1]

    def events(self, fleet: str) -> Journal:
        """Return a look into a fleet's journal."""
        return Journal(self.run_folder(fleet).journal)

    def calls(self) -> dict[str, int]:
        return self.control.call("GET", "calls")

    def forget_calls(self) -> None:
        self.control.call("DELETE", "calls")

    def instances(self) -> list[dict[str, Any]]:
        return self.control.call("GET", "instances")


@attrs.frozen
class Journal:
    """What a run has written down, read while it goes on."""

    path: Path

    def of(self, kind: str) -> list[dict[str, Any]]:
        """Return the events of a kind, oldest first, with their time and row."""
        with contextlib.closing(sqlite3.connect(f"file:{self.path}?mode=ro", uri=True)) as opened:
            rows = opened.execute("SELECT seq, at, body FROM event WHERE kind = ? ORDER BY seq", (kind,)).fetchall()
        return [{"row": row, "at": at, **json.loads(body)} for row, at, body in rows]


@contextlib.contextmanager
def place(*, boot_s: tuple[float, float], seed: int) -> Iterator[Place]:
    """Start a local cloud; everything is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="aspot-bench-") as folder:
        home = Home(Path(folder) / "cloud")
        control, _ = home.start(Settings(seed=seed, boot_s=boot_s))
        try:
            yield Place(control, Path(folder))
        finally:
            home.stop()


def until(holds: Callable[[], Any], *, within_s: float = 300.0, pause_s: float = 0.02) -> Any:
    """Poll until something is true; return it."""
    deadline = time.monotonic() + within_s
    while not (found := holds()):
        if time.monotonic() > deadline:
            raise RuntimeError("it did not happen in time")
        time.sleep(pause_s)
    return found


def seconds_range(text: str) -> tuple[float, float]:
    """Read `15-25`."""
    low, _, high = text.partition("-")
    return float(low), float(high or low)


def write_json(path: str | None, rows: Any) -> None:
    """Write measurements, if they are wanted."""
    if path:
        Path(path).write_text(json.dumps(rows, indent=1))
