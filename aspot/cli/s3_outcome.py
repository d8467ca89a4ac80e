"""What a copy did, for people and for programs."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from aspot.storage.copying import Outcome
from aspot.ui.figures import size
from aspot.ui.safe import one_line

MOST_NAMED = 5


def told(outcome: Outcome, args: argparse.Namespace) -> int:
    """Say what a copy did; return its exit code."""
    dry = bool(getattr(args, "dry_run", False))
    if args.json:
        print(json.dumps(outcome_object(outcome, dry=dry)))
    say_outcome(outcome, dry=dry, quiet=args.quiet, as_json=args.json)
    return 3 if outcome.failed else 0


def say_outcome(outcome: Outcome, *, dry: bool, quiet: bool, as_json: bool, label: str = "") -> None:
    """Say what a copy did, in lines for people; what is said as JSON already is not said again on stdout.

    Args:
        outcome: What came of it.
        dry: Whether nothing was changed.
        quiet: Say only what failed.
        as_json: Whether JSON has told it.
        label: Of one copy among several.
    """
    if dry and not as_json:
        for verb, names in (("copy", outcome.copied), ("delete", outcome.deleted)):
            for name in names:
                print(f"would {verb} {one_line(name, limit=2000)}")
    start = f"{one_line(label)}: " if label else ""
    if not quiet:
        for name, why in outcome.skipped.items():
            print(f"left out: {one_line(name)} ({why})", file=sys.stderr)
        print(f"{start}{summary(outcome, dry=dry)}", file=sys.stderr)
    say_failed(outcome.failed, "copied")


def outcome_object(outcome: Outcome, *, dry: bool) -> dict[str, Any]:
    """Return what a copy did as JSON says it."""
    return {
        "copied": outcome.copied,
        "bytes": outcome.size,
        "same": outcome.same,
        "deleted": outcome.deleted,
        "skipped": outcome.skipped,
        "failed": outcome.failed,
        "dry_run": dry,
    }


def summary(outcome: Outcome, *, dry: bool) -> str:
    """Return one line on what a copy did."""
    words = [f"{count(len(outcome.copied), 'file')} {'to copy' if dry else 'copied'}, {size(outcome.size)}"]
    if outcome.same:
        words.append(f"{outcome.same} the same")
    if outcome.deleted:
        words.append(f"{len(outcome.deleted)} {'to delete' if dry else 'deleted'}")
    return ", ".join(words)


def say_failed(failed: dict[str, str], done: str) -> None:
    """Say which were not done, and why; the first few of them."""
    for name, why in list(failed.items())[:MOST_NAMED]:
        print(f"not {done}: {one_line(name)}: {one_line(why)}", file=sys.stderr)
    if len(failed) > MOST_NAMED:
        print(f"and {len(failed) - MOST_NAMED} more", file=sys.stderr)


def count(number: int, what: str) -> str:
    """Return a number of things in words."""
    return f"{number} {what}{'' if number == 1 else 's'}"
