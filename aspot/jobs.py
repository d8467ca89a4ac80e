"""`Job`, `grid`: what a user asks to be run. Values only; files are looked at when the job is submitted."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs

from aspot.errors import ConfigError
from aspot.items import read_items
from aspot.machine.names import check_env_key, check_name
from aspot.machine.quantities import Duration, byte_count, seconds

USUAL_OUTPUT = 1_000_000_000
"""Bytes of each of a job's outputs that are kept: more is a mistake as a rule, and would fill the machine's disk."""

LEAST_OUTPUT = 1_000_000

Param = str | int | float | bool | None


def _strings(value: str | Path | Iterable[str | Path]) -> tuple[str, ...]:
    return (str(value),) if isinstance(value, str | Path) else tuple(str(item) for item in value)


def _args(value: Iterable[object]) -> tuple[str, ...]:
    if isinstance(value, str):
        raise ConfigError(f"args must be a list of words, not one string: {value!r}", fix='args=["--lr", "0.1"]')
    return tuple(str(item) for item in value)


def _upload(value: str | Path | Mapping[str, str] | Iterable[Any]) -> tuple[tuple[str, str], ...]:
    """Return (local, name below work/) pairs; "" asks for the usual name."""
    if isinstance(value, Mapping):
        return tuple((str(local), str(remote)) for local, remote in value.items())
    if isinstance(value, str | Path):
        return ((str(value), ""),)
    return tuple(itertools.chain.from_iterable(_upload_item(item) for item in value))


def _upload_item(item: Any) -> tuple[tuple[str, str], ...]:
    if isinstance(item, tuple) and len(item) == 2:
        return ((str(item[0]), str(item[1])),)
    return _upload(item)


def _env(value: Mapping[str, object]) -> dict[str, str]:
    return {check_env_key(key): str(item) for key, item in value.items()}


def _optional_seconds(value: Duration | None) -> float | None:
    return None if value is None else seconds(value)


def _output(value: float | str | None) -> int | None:
    return None if value in (None, "all") else byte_count(value, "max_output", least=LEAST_OUTPUT)


def _count(least: int) -> Any:
    def check(_: Job, attribute: attrs.Attribute[int], value: int) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or value < least:
            raise ConfigError(
                f"{attribute.name} must be a whole number of at least {least}, not {value!r}",
                fix=f"leave {attribute.name} out for {attribute.default}",
            )

    return check


def _above_zero(_: Job, attribute: attrs.Attribute[float | None], value: float | None) -> None:
    if value is not None and value <= 0:
        raise ConfigError(f"{attribute.name} must be above 0 seconds, not {value!r}", fix=f"leave {attribute.name} out")


@attrs.frozen
class Job:
    """A script, or a command, with its files, environment and limits.

    Args:
        script: Path of a script, or its text (with a newline, or starting with `#!`).
        command: A shell command instead of a script.
        args: Words after the script or the command.
        name: Unique in the fleet; made from the script's name when left out.
        env: Environment variables.
        secrets: Names of variables taken from your environment; sent over SSH only, never written down here.
        params: What the job stands for, shown in tables (`Job.each` fills it).
        upload: Files and folders, globs, or a mapping that renames (`{"src": "."}`).
        download: What to bring home, relative to the working directory; globs allowed.
        checkpoint: Files or folders that are saved on interruption and put back before the next attempt.
        checkpoint_every: Save the checkpoint this often while the script runs (seconds, "5m", timedelta).
        evacuate: Files or folders to bring home when EC2 gives notice, the most important first, as far as time goes;
            they land in the job's folder, in `attempts/aN/evacuated`. Globs allowed.
        on_notice: Shell command run on the instance when EC2 gives notice.
        timeout: The script's own seconds per attempt.
        max_output: How much of stdout, and of stderr, is kept: bytes, "500 MB", "20 GB"; "all" or None for all. Of what
            is longer, the beginning is kept, a line says how much is left out, and its last MB follows.
        attempts: How many tries the script's own failures may use up.
        interruptions: How many interruptions the job may see.

    Raises:
        ConfigError: If an option cannot work.
    """

    script: str | Path | None = None
    command: str | None = attrs.field(default=None, kw_only=True)
    args: tuple[str, ...] = attrs.field(default=(), converter=_args, kw_only=True)
    name: str | None = attrs.field(default=None, kw_only=True)
    env: Mapping[str, str] = attrs.field(factory=dict, converter=_env, kw_only=True)
    secrets: tuple[str, ...] = attrs.field(default=(), converter=_strings, kw_only=True)
    params: Mapping[str, Param] = attrs.field(factory=dict, converter=dict, kw_only=True)
    upload: tuple[tuple[str, str], ...] = attrs.field(default=(), converter=_upload, kw_only=True)
    download: tuple[str, ...] = attrs.field(default=("out",), converter=_strings, kw_only=True)
    checkpoint: tuple[str, ...] = attrs.field(default=(), converter=_strings, kw_only=True)
    checkpoint_every: float | None = attrs.field(
        default=None, converter=_optional_seconds, validator=_above_zero, kw_only=True
    )
    evacuate: tuple[str, ...] = attrs.field(default=(), converter=_strings, kw_only=True)
    on_notice: str | None = attrs.field(default=None, kw_only=True)
    timeout: float | None = attrs.field(default=None, converter=_optional_seconds, validator=_above_zero, kw_only=True)
    max_output: int | None = attrs.field(default=USUAL_OUTPUT, converter=_output, kw_only=True)
    attempts: int = attrs.field(default=1, validator=_count(1), kw_only=True)
    interruptions: int = attrs.field(default=10, validator=_count(0), kw_only=True)

    def __attrs_post_init__(self) -> None:
        if (self.script is None) == (self.command is None):
            raise ConfigError("a job has either a script or a command", fix='Job("train.sh") or Job(command="make")')
        if self.command is not None and not self.command.strip():
            raise ConfigError("the command is empty", fix='Job(command="python3 train.py")')
        if self.name is not None:
            check_name(self.name, "job name")
        for key in self.secrets:
            check_env_key(key)

    @property
    def display(self) -> str:
        """Return the script as given, or the command; `<text>` for a script's text."""
        if self.script is None:
            return self.command or ""
        text = str(self.script)
        return "<text>" if not isinstance(self.script, Path) and is_script_text(text) else text

    @classmethod
    def each(
        cls, script: str | Path, items: Iterable[object] | Path, *, pass_as: str = "flags", **options: Any
    ) -> list[Job]:
        """Return one job for each item.

        Args:
            script: Path or text of the script.
            items: A dict becomes `--key value` words (or environment variables); any other item becomes one argument.
                A `Path` names a table (`.csv`, `.tsv`, `.json`, `.jsonl`): a job for each of its rows.
            pass_as: `flags` or `env`.
            **options: As for `Job`; `args` come before the item's.

        Raises:
            ConfigError: If `pass_as` is neither, an option cannot work, or the table cannot be read.
        """
        if pass_as not in ("flags", "env"):
            raise ConfigError(f"pass_as must be 'flags' or 'env', not {pass_as!r}", fix="leave pass_as out for flags")
        found = read_items(items) if isinstance(items, Path) else items
        return [_job_for(script, item, pass_as, options) for item in found]


def _job_for(script: str | Path, item: object, pass_as: str, options: Mapping[str, Any]) -> Job:
    base = Job(script, **options)
    params: dict[str, Any] = dict(item) if isinstance(item, Mapping) else {"item": item}
    if not isinstance(item, Mapping):
        return attrs.evolve(base, args=(*base.args, str(item)), params={**base.params, **params})
    if pass_as == "env":
        env = {str(key).upper(): str(value) for key, value in params.items()}
        return attrs.evolve(base, env={**base.env, **env}, params={**base.params, **params})
    words = [word for key, value in params.items() for word in flag_words(str(key), value)]
    return attrs.evolve(base, args=(*base.args, *words), params={**base.params, **params})


def flag_words(key: str, value: object) -> tuple[str, ...]:
    """Return `--key value`; `True` gives the flag alone, `False` and `None` give nothing."""
    if value is True:
        return (f"--{key}",)
    return () if value is None or value is False else (f"--{key}", str(value))


def grid(**axes: Iterable[Any] | Any) -> list[dict[str, Any]]:
    """Return every combination of the axes' values, the last axis moving fastest.

    >>> grid(lr=[0.1, 0.01], seed=range(2))
    [{'lr': 0.1, 'seed': 0}, {'lr': 0.1, 'seed': 1}, {'lr': 0.01, 'seed': 0}, {'lr': 0.01, 'seed': 1}]
    """
    values = [_axis(value) for value in axes.values()]
    return [dict(zip(axes, combination, strict=True)) for combination in itertools.product(*values)]


def _axis(value: Any) -> Sequence[Any]:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return (value,)
    return tuple(value)


def is_script_text(text: str) -> bool:
    """Tell whether a string is a script's text rather than a path: it has a newline or starts with `#!`."""
    return "\n" in text or text.startswith("#!")
