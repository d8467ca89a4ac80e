"""The live view on a terminal: drawn on standard error with rich, when something changed or a second has passed."""

from __future__ import annotations

import atexit
import sys
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack
from datetime import datetime
from functools import partial

from rich.console import Console
from rich.live import Live
from rich.text import Text

from aspot.machine.model import Run
from aspot.machine.news import FleetFinished, LogLine, News, Warned
from aspot.ui.keys import Keyboard, keyboard
from aspot.ui.lines import log_text, sentence
from aspot.ui.pump import GetRun, in_thread, last_words, pump, utc_now
from aspot.ui.screens import Details, live_view

_EVERY_S = 0.25
_MOST_CPU = 0.015
"""Share of one processor that drawing may take: a picture that took 5 ms is followed by a third of a second of rest."""
_KEPT_LINES = 200
_RECENT_LINES = 10


class LiveView:
    """A run on a terminal: the table below, warnings and, on the key `l`, the jobs' output above it.

    Args:
        logs: Whether output is shown from the beginning.
        console: Where to draw; standard error unless given.
        stdin_fd: Where keys come from.
        now: The clock.
    """

    wants_logs = True
    offers_leave = True

    def __init__(
        self,
        *,
        logs: bool = False,
        console: Console | None = None,
        stdin_fd: int = 0,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._console = console or Console(stderr=True, markup=False, highlight=False, emoji=False)
        self._logs = logs
        self._stdin_fd = stdin_fd
        self._now = now
        self._recent: deque[str] = deque(maxlen=_RECENT_LINES)
        self._above: deque[str] = deque()
        self._skipped = 0
        self._drawn: tuple[object, ...] = ()
        self._rests_until = 0.0
        self.leave: Callable[[], None] | None = None  # what the key `d` does, in the loop
        self._wants_to_leave = False
        self._keyboard: Keyboard | None = None
        self._open = ExitStack()

    async def watch(self, news: AsyncIterator[News], get_run: GetRun) -> None:
        """Show the run until its news end; the last picture stays."""
        live = Live(
            console=self._console,
            auto_refresh=False,
            vertical_overflow="crop",
            redirect_stdout=sys.stdout.isatty(),
            redirect_stderr=True,
        )
        draw = partial(self._draw, live, get_run)
        try:
            self._enter(live)
            await pump(news, take=self.take, draw=partial(self._draw_and_obey, draw), every_s=_EVERY_S)
        finally:
            await last_words(partial(in_thread, partial(self._leave, live, get_run)))

    async def _draw_and_obey(self, draw: Callable[[], object]) -> None:
        await in_thread(draw)
        if self._wants_to_leave and self.leave is not None:
            self._wants_to_leave = False
            self.leave()

    def _enter(self, live: Live) -> None:
        atexit.register(self._open.close)
        self._open.callback(atexit.unregister, self._open.close)
        self._keyboard = self._open.enter_context(keyboard(self._stdin_fd))
        self._open.enter_context(live)

    def _leave(self, live: Live, get_run: GetRun) -> None:
        with self._open:
            self._show_above(live)
            live.update(self._picture(get_run(), footer=""), refresh=True)

    def take(self, news: News) -> None:
        """Remember what is to be shown above the table."""
        if isinstance(news, Warned) or (isinstance(news, FleetFinished) and news.left):
            self._above.append(sentence(news))
        elif isinstance(news, LogLine) and not self._logs:
            self._recent.append(log_text(news))
        elif isinstance(news, LogLine):
            self._take_log(log_text(news))

    def _take_log(self, text: str) -> None:
        if len(self._above) < _KEPT_LINES:
            self._above.append(text)
        else:
            self._skipped += 1

    def _draw(self, live: Live, get_run: GetRun) -> None:
        self._obey_keys()
        self._show_above(live)
        run = get_run()
        wanted = (run.seen, int(self._now().timestamp()), self._console.size, self._logs)
        if wanted == self._drawn or time.monotonic() < self._rests_until:
            return
        self._drawn, before = wanted, time.thread_time()
        live.update(self._picture(run, footer=self._footer(run)), refresh=True)
        self._rests_until = time.monotonic() + (time.thread_time() - before) / _MOST_CPU

    def _obey_keys(self) -> None:
        keys = self._keyboard.pressed().lower() if self._keyboard is not None else ""
        if keys.count("l") % 2:
            self._logs = not self._logs
            self._above.extend(self._recent if self._logs else ())
            self._recent.clear()
        self._wants_to_leave |= "d" in keys

    def _show_above(self, live: Live) -> None:
        lines = [self._above.popleft() for _ in range(len(self._above))]
        if self._skipped:
            lines.append(f"… {self._skipped} lines not shown here; the whole output is in the results folder")
            self._skipped = 0
        if lines:
            live.console.print(Text("\n".join(lines), overflow="fold"))

    def _picture(self, run: Run, *, footer: str) -> Text:
        width, height = self._console.size
        return live_view(run, self._now(), details=Details(width=width, height=height - 1, footer=footer))

    def _footer(self, run: Run) -> str:
        if run.stop is not None:
            return "Ctrl-C again leaves at once, and says what still runs"
        if self._keyboard is None:
            return "Ctrl-C stops everything"
        leaves = ", d leaves it running" if self.leave is not None else ""
        return f"Ctrl-C stops everything{leaves}, l " + ("hides logs" if self._logs else "logs")
