"""`python -m benchmarks NAME`: every benchmark by name."""

from __future__ import annotations

import argparse
import sys

from benchmarks import fleet, journaling, placement, reconnect, recovery, returning, startup, sweeping


def main() -> int:
    """Parse the words and run one benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    for one in (fleet, startup, placement, returning, journaling, recovery, sweeping, reconnect):
        one.register(names)
    args = parser.parse_args()
    return int(args.handler(args))


if __name__ == "__main__":
    sys.exit(main())
