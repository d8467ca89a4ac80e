"""News as single lines of text, and a digest of them that does not flood a log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator

from aspot.machine.model import EndReason
from aspot.machine.news import (
    CheckpointSaved,
    FilesReceived,
    FilesSent,
    FleetDetached,
    FleetFinished,
    FleetTakenOver,
    InstanceEnded,
    InstanceKept,
    InstanceLaunched,
    InstanceReady,
    JobEnded,
    JobStarted,
    LaunchRefused,
    LogLine,
    News,
    NoticeReceived,
)
from aspot.ui.safe import COMMAND_LIMIT, log_line, one_line

_NAMED = 3
_SILENT = (InstanceReady, FilesSent, FilesReceived, FleetDetached, FleetTakenOver)


def sentence(news: News) -> str:
    """Return one safe line for people."""
    words = news.message or " ".join(filter(None, (news.job, news.instance, news.name.replace("_", " "))))
    return one_line(words, limit=COMMAND_LIMIT if isinstance(news, InstanceKept) else 500)


def log_text(news: LogLine) -> str:
    """Return a line of a job's output as `job | text`."""
    return f"{one_line(news.job)} | {log_line(news.line)}"


class Digest:
    """Turns news into few lines: launches, starts and successes that come together are told together.

    Args:
        logs: Whether the jobs' output is wanted.
    """

    def __init__(self, *, logs: bool) -> None:
        self._logs = logs
        self._waiting: list[News] = []
        self._noticed: set[str] = set()
        self._refused: set[tuple[str, str]] = set()

    def take(self, news: News) -> None:
        """Remember news if they are worth a line."""
        if self._is_worth_telling(news):
            self._waiting.append(news)

    def _is_worth_telling(self, news: News) -> bool:
        match news:
            case LogLine():
                return self._logs
            case NoticeReceived():
                self._noticed.add(news.instance)
                return True
            case CheckpointSaved():
                return news.instance in self._noticed
            case InstanceEnded():
                return news.reason != EndReason.OURS.value and news.instance not in self._noticed
            case FleetFinished():
                return bool(news.left)
            case LaunchRefused():
                return self._is_new_refusal(news)
            case _:
                return not isinstance(news, _SILENT)

    def _is_new_refusal(self, news: LaunchRefused) -> bool:
        key = (news.pool, news.code)
        is_new = key not in self._refused
        self._refused.add(key)
        return is_new

    def lines(self) -> list[tuple[News, str]]:
        """Return what is to be told now, each with the news it begins with, and forget it."""
        taken, self._waiting = self._waiting, []
        return [(group[0], text) for group in _groups(taken) for text in _told(group)]


def _groups(taken: Iterable[News]) -> Iterator[list[News]]:
    """Yield runs of neighbours that are told together."""
    group: list[News] = []
    for news in taken:
        if group and not (_key(news) is not None and _key(news) == _key(group[0])):
            yield group
            group = []
        group.append(news)
    if group:
        yield group


def _key(news: News) -> str | None:
    """Return what neighbours must share to be told together; None for news that get a line of their own."""
    match news:
        case InstanceLaunched():
            return "launched"
        case JobStarted(attempt=1):
            return "started"
        case JobEnded(status="succeeded"):
            return "succeeded"
        case _:
            return None


def _told(group: list[News]) -> Iterator[str]:
    first = group[0]
    if isinstance(first, LogLine):
        yield log_text(first)
    elif len(group) == 1:
        yield sentence(first)
    elif isinstance(first, InstanceLaunched):
        yield _launches([news for news in group if isinstance(news, InstanceLaunched)])
    else:
        yield f"{names([news.job for news in group])} {_key(first)}"


def _launches(group: list[InstanceLaunched]) -> str:
    pools = Counter(one_line(f"{news.type} {news.zone}") for news in group)
    return f"{len(group)} machines launched: " + ", ".join(f"{count} × {pool}" for pool, count in pools.most_common())


def names(jobs: list[str]) -> str:
    """Return a few names, and how many more there are."""
    shown = [one_line(job) for job in jobs[:_NAMED]]
    more = len(jobs) - len(shown)
    if more:
        return f"{', '.join(shown)} and {more} more"
    return " and ".join([", ".join(shown[:-1]), shown[-1]]) if len(shown) > 1 else shown[0]
