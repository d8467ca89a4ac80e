"""`aspot keys`: SSH keys in the state folder, what they still open, and the end of those that open nothing."""

from __future__ import annotations

import argparse
import asyncio
import enum
import json
import shutil
import sys
from collections.abc import Sequence

import attrs

from aspot.errors import AspotError
from aspot.journal import runs as journals
from aspot.journal.runs import RunInfo
from aspot.ui.safe import one_line
from aspot.way import seen

_GONE = ("terminated", "shutting-down")


class _Use(enum.Enum):
    """What the keys of a run are good for."""

    OPENS = "opens"
    DRIVEN = "driven"  # a process here drives the run and may launch more
    WANTED = "wanted"  # not ended: `aspot attach` needs them
    UNREADABLE = "unreadable"
    UNKNOWN = "unknown"  # EC2 was not asked
    NOTHING = "nothing"


@attrs.frozen(kw_only=True)
class _Keys:
    info: RunInfo
    use: _Use
    instances: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        name, opened = self.info.name, ", ".join(self.instances)
        return {
            _Use.OPENS: f"open {opened}",
            _Use.DRIVEN: f"in use: a process here drives {name}",
            _Use.WANTED: f"open nothing now; aspot attach {name} would need them, aspot down {name} ends it",
            _Use.UNREADABLE: f"kept: {self.info.trouble}",
            _Use.UNKNOWN: "kept: EC2 could not be asked what they open",
            _Use.NOTHING: "open nothing: the run has ended",
        }[self.use]


def ls(args: argparse.Namespace) -> int:
    """Print the keys that are kept here; what they open, if EC2 can be asked."""
    found, _ = _found()
    if args.json:
        print(json.dumps([_json(item) for item in found], indent=1))
    elif found:
        _print(found)
    else:
        print("No keys are kept here.")
    return 0


def clear(args: argparse.Namespace) -> int:
    """Remove the keys of ended runs that open nothing any more, with --yes; else say which these are."""
    found, trouble = _found()
    if trouble is not None:
        raise trouble
    doomed = [item for item in found if item.use is _Use.NOTHING]
    for item in doomed if args.yes else ():
        _remove(item)
    if args.json:
        print(json.dumps({"removed" if args.yes else "found": [_json(item) for item in doomed]}, indent=1))
        return 0
    names = ", ".join(item.info.name for item in doomed)
    if not doomed:
        print("No keys to clear: each may still be needed." if found else "No keys are kept here.")
    elif args.yes:
        print(one_line(f"Removed the keys of {names}."))
    else:
        _print(doomed)
        print("Nothing was removed: aspot keys clear --yes does it.")
    return 0


def _found() -> tuple[list[_Keys], AspotError | None]:
    """Return what is kept, oldest first, and why EC2 could not be asked about it."""
    kept = [item for item in journals.runs() if any(item.folder.keys.glob("*"))]
    asked = [item for item in kept if not item.trouble]
    try:
        alive = asyncio.run(_alive(asked)) if asked else {}
    except AspotError as error:
        print(one_line(f"EC2 was not asked: {error.message}"), file=sys.stderr)
        return [_judged(item, None) for item in kept], error
    return [_judged(item, alive) for item in kept], None


async def _alive(runs: Sequence[RunInfo]) -> dict[str, list[str]]:
    """Return the ids of instances that are there, by run."""
    alive: dict[str, list[str]] = {}
    for item in (await seen(runs)).values():
        if item.state not in _GONE:
            alive.setdefault(item.run, []).append(item.instance)
    return alive


def _judged(info: RunInfo, alive: dict[str, list[str]] | None) -> _Keys:
    """Return what the keys of a run are good for; None: EC2 was not asked."""
    instances = tuple(sorted((alive or {}).get(info.id, ())))
    if instances:
        return _Keys(info=info, use=_Use.OPENS, instances=instances)
    if info.trouble:
        return _Keys(info=info, use=_Use.UNREADABLE)
    if info.is_live:
        return _Keys(info=info, use=_Use.DRIVEN)
    if alive is None:
        return _Keys(info=info, use=_Use.UNKNOWN)
    return _Keys(info=info, use=_Use.NOTHING if info.ended is not None else _Use.WANTED)


def _remove(keys: _Keys) -> None:
    try:
        shutil.rmtree(keys.info.folder.keys)
    except OSError as error:
        raise AspotError(f"cannot remove {keys.info.folder.keys}: {error.strerror}") from error


def _print(found: Sequence[_Keys]) -> None:
    width = max(len(item.info.name) for item in found)
    for item in found:
        print(one_line(f"{item.info.name:<{width}}  {item.text}"))


def _json(keys: _Keys) -> dict[str, object]:
    info = keys.info
    return {
        "run": info.name,
        "id": info.id,
        "folder": str(info.folder.keys),
        "use": keys.use.value,
        "instances": list(keys.instances),
    }
