"""`aspot attach`: take up a run again that its process left, and see it to its end."""

from __future__ import annotations

import argparse
import sys

from aspot.cli.region import usual_regions
from aspot.cli.run import drive
from aspot.errors import ConfigError
from aspot.fleet import Fleet
from aspot.journal import runs as journals
from aspot.results import Results
from aspot.ui.show import viewer


def main(args: argparse.Namespace) -> int:
    """Take the run up; exit codes are those of `aspot run`, and 1 for a run whose jobs were never written down."""
    is_here = args.key is None and not args.from_cloud
    attachment = Fleet.attach(
        args.name,
        region=_regions(args),
        take_over=args.take_over or (is_here and _may_take_over(args.name)),
        key=args.key,
        from_cloud=args.from_cloud,
        results=args.results,
        show=viewer(True, json=args.json, quiet=args.quiet),
    )

    async def see_through() -> Results:
        async with attachment as fleet:
            await fleet.wait()
        return fleet.results

    code = drive(attachment.fleet, see_through(), args)
    return code if attachment.fleet.jobs else code or 1


def _regions(args: argparse.Namespace) -> list[str] | None:
    """Return where to look for the run; None: its journal says, or else AWS's own configuration."""
    usual = usual_regions() if args.from_cloud and not args.region else args.region
    return [region for region in usual if region] or None


def _may_take_over(name: str) -> bool:
    """Ask, on a terminal, whether to take a run from the process that drives it; no question if none does."""
    if not sys.stdin.isatty():
        return False
    try:
        known = journals.newest(name)
    except ConfigError:
        return False  # `Fleet.attach` says what there is
    if not known.is_live:
        return False
    print(f"{name} is being driven by another process{journals.who_drives(known)}.", file=sys.stderr)
    print("Take over? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")
