"""`python -m aspot` is the `aspot` command."""

from aspot.cli.main import run

run()
