"""What the words of the command line are made of: a parser with our errors, commands imported when they are called."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable
from typing import NoReturn

from aspot.errors import ConfigError

REGION = "AWS region (default: the profile's, then AWS's own configuration)"

Handler = Callable[[argparse.Namespace], int]


class Parser(argparse.ArgumentParser):
    """Reports wrong use as aspot's own error, so that it looks like all others."""

    def error(self, message: str) -> NoReturn:
        """Raise it."""
        raise ConfigError(message, fix=f"{self.prog} --help")


def command(module: str, function: str = "main") -> Handler:
    """Return a handler that imports its module when it is called."""

    def call(args: argparse.Namespace) -> int:
        return int(getattr(importlib.import_module(module), function)(args))

    return call


class _Regions(argparse.Action):
    """Collects regions: the option may be repeated, and takes several after commas."""

    def __call__(
        self, parser: argparse.ArgumentParser, namespace: argparse.Namespace, values: object, option: str | None = None
    ) -> None:
        found = [word.strip() for word in str(values).split(",") if word.strip()]
        if not found:
            parser.error(f"{option} names a region, such as us-east-1")
        setattr(namespace, self.dest, [*getattr(namespace, self.dest), *found])


def common(parser: argparse.ArgumentParser, *, as_json: str = "print JSON", regions: bool = False) -> None:
    """Add the options that every command has.

    Args:
        parser: The command's.
        as_json: What `--json` does there.
        regions: Whether it may be about several regions: `args.region` is a list then.
    """
    parser.add_argument("--json", action="store_true", help=as_json)
    if regions:
        many = f"{REGION}; may be repeated"
        parser.add_argument("--region", metavar="REGION", action=_Regions, default=[], help=many)
    else:
        parser.add_argument("--region", metavar="REGION", help=REGION)
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it
