"""A notebook server on a machine: found, installed, started, ended. The machine's half travels along.

May import: `aspot.ssh`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable
from importlib import resources

import asyncssh
import attrs

from aspot.ssh.exchange import exchange, plain
from aspot.ssh.lines import line_of

_RUNNING = re.compile(r"running (\d{1,5}) ([A-Za-z0-9_-]{1,128})")

JUPYTER = 'exec {program} --no-browser --ip=127.0.0.1 --port="$PORT" --ServerApp.port_retries=0'
"""Jupyter takes its token from JUPYTER_TOKEN, so that no list of processes shows it."""


@attrs.frozen(kw_only=True)
class Server:
    """What is known of the notebook server of a machine.

    Args:
        port: Where it listens there; 0 if none runs.
        token: What opens it.
        program: Path of the Jupyter that can be started; "" for none.
        log: The end of what it, or the last one, said.
    """

    port: int = 0
    token: str = ""
    program: str = ""
    log: str = ""


async def look(connection: asyncssh.SSHClientConnection) -> Server:
    """Return what runs there, or could.

    Raises:
        LinkDropped: If the connection broke.
        CommandRefused: If it could not be asked.
    """
    async with exchange(connection, _line("look"), refusal=plain) as there:
        there.end_input()
        await there.greeted()
        state, program, log = await there.line(), await there.line(), await there.rest()
    found = _RUNNING.fullmatch(state)
    port = int(found[1]) if found and 0 < int(found[1]) < 65536 else 0
    return Server(port=port, token=found[2] if found and port else "", program=program, log=log)


async def install(connection: asyncssh.SSHClientConnection, say: Callable[[bytes], None]) -> None:
    """Install JupyterLab into a folder of its own; what pip says is passed on.

    Raises:
        LinkDropped: If the connection broke.
        CommandRefused: If it failed.
    """
    async with exchange(connection, _line("install"), refusal=plain) as there:
        there.end_input()
        await there.greeted()
        there.patience_s = None
        there.divert(lambda said, _is_error: say(said))
        await there.diverted()


async def start(connection: asyncssh.SSHClientConnection, command: str, *, port: int, token: str) -> None:
    """Start a server.

    Args:
        connection: Verified.
        command: A shell command that serves HTTP on 127.0.0.1:$PORT and asks for $JUPYTER_TOKEN.
        port: Where.
        token: What opens it.

    Raises:
        LinkDropped: If the connection broke.
        CommandRefused: If it could not be started.
    """
    async with exchange(connection, _line("start", str(port)), refusal=plain) as there:
        await there.send(f"{token}\n{command}\n".encode())
        there.end_input()
        await there.greeted()
        await there.ended()


async def stop(connection: asyncssh.SSHClientConnection) -> bool:
    """End the server; tell whether one ran.

    Raises:
        LinkDropped: If the connection broke.
        CommandRefused: If it could not be asked.
    """
    async with exchange(connection, _line("stop"), refusal=plain) as there:
        there.end_input()
        await there.greeted()
        return await there.line() == "stopped"


def _line(*words: str) -> str:
    return line_of(_script(), *words)


@functools.cache
def _script() -> str:
    return resources.files("aspot.ssh").joinpath("notebook.sh").read_text(encoding="utf-8")
