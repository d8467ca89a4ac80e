"""The live view: a pure function from a run and a moment to a rich renderable. Text only, never markup."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Iterator, Sequence
from datetime import datetime

import attrs
from rich.cells import cell_len
from rich.text import Text

from aspot.machine.model import JobStatus, Run, RunPhase
from aspot.machine.money import cost_now, cost_per_hour, instance_rate
from aspot.machine.quantities import clock, price, short_duration
from aspot.ui.figures import about, at_moment, left_s
from aspot.ui.layout import fit, line, shrink, widths
from aspot.ui.safe import one_line
from aspot.ui.words import JobLine, Tone, job_lines, newest_refusal

HEADING: tuple[str, ...] = ("JOB", "STATE", "WHERE", "TIME", "COST")
RIGHT = frozenset((3, 4))
_FLOORS = (12, 14, 12, 8, 8)
_STYLES = {Tone.BAD: "red", Tone.MOVING: "yellow", Tone.BUSY: "", Tone.WAITING: "dim", Tone.GOOD: "green"}
_TONE_WORDS = {
    Tone.BAD: "not succeeded",
    Tone.MOVING: "moving",
    Tone.BUSY: "running",
    Tone.WAITING: "waiting",
    Tone.GOOD: "succeeded",
}
_STATUS_WORDS = {
    JobStatus.FAILED: "failed",
    JobStatus.TIMED_OUT: "timed out",
    JobStatus.LOST: "lost",
    JobStatus.CANCELLED: "cancelled",
    JobStatus.BUDGET: "not finished",
    JobStatus.RUNNING: "running",
}
_LEAST_ROWS = 3
FOOTER = "Ctrl-C stops everything, l logs"


@attrs.frozen(kw_only=True)
class Details:
    """How much of a run is shown.

    Args:
        width: Cells in a line.
        height: Most lines; None for no limit.
        footer: The last line, saying which keys do what; "" for none.
    """

    width: int = 80
    height: int | None = None
    footer: str = FOOTER


def live_view(run: Run, now: datetime, *, details: Details) -> Text:
    """Return the run as its live view shows it.

    Args:
        run: The run.
        now: The moment shown; aware UTC.
        details: Size of the terminal, and the footer.
    """
    run = at_moment(run, now)
    below = [*_wrapped(notes(run), details.width), *filter(None, [details.footer])]
    rows = job_lines(run)
    room = None if details.height is None else max(_LEAST_ROWS, details.height - 2 - len(below))
    shown, hidden = cut(rows, room)
    view = Text(no_wrap=True, overflow="crop")
    view.append(headline(run, width=details.width), "bold")
    for text, tone in _table(shown, details.width) if rows else ():
        view.append(f"\n{fit(text, details.width)}", _STYLES[tone] if tone is not None else "dim")
    for text in (*hidden_words(hidden), *below):
        view.append(f"\n{fit(one_line(text), details.width)}", "dim")
    return view


def _wrapped(texts: Sequence[str], width: int) -> list[str]:
    return [line for text in texts for line in textwrap.wrap(text, width)]


def headline(run: Run, *, width: int | None = None) -> str:
    """Return the run in one line: `lr-study  3/8 done, 5 running, $0.003 now, $0.13/h, about 4 min left`.

    Args:
        run: The run.
        width: Cells to fit in: what matters least is left out; None for no limit.
    """
    waiting = sum(job.status is JobStatus.QUEUED for job in run.jobs.values())
    queue, rate = [f"{waiting} waiting"] if waiting else [], [f"{price(cost_per_hour(run))}/h"]
    counts, spent, outlook = [*_counts(run)], [f"{price(cost_now(run))} now"], [*_outlook(run)]
    versions = ([*queue, *spent, *rate], [*spent, *rate], spent)
    lines = [f"{one_line(run.spec.name)}  {', '.join([*counts, *middle, *outlook])}" for middle in versions]
    fitting = [line for line in lines if width is None or cell_len(line) <= width]
    return fitting[0] if fitting else fit(lines[-1], width or 0)


def _counts(run: Run) -> Iterator[str]:
    statuses = Counter(job.status for job in run.jobs.values())
    done = sum(count for status, count in statuses.items() if status.is_final)
    yield f"{done}/{len(run.jobs)} done" if run.jobs else "no jobs yet"
    yield from (f"{statuses[status]} {word}" for status, word in _STATUS_WORDS.items() if statuses[status])


def _outlook(run: Run) -> Iterator[str]:
    left = left_s(run)
    alive = len(run.live) - len(run.kept)
    if run.phase is RunPhase.STOPPING:
        yield "stopping"
    elif run.jobs and alive and all(job.status.is_final for job in run.jobs.values()):
        yield f"ending {alive} {'machine' if alive == 1 else 'machines'}"
    elif left is not None:
        yield f"{about(left)} left"


def _table(rows: Sequence[JobLine], width: int) -> Iterator[tuple[str, Tone | None]]:
    texts = [HEADING, *map(cells, rows)]
    sizes = shrink(widths(texts), total=width - 2, floors=_FLOORS)
    tones: list[Tone | None] = [None, *(row.tone for row in rows)]
    for row, tone in zip(texts, tones, strict=True):
        yield line(row, sizes, right=RIGHT, indent=2), tone


def cells(row: JobLine) -> tuple[str, ...]:
    """Return a job's row as safe texts, one for each column of `HEADING`."""
    time = clock(row.time_s) if row.time_s is not None else ""
    cost = price(row.cost_usd) if row.time_s is not None or row.cost_usd else ""
    return one_line(row.name), one_line(row.state), one_line(row.where), time, cost


def cut(rows: Sequence[JobLine], room: int | None) -> tuple[Sequence[JobLine], Sequence[JobLine]]:
    """Return the rows shown and those that do not fit; then what went wrong and what is at work comes first."""
    if room is None or len(rows) <= room:
        return rows, ()
    ranked = sorted(rows, key=lambda row: row.tone)
    return ranked[: room - 1], ranked[room - 1 :]


def hidden_words(hidden: Sequence[JobLine]) -> Iterator[str]:
    """Yield one line that counts the rows not shown, if there are any."""
    if hidden:
        tones = [row.tone for row in hidden]
        counted = ", ".join(f"{tones.count(tone)} {_TONE_WORDS[tone]}" for tone in Tone if tone in tones)
        yield f"  … and {len(hidden)} more: {counted}"


def notes(run: Run) -> list[str]:
    """Return what a user should know of the whole run just now: capacity, quota, budget, a stop, what is kept."""
    found = [*_capacity_note(run), *_quota_note(run), *_kept_note(run)]
    if run.budget_reached:
        found.append("Budget reached: nothing more is launched, what runs is brought home.")
    if run.stop_reason and run.phase is RunPhase.STOPPING:
        found.append(f"Stopping: {run.stop_reason}")
    return [one_line(note) for note in found]


def _capacity_note(run: Run) -> Iterator[str]:
    since = [waiting for name in run.starved if (waiting := run.jobs[name].waiting_since) is not None]
    refusal = newest_refusal(run)
    if since and refusal is not None:
        waited = about((run.now - min(since)).total_seconds())
        longest = short_duration(run.spec.capacity_timeout_s)
        where = f"{refusal.pool}: " if refusal.pool is not None else ""
        yield f"Waiting for capacity for {waited} (at most {longest}); {where}{refusal.code}"


def _kept_note(run: Run) -> Iterator[str]:
    for name in run.kept:
        instance = run.instances[name]
        if instance.keep is not None and instance.keep.until > run.now:
            rest, rate = about((instance.keep.until - run.now).total_seconds()), instance_rate(run, instance)
            yield f"Kept for a look at {instance.keep.job}: {instance.label}, for {rest} more, {price(rate)}/h"


def _quota_note(run: Run) -> Iterator[str]:
    if run.quota is not None:
        yield f"Quota: {run.quota.message or run.quota.code}" + (f"; {run.quota.fix}" if run.quota.fix else "")
