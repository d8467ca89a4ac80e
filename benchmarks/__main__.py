"""`python -m benchmarks NAME`: every benchmark by name."""

from __future__ import annotations

import argparse
import sys

from benchmarks import fleet, placement, reconnect, startup


def main() -> int:
    """Parse the words and run one benchmark."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    names = parser.add_subparsers(dest="name", required=True)
    fleet.register(names)
    placement.register(names)
    reconnect.register(names)
    startup.register(names)
    args = parser.parse_args()
    return int(args.handler(args))


if __name__ == "__main__":
    sys.exit(main())
