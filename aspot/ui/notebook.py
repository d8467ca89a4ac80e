"""The live view in a notebook: one HTML table that updates in place. Needs IPython, which a notebook has."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from functools import partial
from importlib import import_module
from typing import Any

from aspot.machine.model import Run
from aspot.machine.news import FleetFinished, LogLine, News, Warned
from aspot.ui import html
from aspot.ui.figures import at_moment
from aspot.ui.lines import log_text, sentence
from aspot.ui.pump import GetRun, last_words, pump, utc_now
from aspot.ui.screens import HEADING, RIGHT, cells, cut, headline, hidden_words, notes
from aspot.ui.words import Tone, job_lines

_EVERY_S = 0.5
_MOST_ROWS = 40
_RECENT_LINES = 10
_COLOURS = {
    Tone.BAD: "color:#c0392b",
    Tone.MOVING: "color:#b9770e",
    Tone.WAITING: "opacity:.6",
    Tone.GOOD: "color:#1e8449",
}


def page(run: Run, now: datetime, *, lines: tuple[str, ...] = ()) -> str:
    """Return the run as HTML.

    Args:
        run: The run.
        now: The moment shown; aware UTC.
        lines: What is shown below the table: warnings, and output where wanted.
    """
    run = at_moment(run, now)
    shown, hidden = cut(job_lines(run), _MOST_ROWS)
    below = [*hidden_words(hidden), *notes(run)]
    parts = [html.text(headline(run), tag="b")]
    if shown:
        styles = [_COLOURS.get(row.tone, "") for row in shown]
        parts.append(html.table([HEADING, *map(cells, shown)], right=RIGHT, styles=styles))
    parts += [html.text(line, style="opacity:.7") for line in below]
    parts += [html.text("\n".join(lines), tag="pre")] if lines else []
    return "".join(parts)


class NotebookView:
    """A run in the cell that started it.

    Args:
        logs: Whether the newest lines of output are shown.
        now: The clock.
    """

    def __init__(self, *, logs: bool = False, now: Callable[[], datetime] = utc_now) -> None:
        self._now = now
        self.wants_logs = logs
        self._warnings: deque[str] = deque(maxlen=_RECENT_LINES)
        self._output: deque[str] = deque(maxlen=_RECENT_LINES)
        self._drawn: tuple[object, ...] = ()
        self._handle: Any = None

    async def watch(self, news: AsyncIterator[News], get_run: GetRun) -> None:
        """Show the run until its news end; the last table stays."""
        try:
            await pump(news, take=self.take, draw=partial(self._draw, get_run), every_s=_EVERY_S)
        finally:
            await last_words(partial(self._draw, get_run))

    def take(self, news: News) -> None:
        """Remember what is to be shown below the table."""
        if isinstance(news, LogLine):
            self._output.extend([log_text(news)] if self.wants_logs else [])
        elif isinstance(news, Warned) or (isinstance(news, FleetFinished) and news.left):
            self._warnings.append(sentence(news))

    async def _draw(self, get_run: GetRun) -> None:
        run, now, lines = get_run(), self._now(), (*self._warnings, *self._output)
        wanted = (run.seen, int(now.timestamp()), lines)
        if wanted != self._drawn:
            self._drawn = wanted
            self._show(page(run, now, lines=lines))

    def _show(self, text: str) -> None:
        shown = import_module("IPython.display")
        if self._handle is None:
            self._handle = shown.display(shown.HTML(text), display_id=True)
        else:
            self._handle.update(shown.HTML(text))
