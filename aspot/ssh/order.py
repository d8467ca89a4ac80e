"""What the runner reads and says: the order of an attempt as shell text, the status line, the facts. Pure."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from datetime import UTC, datetime

from aspot.machine.model import ExitStatus, JobSpec
from aspot.machine.names import ENV_KEY, NAME
from aspot.ports import (
    AttemptOrder,
    RunnerExited,
    RunnerFact,
    RunnerHookDone,
    RunnerNotice,
    RunnerRebalance,
    Undeliverable,
)
from aspot.ssh.noted import note_of

GRACE_S = 10.0
"""Between TERM and KILL when a script's own timeout has run out."""

_STATUS = re.compile(
    r"v1 rc=(\d{1,3}) why=([a-z_]{1,20}) end=(\d{1,10}) boot=([0-9A-Za-z-]{1,64}) out=(\d{1,18}) err=(\d{1,18}) ok"
)


def hundredths(seconds: float) -> int:
    """Return seconds in the runner's unit, at least one."""
    return max(1, round(seconds * 100))


def status_of(line: str) -> ExitStatus | None:
    """Return the status that a line states, whole and to the letter; None if it states none."""
    found = _STATUS.fullmatch(line)
    if found is None:
        return None
    code, why, end, boot, out, err = found.groups()
    ended = datetime.fromtimestamp(int(end), UTC)
    return ExitStatus(code=int(code), why=why, ended=ended, out=int(out), err=int(err), boot_id=boot)


def fact_of(line: str) -> RunnerFact | None:
    """Return the fact that a line of the machine's events states; None for anything else."""
    words = line.split(" ")
    try:
        match words:
            case ["notice", when]:
                return RunnerNotice(deadline=datetime.fromisoformat(when).astimezone(UTC))
            case ["rebalance"]:
                return RunnerRebalance()
            case ["exited", job, number, *_] if NAME.fullmatch(job):
                return RunnerExited(job=job, attempt=int(number))
            case ["hook", job, number, code] if NAME.fullmatch(job):
                return RunnerHookDone(job=job, attempt=int(number), code=int(code))
    except (ValueError, OverflowError):
        return None
    return None


def status_in(line: str) -> ExitStatus | None:
    """Return the status that an `exited` line carries; None if it carries none."""
    _, mark, status = line.partition(" v1 ")
    return status_of(f"v1 {status}") if mark else None


def order_text(order: AttemptOrder, run: str) -> bytes:
    """Return the order of an attempt as the shell text that the supervisor reads; every value is one quoted word.

    Raises:
        Undeliverable: If a value cannot be passed to a program.
    """
    spec = order.spec
    lines = [
        f"timeout={hundredths(spec.timeout_s) if spec.timeout_s is not None else 0}",
        f"grace={hundredths(GRACE_S)}",
        f"most={spec.max_output}",
        f"hook={_quote(spec.on_notice)}",
        f"spec={_quote(note_of(spec))}",
        *_checkpoint(spec),
        "job_env() {",
        *_checkpoint_export(spec),
        *_exports(_environment(order, run)),
        "}",
        f"set -- {_words(spec)}",
        "whole=yes",
        "#whole",
        "",
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def setup_text(script: str) -> bytes:
    """Return the order that runs a profile's set-up script in the home folder."""
    interpreter = "" if script.startswith("#!") else "/bin/sh "
    lines = [
        f"printf %s {_quote(script)} >work/setup",
        "chmod 700 work/setup",
        "job_env() { :; }",
        f'set -- /bin/sh -c \'cd "$HOME" && exec "$@"\' sh {interpreter}"$D/work/setup"',
        "whole=yes",
        "#whole",
        "",
    ]
    return "\n".join(lines).encode("utf-8", "surrogateescape")


def _environment(order: AttemptOrder, run: str) -> dict[str, str]:
    own = {"ASPOT_JOB": order.spec.name, "ASPOT_ATTEMPT": str(order.attempt), "ASPOT_RUN": run}
    return {"PYTHONUNBUFFERED": "1", **order.spec.env, **order.secret_env, **own}


def _exports(environment: Mapping[str, str]) -> list[str]:
    for key in environment:
        if not ENV_KEY.fullmatch(key):
            raise Undeliverable(f"environment variable {key!r} is not a name", is_local=True)
    return [f"export {key}={_quote(value)}" for key, value in environment.items()]


def _checkpoint(spec: JobSpec) -> list[str]:
    """Return the folder to make: the first path itself, or what holds it if it is named like a file."""
    if not spec.checkpoint:
        return []
    path = "work/" + spec.checkpoint[0].strip("/")
    folder, _, name = path.rpartition("/")
    return [f"checkpoint={_quote(folder if '.' in name[1:] else path)}"]


def _checkpoint_export(spec: JobSpec) -> list[str]:
    if not spec.checkpoint:
        return []
    return [f'export ASPOT_CHECKPOINT_DIR="$D"/work/{_quote(spec.checkpoint[0].strip("/"))}']


def _words(spec: JobSpec) -> str:
    if spec.command:
        whole = " ".join([spec.command, *map(shlex.quote, spec.args)])
        return f"/bin/sh -c {_quote(whole)}"
    script = f"./{spec.remote_path}" if spec.remote_path.startswith("-") else spec.remote_path
    return " ".join(map(_quote, [*spec.interpreter, script, *spec.args]))


def _quote(word: str) -> str:
    if "\0" in word:
        raise Undeliverable("a NUL character cannot be passed to a program", is_local=True)
    return shlex.quote(word)
