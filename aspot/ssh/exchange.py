"""One command on an instance over one SSH channel: bytes in, bytes out, an exit code, and a limit on every wait.

A thin session on asyncssh's callbacks in place of its process objects, which cost twice the CPU.
May import: asyncssh, anyio.
"""

from __future__ import annotations

import asyncio
import signal as signals
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import cast

import anyio
import asyncssh

from aspot.ports import LinkDropped, TakenOver

OPEN_S = 20.0
"""To open a channel and have the command started."""

PATIENCE_S = 60.0
"""Without a byte, in either direction, while something is awaited."""

MOST_HELD = 4 << 20
"""Bytes held here before the other side is made to wait."""

MOST_ERROR = 64 << 10
"""Bytes of stderr kept."""

GREETING = b"@aspot\n"
"""What the runner says first: a shell's start-up files may say something before it."""


TAKEN_OVER = 119
"""The runner's exit code for a command of a client that it heeds no more."""

Diversion = Callable[[bytes, bool], None]
"""Takes a piece of output, and whether it is stderr's."""

Refusal = Callable[[str], Exception]
"""Returns what it means that the machine heeds us no more, from what it said."""


class CommandRefused(Exception):
    """The command ended with a code other than 0."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason or f"exit code {code}")
        self.code = code


def plain(said: str) -> Exception:
    """Return what it means to whoever drives no run that a machine heeds somebody else: a refusal like any other."""
    return CommandRefused(TAKEN_OVER, said)


class Exchange(asyncssh.SSHClientSession[bytes]):
    """The client's side of one command; `patience_s` limits every wait, None for one that may be silent for ever."""

    def __init__(self, refusal: Refusal) -> None:
        self._refusal = refusal
        self._patience_s: float | None = PATIENCE_S
        self.error = bytearray()
        self._held = bytearray()
        self._channel: asyncssh.SSHClientChannel[bytes]
        self._code: int | None = None
        self._is_ended = False
        self._is_closed = False
        self._is_paused = False
        self._is_full = False
        self._news = anyio.Event()
        self._diversion: Diversion | None = None
        self._loop = asyncio.get_running_loop()
        self._alarm: asyncio.TimerHandle | None = None
        self._waits_since: float | None = None
        self._is_late = False
        self.trouble: Exception | None = None

    # --- asyncssh's side ----------------------------------------------------------------------------------------------

    def connection_made(self, chan: asyncssh.SSHClientChannel[bytes]) -> None:
        """Keep the channel."""
        self._channel = chan

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Keep what came; make the other side wait when it is too much."""
        is_error = datatype == asyncssh.EXTENDED_DATA_STDERR
        if self._diversion is not None:
            self._divert(data, is_error)
            return
        if is_error:
            self.error += data[: MOST_ERROR - len(self.error)]
            return
        self._held += data
        if len(self._held) > MOST_HELD and not self._is_paused:
            self._is_paused = True
            self._channel.pause_reading()
        self._news.set()

    def eof_received(self) -> bool:
        """Note the end of the output; the input stays open."""
        self._is_ended = True
        self._news.set()
        return True

    def exit_status_received(self, status: int) -> None:
        """Note the exit code."""
        self._code = status

    def exit_signal_received(self, signal: str, core_dumped: bool, msg: str, lang: str) -> None:  # noqa: ARG002
        """Note the signal that ended the command; its number does not travel, only its name."""
        number = getattr(signals, f"SIG{signal}", None)
        self._code = 255 if number is None else 128 + number
        self.error += f"ended by signal {signal}".encode()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """Note the end of the channel."""
        self._is_ended = self._is_closed = True
        self._is_full = False
        if self._alarm is not None:
            self._alarm.cancel()
        self._news.set()

    def pause_writing(self) -> None:
        """Note that the send buffer is full."""
        self._is_full = True

    def resume_writing(self) -> None:
        """Note that there is room again."""
        self._is_full = False
        self._news.set()

    @property
    def patience_s(self) -> float | None:
        """Seconds that a wait may last; None for ever."""
        return self._patience_s

    @patience_s.setter
    def patience_s(self, seconds: float | None) -> None:
        self._patience_s = seconds
        if self._alarm is not None:
            self._alarm.cancel()
            self._alarm = None

    # --- our side -----------------------------------------------------------------------------------------------------

    def divert(self, to: Diversion) -> None:
        """Hand all output from now on, and what is held, to a function as it comes: no task, no copy, no wait."""
        self._diversion = to
        held, error = bytes(self._held), bytes(self.error)
        self._held.clear()
        self.error.clear()
        self._divert(held, False)
        self._divert(error, True)
        self._flow()

    async def send(self, content: bytes | bytearray | memoryview) -> None:
        """Send input; returns when there is room for more. Raises `LinkDropped`."""
        try:
            self._channel.write(bytes(content))
        except OSError as error:
            if self._is_closed and self._code is not None:
                return  # it ended before it read everything: its exit code says why
            raise LinkDropped("the connection broke while sending") from error
        while self._is_full:
            await self._wait()

    def close(self) -> None:
        """Close the channel, whatever the command does."""
        self._channel.close()

    def end_input(self) -> None:
        """Say that no more input comes."""
        if not self._is_closed:
            self._channel.write_eof()

    async def read(self, *, least: int = 1) -> bytes:
        """Return what has come, at least so many bytes unless it ends before; b"" at the end. Raises `LinkDropped`."""
        while len(self._held) < least and not self._is_ended:
            await self._wait()
        taken = bytes(self._held)
        self._held.clear()
        self._flow()
        return taken

    async def read_until(self, mark: bytes, *, most: int = 1 << 16) -> bytes:
        """Return bytes up to and with the mark. Raises `LinkDropped`, `CommandRefused` when it ends before."""
        taken, start = bytearray(), 0
        while (at := taken.find(mark, start)) < 0:
            if len(taken) > most:
                raise LinkDropped("the machine's answer makes no sense")
            start = max(0, len(taken) - len(mark) + 1)
            if not (chunk := await self.read()):
                await self._refuse()
            taken += chunk
        self.put_back(bytes(taken[at + len(mark) :]))
        return bytes(taken[: at + len(mark)])

    def put_back(self, content: bytes) -> None:
        """Hand back what was read too much."""
        self._held[:0] = content

    async def greeted(self) -> None:
        """Wait for the runner's greeting; what a start-up file said before it is dropped."""
        await self.read_until(GREETING)

    async def line(self, *, most: int = 1 << 16) -> str:
        """Return the next line, without its end; one longer than `most` bytes makes no sense."""
        return (await self.read_until(b"\n", most=most)).decode("utf-8", "replace").rstrip("\n")

    async def answer(self) -> str:
        """Return the first line of the runner's answer to a command that takes no input, once it has ended.

        Raises:
            CommandRefused: If it ended with another code than 0.
            LinkDropped: If the channel or the connection broke.
        """
        self.end_input()
        await self.greeted()
        line = await self.line()
        await self.ended()
        return line

    async def ended(self) -> None:
        """Wait for the end; output that nobody asked for is dropped. Raises `LinkDropped`, `CommandRefused`."""
        while await self.read():
            continue
        code = await self._exit_code()
        if code != 0:
            await self._refuse()

    async def rest(self, *, most: int = 1 << 16) -> str:
        """Return the rest of the output as text, cut at so many bytes. Raises `LinkDropped`, `CommandRefused`."""
        rest = bytearray()
        while chunk := await self.read():
            rest += chunk[: most - len(rest)]
        await self.ended()
        return rest.decode("utf-8", "replace").strip()

    async def diverted(self) -> None:
        """Wait for the end of a command whose output is diverted. Raises `LinkDropped`, and trouble of the receiver."""
        try:
            await self.ended()
        finally:
            if self.trouble is not None:
                raise self.trouble

    async def _exit_code(self) -> int:
        while not self._is_closed:
            await self._wait()
        if self._code is None:
            raise LinkDropped("the connection broke")
        return self._code

    async def _refuse(self) -> None:
        code = await self._exit_code()
        said = bytes(self.error).decode("utf-8", "replace").strip()[-2000:]
        raise self._refusal(said) if code == TAKEN_OVER else CommandRefused(code, said)

    def _divert(self, data: bytes, is_error: bool) -> None:
        """Pass output on; trouble of the receiver (a full disk here) ends the command and is kept for `finished`."""
        if self.trouble is None and self._diversion is not None:
            try:
                self._diversion(data, is_error)
            except (OSError, ValueError, TakenOver) as error:
                self.trouble = error
                self._channel.close()

    def _flow(self) -> None:
        if self._is_paused:
            self._is_paused = False
            self._channel.resume_reading()

    async def _wait(self) -> None:
        """Wait for news of the channel, with a limit: one timer for all, since one each costs like a packet."""
        self._news = anyio.Event()
        self._waits_since = self._loop.time()
        if self._alarm is None and self.patience_s is not None:
            self._alarm = self._loop.call_later(self.patience_s, self._look)
        try:
            await self._news.wait()
        finally:
            self._waits_since = None
        if self._is_late:
            raise LinkDropped(f"nothing came for {self.patience_s:g} s")

    def _look(self) -> None:
        """See whether a wait has lasted too long; look again when the one now under way may have."""
        self._alarm = None
        if self._is_closed or self.patience_s is None:
            return
        now = self._loop.time()
        left = self.patience_s - (now - self._waits_since) if self._waits_since is not None else self.patience_s
        if left > 0:
            self._alarm = self._loop.call_later(left, self._look)
            return
        self._is_late = True
        self._news.set()


async def begin(connection: asyncssh.SSHClientConnection, command: str, *, refusal: Refusal) -> Exchange:
    """Start a command.

    Args:
        connection: Where.
        command: The command line.
        refusal: Says what it means when the machine heeds us no more: awaiting the command then raises that.

    Raises:
        LinkDropped: If the channel cannot be opened.
    """
    try:
        with anyio.fail_after(OPEN_S):
            _, there = await connection.create_session(lambda: Exchange(refusal), command, encoding=None)
    except (asyncssh.Error, OSError) as error:  # TimeoutError is an OSError
        raise LinkDropped(f"no channel: {error or type(error).__name__}") from error
    return cast("Exchange", there)


@asynccontextmanager
async def exchange(
    connection: asyncssh.SSHClientConnection, command: str, *, refusal: Refusal
) -> AsyncIterator[Exchange]:
    """Run a command for the length of the block. Leaving early closes the channel; the command may run on.

    Raises:
        LinkDropped: If the channel cannot be opened.
    """
    there = await begin(connection, command, refusal=refusal)
    try:
        yield there
    finally:
        there.close()
