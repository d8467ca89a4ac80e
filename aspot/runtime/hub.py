"""News on their way to whoever listens: bounded for log lines, complete for everything else."""

from __future__ import annotations

from collections import deque
from collections.abc import AsyncIterator

import anyio
import attrs

from aspot.machine.news import LogLine, News, Warned

LINES_HELD = 10_000
"""Log lines a slow listener may fall behind before it loses some."""


class Subscription:
    """One listener's news. Ends when the run does."""

    def __init__(self, hub: NewsHub, *, with_logs: bool) -> None:
        self.with_logs = with_logs
        self._hub = hub
        self._waiting: deque[News] = deque()
        self._lines = 0
        self._lost = 0
        self._arrived = anyio.Event()

    def offer(self, news: News) -> None:
        """Take a piece of news; a log line is dropped when too many wait."""
        if isinstance(news, LogLine):
            if not self.with_logs:
                return
            if self._lines >= LINES_HELD:
                self._lost += 1
                return
            self._lines += 1
        self._waiting.append(news)
        self._arrived.set()

    def wake(self) -> None:
        """Let the listener see that the hub was closed."""
        self._arrived.set()

    def close(self) -> None:
        """Listen no more."""
        self._hub.drop(self)

    def __aiter__(self) -> AsyncIterator[News]:
        return self

    async def __anext__(self) -> News:
        while not self._waiting:
            if self._hub.is_closed:
                raise StopAsyncIteration
            self._arrived = anyio.Event()
            await self._arrived.wait()
        return self._pop()

    def _pop(self) -> News:
        news = self._waiting.popleft()
        if not isinstance(news, LogLine):
            return news
        self._lines -= 1
        if self._lost:
            self._waiting.appendleft(news)
            self._lines += 1
            lost, self._lost = self._lost, 0
            return Warned(time=news.time, fleet=news.fleet, job=news.job, message=f"{lost} log lines were not shown")
        return news


@attrs.define
class NewsHub:
    """Hands each piece of news to every listener."""

    _listeners: list[Subscription] = attrs.field(init=False, factory=list)
    is_closed: bool = attrs.field(init=False, default=False)
    wants_logs: bool = attrs.field(init=False, default=False)

    def subscribe(self, *, logs: bool) -> Subscription:
        """Return a new listener, which hears what is published from now on.

        Args:
            logs: Whether it wants the jobs' output, line by line.
        """
        subscription = Subscription(self, with_logs=logs)
        self._listeners.append(subscription)
        self.wants_logs = self.wants_logs or logs
        return subscription

    def drop(self, subscription: Subscription) -> None:
        """Forget a listener; harmless to repeat."""
        if subscription in self._listeners:
            self._listeners.remove(subscription)
        self.wants_logs = any(listener.with_logs for listener in self._listeners)

    def publish(self, news: News) -> None:
        """Hand a piece of news to every listener; never blocks."""
        for listener in self._listeners:
            listener.offer(news)

    def close(self) -> None:
        """End every listener's iteration after what it has yet to hear."""
        self.is_closed = True
        for listener in self._listeners:
            listener.wake()
