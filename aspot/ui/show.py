"""Which viewer fits where the program runs. Viewers are imported when they are chosen."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator

from aspot.machine.news import News
from aspot.ui.pump import GetRun, Viewer


class SilentView:
    """Shows nothing."""

    wants_logs = False

    async def watch(self, news: AsyncIterator[News], get_run: GetRun) -> None:  # noqa: ARG002 - the viewers' common shape
        """Take all news."""
        async for _ in news:
            pass


def viewer(show: bool | None, *, json: bool = False, quiet: bool = False, logs: bool = False) -> Viewer:
    """Return the viewer for this terminal, notebook or pipe.

    Args:
        show: False: nothing; True: always something, plain lines where there is no terminal; None: only on a terminal
            or in a notebook.
        json: One JSON object a line on standard output, whatever `show` says.
        quiet: Nothing.
        logs: The jobs' output, too.
    """
    if json:
        from aspot.ui.ndjson import NdjsonView

        return NdjsonView()
    if quiet or show is False:
        return SilentView()
    return _for_people(always=show is True, logs=logs)


def _for_people(*, always: bool, logs: bool) -> Viewer:
    if in_notebook():
        from aspot.ui.notebook import NotebookView

        return NotebookView(logs=logs)
    if on_terminal():
        from aspot.ui.live import LiveView

        return LiveView(logs=logs)
    if always:
        from aspot.ui.plain import PlainView

        return PlainView(logs=logs)
    return SilentView()


def on_terminal() -> bool:
    """Tell whether standard error is a terminal that can move its cursor."""
    return sys.stderr is not None and sys.stderr.isatty() and os.environ.get("TERM", "") not in ("", "dumb", "unknown")


def in_notebook() -> bool:
    """Tell whether an IPython kernel runs this program; does not import IPython."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None and hasattr(module, "get_ipython") else None
    return shell is not None and getattr(shell, "kernel", None) is not None
