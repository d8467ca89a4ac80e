"""How copies go on: one line each on a terminal, all in one view."""

from __future__ import annotations

from types import TracebackType
from typing import Self

import attrs
from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)

from aspot.ui.safe import one_line


class Transfers:
    """Shows copies on stderr while a block runs; nothing where that is no terminal.

    Args:
        is_quiet: Show nothing at all.
    """

    def __init__(self, *, is_quiet: bool) -> None:
        self._console = console = Console(stderr=True)
        self._is_quiet = is_quiet
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[files]}", markup=False),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            redirect_stdout=False,  # it is no part of the view
            disable=is_quiet or not console.is_terminal,
        )

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def say(self, text: str) -> None:
        """Say a line above the copies, on stderr."""
        if not self._is_quiet:
            self._console.print(one_line(f"aspot: {text}"), markup=False, highlight=False, soft_wrap=True)

    def line(self, label: str) -> TransferLine:
        """Return a new line.

        Args:
            label: What is copied where.
        """
        task = self._progress.add_task(one_line(label, limit=60), total=None, files="")
        return TransferLine(self._progress, task)


@attrs.define
class TransferLine:
    """The line of one copy."""

    _progress: Progress
    _task: TaskID
    _files: int = attrs.field(init=False, default=0)
    _ended: int = attrs.field(init=False, default=0)

    def begin(self, files: int, size: int) -> None:
        """Take note of what there is to do: files, bytes."""
        self._files, self._ended = files, 0
        self._progress.update(self._task, total=size, completed=0, files=f"0/{files}")

    def moved(self, size: int) -> None:
        """Take note of bytes; negative for some that must be moved again."""
        self._progress.advance(self._task, size)

    def done(self, name: str) -> None:  # noqa: ARG002 - the name is for other watchers
        """Take note of a file that is done with."""
        self._ended += 1
        self._progress.update(self._task, files=f"{self._ended}/{self._files}")
