"""News reach every listener; a slow one loses log lines, and is told how many."""

from datetime import UTC, datetime

import anyio
import pytest

from aspot.machine.news import LogLine, News, Warned
from aspot.runtime import hub
from aspot.runtime.hub import NewsHub

NOW = datetime(2026, 11, 23, tzinfo=UTC)


def line(text: str) -> LogLine:
    return LogLine(time=NOW, fleet="f", job="j", attempt=1, stream="stdout", line=text)


def warned(text: str) -> Warned:
    return Warned(time=NOW, fleet="f", message=text)


async def heard(subscription: hub.Subscription) -> list[News]:
    return [news async for news in subscription]


def test_everybody_hears_everything_until_the_end():
    async def main() -> None:
        news = NewsHub()
        one, two = news.subscribe(logs=True), news.subscribe(logs=False)
        news.publish(warned("a"))
        news.publish(line("b"))
        news.close()
        assert await heard(one) == [warned("a"), line("b")]
        assert await heard(two) == [warned("a")]

    anyio.run(main)


def test_a_waiting_listener_is_woken_by_news_and_by_the_end():
    async def main() -> None:
        news = NewsHub()
        subscription = news.subscribe(logs=False)
        async with anyio.create_task_group() as group:

            async def listen() -> None:
                assert await heard(subscription) == [warned("a")]

            group.start_soon(listen)
            await anyio.lowlevel.checkpoint()
            news.publish(warned("a"))
            await anyio.lowlevel.checkpoint()
            news.close()

    anyio.run(main)


def test_a_slow_listener_loses_lines_but_nothing_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(hub, "LINES_HELD", 2)

    async def main() -> None:
        news = NewsHub()
        slow = news.subscribe(logs=True)
        for text in "abcd":
            news.publish(line(text))
        news.publish(warned("w"))
        news.close()
        first, *rest = await heard(slow)
        assert isinstance(first, Warned)
        assert first.message == "2 log lines were not shown"
        assert rest == [line("a"), line("b"), warned("w")]

    anyio.run(main)


def test_lines_are_wanted_only_while_somebody_listens_for_them():
    async def main() -> None:
        news = NewsHub()
        assert not news.wants_logs
        subscription = news.subscribe(logs=True)
        assert news.wants_logs
        subscription.close()
        subscription.close()
        assert not news.wants_logs

    anyio.run(main)
