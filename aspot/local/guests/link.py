"""The daemon's end of the socket to a machine's first process (`inside.init`), or to the zygote.

Owns commands in flight and file operations asked for. May import: `inside.wire`, asyncio.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import attrs

from aspot.local.guests.inside.wire import Broken, Message, Wire, ancillary, encode

__all__ = ["Command", "Link", "MachineGone", "MessageSocket"]


class MachineGone(ConnectionError):
    """The machine ended while something was asked of it."""


class MessageSocket:
    """A socket of messages in the event loop: reads as they come, writes without ever blocking."""

    def __init__(
        self,
        sock: socket.socket,
        *,
        on_message: Callable[[Message, list[int]], None],
        on_end: Callable[[], None],
    ) -> None:
        sock.setblocking(False)
        self._wire = Wire(sock)
        self._loop = asyncio.get_running_loop()
        self._on_message, self._on_end = on_message, on_end
        self._unsent: deque[tuple[bytes, tuple[int, ...]]] = deque()
        self.open = True
        self._loop.add_reader(sock, self._read)

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message; takes over the descriptors and closes them once they are on their way."""
        if not self.open:
            _close_all(fds)
            return
        self._unsent.append((encode({**message, "fds": len(fds)}), tuple(fds)))
        if len(self._unsent) == 1:
            self._write()

    def close(self) -> None:
        """Close the socket, without a word to `on_end`."""
        if not self.open:
            return
        self.open = False
        self._loop.remove_reader(self._wire.sock)
        self._loop.remove_writer(self._wire.sock)
        self._wire.drop()
        self._wire.sock.close()
        for _payload, fds in self._unsent:
            _close_all(fds)
        self._unsent.clear()

    def _read(self) -> None:
        try:
            for message, fds in self._wire.receive():
                self._on_message(message, fds)
        except BlockingIOError:
            return
        except (Broken, OSError, KeyError, TypeError, ValueError):
            self._lost()

    def _write(self) -> None:
        try:
            while self._unsent:
                payload, fds = self._unsent[0]
                sent = self._wire.sock.sendmsg([payload], ancillary(fds))
                _close_all(fds)
                self._unsent[0] = (payload[sent:], ())
                if sent == len(payload):
                    self._unsent.popleft()
        except BlockingIOError:
            self._loop.add_writer(self._wire.sock, self._write)
        except OSError:
            self._lost()
        else:
            self._loop.remove_writer(self._wire.sock)

    def _lost(self) -> None:
        if self.open:
            self.close()
            self._on_end()


@attrs.define(eq=False)
class Command:
    """A command running in a machine; `on_exit` gets its wait status, None if the machine ended first."""

    number: int
    on_exit: Callable[[int | None], None]
    _link: Link

    def signal(self, signum: signal.Signals) -> None:
        """Send a signal to the command's process group."""
        self._link.tell({"op": "signal", "id": self.number, "signal": int(signum)})


class Link:
    """What the daemon can ask of a machine's first process."""

    def __init__(self, sock: socket.socket, *, on_control: Callable[[str], None], on_end: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_control, self._on_end = on_control, on_end
        self._last = 0
        self._commands: dict[int, Command] = {}
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._socket = MessageSocket(sock, on_message=self._take, on_end=self._ended)

    async def ready(self) -> None:
        """Wait until the machine's first process serves.

        Raises:
            MachineGone: it could not start; the text says which step was refused.
        """
        await self._ready

    def spawn(
        self,
        argv: Sequence[str],
        *,
        path: str,
        env: dict[str, str],
        fds: Sequence[int],
        on_exit: Callable[[int | None], None],
        tty: str | None = None,
    ) -> Command:
        """Start a command in a session of its own; takes over `fds` (standard input, output and error)."""
        self._last += 1
        command = Command(self._last, on_exit, self)
        if not self._socket.open:
            _close_all(fds)
            self._loop.call_soon(on_exit, None)
            return command
        self._commands[command.number] = command
        message = {"op": "spawn", "id": command.number, "path": path, "argv": list(argv), "env": env, "tty": tty}
        self._socket.send(message, fds)
        return command

    async def file(self, name: str, *arguments: object) -> Any:
        """Do a file operation of `inside.files` in the machine's world; "open" answers a descriptor.

        Raises:
            OSError: as the operation itself.
            MachineGone: the machine ended first.
        """
        if not self._socket.open:
            raise MachineGone("the machine is gone")
        self._last += 1
        answer = self._answers[self._last] = self._loop.create_future()
        self._socket.send({"op": "file", "id": self._last, "name": name, "arguments": arguments})
        return await answer

    def tell(self, message: Message) -> None:
        """Send a message that has no answer."""
        self._socket.send(message)

    def close(self) -> None:
        """Close the socket, at which the machine ends; whoever waits for an answer is told."""
        self._socket.close()
        self._drop_waiters("the machine was ended")

    def _take(self, message: Message, fds: list[int]) -> None:
        match message["event"]:
            case "exited":
                if command := self._commands.pop(message["id"], None):
                    command.on_exit(message["status"])
            case "file":
                self._settle(message, fds)
            case "control":
                self._on_control(message["line"])
            case "ready" if not self._ready.done():
                self._ready.set_result(None)
            case "failed" if not self._ready.done():
                self._ready.set_exception(MachineGone(message["error"]))

    def _settle(self, message: Message, fds: list[int]) -> None:
        answer = self._answers.pop(message["id"], None)
        if answer is None or answer.done():
            _close_all(fds)
        elif "error" in message:
            answer.set_exception(OSError(*message["error"]))
        else:
            answer.set_result(fds[0] if fds else message.get("value"))

    def _ended(self) -> None:
        self._drop_waiters("the machine ended")
        self._on_end()

    def _drop_waiters(self, reason: str) -> None:
        if not self._ready.done():
            self._ready.set_exception(MachineGone(reason))
            self._ready.exception()  # nobody may be waiting for it
        for answer in self._answers.values():
            if not answer.done():
                answer.set_exception(MachineGone(reason))
        self._answers.clear()
        commands, self._commands = self._commands, {}
        for command in commands.values():
            command.on_exit(None)


def _close_all(fds: Sequence[int]) -> None:
    for fd in fds:
        os.close(fd)
