"""The zygote: one small process of the daemon's that forks machines, so that neither pays for the daemon's size.

May import: the standard library and this package.
"""

from __future__ import annotations

import contextlib
import gc
import os
import select
import signal
import socket
from typing import NoReturn

from aspot.local.guests.inside import linux
from aspot.local.guests.inside.init import Init
from aspot.local.guests.inside.wire import Broken, Wire
from aspot.local.guests.inside.world import World, enter, settle

__all__ = ["main"]


class Zygote:
    """Starts machines on request and reports their end."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._machines: dict[int, str] = {}  # pid of the first process -> machine
        self._wakeup, wakeup_writer = os.pipe()
        os.set_blocking(wakeup_writer, False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wakeup_writer, warn_on_full_buffer=False)

    def run(self) -> None:
        """Serve until the daemon closes the socket."""
        poller = select.poll()
        poller.register(self._wire.fileno(), select.POLLIN)
        poller.register(self._wakeup, select.POLLIN)
        while True:
            for fd, _events in poller.poll():
                if fd == self._wakeup:
                    self._reap()
                else:
                    self._serve()

    def _serve(self) -> None:
        for message, fds in self._wire.receive():
            if message["op"] == "boot":
                pid = self._boot(message["world"], fds[0])
                if pid:
                    self._machines[pid] = message["id"]
                else:
                    self._wire.send({"event": "gone", "id": message["id"], "status": 0})
            elif message["op"] == "kill":
                self._kill(message["id"])

    def _boot(self, world: World, link: int) -> int:
        """Fork a machine; return the pid of its first process, 0 if it never came to be."""
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            self._become(world, link, writer)
        os.close(writer)
        os.close(link)
        pid = os.read(reader, 32)
        os.close(reader)
        os.waitpid(child, 0)
        return int(pid or b"0")

    def _become(self, world: World, link: int, writer: int) -> NoReturn:
        wire = Wire(socket.socket(fileno=link))
        try:
            enter(world)
            if pid := os.fork():
                os.write(writer, str(pid).encode())
                os._exit(0)
            os.close(writer)
            self._wire.sock.close()
            os.close(self._wakeup)
            if not world["namespaces"]:
                with contextlib.suppress(OSError):
                    linux.become_subreaper()
            settle(world)
            Init(wire, world).run()
        except BaseException as error:  # noqa: BLE001 - said to the daemon, whatever it is; the process ends here
            with contextlib.suppress(OSError):
                wire.send({"event": "failed", "error": f"{type(error).__name__}: {error}"})
        finally:
            os._exit(1)

    def _kill(self, machine: str) -> None:
        for pid, name in self._machines.items():
            if name == machine:
                os.kill(pid, signal.SIGKILL)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._wakeup, 4096)
        with contextlib.suppress(ChildProcessError):
            while (found := os.waitpid(-1, os.WNOHANG))[0] != 0:
                if machine := self._machines.pop(found[0], None):
                    self._wire.send({"event": "gone", "id": machine, "status": found[1]})


def main(fd: int) -> None:
    """Run the zygote on the socket `fd` until its other end closes."""
    signal.signal(signal.SIGINT, lambda *_: None)  # Ctrl-C is the daemon's to handle
    gc.disable()
    gc.freeze()
    with contextlib.suppress(OSError):
        linux.become_subreaper()
    with contextlib.suppress(Broken, ConnectionError):
        Zygote(Wire(socket.socket(fileno=fd))).run()
