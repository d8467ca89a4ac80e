"""Messages with file descriptors over a stream socket: one JSON object a line.

Owns the framing between the daemon, the zygote and the inits. May import: the standard library only.
"""

from __future__ import annotations

import array
import json
import os
import socket
from collections.abc import Sequence
from typing import Any

__all__ = ["MAX_MESSAGE", "Broken", "Message", "Wire", "encode"]

Message = dict[str, Any]
MAX_MESSAGE = 64 << 20  # bytes; a folder listing of some 100,000 names
_CHUNK = 1 << 16
_MAX_FDS = 64
_CLOEXEC: int = getattr(socket, "MSG_CMSG_CLOEXEC", 0)


class Broken(Exception):
    """The other side closed the socket or sent something that is no message."""


def encode(message: Message) -> bytes:
    """Return the line that carries a message (surrogates of odd file names included, as ASCII escapes)."""
    return json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"


def ancillary(fds: Sequence[int]) -> list[tuple[int, int, bytes]]:
    """Return the ancillary data that passes file descriptors along."""
    return [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds).tobytes())] if fds else []


class Wire:
    """One end of a socket; `receive` never blocks longer than the socket does."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self._buffer = bytearray()
        self._fds: list[int] = []

    def fileno(self) -> int:
        """Return the socket's descriptor, for selectors."""
        return self.sock.fileno()

    def send(self, message: Message, fds: Sequence[int] = ()) -> None:
        """Send a message, waiting as long as it takes; a message says how many descriptors come with it."""
        payload = encode({**message, "fds": len(fds)} if fds else message)
        sent = self.sock.sendmsg([payload], ancillary(fds))
        self.sock.sendall(payload[sent:])

    def receive(self) -> list[tuple[Message, list[int]]]:
        """Read once and return the complete messages with their descriptors.

        Raises:
            Broken: at the end of the stream, or for something that is no message.
        """
        payload, extra, _flags, _address = self.sock.recvmsg(_CHUNK, socket.CMSG_SPACE(_MAX_FDS * 4), _CLOEXEC)
        self._keep(extra)
        if not payload or len(self._buffer) > MAX_MESSAGE:
            self.drop()
            raise Broken
        self._buffer += payload
        if b"\n" not in payload:
            return []
        *lines, rest = bytes(self._buffer).split(b"\n")
        self._buffer = bytearray(rest)
        return [self._message(line) for line in lines]

    def drop(self) -> None:
        """Close descriptors that arrived but were never asked for."""
        for fd in self._fds:
            os.close(fd)
        self._fds.clear()

    def _keep(self, extra: list[tuple[int, int, bytes]]) -> None:
        for level, kind, payload in extra:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                arrived = array.array("i")
                arrived.frombytes(payload[: len(payload) // arrived.itemsize * arrived.itemsize])
                for fd in arrived:
                    os.set_inheritable(fd, False)
                self._fds.extend(arrived)

    def _message(self, line: bytes) -> tuple[Message, list[int]]:
        try:
            message = json.loads(line)
            count = int(message.get("fds", 0))
        except (ValueError, AttributeError, TypeError) as error:
            raise Broken from error
        fds, self._fds = self._fds[:count], self._fds[count:]
        return message, fds
