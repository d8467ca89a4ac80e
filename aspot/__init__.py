"""Run scripts on EC2 spot instances: launched together, watched, brought home, nothing left behind.

    results = await Fleet.run_many(["train.sh", "eval.sh"])

This module is the public face and nothing else; everything is imported when it is first used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from aspot.boxes.commands import CommandResult
    from aspot.errors import (
        AspotError,
        AuthError,
        CapacityError,
        CloudError,
        CommandFailed,
        ConfigError,
        HostKeyError,
        InternalError,
        JobsFailed,
        LinkError,
        QuotaError,
        ThrottledError,
    )
    from aspot.fleet import Fleet, JobHandle, run_many
    from aspot.instance import Instance
    from aspot.items import split
    from aspot.jobs import Job, grid
    from aspot.machine.news import News
    from aspot.profiles import Profile
    from aspot.results import Attempt, Kept, Result, Results

_HOMES = {
    "AspotError": "aspot.errors",
    "Attempt": "aspot.results",
    "AuthError": "aspot.errors",
    "CapacityError": "aspot.errors",
    "CloudError": "aspot.errors",
    "CommandFailed": "aspot.errors",
    "CommandResult": "aspot.boxes.commands",
    "ConfigError": "aspot.errors",
    "Fleet": "aspot.fleet",
    "HostKeyError": "aspot.errors",
    "Instance": "aspot.instance",
    "InternalError": "aspot.errors",
    "Job": "aspot.jobs",
    "JobHandle": "aspot.fleet",
    "JobsFailed": "aspot.errors",
    "Kept": "aspot.results",
    "LinkError": "aspot.errors",
    "News": "aspot.machine.news",
    "Profile": "aspot.profiles",
    "QuotaError": "aspot.errors",
    "Result": "aspot.results",
    "Results": "aspot.results",
    "ThrottledError": "aspot.errors",
    "grid": "aspot.jobs",
    "run_many": "aspot.fleet",
    "split": "aspot.items",
}

__all__ = [
    "AspotError",
    "Attempt",
    "AuthError",
    "CapacityError",
    "CloudError",
    "CommandFailed",
    "CommandResult",
    "ConfigError",
    "Fleet",
    "HostKeyError",
    "Instance",
    "InternalError",
    "Job",
    "JobHandle",
    "JobsFailed",
    "Kept",
    "LinkError",
    "News",
    "Profile",
    "QuotaError",
    "Result",
    "Results",
    "ThrottledError",
    "grid",
    "run_many",
    "split",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'aspot' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
