"""One JSON object a line, for programs: all news, then the results. ASCII only: nothing in it can steer a terminal."""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import Any, TextIO

import attrs

from aspot.errors import AspotError
from aspot.machine.news import FleetFinished, JobEnded, News
from aspot.results import Kept, Result
from aspot.ui.pump import GetRun, Out


def to_line(value: Any) -> str:
    """Return a value as JSON in one line of ASCII."""
    return json.dumps(value, default=_plain, ensure_ascii=True, separators=(", ", ": "))


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    return value.to_json() if isinstance(value, Result | Kept) else str(value)


def news_object(news: News) -> dict[str, Any]:
    """Return news as `{"event": "job_started", "time": …, …}`: the name in snake case and every field."""
    return {"event": news.name, **attrs.asdict(news, recurse=False)}


def finished_object(
    name: str, results: Iterable[Result], left: Sequence[str], kept: Sequence[Kept] = ()
) -> dict[str, Any]:
    """Return the last object of `run --json` (API.md, "For scripts").

    Args:
        name: The fleet's name.
        results: In order of submission.
        left: What is still there, as text; empty: nothing.
        kept: Machines of failed jobs that stay for a look, on purpose.
    """
    return {
        "event": "finished",
        "run": name,
        "results": [result.to_json() for result in results],
        "left": list(left),
        "kept": [item.to_json() for item in kept],
    }


def error_object(error: AspotError) -> dict[str, Any]:
    """Return an error as the last object, for runs that could not be."""
    return {"event": "error", "error": type(error).__name__, "message": error.message, "fix": error.fix}


class NdjsonView:
    """All news as JSON, and `finished` at the end.

    Args:
        stream: Where lines go; standard output unless given.
    """

    wants_logs = True

    def __init__(self, *, stream: TextIO | None = None) -> None:
        self._out = Out(stream or sys.stdout)
        self._results: dict[str, Result] = {}
        self._finish: FleetFinished | None = None

    async def watch(self, news: AsyncIterator[News], get_run: GetRun) -> None:
        """Write news until they end, then the results."""
        async for item in news:
            await self._take(item)
        if self._finish is not None:
            found = [self._results[name] for name in get_run().jobs if name in self._results]
            last = finished_object(self._finish.fleet, found, self._finish.left, self._finish.kept)
            await self._out.line(to_line(last))

    async def _take(self, news: News) -> None:
        if isinstance(news, FleetFinished):
            self._finish = news
            return
        if isinstance(news, JobEnded) and isinstance(news.result, Result):
            self._results[news.job] = news.result
        await self._out.line(to_line(news_object(news)))
