"""`aspot doctor`: what stands between this machine and a launch, each with its fix."""

from __future__ import annotations

import argparse
import asyncio
import json

import attrs

from aspot.aws.doctor import checks
from aspot.cli.region import usual_regions
from aspot.ui.tables import Check, doctor_text


def main(args: argparse.Namespace) -> int:
    """Run every check; return 0 if none failed, else 3."""
    found = asyncio.run(_checks(args))
    if args.json:
        print(json.dumps([attrs.asdict(check) for check in found], indent=1))
    return 3 if any(check.verdict == "failed" for check in found) else 0


async def _checks(args: argparse.Namespace) -> list[Check]:
    found = []
    for region in [args.region] if args.region else usual_regions():
        async for item in checks(region):
            check = Check(**attrs.asdict(item))
            found.append(check)
            if not args.json:
                print(doctor_text([check]), flush=True)
    return found
