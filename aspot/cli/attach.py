"""`aspot attach`: take up a run again that its process left, and see it to its end."""

from __future__ import annotations

import argparse

from aspot.cli.run import drive
from aspot.fleet import Fleet
from aspot.results import Results
from aspot.ui.show import viewer


def main(args: argparse.Namespace) -> int:
    """Take the run up; exit codes are those of `aspot run`."""
    attachment = Fleet.attach(
        args.name,
        region=args.region,
        key=args.key,
        from_cloud=args.from_cloud,
        results=args.results,
        show=viewer(True, json=args.json, quiet=args.quiet),
    )

    async def see_through() -> Results:
        async with attachment as fleet:
            await fleet.wait()
        return fleet.results

    return drive(attachment.fleet, see_through(), args)
