"""What a client starts on a machine: told by a line of JSON, it carries data itself or serves one that syncs with it.

Travels there with `carrier` and `depot`: plain Python 3.8 of the standard library.
"""

from __future__ import annotations

import json
import os
import sys

from aspot.storage import carrier, depot, post


def main() -> None:
    """Read the order, carry it out, leave with its exit code."""
    sys.stdout.write(post.GREETING)
    sys.stdout.flush()
    order = json.loads(post.read_line())
    os._exit(depot.serve(order) if "folder" in order else carrier.work(order))
