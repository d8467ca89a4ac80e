"""Send a machine to carry data between S3 and its disk: the program travels along, its lines come back.

May import: `aspot.ssh`, `copying`, `carrier` as text.
"""

from __future__ import annotations

import functools
import io
import json
import zipfile
from importlib import resources
from typing import TYPE_CHECKING, Any

import attrs

from aspot.errors import AspotError, ConfigError, LinkError
from aspot.ssh.exchange import CommandRefused, exchange, plain
from aspot.ssh.lines import line_of
from aspot.storage.copying import How, Outcome, Watch

if TYPE_CHECKING:
    import asyncssh

LONGEST = 1 << 30
"""Of a line: the last one names every file."""
_MODULES = ("rules.py", "partials.py", "wire.py", "lift.py", "carrier.py")
_START = "from aspot.storage.carrier import main\n\nmain()\n"
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


@attrs.frozen(kw_only=True)
class Errand:
    """What a machine is to carry.

    Args:
        source, dest: One is `s3://…`, the other a folder of the machine: below its user's home, unless absolute.
        how: How.
    """

    source: str
    dest: str
    how: How

    async def run(
        self, connection: asyncssh.SSHClientConnection, *, label: str, watch: Watch, prefix: str = "exec"
    ) -> Outcome:
        """Have it done; return what came of it. Leaving early ends it there.

        Args:
            connection: To the machine.
            label: What users call the machine.
            watch: Is told how it goes.
            prefix: What the shell there runs the program by.

        Raises:
            LinkDropped: If the connection breaks: the same errand goes on from there.
            AspotError: If the machine cannot do it.
        """
        program = _package()
        command = line_of(_LOOK, _BOOT, str(len(program)), _PROGRAM, by=prefix)
        try:
            async with exchange(connection, command, refusal=plain) as there:
                await there.send(program)
                await there.send(json.dumps(self._order()).encode() + b"\n")
                await there.greeted()
                while True:
                    outcome = _heard(json.loads(await there.line(most=LONGEST)), label, watch)
                    if outcome is not None:
                        return outcome
        except CommandRefused as error:
            raise LinkError(
                f"{label} cannot copy: {error}", fix="it needs python3, 3.8 or newer: install it there"
            ) from error

    def _order(self) -> dict[str, Any]:
        how = self.how
        return {
            "source": self.source,
            "dest": self.dest,
            "delete": how.delete,
            "by_content": how.by_content,
            "dry": how.dry,
        }


def _heard(line: dict[str, Any], label: str, watch: Watch) -> Outcome | None:
    """Pass on what a line says; return what came of it all, if it says that."""
    if "error" in line:
        kind = ConfigError if line["code"] == ConfigError.exit_code else AspotError
        raise kind(f"{label}: {line['error']}", fix=str(line["fix"]))
    if "files" in line:
        watch.begin(int(line["files"]), int(line["size"]))
    elif "moved" in line:
        watch.moved(int(line["moved"]))
        for _ in range(int(line["done"])):
            watch.done("")
    elif "outcome" in line:
        told = line["outcome"]
        return Outcome(
            copied=told["copied"],
            deleted=told["deleted"],
            same=told["same"],
            size=told["bytes"],
            skipped=told["skipped"],
            failed=told["failed"],
        )
    return None


@functools.cache
def _package() -> bytes:
    """Return the program as Python runs it from one file."""
    held = io.BytesIO()
    here = resources.files("aspot.storage")
    with zipfile.ZipFile(held, "w") as made:
        for name, text in (("aspot/__init__.py", ""), ("aspot/storage/__init__.py", ""), ("__main__.py", _START)):
            made.writestr(zipfile.ZipInfo(name), text, zipfile.ZIP_DEFLATED)
        for name in _MODULES:
            text = here.joinpath(name).read_text(encoding="utf-8")
            made.writestr(zipfile.ZipInfo(f"aspot/storage/{name}"), text, zipfile.ZIP_DEFLATED)
    return held.getvalue()
