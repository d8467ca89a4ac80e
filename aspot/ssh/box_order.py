"""What is to be run on a box: the order of a command, as shell text that is never written down there. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence

import attrs

from aspot.errors import ConfigError
from aspot.machine.names import check_env_key


@attrs.frozen(kw_only=True)
class Command:
    """What is to be run.

    Args:
        id: Names it on the box: letters and digits.
        words: The program and its arguments.
        where: Folder, relative to home unless absolute.
        env: Environment variables.
        script: Text that is put into a file for the length of the run, which then is the last but `args` of the words.
        name: That file's name.
        args: What follows it.
        secret: Text that the command finds on its file descriptor 3 and nowhere else: not on the box's disk, not in
            its environment, not among its words; "" for none.
    """

    id: str
    words: Sequence[str]
    where: str = "~"
    env: Mapping[str, str] = attrs.field(factory=dict)
    script: str | None = None
    name: str = "script"
    args: Sequence[str] = ()
    secret: str = attrs.field(default="", repr=False)

    def text(self) -> bytes:
        """Return the order, as shell text that is never written down on the box.

        Raises:
            ConfigError: If a value cannot be passed to a program.
        """
        exports = [f"export {check_env_key(key)}={_quote(value)}" for key, value in self.env.items()]
        lines = [
            f"where={_quote(_home_relative(self.where))}",
            "job_env() {",
            ":",
            *exports,
            "}",
            *self._script(),
            *self._secret(),
            f"set -- {self._words()}",
            "#whole",
        ]
        return "\n".join(lines).encode("utf-8", "surrogateescape")

    def _script(self) -> list[str]:
        if self.script is None:
            return []
        file = f'"$own"/{_quote(self.name)}'
        return [f'mkdir -p "$own" && printf %s {_quote(self.script)} >{file} && chmod 700 {file} || die 125 "no room"']

    def _secret(self) -> list[str]:
        """Return lines that put the secret into a pipe; what writes it is the runner's own shell, forked."""
        if not self.secret:
            return []
        pipe = '"$own"/pipe'
        return [
            f'mkdir -p "$own" && mkfifo {pipe} || die 125 "no room"',
            f"printf '%s\\n' {_quote(self.secret)} >{pipe} 2>/dev/null &",
            f"exec 3<{pipe}",
            f"rm -f {pipe}",
        ]

    def _words(self) -> str:
        words = " ".join(map(_quote, self.words))
        if self.script is None:
            return words
        return " ".join([words, f'"$own"/{_quote(self.name)}', *map(_quote, self.args)])


def _quote(word: str) -> str:
    if "\0" in word:
        raise ConfigError("a NUL character cannot be passed to a program", fix="write it to a file and upload that")
    return shlex.quote(word)


def _home_relative(folder: str) -> str:
    """Return a folder as `cd` takes it from home: `~` and `~/x` are relative to that."""
    plain = folder.removeprefix("~/") if folder.startswith("~/") else folder
    return "." if plain in ("", "~") else plain
