"""Commands on a box: run to their end, their output kept and shown as it comes, ended with the caller's wait."""

from __future__ import annotations

import codecs
import contextlib
import contextvars
import os
import shlex
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import attrs

from aspot.boxes.box import Box
from aspot.errors import CloudError, CommandFailed, ConfigError, LinkError
from aspot.intake.scripts import find_script
from aspot.machine.quantities import Duration, seconds, short_duration
from aspot.ports import LinkDropped
from aspot.ssh.box_order import Command

KEPT = 16 << 20
"""Bytes of each output that a result holds: the last ones."""

TIMED_OUT = 124
"""As coreutils' `timeout` has it."""

END_S = 15.0

Stream = bool | Callable[[str, str], object]


@attrs.frozen(kw_only=True)
class CommandResult:
    """What a command on a box came to.

    Args:
        exit_code: Its exit code; 128 + n if signal n ended it, 124 if its time ran out.
        stdout: What it printed (the last 16 MiB; undecodable bytes replaced).
        stderr: The same of its error output.
        duration: Seconds it took.
        timed_out: Whether it was ended since its time ran out.
    """

    exit_code: int
    stdout: str
    stderr: str
    duration: float
    timed_out: bool = False

    @property
    def ok(self) -> bool:
        """Tell whether it exited with 0."""
        return self.exit_code == 0


class _Output:
    """Keeps the last of both outputs; hands text on as it comes."""

    def __init__(self, tell: Callable[[str, str], object] | None) -> None:
        self._tell = tell
        self._context = contextvars.copy_context()  # a notebook shows output below the cell that asked for it
        self._kept = {"stdout": bytearray(), "stderr": bytearray()}
        self._decoders = {name: codecs.getincrementaldecoder("utf-8")("replace") for name in self._kept}

    def __call__(self, data: bytes, is_error: bool) -> None:
        name = "stderr" if is_error else "stdout"
        kept = self._kept[name]
        kept += data
        if len(kept) > 2 * KEPT:
            del kept[:-KEPT]
        if self._tell is not None and (text := self._decoders[name].decode(data)):
            self._context.run(self._tell, name, text)

    def text(self, name: str) -> str:
        return bytes(self._kept[name][-KEPT:]).decode("utf-8", "replace")


def printed(name: str, text: str) -> None:
    """Print output as it comes; on a terminal with control characters made visible (THREATS T4)."""
    from aspot.ui.safe import safe

    out = sys.stderr if name == "stderr" else sys.stdout
    out.write(safe(text) if out.isatty() else text)
    out.flush()


async def run(
    box: Box,
    order: Command,
    *,
    shown: str,
    check: bool,
    timeout: Duration | None,  # noqa: ASYNC109 - the command's own
    stream: Stream,
) -> CommandResult:
    """Run a command to its end.

    Args:
        box: Where.
        order: What.
        shown: What it is called in errors.
        check: Raise `CommandFailed` if it does not exit with 0.
        timeout: It is ended when this has gone by.
        stream: True to print its output as it comes; or called with `stdout` or `stderr`, and text.

    Raises:
        CommandFailed: With `check`.
        LinkError: If the connection broke meanwhile: the command may run on.
    """
    limit_s = None if timeout is None else seconds(timeout, "timeout")
    output = _Output(printed if stream is True else stream or None)
    began = time.monotonic()
    code = await _ended(box, order, output, limit_s, shown)
    result = CommandResult(
        exit_code=TIMED_OUT if code is None else code,
        stdout=output.text("stdout"),
        stderr=output.text("stderr"),
        duration=time.monotonic() - began,
        timed_out=code is None,
    )
    if check and not result.ok:
        raise CommandFailed(f"{box.name}: {shown}: {_why(result, limit_s)}", result=result)
    return result


def _why(result: CommandResult, limit_s: float | None) -> str:
    if result.timed_out:
        return f"timed out after {short_duration(limit_s or 0.0)}"
    last = result.stderr.strip().rpartition("\n")[2][-300:]
    return f"exit code {result.exit_code}" + (f" ({last})" if last else "")


async def _ended(box: Box, order: Command, output: _Output, limit_s: float | None, shown: str) -> int | None:
    """Return the exit code; None if its time ran out. Whatever it started ends with a wait that is given up."""
    is_done = False
    try:
        with anyio.move_on_after(limit_s):
            code = await box.once(lambda link: link.run(order, output))
            is_done = True
            return code
        return None
    except LinkDropped as error:
        is_done = True
        with contextlib.suppress(CloudError):  # EC2 may be out of reach for the same reason
            await box.look()
        if box.over is not None:
            raise box.over from error
        fix = "look there before you run it again; what must go on without you: a fleet's job, or nohup"
        raise LinkError(
            f"the connection to {box.name} broke while it ran {shown}, which may run on: {error}",
            instance=box.instance,
            fix=fix,
        ) from error
    finally:
        if not is_done or order.script is not None:
            grace_s = None if is_done else 2.0
            with anyio.move_on_after(END_S, shield=True):
                await _forget(box, order.id, grace_s)


async def _forget(box: Box, order: str, grace_s: float | None) -> None:
    try:
        await box.once(lambda link: link.end(order, grace_s=grace_s))
    except (LinkDropped, LinkError):
        return  # the box removes what ended by itself


def new_id() -> str:
    """Return a name for a command."""
    return os.urandom(8).hex()


def command_order(command: str | Sequence[str], *, env: Mapping[str, str], cwd: str) -> tuple[Command, str]:
    """Return the order of a shell command (or of words, which no shell sees), and what it is called.

    Raises:
        ConfigError: If it cannot be one.
    """
    if isinstance(command, str):
        if not command.strip():
            raise ConfigError("the command is empty", fix='await box.run("ls")')
        return Command(id=new_id(), words=("/bin/sh", "-c", command), where=cwd, env=env), _short(command)
    words = [str(word) for word in command]
    if not words:
        raise ConfigError("the command is empty", fix='await box.run(["ls"])')
    return Command(id=new_id(), words=words, where=cwd, env=env), _short(shlex.join(words))


def script_order(
    script: str | Path, args: Sequence[Any], *, env: Mapping[str, str], cwd: str, texts: Path
) -> tuple[Command, str]:
    """Return the order of a script, given as a path here or as text, and what it is called.

    Raises:
        ConfigError: If there is no such script, or it could not run.
    """
    if isinstance(script, str) and "\n" not in script and not script.startswith("#!") and not Path(script).exists():
        raise ConfigError(f"no such file: {script!r} (looked in {Path.cwd()})", fix=f"for a command: run({script!r})")
    found = find_script(script, base=Path.cwd(), texts=texts)
    name = Path(found.remote_path).name
    return (
        Command(
            id=new_id(),
            words=found.interpreter,
            where=cwd,
            env={"PYTHONUNBUFFERED": "1", **env},
            script=found.source.read_text(encoding="utf-8", errors="surrogateescape"),
            name=name,
            args=[str(arg) for arg in args],
        ),
        _short(str(script)),
    )


def _short(text: str) -> str:
    first = text.strip().partition("\n")[0]
    return first if len(first) <= 80 else f"{first[:79]}…"
