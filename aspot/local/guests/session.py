"""Sessions of a machine's SSH server: commands and shells, with or without a terminal, and SFTP.

Owns what lies between an SSH channel and a guest process: every byte read is written to the channel before the exit
status ends it, and nothing is read while the other side is full. May import: `link`, `pumps`, `sftp`, `shared`,
`terminal`.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Mapping
from typing import Protocol

import asyncssh
from asyncssh.stream import SSHServerStreamSession

from aspot.local.guests.link import Command, Link, MachineGone
from aspot.local.guests.pumps import Drain, Feed
from aspot.local.guests.sftp import GuestFiles
from aspot.local.guests.shared import Owner, find_tool
from aspot.local.guests.terminal import Terminal

__all__ = ["GuestSession", "Host"]

_SFTP_VERSION = 3  # OpenSSH's
_ACCEPTED_ENVIRONMENT = ("LANG", "LC_")  # what distributions' sshd_config accepts: AcceptEnv LANG LC_*


class Host(Protocol):
    """What a session needs of its machine."""

    @property
    def link(self) -> Link:
        """The link to the machine's first process."""

    @property
    def owner(self) -> Owner | None:
        """Who its processes run as, if not as the daemon."""

    @property
    def shell(self) -> str:
        """The path of the login shell."""

    def environment(self) -> dict[str, str]:
        """Return a guest process's environment."""


class GuestSession(asyncssh.SSHServerSession[bytes]):
    """One session channel: a command, a shell or SFTP in the machine's world."""

    def __init__(self, host: Host, *, connection: Mapping[str, str]) -> None:
        self._host, self._connection = host, connection
        self._argv: list[str] = []
        self._terminal: Terminal | None = None
        self._drains: list[Drain] = []
        self._feed: Feed | None = None
        self._command: Command | None = None
        self._exit: tuple[int | None] | None = None
        self._files: SSHServerStreamSession[bytes] | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """Keep the channel."""
        self._chan = chan

    def pty_requested(
        self, term_type: str, term_size: tuple[int, int, int, int], term_modes: Mapping[int, int]
    ) -> bool:
        """Open a terminal for the command to come."""
        self._terminal = Terminal.open(term_type, modes=term_modes, owner=self._host.owner)
        self._terminal.resize(*term_size)
        return True

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """Pass a new window size on."""
        if self._terminal and not (self._drains and self._drains[0].ended):
            self._terminal.resize(width, height, pixwidth, pixheight)

    def exec_requested(self, command: str) -> bool:
        """Take a command line, which the login shell runs as sshd has it do."""
        if command.startswith("scp ") and not find_tool("scp"):
            self._serve_files(scp=True)
        self._argv = [os.path.basename(self._host.shell), "-c", command]
        return True

    def shell_requested(self) -> bool:
        """Take a request for an interactive shell; profiles of the host are not read."""
        name = os.path.basename(self._host.shell)
        self._argv = [name, "--noprofile"] if name == "bash" else [name]
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        """Take a request for SFTP."""
        if subsystem == "sftp":
            self._serve_files(scp=False)
        return subsystem == "sftp"

    def session_started(self) -> None:
        """Start what was asked for."""
        try:
            if self._files:
                self._files.session_started()
            elif self._terminal:
                self._start_on(self._terminal)
            else:
                self._start_on_pipes()
        except MachineGone:
            self._chan.close()

    def data_received(self, data: bytes, datatype: asyncssh.DataType) -> None:
        """Pass input on."""
        if self._files:
            self._files.data_received(data, datatype)
        elif self._feed:
            self._feed.write(data)

    def eof_received(self) -> bool:
        """Pass the end of input on; a terminal has none, as with sshd."""
        if self._files:
            return bool(self._files.eof_received())
        if self._feed and not self._terminal:
            self._feed.write_eof()
        return True

    def pause_writing(self) -> None:
        """Stop reading output while the client is slow."""
        if self._files:
            self._files.pause_writing()
        for drain in self._drains:
            drain.pause()

    def resume_writing(self) -> None:
        """Read output again."""
        if self._files:
            self._files.resume_writing()
        for drain in self._drains:
            drain.resume()

    def signal_received(self, signal: str) -> None:
        """Pass a signal on to the command's process group."""
        if self._command and (signum := _signal_number(signal)):
            self._command.signal(signum)

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go: the command lives on without its client, unless a terminal hung up on it."""
        if self._files:
            self._files.connection_lost(exc)
        for drain in self._drains:
            drain.close()
        if self._feed:
            self._feed.close()
        elif self._terminal:
            os.close(self._terminal.master)
        if self._terminal:
            self._terminal.release()

    def _serve_files(self, *, scp: bool) -> None:
        self._files = SSHServerStreamSession(
            None, lambda _chan: GuestFiles(self._chan, link=self._host.link), _SFTP_VERSION, scp
        )
        self._files.connection_made(self._chan)

    def _start_on_pipes(self) -> None:
        (stdin, feed), (out, stdout), (err, stderr) = self._pipe(), self._pipe(), self._pipe()
        self._feed = self._feed_to(feed)
        self._drains = [
            Drain(out, write=self._write, on_end=self._finish),
            Drain(err, write=self._write_error, on_end=self._finish),
        ]
        self._start([stdin, stdout, stderr], tty=None)

    def _pipe(self) -> tuple[int, int]:
        """Open a pipe the guest may open again by name, as in `echo x >/dev/stderr`."""
        reader, writer = os.pipe()
        if owner := self._host.owner:
            os.fchown(reader, owner.uid, owner.gid)
        return reader, writer

    def _start_on(self, terminal: Terminal) -> None:
        self._feed = self._feed_to(os.dup(terminal.master))
        self._drains = [Drain(terminal.master, write=self._write, on_end=self._finish)]
        self._start([], tty=terminal.name)

    def _start(self, fds: list[int], *, tty: str | None) -> None:
        self._command = self._host.link.spawn(
            self._argv, path=self._host.shell, env=self._environment(tty), fds=fds, tty=tty, on_exit=self._exited
        )

    def _feed_to(self, fd: int) -> Feed:
        return Feed(fd, hold=self._chan.pause_reading, go_on=self._chan.resume_reading)

    def _environment(self, tty: str | None) -> dict[str, str]:
        asked = {
            name: value
            for name, value in self._chan.get_environment().items()
            if name.startswith(_ACCEPTED_ENVIRONMENT)
        }
        terminal = {"SSH_TTY": tty, "TERM": self._terminal.kind} if tty and self._terminal else {}
        return {**self._host.environment(), **asked, **self._connection, **terminal}

    def _write(self, output: bytes) -> None:
        with contextlib.suppress(OSError):  # the client has closed the channel; `connection_lost` follows
            self._chan.write(output)

    def _write_error(self, output: bytes) -> None:
        with contextlib.suppress(OSError):
            self._chan.write_stderr(output)

    def _exited(self, status: int | None) -> None:
        self._exit = (status,)
        if self._terminal:
            self._terminal.release()
            self._drains[0].finish()
        self._finish()

    def _finish(self) -> None:
        """End the channel once the command has ended and its output is read."""
        if self._exit is None or not all(drain.ended for drain in self._drains):
            return
        (status,) = self._exit
        if status is None:
            self._chan.close()
        elif os.WIFSIGNALED(status):
            name = signal.Signals(os.WTERMSIG(status)).name.removeprefix("SIG")
            self._chan.exit_with_signal(name, os.WCOREDUMP(status))
        else:
            self._chan.exit(os.WEXITSTATUS(status))


def _signal_number(name: str) -> signal.Signals | None:
    return getattr(signal.Signals, f"SIG{name}", None)
