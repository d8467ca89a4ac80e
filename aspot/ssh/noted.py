"""What a machine keeps of a job, beside its attempt: enough to bring home what was asked for if the journal is lost.

Read back, it is a machine's claim: nothing in it names a local file, and every path is judged where it is used. Pure.
"""

from __future__ import annotations

import json
import re
from typing import Any

from aspot.machine.model import JobSpec

MOST = 256 << 10
"""Characters of a note; a job with more in it (huge params) is known by its name only."""

_DIGEST = re.compile(r"[0-9a-f]{64}")


def note_of(spec: JobSpec) -> str:
    """Return a job as one line; "" if it is too long."""
    told = {
        "v": 1,
        "script": spec.script,
        "command": spec.command,
        "params": dict(spec.params),
        "download": spec.download,
        "checkpoint": spec.checkpoint,
        "checkpoint_every_s": spec.checkpoint_every_s,
        "evacuate": spec.evacuate,
        "timeout_s": spec.timeout_s,
        "max_output": spec.max_output,
        "inputs": spec.inputs,
    }
    line = json.dumps(told, separators=(",", ":"))
    return line if len(line) <= MOST else ""


def spec_of(job: str, line: str) -> JobSpec:
    """Return a job as a machine's note tells it; one of which nothing is known but its name, if that makes no sense."""
    try:
        return _spec(job, json.loads(line))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        return JobSpec(name=job, script=job)


def _spec(job: str, told: dict[str, Any]) -> JobSpec:
    digest = str(told["inputs"])
    return JobSpec(
        name=job,
        script=str(told["script"]),
        command=str(told["command"]),
        params={str(key): _plain(value) for key, value in told["params"].items()},
        download=_texts(told["download"]),
        checkpoint=_texts(told["checkpoint"]),
        checkpoint_every_s=_seconds(told["checkpoint_every_s"]),
        evacuate=_texts(told["evacuate"]),
        timeout_s=_seconds(told["timeout_s"]),
        max_output=max(0, int(told.get("max_output", 0))),
        inputs=digest if _DIGEST.fullmatch(digest) else "",
    )


def _texts(values: list[Any]) -> tuple[str, ...]:
    if not isinstance(values, list) or len(values) > 1000 or any("\n" in str(value) for value in values):
        raise ValueError("not a list of patterns")
    return tuple(str(value) for value in values)


def _seconds(value: Any) -> float | None:
    found = None if value is None else float(value)
    if found is not None and not 0 < found < 1e9:
        raise ValueError("not a duration")
    return found


def _plain(value: Any) -> str | int | float | bool | None:
    return value if value is None or isinstance(value, str | int | float | bool) else str(value)
