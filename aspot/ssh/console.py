"""One command or shell on a machine, joined to this process's own input and output: with a terminal, or with pipes.

Knows nothing of the terminal here; see `aspot.ui.raw`. May import: asyncssh, anyio.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Mapping
from functools import partial
from typing import Any, cast

import anyio
import anyio.lowlevel
import anyio.to_thread
import asyncssh
import attrs

from aspot.ports import LinkDropped
from aspot.ssh.exchange import OPEN_S

MOST_HELD = 1 << 18
"""Bytes of output held here before the machine is made to wait: so much may still run over the screen after Ctrl-C."""

PIECE = 1 << 15

Size = tuple[int, int, int, int]
"""Columns, rows, and the same in pixels (0 where unknown)."""


@attrs.frozen(kw_only=True)
class Pty:
    """The terminal that the machine is to make.

    Args:
        kind: Value of TERM.
        size: Returns the size of the one here; asked again at SIGWINCH.
        modes: Special characters and flags, by RFC 4254's numbers.
        typed: Takes what was typed and returns what of it to send; None to leave.
    """

    kind: str
    size: Callable[[], Size]
    modes: Mapping[int, int]
    typed: Callable[[bytes], bytes | None]


@attrs.frozen(kw_only=True)
class End:
    """How it ended.

    Args:
        code: Exit code; 128 and the signal's number where a signal ended it; None if the connection broke.
        has_left: The user left it, and it may run on.
    """

    code: int | None = None
    has_left: bool = False


class _Console(asyncssh.SSHClientSession[bytes]):
    """The channel: output waits in a queue until it is shown."""

    def __init__(self) -> None:
        self.code: int | None = None
        self.is_closed = False
        self.held: deque[tuple[int, bytes]] = deque()
        self.news = anyio.Event()
        self.room = anyio.Event()
        self.room.set()
        self._size = 0
        self._is_paused = False
        self.channel: asyncssh.SSHClientChannel[bytes]

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Keep the channel."""
        self.channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Keep output until it is shown."""
        self.held.append((2 if datatype == asyncssh.EXTENDED_DATA_STDERR else 1, data))
        self._size += len(data)
        if self._size > MOST_HELD and not self._is_paused:
            self._is_paused = True
            self.channel.pause_reading()
        self.news.set()

    def take(self) -> tuple[int, bytes]:
        """Return the next piece of output, and which stream it is of."""
        stream, data = self.held.popleft()
        self._size -= len(data)
        if self._is_paused and self._size < MOST_HELD // 2:
            self._is_paused = False
            self.channel.resume_reading()
        return stream, data

    def eof_received(self) -> bool:
        """Keep the input open: the end of the output is not the end of the command."""
        return True

    def exit_status_received(self, status: int) -> None:
        """Note the exit code."""
        self.code = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:  # noqa: ARG002
        """Note the signal that ended it, as a shell would."""
        self.code = 128 + _number(signal)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Note the end of the channel."""
        self.is_closed = True
        self.news.set()
        self.room.set()

    def pause_writing(self) -> None:
        """Hold input back."""
        self.room = anyio.Event()

    def resume_writing(self) -> None:
        """Send input again."""
        self.room.set()


def _number(name: str) -> int:
    return int(getattr(signal.Signals, f"SIG{name}", 0))


async def play(connection: asyncssh.SSHClientConnection, command: str | None, *, pty: Pty | None) -> End:
    """Run a command (None: a login shell) on this process's own stdin, stdout and stderr, until it ends.

    Args:
        connection: Verified.
        command: A command line for the login shell there.
        pty: The terminal for it; None for pipes.

    Raises:
        LinkDropped: If it could not be started.
        BrokenPipeError: If nobody reads the output here any more.
    """
    console = await _begin(connection, command, pty)
    typist = _Typist(console, pty)
    trouble: list[OSError] = []
    try:
        async with anyio.create_task_group() as group:
            group.start_soon(typist.type)
            with _resizing(console, pty):
                await _show(console, trouble)
            group.cancel_scope.cancel()
    except anyio.get_cancelled_exc_class():
        with contextlib.suppress(OSError):
            console.channel.send_signal("INT")  # without a terminal there, that is all it hears of a Ctrl-C here
        raise
    finally:
        console.channel.close()
    if trouble:
        raise trouble[0]
    return End(code=None if typist.has_left else console.code, has_left=typist.has_left)


async def _begin(connection: asyncssh.SSHClientConnection, command: str | None, pty: Pty | None) -> _Console:
    terminal: dict[str, Any] = (
        {"term_type": pty.kind, "term_size": pty.size(), "term_modes": dict(pty.modes)} if pty else {}
    )
    try:
        with anyio.fail_after(OPEN_S):
            _, console = await connection.create_session(_Console, command, encoding=None, **terminal)
    except (asyncssh.Error, OSError) as error:  # TimeoutError is an OSError
        raise LinkDropped(f"no channel: {error or type(error).__name__}") from error
    return cast("_Console", console)


async def _show(console: _Console, trouble: list[OSError]) -> None:
    """Write output down as it comes, in a thread: a terminal that stands still must not stop the connection."""
    while True:
        while console.held:
            stream, data = console.take()
            try:
                await anyio.to_thread.run_sync(_write, stream, data, abandon_on_cancel=True)
            except OSError as error:
                trouble.append(error)
                return
        if console.is_closed:
            return
        console.news = anyio.Event()
        await console.news.wait()


def _write(fd: int, data: bytes) -> None:
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(fd, rest) :]


@contextlib.contextmanager
def _resizing(console: _Console, pty: Pty | None) -> Iterator[None]:
    """Tell the machine the size of the terminal here whenever it changes."""
    if pty is None:
        yield
        return
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGWINCH, partial(_resize, console, pty))
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGWINCH)


def _resize(console: _Console, pty: Pty) -> None:
    with contextlib.suppress(OSError):
        console.channel.change_terminal_size(*pty.size())


class _Typist:
    """Sends what comes in on stdin."""

    def __init__(self, console: _Console, pty: Pty | None) -> None:
        self.has_left = False
        self._console = console
        self._pty = pty

    async def type(self) -> None:
        """Send until stdin ends, the user leaves, or the channel does."""
        with contextlib.suppress(OSError), _readable(0) as wait:
            while not self.has_left:
                await wait()
                if not (chunk := os.read(0, PIECE)):
                    break
                await self._send(chunk)
        if self._pty is None:
            self._end_input()
        elif not self.has_left:  # the terminal here is gone
            self._leave()

    async def _send(self, chunk: bytes) -> None:
        wanted = self._pty.typed(chunk) if self._pty else chunk
        if wanted is None:
            self._leave()
            return
        await self._console.room.wait()
        if not self._console.is_closed:
            self._console.channel.write(wanted)

    def _leave(self) -> None:
        self.has_left = True
        self._console.is_closed = True
        self._console.news.set()

    def _end_input(self) -> None:
        if not self._console.is_closed:
            self._console.channel.write_eof()


@contextlib.contextmanager
def _readable(fd: int) -> Iterator[Callable[[], Awaitable[None]]]:
    """Give what waits until a read would not block; a file never does."""
    loop = asyncio.get_running_loop()
    ready = anyio.Event()

    def wake() -> None:
        ready.set()
        loop.remove_reader(fd)

    async def wait() -> None:
        nonlocal ready
        ready = anyio.Event()
        loop.add_reader(fd, wake)
        await ready.wait()

    async def at_once() -> None:
        await anyio.lowlevel.checkpoint()

    try:
        loop.add_reader(fd, wake)
    except PermissionError:  # epoll takes no files, nor /dev/null
        yield at_once
        return
    try:
        yield wait
    finally:
        loop.remove_reader(fd)
