"""Starts `aspot` as a process without the half second that its imports take: forked from one that has them.

What is forked is `aspot` as it is: a process with its own pid, signals, folder, environment and end. Only the imports
came before. Run as a program, this is the process that forks; `Forked` is what a test has of a child.
"""

from __future__ import annotations

import atexit
import functools
import importlib
import json
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence

import aspot
from aspot.aws import models
from aspot.cli.main import run

LOADED = (
    "aspot.cli",
    "aspot.aws",
    "aspot.boxes",
    "aspot.intake",
    "aspot.journal",
    "aspot.runtime",
    "aspot.ssh",
    "aspot.ui",
)
MOST = 1 << 20


class Forked:
    """A process that was forked, with what is needed of `subprocess.Popen`; its output goes into pipes."""

    def __init__(self, words: Sequence[str]) -> None:
        out, theirs_out = os.pipe()
        err, theirs_err = os.pipe()
        self._ended, theirs_ended = os.pipe()
        self.returncode: int | None = None
        asked = {"words": [*words], "folder": os.getcwd(), "environment": dict(os.environ)}
        nursery = _nursery()
        theirs = (theirs_out, theirs_err, theirs_ended)
        socket.send_fds(nursery, [json.dumps(asked).encode()], theirs)
        for descriptor in theirs:
            os.close(descriptor)
        self.pid = int(nursery.recv(64))
        self.stdout = open(out, encoding="utf-8")  # noqa: SIM115 - its reader closes it
        self.stderr = open(err, encoding="utf-8")  # noqa: SIM115 - likewise

    def poll(self) -> int | None:
        """Return the exit code if it has ended, as `Popen.poll` does."""
        return self._look(0.0)

    def wait(self, timeout: float) -> int:
        """Return its exit code once it has ended.

        Raises:
            subprocess.TimeoutExpired: After that many seconds.
        """
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("aspot", timeout)
        return code

    def _look(self, within_s: float) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], within_s)[0]:
            self.returncode = int(os.read(self._ended, 16))
            os.close(self._ended)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


@functools.cache
def _nursery() -> socket.socket:
    """Return the socket of this process's nursery, which ends with it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for one in (ours, theirs):
        one.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MOST)
    words = [sys.executable, __file__, str(theirs.fileno())]
    process = subprocess.Popen(words, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, start_new_session=True)
    theirs.close()
    atexit.register(_end, ours, process)
    return ours


def _end(ours: socket.socket, process: subprocess.Popen[bytes]) -> None:
    ours.close()
    process.wait(10)


def main() -> None:
    """Fork what is asked for, and tell how each child ends, until nobody asks any more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _load()
    asked = socket.socket(fileno=int(sys.argv[1]))
    poller = select.poll()
    poller.register(asked, select.POLLIN)
    children: dict[int, tuple[int, int]] = {}
    while True:
        for ready, _ in poller.poll():
            if ready != asked.fileno():
                poller.unregister(ready)
                _bury(ready, *children.pop(ready))
                continue
            text, theirs, _, _ = socket.recv_fds(asked, MOST, 3)
            if not text:
                return
            pid = os.fork()
            if not pid:
                asked.close()
                _close(*children, *(ended for _, ended in children.values()))
                _be(json.loads(text), *theirs)
            asked.send(str(pid).encode())
            *streams, ended = theirs
            _close(*streams)
            watched = os.pidfd_open(pid)
            children[watched] = pid, ended
            poller.register(watched, select.POLLIN)


def _bury(watched: int, pid: int, ended: int) -> None:
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(ended, str(code).encode())
    _close(watched, ended)


def _close(*descriptors: int) -> None:
    for descriptor in descriptors:
        os.close(descriptor)


def _load() -> None:
    """Import what commands import when they are called, and read what botocore reads for each."""
    importlib.import_module("aiobotocore.session")
    for package in LOADED:
        path = importlib.import_module(package).__path__
        for found in pkgutil.walk_packages(path, f"{package}."):
            importlib.import_module(found.name)
    for name in ("aspot.fleet", "aspot.session", "aspot.opening", "aspot.instance"):
        importlib.import_module(name)
    loader = models.loader()
    loader.load_service_model("ec2", "service-2")
    loader.load_data("endpoints")


def _be(asked: dict, out: int, err: int, ended: int) -> None:
    """Be `python -m aspot` with these words, to its end: in this child."""
    os.dup2(out, 1)
    os.dup2(err, 2)
    _close(out, err, ended)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as it lives
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    sys.argv = [os.path.join(os.path.dirname(aspot.__file__), "__main__.py"), *asked["words"]]
    run()


if __name__ == "__main__":
    main()
