"""Tables and blocks of text that commands print: results, `ls`, `status`, errors, `doctor`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import attrs
from rich.cells import cell_len

from aspot.errors import AspotError
from aspot.machine.ledger import gap_s, seconds_of
from aspot.machine.model import AttemptRecord, JobRecord, Run
from aspot.machine.money import cost_now, cost_per_hour
from aspot.machine.quantities import clock, price, short_duration
from aspot.results import Result, Results
from aspot.ui import html
from aspot.ui.closing import closing_lines
from aspot.ui.figures import at_moment, size
from aspot.ui.layout import table
from aspot.ui.safe import log_line, one_line
from aspot.ui.screens import HEADING, RIGHT, cells, headline, notes
from aspot.ui.words import job_lines

__all__ = [
    "Check",
    "LsRow",
    "closing_lines",
    "doctor_text",
    "error_text",
    "ls_row",
    "ls_text",
    "results_html",
    "results_text",
    "status_text",
]

_RESULT_HEADING = ("JOB", "STATUS", "EXIT", "ATTEMPTS", "TIME", "COST")
_RESULT_RIGHT = frozenset((2, 3, 4, 5))
_LS_HEADING = ("NAME", "KIND", "STATE", "MACHINES", "$/h", "SPENT", "ENDS")
_LS_RIGHT = frozenset((4, 5))
_ATTEMPT_HEADING = ("JOB", "ATTEMPT", "OUTCOME", "MACHINE", "TIME", "COST", "SAVED", "LOST")
_ATTEMPT_RIGHT = frozenset((1, 4, 5, 8, 9, 10, 11))
_SECONDS_HEADING = ("BOOT", "IDLE", "USEFUL", "GAP")
_TOLD_FAILURES = 5
_TAIL_LINES = 5
_TAIL_WIDTH = 100
_NOTHING_LAUNCHED = "Nothing was launched."

# --- results ---


def results_text(results: Results) -> str:
    """Return the results as a table, the end of stderr of the first few that did not succeed, and the closing lines."""
    blocks = ["\n".join(table([_RESULT_HEADING, *map(_result_cells, results)], right=_RESULT_RIGHT))] if results else []
    blocks += _failures(results)
    blocks += [results.summary] if results.summary else []
    return "\n\n".join(blocks) or "no jobs"


def _result_cells(result: Result) -> tuple[str, ...]:
    code = "" if result.exit_code is None else str(result.exit_code)
    time = clock(result.duration) if result.attempts else ""
    return one_line(result.name), one_line(result.status), code, str(len(result.attempts)), time, price(result.cost)


def _failures(results: Results) -> Iterator[str]:
    failed = results.failed
    for result in failed[:_TOLD_FAILURES]:
        yield "\n".join([f"{one_line(result.name)}: {_why(result)}", *(f"  {line}" for line in _tail(result))])
    if len(failed) > _TOLD_FAILURES:
        yield f"… and {len(failed) - _TOLD_FAILURES} more that did not succeed"


def _why(result: Result) -> str:
    return one_line(result.reason or result.status.replace("_", " "))


def _tail(result: Result) -> list[str]:
    """Return the last lines of a job's stderr, shortened."""
    lines = result.stderr.rstrip("\r\n").split("\n")[-_TAIL_LINES:]
    return [log_line(line, limit=_TAIL_WIDTH) for line in lines if line.strip()]


def results_html(results: Results) -> str:
    """Return the results as HTML for a notebook."""
    rows = [_RESULT_HEADING, *map(_result_cells, results)]
    parts = [html.table(rows, right=_RESULT_RIGHT) if results else html.text("no jobs")]
    for result in results.failed[:_TOLD_FAILURES]:
        parts.append(html.text(f"{result.name}: {_why(result)}", tag="b"))
        parts.append(html.text("\n".join(_tail(result)), tag="pre"))
    parts += [html.text(line) for line in results.summary.splitlines()]
    return "".join(parts)


# --- ls ---


@attrs.frozen(kw_only=True)
class LsRow:
    """One fleet or box in `aspot ls`.

    Args:
        name: Its name.
        kind: `fleet` or `box`.
        state: In plain words.
        machines: How many alive, by instance type.
        usd_per_hour: What they cost an hour.
        spent_usd: What it cost so far; None where that is not known.
        ends: When it ends by itself, in words.
    """

    name: str
    kind: str
    state: str
    machines: Mapping[str, int]
    usd_per_hour: float
    spent_usd: float | None
    ends: str


def ls_row(run: Run, now: datetime, *, ends: str = "when done", kind: str = "fleet") -> LsRow:
    """Return a fleet's row, or that of a box that has ended.

    Args:
        run: The run.
        now: The moment shown; aware UTC.
        ends: When it ends by itself, in words.
        kind: `fleet` or `box`.
    """
    run = at_moment(run, now)
    alive = [run.instances[name].pool.type for name in run.live]
    return LsRow(
        name=run.spec.name,
        kind=kind,
        state=_fleet_state(run),
        machines={name: alive.count(name) for name in dict.fromkeys(alive)},
        usd_per_hour=cost_per_hour(run),
        spent_usd=cost_now(run),
        ends=ends,
    )


def _fleet_state(run: Run) -> str:
    open_jobs = [job for job in run.jobs.values() if not job.status.is_final]
    if not open_jobs:
        return run.phase.value
    return f"{sum(job.live is not None for job in open_jobs)} of {len(run.jobs)} running"


def ls_text(rows: Iterable[LsRow]) -> str:
    """Return what is alive as a table."""
    lines = [_ls_cells(row) for row in rows]
    return "\n".join(table([_LS_HEADING, *lines], right=_LS_RIGHT)) if lines else "Nothing is running."


def _ls_cells(row: LsRow) -> tuple[str, ...]:
    machines = ", ".join(f"{count} × {one_line(name)}" for name, count in row.machines.items())
    spent = "" if row.spent_usd is None else price(row.spent_usd)
    named = one_line(row.name), one_line(row.kind), one_line(row.state), machines
    return (*named, price(row.usd_per_hour), spent, one_line(row.ends))


# --- status ---


def status_text(run: Run, now: datetime, *, width: int | None = None) -> str:
    """Return one run whole: headline, jobs, and every attempt with what it saved and what was done again.

    Args:
        run: The run.
        now: The moment shown; aware UTC.
        width: Cells in a line: where each attempt's seconds would not fit, they are left out; None for no limit.
    """
    run = at_moment(run, now)
    blocks = ["\n".join([headline(run), *notes(run)])]
    if run.jobs:
        blocks.append("\n".join(table([HEADING, *map(cells, job_lines(run))], right=RIGHT)))
    attempts = [(job, attempt) for job in run.jobs.values() for attempt in job.attempts]
    if attempts:
        blocks.append("\n".join(_attempt_table(attempts, run, width)))
    return "\n\n".join(blocks)


def _attempt_table(attempts: Sequence[tuple[JobRecord, AttemptRecord]], run: Run, width: int | None) -> list[str]:
    short = [_ATTEMPT_HEADING, *(_attempt_cells(job, attempt, run) for job, attempt in attempts)]
    more = [_SECONDS_HEADING, *(_seconds_cells(job, attempt, run) for job, attempt in attempts)]
    whole = table([(*left, *right) for left, right in zip(short, more, strict=True)], right=_ATTEMPT_RIGHT)
    fits = width is None or max(map(cell_len, whole)) <= width
    return whole if fits else table(short, right=_ATTEMPT_RIGHT)


def _attempt_cells(job: JobRecord, attempt: AttemptRecord, run: Run) -> tuple[str, ...]:
    instance = run.instances.get(attempt.instance)
    label = f"{instance.label} {attempt.pool}" if instance is not None else str(attempt.pool)
    end = attempt.ended or run.now
    time = clock((end - attempt.started).total_seconds()) if attempt.started is not None else ""
    outcome = attempt.outcome.value.replace("_", " ") if attempt.outcome is not None else attempt.state.value
    lost = seconds_of(attempt, run.now).redone_s
    return (
        one_line(job.spec.name),
        str(attempt.number),
        outcome,
        one_line(label),
        time,
        price(attempt.cost_usd) if attempt.ended is not None else "",
        size(attempt.saved.size) if attempt.saved is not None else "",
        short_duration(lost) if lost else "",
    )


def _seconds_cells(job: JobRecord, attempt: AttemptRecord, run: Run) -> tuple[str, ...]:
    seconds, gap = seconds_of(attempt, run.now), gap_s(job, attempt)
    times = (seconds.boot_s, seconds.idle_s, seconds.useful_s)
    return *map(clock, times), "" if gap is None else clock(gap)


# --- errors, doctor ---


def error_text(error: AspotError, *, launched: bool = True) -> str:
    """Return an error as its block: what happened, the fix, what came before.

    Args:
        error: The error.
        launched: Whether anything may have been launched; if not, that is said (a note on the error may say so, too).
    """
    lines = _labelled("error: ", error.message)
    lines += _labelled("fix:   ", error.fix) if error.fix else []
    if error.story:
        lines += ["before that:", *(f"  {one_line(step)}" for step in error.story)]
    said = dict.fromkeys((*getattr(error, "__notes__", ()), *([] if launched else [_NOTHING_LAUNCHED])))
    return "\n".join([*lines, *(one_line(note) for note in said)])


def _labelled(label: str, words: str) -> list[str]:
    first, *more = words.splitlines() or [""]
    return [label + one_line(first, limit=1000), *(" " * len(label) + one_line(line, limit=1000) for line in more)]


@attrs.frozen(kw_only=True)
class Check:
    """One check of `aspot doctor`.

    Args:
        name: What was checked.
        verdict: `ok`, `warning`, `failed` or `skipped`.
        detail: What was found.
        fix: What to do; "" for nothing.
    """

    name: str
    verdict: str
    detail: str = ""
    fix: str = ""


def doctor_text(checks: Sequence[Check]) -> str:
    """Return the checks as a list, each with its fix below."""
    rows = [(one_line(check.verdict), one_line(check.name), one_line(check.detail)) for check in checks]
    lines = table(rows) if rows else []
    found: list[str] = []
    for check, text in zip(checks, lines, strict=True):
        found += [text, *(f"         fix: {line}" for line in map(one_line, check.fix.splitlines()))]
    return "\n".join(found)
