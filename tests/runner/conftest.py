"""Machines for the runner alone: a home, shims, a process that reaps; each test runs in dash, bash and busybox ash."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from importlib import resources
from pathlib import Path
from typing import BinaryIO

import pytest
from waiting import until

from aspot.machine.model import JobSpec
from aspot.ports import AttemptOrder
from aspot.ssh.order import order_text, status_of

HOST = Path(__file__).with_name("host.py")
SHELLS = {"dash": "dash", "bash": "bash --posix", "busybox": "busybox ash"}
RUN = "01RUN"
BOOT = "aaaaaaaa-1111-2222-3333-444444444444"


class Answer:
    def __init__(self, found: dict) -> None:
        self.code, self.out, self.err = found["code"], found["out"], found["err"]

    @property
    def said(self) -> str:
        """What the runner said after its greeting."""
        return self.out.partition("@aspot\n")[2]

    def __repr__(self) -> str:
        return f"Answer({self.code}, {self.out!r}, {self.err!r})"


class Machine:
    """A machine that runs the runner in one shell; `within` is the start of a command line that everything runs by."""

    def __init__(self, folder: Path, shell: str, within: Sequence[str] = ()) -> None:
        self.folder, self.shell = folder, shell
        self.home = folder / "ho me"
        self.bin = folder / "bin"
        self.home.mkdir(parents=True)
        self.bin.mkdir()
        (folder / "etc").mkdir()
        self.boot_file = folder / "boot_id"
        self.boot_file.write_text(BOOT + "\n")
        self.off = folder / "off"
        self.shim("sudo", '[ "$1" = -n ] && shift; exec "$@"')
        self.shim("poweroff", f"echo off >>'{self.off}'")
        self.shim("systemctl", "exit 0")
        self.runner = self.home / ".aspot" / "run"
        self.runner.parent.mkdir()
        self.runner.write_bytes(resources.files("aspot.ssh").joinpath("runner.sh").read_bytes())
        self.env = {
            "HOME": str(self.home),
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "ASPOT_WATCH_EVERY": "40",
            "ASPOT_SH": SHELLS[shell],
            "ASPOT_LOCAL_GUEST": "1",
            "ASPOT_ETC_SSH": str(folder / "etc"),
            "ASPOT_BOOT_ID_FILE": str(self.boot_file),
        }
        if shell == "busybox":
            self._only_busybox()
        else:
            self._knows({"gnu_find": "yes", "tail_pid": "yes", "clean_env": "env --default-signal=INT,QUIT"})
        self._numbers = itertools.count()
        self._answers: dict[int, Answer] = {}
        self._arrived = threading.Condition()
        self._process = subprocess.Popen(
            [*within, sys.executable, "-I", str(HOST)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _knows(self, tools: dict[str, str]) -> None:
        """Write down what `arm` finds out about the tools."""
        folder = self.home / ".aspot/.machine"
        folder.mkdir()
        for name, text in tools.items():
            (folder / name).write_text(text + "\n")

    def _only_busybox(self) -> None:
        """Give the machine busybox's tools and no others."""
        tools = self.folder / "busybox"
        tools.mkdir()
        applets = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
        for name in {*applets, "busybox"} - {"poweroff", "halt", "reboot", "init"}:
            (tools / name).symlink_to(shutil.which("busybox"))
        self.env["PATH"] = f"{self.bin}:{tools}"
        for name in ("python3", "ssh-keygen", "curl"):
            if found := shutil.which(name, path="/usr/bin:/bin"):
                (self.bin / name).symlink_to(found)

    def _listen(self) -> None:
        for line in self._process.stdout:
            found = json.loads(line)
            with self._arrived:
                self._answers[found["id"]] = Answer(found)
                self._arrived.notify_all()

    def shim(self, name: str, text: str) -> None:
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def begin(self, *words: object, stdin: bytes = b"", env: dict | None = None) -> int:
        number = next(self._numbers)
        argv = [*SHELLS[self.shell].split(), str(self.runner), *map(str, words)]
        request = {"id": number, "argv": argv, "env": {**self.env, **(env or {})}, "cwd": str(self.home),
                   "stdin": stdin.decode("latin-1")}  # fmt: skip
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return number

    def begin_held(self, *words: object) -> tuple[int, BinaryIO]:
        """Begin a command whose input the test writes when it likes; return its number and where to write."""
        pipe = self.folder / f"pipe{next(self._numbers)}"
        os.mkfifo(pipe)
        held = os.fdopen(os.open(pipe, os.O_RDWR), "wb")
        number = next(self._numbers)
        argv = ["/bin/sh", "-c", 'from=$1; shift; exec "$@" <"$from"', "sh", str(pipe)]
        argv += [*SHELLS[self.shell].split(), str(self.runner), *map(str, words)]
        request = {"id": number, "argv": argv, "env": self.env, "cwd": str(self.home), "stdin": ""}
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return number, held

    def wait(self, number: int, *, within_s: float = 30.0) -> Answer:
        with self._arrived:
            assert self._arrived.wait_for(lambda: number in self._answers, within_s), "no answer"
            return self._answers.pop(number)

    def run(self, *words: object, stdin: bytes = b"", env: dict | None = None) -> Answer:
        return self.wait(self.begin(*words, stdin=stdin, env=env))

    def kill(self, path: Path, *, unlike: int = 0) -> None:
        """End the process that a file names, once it names one."""
        pid = until(lambda: path.exists() and path.read_text().strip() and int(path.read_text().split()[0]) != unlike
                    and int(path.read_text().split()[0]))  # fmt: skip
        os.kill(pid, signal.SIGTERM)

    def close(self) -> None:
        self._process.stdin.close()
        self._process.wait(60)
        self._listener.join(60)
        self._process.stdout.close()

    # --- attempts ---

    def attempt(self, job: str = "job", number: int = 1) -> Path:
        return self.home / ".aspot" / RUN / job / f"a{number}"

    def ready(self, job: str = "job", number: int = 1) -> Path:
        """Make an attempt's folder as `deliver` does."""
        folder = self.attempt(job, number)
        (folder / "work" / "out").mkdir(parents=True)
        (folder / "ready").write_text("set\n")
        return folder

    def begin_start(self, command: str, *, job: str = "job", number: int = 1, **options) -> int:
        if not self.attempt(job, number).exists():
            self.ready(job, number)
        return self.begin("start", RUN, job, number, stdin=order(command, job=job, number=number, **options))

    def start(self, command: str, *, job: str = "job", number: int = 1, **options) -> Path:
        """Start an attempt and return its folder once it is said to be started; its output is followed on."""
        folder = self.attempt(job, number)
        self.begin_start(command, job=job, number=number, **options)
        until((folder / "pid").exists)
        return folder

    def status(self, job: str = "job", number: int = 1) -> str:
        return self.run("status", RUN, job, number).said.strip()

    def ended(self, job: str = "job", number: int = 1):
        """Wait for the attempt's status."""
        path = self.attempt(job, number) / "status"
        until(path.exists)
        return status_of(path.read_text().strip())

    def events(self) -> list[str]:
        path = self.home / ".aspot" / "events"
        return path.read_text().splitlines() if path.exists() else []


def order(command: str, *, job: str = "job", number: int = 1, secret_env: dict | None = None, **options) -> bytes:
    spec = JobSpec(name=job, script=command, command=command, **options)
    return order_text(AttemptOrder(spec=spec, attempt=number, secret_env=secret_env or {}), RUN)


def processes_with(text: str) -> list[int]:
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                line = Path(f"/proc/{name}/cmdline").read_bytes()
            except OSError:
                continue
            if text.encode() in line.replace(b"\0", b" "):
                found.append(int(name))
    return found


@pytest.fixture(params=SHELLS)
def machine(request, tmp_path) -> Iterator[Machine]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    made = Machine(tmp_path, request.param)
    try:
        yield made
    finally:
        made.close()
