"""Plain lines for logs and pipes: what matters, with the time since the run began, and no spam."""

from __future__ import annotations

import sys
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial
from typing import TextIO

from aspot.machine.model import Run
from aspot.machine.news import News
from aspot.machine.quantities import clock
from aspot.ui.figures import at_moment
from aspot.ui.lines import Digest
from aspot.ui.pump import GetRun, Out, last_words, pump, utc_now
from aspot.ui.screens import headline

_EVERY_S = 0.5
_SILENCE_S = 60.0


class PlainView:
    """One line for each thing that matters, on standard error, and the headline after a minute of silence.

    Args:
        logs: Whether the jobs' output is shown, too.
        stream: Where lines go; standard error unless given.
        now: The clock.
    """

    def __init__(
        self, *, logs: bool = False, stream: TextIO | None = None, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._out = Out(stream or sys.stderr)
        self._digest = Digest(logs=logs)
        self._now = now
        self.wants_logs = logs
        self._spoke = now()

    async def watch(self, news: AsyncIterator[News], get_run: GetRun) -> None:
        """Write lines until the news end."""
        tell = partial(self._tell, get_run)
        try:
            await pump(news, take=self._digest.take, draw=tell, every_s=_EVERY_S)
        finally:
            await last_words(tell)

    async def _tell(self, get_run: GetRun) -> None:
        run, now = get_run(), self._now()
        lines = [(news.time, text) for news, text in self._digest.lines()]
        if not lines and (now - self._spoke).total_seconds() >= _SILENCE_S:
            lines = [(now, headline(at_moment(run, now)))]
        for at, text in lines:
            self._spoke = now
            await self._out.line(_stamped(run, at, text))


def _stamped(run: Run, at: datetime, text: str) -> str:
    return f"{clock((at - run.started).total_seconds()):>7}  {text}"
