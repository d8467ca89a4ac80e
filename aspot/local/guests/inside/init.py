"""A machine's first process: starts its commands, adopts and reaps its orphans, ends with the daemon.

It serves one socket whose other end only the daemon holds: when that closes, however the daemon died, the machine
ends with every process in it. May import: the standard library and this package.
"""

from __future__ import annotations

import contextlib
import glob
import os
import select
import signal
import time
from typing import NoReturn

from aspot.local.guests.inside.files import OPERATIONS, open_file
from aspot.local.guests.inside.wire import Broken, Message, Wire
from aspot.local.guests.inside.world import World

__all__ = ["Init"]

_TICK_S = 0.01
_HAS_PROC = os.path.isdir("/proc/self/task")
# What is ignored here (SIGPIPE by the interpreter, SIGHUP under nohup) must not be inherited by commands.
_SPAWN_DEFAULTS = sorted(signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP})


class Init:
    """The loop of a machine's first process."""

    def __init__(self, wire: Wire, world: World) -> None:
        self._wire = wire
        self._namespaces = world["namespaces"]
        self._commands: dict[int, int] = {}  # pid -> the daemon's number of that command
        self._control = os.open(world["control"], os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
        self._said = b""
        self._wakeup, wakeup_writer = os.pipe()
        os.set_blocking(wakeup_writer, False)
        for signum in (signal.SIGCHLD, signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(signum, lambda *_: None)
        signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)

    def run(self) -> NoReturn:
        """Serve until the daemon closes the socket or asks for the end."""
        poller = select.poll()
        handlers = {
            self._wire.fileno(): self._serve,
            self._control: self._relay,
            self._wakeup: self._reap,
        }
        for fd in handlers:
            poller.register(fd, select.POLLIN)
        self._wire.send({"event": "ready"})
        while True:
            for fd, _events in poller.poll():
                try:
                    handlers[fd]()
                except (Broken, ConnectionError):
                    self._end()

    def _serve(self) -> None:
        for message, fds in self._wire.receive():
            try:
                self._do(message, fds)
            finally:
                for fd in fds:
                    os.close(fd)

    def _do(self, message: Message, fds: list[int]) -> None:
        match message["op"]:
            case "spawn":
                self._spawn(message, fds)
            case "signal":
                self._signal(message["id"], message["signal"])
            case "file":
                self._file(message)
            case "answer":
                _answer(message["path"], message["text"])
            case "shutdown":
                self._shut_down(message["grace_s"])
            case "end":
                self._end()

    def _spawn(self, message: Message, fds: list[int]) -> None:
        actions: list[tuple[int, ...] | tuple[int, int, str, int, int]]
        if message["tty"]:
            actions = [(os.POSIX_SPAWN_OPEN, 0, message["tty"], os.O_RDWR, 0)]
            actions += [(os.POSIX_SPAWN_DUP2, 0, 1), (os.POSIX_SPAWN_DUP2, 0, 2)]
        else:
            actions = [(os.POSIX_SPAWN_DUP2, fd, number) for number, fd in enumerate(fds)]
        argv = message["argv"]
        try:
            pid = os.posix_spawn(
                message["path"],
                argv,
                message["env"],
                file_actions=actions,
                setsid=True,
                setsigdef=_SPAWN_DEFAULTS,
                setsigmask=(),
            )
        except OSError as error:
            self._wire.send({"event": "exited", "id": message["id"], "status": 127 << 8, "error": str(error)})
            return
        self._commands[pid] = message["id"]

    def _signal(self, number: int, signum: int) -> None:
        for pid, command in self._commands.items():
            if command == number:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(pid, signum)

    def _file(self, message: Message) -> None:
        reply: Message = {"event": "file", "id": message["id"]}
        opened: list[int] = []
        try:
            if message["name"] == "open":
                opened.append(open_file(*message["arguments"]))
            else:
                reply["value"] = OPERATIONS[message["name"]](*message["arguments"])
        except OSError as error:
            reply["error"] = [error.errno or 5, error.strerror or str(error)]
        except (ValueError, TypeError) as error:
            reply["error"] = [22, str(error)]
        self._wire.send(reply, opened)
        for fd in opened:
            os.close(fd)

    def _relay(self) -> None:
        *lines, self._said = (self._said + os.read(self._control, 4096)).split(b"\n")
        self._said = self._said[-4096:]
        for line in lines:
            self._wire.send({"event": "control", "line": line.decode("utf-8", "replace")})

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 4096)
        for pid, status in _reaped()[0]:
            if (number := self._commands.pop(pid, None)) is not None:
                self._wire.send({"event": "exited", "id": number, "status": status})

    def _shut_down(self, grace_s: float) -> NoReturn:
        """Ask everything to end, wait up to `grace_s` seconds, then end it."""
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + grace_s
        while time.monotonic() < deadline and _reaped()[1]:
            time.sleep(_TICK_S)
        self._end()

    def _end(self) -> NoReturn:
        """End the machine: the kernel ends a pid namespace with its init; a process tree is ended by hand.

        Orphans come to this process, so nothing is left once it has no children.
        """
        while not self._namespaces and _reaped()[1]:
            self._signal_all(signal.SIGKILL)
            time.sleep(_TICK_S / 10)
        os._exit(0)

    def _signal_all(self, signum: int) -> None:
        for pid in [-1] if self._namespaces else _descendants(os.getpid()):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signum)


def _reaped() -> tuple[list[tuple[int, int]], bool]:
    """Reap what has died; return pids with wait statuses, and whether children are left."""
    dead = []
    try:
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            dead.append(found)
    except ChildProcessError:
        return dead, False
    return dead, True


def _descendants(root: int) -> list[int]:
    """Return the processes under `root`, as far as they hold still; the caller looks again until none is left."""
    found = [root]
    for pid in found:
        found += _children(pid)
    return found[1:]


def _children(pid: int) -> list[int]:
    if _HAS_PROC:
        children = []
        for path in glob.glob(f"/proc/{pid}/task/*/children"):
            with contextlib.suppress(OSError), open(path) as entry:
                children += [int(word) for word in entry.read().split()]
        return children
    listing = os.popen("ps -axo pid=,ppid=").read()  # noqa: S605 - a constant
    rows = [line.split() for line in listing.splitlines()]
    return [int(child) for child, parent in rows if int(parent) == pid]


def _answer(path: str, text: str) -> None:
    """Answer a shim that waits on a FIFO of its own; one that went away is none of our business."""
    with contextlib.suppress(OSError):
        fd = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        os.write(fd, text.encode() + b"\n")
        os.close(fd)
