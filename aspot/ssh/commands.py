"""The runner's command lines, and what its refusals mean."""

from __future__ import annotations

import functools
import shlex
from importlib import resources

from aspot.errors import LinkError
from aspot.files.haul import Damaged
from aspot.ports import LinkDropped
from aspot.ssh.exchange import CommandRefused


@functools.cache
def runner_text() -> bytes:
    """Return the runner."""
    return resources.files("aspot.ssh").joinpath("runner.sh").read_bytes()


def command(*words: str | float) -> str:
    """Return the line, the same to every login shell, that runs a runner's command of safe names and numbers."""
    return 'exec /bin/sh "$HOME/.aspot/run" ' + " ".join(str(word) for word in words)


def install_command(words: str) -> str:
    """Return the command line that sends the runner by stdin, whole or not at all, and has it arm the machine.

    It puts itself in its place there, unless the machine heeds another client by now. The input stays open for the one
    word that `arm` waits for.

    Args:
        words: The runner's: who we are, `arm`, and its numbers.
    """
    return _received(f'cd && exec /bin/sh "$HOME/.aspot/.run.$$" {words}')


def install_line(*words: str) -> str:
    """Return the command line that installs the runner from stdin, whole or not at all, and runs a command of it."""
    return _received(f'mv -f .run.$$ run && cd && exec /bin/sh "$HOME/.aspot/run" {" ".join(words)}')


def _received(then: str) -> str:
    """Return the command line that takes the runner from stdin as `.run.PID`, and does that if it came whole."""
    steps = (
        f'umask 077; mkdir -p "$HOME/.aspot/.machine" && cd "$HOME/.aspot" && head -c {len(runner_text())} >.run.$$ '
        f'&& [ "$(wc -c <.run.$$)" -eq {len(runner_text())} ] && {then}'
    )
    return f"exec /bin/sh -c {shlex.quote(steps)}"


class answers:  # noqa: N801 - reads as a verb
    """A runner that refuses what it should not has lost its files or its mind: connect and arm again."""

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, CommandRefused):
            raise LinkDropped(f"the runner refused: {error}") from error


class honest:  # noqa: N801 - reads as a demand
    """Turns what an instance claimed wrongly into an error that names it.

    Args:
        label: What users call the instance.
    """

    def __init__(self, label: str) -> None:
        self._label = label

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, Damaged | CommandRefused):
            raise LinkError(f"{self._label}: {error}") from error
