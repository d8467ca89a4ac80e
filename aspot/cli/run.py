"""`aspot run`: words to a fleet and its jobs, results to a table or JSON, and an exit code."""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import sys
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aspot.cli.main import EXIT_INTERRUPTED
from aspot.cli.signals import run_interruptible
from aspot.errors import ConfigError
from aspot.fleet import Fleet
from aspot.items import number_or_text, read_items
from aspot.jobs import Job, grid
from aspot.profiles import Profile
from aspot.results import check_table
from aspot.ui.show import viewer

if TYPE_CHECKING:
    from aspot.results import Results

ASK_ABOVE = 50
"""More instances than this are confirmed on a terminal, or need --yes."""


def main(args: argparse.Namespace) -> int:
    """Run the jobs; return 0 if all succeeded, 1 if one did not, 3 if something is left, 130 on Ctrl-C."""
    jobs = jobs_of(args)
    fleet = Fleet(args.name, **fleet_options(args), show=viewer(True, json=args.json, quiet=args.quiet))
    confirm(args.instances or 0, is_sure=args.yes)
    if args.table or args.collect:
        _check_table(args)
        return drive(fleet, _tabled(fleet, fleet.run(jobs, detach=args.detach), args), args)
    return drive(fleet, fleet.run(jobs, detach=args.detach), args)


def _check_table(args: argparse.Namespace) -> None:
    """Refuse, before anything is launched, a table that could not be written."""
    if args.detach:
        raise ConfigError("--table and --collect need the end of the run", fix="leave --detach out")
    if args.table:
        check_table(args.table)


async def _tabled(fleet: Fleet, work: Coroutine[Any, Any, Results], args: argparse.Namespace) -> Results:
    """Write the table once the results are there; without a name it lies with them."""
    results = await work
    where = args.table or Path(args.results) / fleet.name / "table.csv"
    results.save(where, args.collect)
    return results


def drive(fleet: Fleet, work: Coroutine[Any, Any, Results], args: argparse.Namespace) -> int:
    """Do what a fleet is to do, print what became of it, and return the exit code.

    Args:
        fleet: The fleet.
        work: Sees it to its end, or leaves it.
        args: The command line's words.
    """
    try:
        results = run_interruptible(_stopping(fleet, work), abandon=fleet.abandon)
    except KeyboardInterrupt:
        if fleet.results.summary:
            _print(fleet.results, args)
        else:  # it had not even begun
            print("Nothing was launched.", file=sys.stderr)
        return EXIT_INTERRUPTED
    _print(results, args)
    return 0 if fleet.is_detached else exit_code(results)


async def _stopping(fleet: Fleet, work: Coroutine[Any, Any, Results]) -> Results:
    try:
        return await work
    except asyncio.CancelledError:
        await fleet.stop("Ctrl-C")
        raise


def exit_code(results: Results) -> int:
    """Return 3 if something is left, 1 if a job did not succeed, else 0."""
    if results.left:
        return 3
    return 0 if results.ok else 1


def _print(results: Results, args: argparse.Namespace) -> None:
    if not args.json:  # with --json, the viewer's last line holds the results
        print(results)
        sys.stdout.flush()


def confirm(instances: int, *, is_sure: bool) -> None:
    """Ask before many instances are launched.

    Raises:
        ConfigError: If they are not wanted, or nobody can be asked.
    """
    if instances <= ASK_ABOVE or is_sure:
        return
    if sys.stdin.isatty() and input(f"Launch up to {instances} instances? [y/N] ").strip().lower() in ("y", "yes"):
        return
    raise ConfigError(f"{instances} instances are many: nothing was launched", fix="add --yes if you mean it")


# --- words to options ---


def fleet_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `Fleet` that were given."""
    names = (
        "instances",
        "budget",
        "deadline",
        "max_life",
        "idle",
        "hold",
        "capacity_timeout",
        "on_demand_base",
        "rebalance",
        "keep_failed",
        "filesystem",
        "volumes",
        "volume_policy",
    )
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    existing = "replace" if args.replace else "resume" if args.resume else "refuse"
    return {**given, "profile": profile_of(args), "results": args.results, "existing": existing}


def profile_of(args: argparse.Namespace) -> Profile:
    """Return the profile the words ask for.

    Raises:
        ConfigError: If one of them cannot work.
    """
    names = (
        "market",
        "allocation",
        "max_price",
        "image",
        "user",
        "disk",
        "instance_profile",
        "key_pair",
        "security_group",
        "firewall",
    )
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    setup = _text_of(args.setup) if args.setup else None
    regions = list(dict.fromkeys(args.region))
    given |= {"region": regions[0]} if len(regions) == 1 else {"regions": regions}
    return Profile(args.profile, types=args.type, zones=args.zone, setup=setup, **given)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"--setup {path}: {error.strerror}", fix="name a shell script here") from error


def jobs_of(args: argparse.Namespace) -> list[Job]:
    """Return the jobs the words ask for.

    Raises:
        ConfigError: If there is none, or `--` is used with more than one script.
    """
    _take_axes(args)
    options = job_options(args)
    if not args.scripts:
        if not args.after:
            raise ConfigError("no script was given", fix="aspot run train.sh, or aspot run -- python3 train.py")
        return _expand(Job(command=_shell_words(args.after), **options), args)
    if args.after is not None and len(args.scripts) > 1:
        raise ConfigError("words after '--' go to one script, and there are several", fix="run them one by one")
    jobs = [Job(_script(script), args=args.after or (), **options) for script in args.scripts]
    return [job for base in jobs for job in _expand(base, args)]


def _take_axes(args: argparse.Namespace) -> None:
    """Let one `--grid` name several axes: a word KEY=VALUES that is no file is one of them, not a script."""
    if args.grid:
        axes = [word for word in args.scripts if re.match(r"[A-Za-z_][\w-]*=", word) and not os.path.lexists(word)]
        args.grid += axes
        args.scripts = [word for word in args.scripts if word not in axes]


def _script(path: str) -> Path:
    if not os.path.lexists(path):
        raise ConfigError(f"no such file: {path!r} (looked in {Path.cwd()})", fix=f"for a command: aspot run -- {path}")
    return Path(path)


def _expand(base: Job, args: argparse.Namespace) -> list[Job]:
    if not args.grid and not args.params:
        return [base]
    if base.script is None:
        raise ConfigError("--grid and --params need a script", fix="aspot run SCRIPT --grid lr=0.1,0.01")
    options = {"args": base.args, **job_options(args)}
    return Job.each(base.script, _items(args), **options)


def _items(args: argparse.Namespace) -> list[Any]:
    """Return each row of the table with each combination of the grid."""
    axes = [_axis(item) for item in args.grid]
    for key, times in Counter(key for key, _ in axes).items():
        if times > 1:
            raise ConfigError(f"--grid {key} is given {times} times", fix=f"--grid {key}=A,B,C holds all its values")
    points = grid(**dict(axes))
    if not args.params:
        return list(points)
    rows = read_items(args.params)
    if not args.grid:
        return rows
    for row in rows:
        if not isinstance(row, dict) or (twice := set(row) & set(points[0])):
            why = f"has {', '.join(sorted(twice))}, too" if isinstance(row, dict) else "has rows without names"
            raise ConfigError(f"--grid cannot go with {args.params}: it {why}", fix="give each parameter once")
    return [{**row, **point} for row in rows for point in points]


def _axis(text: str) -> tuple[str, list[Any]]:
    key, sign, values = text.partition("=")
    if not sign or not key or not values:
        raise ConfigError(f"--grid {text!r} is not KEY=A,B,C", fix="--grid lr=0.1,0.01 --grid seed=1..5")
    return key, [item for part in values.split(",") for item in _values(part)]


def _values(part: str) -> list[Any]:
    span = re.fullmatch(r"(-?\d+)\.\.(-?\d+)", part)
    return list(range(int(span[1]), int(span[2]) + 1)) if span else [number_or_text(part)]


def job_options(args: argparse.Namespace) -> dict[str, Any]:
    """Return the options of `Job` that were given."""
    names = ("download", "checkpoint_every", "on_notice", "timeout", "max_output", "attempts", "interruptions")
    given = {name: getattr(args, name) for name in names if getattr(args, name) is not None}
    return {
        **given,
        "upload": [_upload(item) for item in args.upload],
        "checkpoint": args.checkpoint,
        "evacuate": args.evacuate,
        "env": dict(_pair(item) for item in args.env),
    }


def _upload(text: str) -> str | tuple[str, str]:
    local, sign, remote = text.rpartition("=")
    return (local, remote) if sign and not Path(text).exists() else text


def _pair(text: str) -> tuple[str, str]:
    key, sign, value = text.partition("=")
    if not sign:
        raise ConfigError(f"--env {text!r} is not KEY=VALUE", fix=f"--env {text}=...")
    return key, value


def _shell_words(words: list[str]) -> str:
    """Return a shell command: one word is taken as it is, several are quoted word by word."""
    import shlex

    return words[0] if len(words) == 1 else shlex.join(words)
