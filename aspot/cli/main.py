"""Entry point: parse the words, call the command, turn errors into one clear message and an exit code."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence

from aspot.errors import AspotError, InternalError

EXIT_INTERRUPTED = 130
TRACEBACK = "ASPOT_TRACEBACK"
"""Set, it shows tracebacks and log records."""


def run() -> None:
    """Run the `aspot` command and exit with its code."""
    sys.exit(main(sys.argv[1:]))


def main(words: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0, 1 job, 2 use, 3 cloud or something left, 130 Ctrl-C."""
    from aspot.cli.arguments import parse

    if not os.environ.get(TRACEBACK):
        logging.getLogger().addHandler(logging.NullHandler())  # what users need to know, they are told in words
    try:
        args = parse(words)
        return int(args.handler(args))
    except AspotError as error:
        return _report(error)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _report(error: AspotError) -> int:
    from aspot.ui.tables import error_text

    if os.environ.get(TRACEBACK):
        raise error
    if isinstance(error, InternalError):
        error.story = ()
        error.fix = f"please report it, with what {TRACEBACK}=1 shows"
    print(error_text(error), file=sys.stderr)
    return error.exit_code
