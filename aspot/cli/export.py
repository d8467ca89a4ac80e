"""`aspot export`: what another computer needs to go on with a fleet, in one file."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path

from aspot.carry.pack import Exported, export
from aspot.ui.figures import size
from aspot.ui.safe import one_line


def main(args: argparse.Namespace) -> int:
    """Write the file; return 0. What is not in it is said on stderr."""
    found = export(args.name, Path(args.file) if args.file else None, with_results=args.with_results)
    if args.json:
        print(json.dumps(_json(found), indent=1))
    else:
        print(
            f"{found.name} is in {found.path} ({size(found.size)}). Whoever has this file can log in to its machines."
        )
    if not args.quiet:
        for line in _notes(found):
            print(one_line(line), file=sys.stderr)
    return 0


def _json(found: Exported) -> dict[str, object]:
    return {
        "file": str(found.path),
        "run": found.name,
        "id": found.run,
        "bytes": found.size,
        "open_jobs": found.jobs,
        "lost": found.lost,
        "secrets": list(found.secrets),
        "stayed": list(found.stayed),
        "driven": found.is_driven,
    }


def _notes(found: Exported) -> Iterator[str]:
    for job, why in found.lost.items():
        yield f"{job}: its files are not in it, so it cannot start there: {why}"
    if found.secrets:
        yield f"Values of secrets are not in it; set them there: {', '.join(found.secrets)}"
    if found.stayed:
        many = f"{len(found.stayed)} {'result stays' if len(found.stayed) == 1 else 'results stay'}"
        yield f"{many} here, in {found.results} (--with-results takes them along)"
    if found.is_driven:
        yield f"{found.name} is driven here now: what happens from now on is not in the file. Leave it first: press d."
    word = shlex.quote(found.path.name)
    yield f"There: aspot attach {found.name} --key {word}. Go on at one computer only, then remove the file."
