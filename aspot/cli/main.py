"""Entry point: parse the words, call the command, turn errors into one clear message and an exit code."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Sequence

from aspot.errors import AspotError, InternalError

EXIT_INTERRUPTED = 130
STREAMS = ("run", "attach", "demo")
"""Commands whose `--json` prints one object a line: an error is the last one then."""
TRACEBACK = "ASPOT_TRACEBACK"
"""Set, it shows tracebacks and log records."""


def run() -> None:
    """Run the `aspot` command and exit with its code."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # as stderr: no character is worth a crash
    sys.exit(main(sys.argv[1:]))


def spot_connect() -> None:
    """Run `aspot connect` by its ancestor's name, and exit with its code."""
    sys.argv[1:1] = ["connect"]
    run()


def main(words: Sequence[str]) -> int:
    """Run one command line and return its exit code: 0, 1 job, 2 use, 3 cloud or something left, 130 Ctrl-C."""
    from aspot.cli.arguments import parse

    if not os.environ.get(TRACEBACK):
        logging.getLogger().addHandler(logging.NullHandler())  # what users need to know, they are told in words
    is_stream = False
    try:
        args = parse(words)
        is_stream = args.command in STREAMS and args.json
        return int(args.handler(args))
    except AspotError as error:
        return _report(error, is_stream=is_stream)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def _report(error: AspotError, *, is_stream: bool) -> int:
    from aspot.ui.ndjson import error_object, to_line
    from aspot.ui.tables import error_text

    if os.environ.get(TRACEBACK):
        raise error
    if isinstance(error, InternalError):
        error.story = ()
        error.fix = f"please report it, with what {TRACEBACK}=1 shows"
    print(error_text(error), file=sys.stderr)
    if is_stream:
        print(to_line(error_object(error)))
    return error.exit_code
