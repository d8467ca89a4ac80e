"""The program that a machine is sent to carry data, started there over one channel: `porter` and its kind.

May import: `aspot.ssh`.
"""

from __future__ import annotations

import functools
import io
import json
import zipfile
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from importlib import resources
from typing import TYPE_CHECKING, Any

from aspot.errors import AspotError, ConfigError, LinkError
from aspot.ssh.exchange import CommandRefused, Exchange, exchange, plain
from aspot.ssh.lines import line_of

if TYPE_CHECKING:
    import asyncssh

MODULES = (
    "rules.py",
    "partials.py",
    "post.py",
    "alike.py",
    "wire.py",
    "sides.py",
    "lift.py",
    "handover.py",
    "shift.py",
    "carrier.py",
    "depot.py",
    "porter.py",
)
_START = "from aspot.storage.porter import main\n\nmain()\n"
_BOOT = """
import os, runpy, sys
if sys.version_info < (3, 8):
    sys.exit("python3 there is older than 3.8")
left, program = int(sys.argv[1]), b""
while len(program) < left:
    piece = os.read(0, left - len(program))
    if not piece:
        sys.exit(130)
    program += piece
folder = os.path.expanduser("~/.aspot/s3")
os.makedirs(folder, mode=0o700, exist_ok=True)
path = os.path.join(folder, sys.argv[2])
with open(path + "-%d" % os.getpid(), "wb") as target:
    target.write(program)
os.replace(path + "-%d" % os.getpid(), path)
sys.dont_write_bytecode = True
runpy.run_path(path, run_name="__main__")
"""
_LOOK = 'command -v python3 >/dev/null || { echo "there is no python3" >&2; exit 127; }; exec python3 -c "$@"'
_PROGRAM = "carrier.pyz"


@asynccontextmanager
async def started(
    connection: asyncssh.SSHClientConnection, order: Mapping[str, Any], *, label: str, prefix: str
) -> AsyncIterator[Exchange]:
    """Start it for the length of a block; leaving early ends it there.

    Args:
        connection: To the machine.
        order: What it is to do.
        label: What users call the machine.
        prefix: What the shell there runs it by.

    Raises:
        LinkDropped: If the connection breaks.
        LinkError: If it cannot run there.
    """
    sent = package()
    command = line_of(_LOOK, _BOOT, str(len(sent)), _PROGRAM, by=prefix)
    try:
        async with exchange(connection, command, refusal=plain) as there:
            await there.send(sent)
            await there.send(json.dumps(order).encode() + b"\n")
            await there.greeted()
            yield there
    except CommandRefused as error:
        raise LinkError(
            f"{label} cannot copy: {error}", fix="it needs python3, 3.8 or newer: install it there"
        ) from error


def refuse_failure(line: Mapping[str, Any], label: str) -> None:
    """Raise what a line says has gone wrong, if it does.

    Raises:
        AspotError: What the machine said.
    """
    if "error" in line:
        kind = ConfigError if line["code"] == ConfigError.exit_code else AspotError
        raise kind(f"{label}: {line['error']}", fix=str(line["fix"]))


@functools.cache
def package() -> bytes:
    """Return the program as Python runs it from one file."""
    held = io.BytesIO()
    here = resources.files("aspot.storage")
    with zipfile.ZipFile(held, "w") as made:
        for name, text in (("aspot/__init__.py", ""), ("aspot/storage/__init__.py", ""), ("__main__.py", _START)):
            made.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
        for name in MODULES:
            text = here.joinpath(name).read_text(encoding="utf-8")
            made.writestr(zipfile.ZipInfo(f"aspot/storage/{name}"), text, zipfile.ZIP_DEFLATED)
    return held.getvalue()
