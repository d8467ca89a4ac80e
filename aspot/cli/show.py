"""`aspot ls`, `status`, `logs`: what runs, what became of it, what it says."""

from __future__ import annotations

import argparse
import asyncio
import json
import shutil
import sys
from collections.abc import Collection, Iterator, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aspot.boxes.glance import look_at_all
from aspot.boxes.known import Known
from aspot.cli.region import regions_of
from aspot.errors import AspotError, ConfigError
from aspot.intake.names import owner
from aspot.journal import runs as journals
from aspot.journal.runs import RunInfo
from aspot.machine.model import Run
from aspot.machine.money import instance_cost
from aspot.results import Kept
from aspot.runtime.outcomes import kept_machines
from aspot.storage import inventory
from aspot.storage.words import mounts_text
from aspot.ui.boxes import box_row, box_text
from aspot.ui.closing import kept_lines
from aspot.ui.figures import at_moment
from aspot.ui.safe import one_line
from aspot.ui.tables import LsRow, ls_row, ls_text, status_text

if TYPE_CHECKING:
    from aspot.aws.account import Found


def ls(args: argparse.Namespace) -> int:
    """Print what runs: from the journals here, and what else in the account bears this user's tags."""
    known = journals.runs()
    seen = _account(args.region, known, quiet=args.quiet)
    found = [item for item in seen or () if item.state != "terminated"]
    gone = {item.instance for item in seen or () if item.state in ("shutting-down", "terminated")}
    shown = [item for item in known if args.all or item.ended is None or item.left or _still_kept(item, gone)]
    runs = {item.id: journals.replay(item.folder) for item in shown if not item.trouble}
    if args.json:
        print(json.dumps(_instances(runs, found), indent=1))
        return 0
    boxes = {item.id: Known(info=item, run=runs[item.id]) for item in shown if item.is_box and item.id in runs}
    glances = asyncio.run(look_at_all(boxes.values(), found if seen is not None else None)) if boxes else {}
    now = datetime.now(UTC)
    rows = [
        box_row(runs[item.id], now, glances[item.id])
        if item.id in glances
        else _row(item, runs[item.id], _still_kept(item, gone))
        for item in shown
        if item.id in runs
    ]
    print(ls_text([*rows, *_strangers(found, {item.id for item in known})]))
    for item in shown:
        if item.trouble:
            print(f"{item.name}: {item.trouble}", file=sys.stderr)
    return 0


def _still_kept(info: RunInfo, gone: Collection[str]) -> tuple[Kept, ...]:
    """Return the machines of an ended run that stay for a look now; one that EC2 took back is gone before its time."""
    return tuple(item for item in info.kept_at(datetime.now(UTC)) if item.instance_id not in gone)


def _row(info: RunInfo, run: Run, kept: Sequence[Kept]) -> LsRow:
    now = datetime.now(UTC)
    if kept:
        until = max(item.until for item in kept).astimezone()
        return ls_row(run, now, ends=f"kept until {until:%Y-%m-%d %H:%M} for a look: aspot down {info.name}")
    if info.ended is not None:
        ends = f"left behind: aspot down {info.name}" if info.left else "ended"
        return ls_row(run, info.ended, ends=ends, kind=info.kind)
    ends = "when done" if info.is_live else f"nobody drives it: aspot attach {info.name}, or down"
    return ls_row(run, now, ends=ends)


def _account(region: str | None, known: Sequence[RunInfo], *, quiet: bool) -> list[Found] | None:
    """Return this user's instances in the account; None without credentials: what is known here has to do.

    Args:
        region: AWS region; None for the usual ones, and those of runs that have not ended.
        known: Runs with a journal here: theirs are this user's, whichever computer launched them.
        quiet: Whether nothing is said on stderr.
    """
    regions = regions_of(region, [item for item in known if item.ended is None or item.left or item.kept])
    found, failed = asyncio.run(_listed(regions))
    for name, error in failed.items():
        if not quiet:
            where = f" in {name}" if name and len(regions) > 1 else ""
            print(f"EC2 was not asked{where}: {error.message}", file=sys.stderr)
    if len(failed) == len(regions):
        return None
    ids = {item.id for item in known}
    return [item for items in found.values() for item in items if item.owner == owner() or item.run in ids]


async def _listed(regions: Sequence[str | None]) -> tuple[dict[str, list[Found]], dict[str | None, AspotError]]:
    """Return every machine with aspot's tags, by region, and why some regions could not be asked."""
    from aspot.aws.account import Account
    from aspot.aws.together import together

    found: dict[str, list[Found]] = {}
    failed: dict[str | None, AspotError] = {}

    async def look(region: str | None) -> None:
        try:
            async with await Account.open(region) as account:
                found[account.region] = await account.instances()
        except AspotError as error:
            failed[region] = error

    await together(*(partial(look, region) for region in regions))
    return found, failed


def _strangers(found: Sequence[Found], known: set[str]) -> Iterator[LsRow]:
    """Yield a row for each run in the account that this machine has no journal of."""
    others: dict[str, list[Found]] = {}
    for item in found:
        if item.run not in known:
            others.setdefault(item.run, []).append(item)
    for items in others.values():
        types = [item.type for item in items]
        yield LsRow(
            name=items[0].name,
            kind="fleet",
            state="no journal here",
            machines={name: types.count(name) for name in dict.fromkeys(types)},
            usd_per_hour=0.0,
            spent_usd=None,
            ends=_kept_elsewhere(items) + f"aspot down {items[0].name}",
        )


def _kept_elsewhere(items: Sequence[Found]) -> str:
    kept = max((item.kept for item in items if item.kept is not None), default=None)
    return f"kept until {kept.astimezone():%Y-%m-%d %H:%M} for a look: " if kept is not None else ""


def _instances(runs: dict[str, Run], found: Sequence[Found]) -> list[dict[str, Any]]:
    """Return API.md's list: EC2's word for the state, and aspot's phase where the journal knows it."""
    return [_instance(item, runs.get(item.run)) for item in found]


def _instance(item: Found, run: Run | None) -> dict[str, Any]:
    record = run.instances.get(item.instance) if run is not None else None
    return {
        "name": record.label if record else item.name,
        "instance_id": item.instance,
        "state": item.state,
        "phase": record.state.value if record else None,
        "type": item.type,
        "zone": item.zone,
        "address": item.address,
        "lifecycle": item.lifecycle,
        "run": item.name,
        "job": record.attempt[0] if record and record.attempt else None,
        "cost_usd": instance_cost(run, record) if run is not None and record is not None else None,
        "kept_until": item.kept.isoformat() if item.kept is not None else None,
    }


def status(args: argparse.Namespace) -> int:
    """Print one run: jobs, attempts, money."""
    info = journals.newest(args.name.partition("/")[0])
    if info.trouble:
        raise AspotError(f"{info.name}: {info.trouble}")
    run = journals.replay(info.folder)
    if args.json:
        print(json.dumps(_status_json(info, run), indent=1, default=str))
        return 0
    kept = _kept(info, run)
    now = datetime.now(UTC) if info.ended is None or kept else info.ended
    mounts = mounts_text(inventory.of(info)) if info.ended is None else ""
    if info.is_box:
        print(box_text(run, now, ended=info.ended, left=info.left, mounts=mounts))
        return 0
    print(status_text(run, now, width=shutil.get_terminal_size().columns if sys.stdout.isatty() else None))
    if mounts:
        print("", one_line(mounts), sep="\n")
    if kept:
        print("", *kept_lines(info.name, kept), sep="\n")
    if info.ended is None and not info.is_live:
        name = info.name
        print(f"Nobody drives it: aspot attach {name} goes on with it, aspot down {name} ends it.", file=sys.stderr)
    return 0


def _kept(info: RunInfo, run: Run) -> tuple[Kept, ...]:
    """Return the machines that stay for a look now, as far as the journal knows."""
    now = datetime.now(UTC)
    if info.ended is not None:
        return info.kept_at(now)
    return tuple(item for item in kept_machines(at_moment(run, now)) if item.until > now)


def _status_json(info: RunInfo, run: Run) -> dict[str, Any]:
    from aspot.machine.money import cost_now

    jobs = [
        {"job": name, "status": record.status.value, "reason": record.reason, "attempts": len(record.attempts)}
        for name, record in run.jobs.items()
    ]
    ended = info.ended.isoformat() if info.ended else None
    return {
        "run": info.name,
        "kind": info.kind,
        "id": info.id,
        "live": info.is_live,
        "ended": ended,
        "jobs": jobs,
        "cost_usd": cost_now(run),
        "mounts": [{"kind": one.kind, "name": one.name, "path": one.path} for one in inventory.of(info)],
        "kept": [item.to_json() for item in _kept(info, run)],
    }


# --- logs ---


def logs(args: argparse.Namespace) -> int:
    """Print a job's output as it is kept here; with `-f`, until the job has ended."""
    name, _, job = args.name.partition("/")
    info = journals.newest(name)
    if info.trouble:
        raise AspotError(f"{info.name}: {info.trouble}")
    run = journals.replay(info.folder)
    job = job or _only_job(info, run)
    if job not in run.jobs:
        raise ConfigError(f"{name} has no job {job!r}", fix=f"one of: {', '.join(list(run.jobs)[:10])}")
    reader = LogReader(info, job, _streams(args))
    try:
        return asyncio.run(_print_logs(reader, args))
    except KeyboardInterrupt:
        return 130


def _only_job(info: RunInfo, run: Run) -> str:
    if len(run.jobs) == 1:
        return next(iter(run.jobs))
    raise ConfigError(
        f"{info.name} has {len(run.jobs)} jobs", fix=f"aspot logs {info.name}/{next(iter(run.jobs), 'JOB')}"
    )


def _streams(args: argparse.Namespace) -> tuple[str, ...]:
    if args.stdout != args.stderr:
        return ("stdout",) if args.stdout else ("stderr",)
    return ("stdout", "stderr")


class LogReader:
    """Reads what is new in a job's local log files, whichever attempt writes them and wherever they are moved to."""

    def __init__(self, info: RunInfo, job: str, streams: Sequence[str]) -> None:
        self._info = info
        self._job = job
        self._streams = streams
        self._read: dict[tuple[int, str], int] = {}
        self.results = Path(info.options["results"])
        self.has_any = False

    def new(self) -> list[tuple[int, str, bytes]]:
        """Return (attempt, stream, bytes) that came since the last call."""
        from aspot.archive.local import log_folders

        found = []
        for attempt, folder in log_folders(self.results, self._info.name, self._job):
            self.has_any = True
            found += [(attempt, stream, self._since(attempt, stream, folder / stream)) for stream in self._streams]
        return [item for item in found if item[2]]

    def _since(self, attempt: int, stream: str, path: Path) -> bytes:
        start = self._read.get((attempt, stream), 0)
        try:
            with path.open("rb") as file:
                file.seek(start)
                chunk = file.read()
        except OSError:
            return b""
        self._read[attempt, stream] = start + len(chunk)
        return chunk

    def is_over(self) -> bool:
        """Tell whether nothing more will come."""
        info = journals.info(self._info.folder)
        if info.ended is not None or not info.is_live:
            return True
        return journals.replay(self._info.folder).jobs[self._job].status.is_final


async def _print_logs(reader: LogReader, args: argparse.Namespace) -> int:
    printer = _Printer(as_json=args.json)
    while True:
        is_over = not args.follow or reader.is_over()
        for attempt, stream, chunk in reader.new():
            printer.show(attempt, stream, chunk)
        if is_over:
            printer.close()
            if not reader.has_any:
                print(f"No output of {args.name} is kept in {reader.results}.", file=sys.stderr)
            return 0
        await asyncio.sleep(0.5)


class _Printer:
    """Prints bytes raw into files and pipes; onto a terminal, line by line, with control characters made visible."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json
        self._held: dict[tuple[int, str], bytes] = {}

    def show(self, attempt: int, stream: str, chunk: bytes) -> None:
        out = sys.stderr if stream == "stderr" and not self._as_json else sys.stdout
        if not self._as_json and not out.isatty():
            out.buffer.write(chunk)
            out.buffer.flush()
            return
        *lines, rest = (self._held.pop((attempt, stream), b"") + chunk).split(b"\n")
        if rest:
            self._held[attempt, stream] = rest
        for line in lines:
            self._line(attempt, stream, line)

    def _line(self, attempt: int, stream: str, line: bytes) -> None:
        from aspot.ui.safe import safe

        text = line.decode("utf-8", "replace")
        if self._as_json:
            print(json.dumps({"event": "log_line", "attempt": attempt, "stream": stream, "line": text}), flush=True)
        else:
            print(safe(text), file=sys.stderr if stream == "stderr" else sys.stdout, flush=True)

    def close(self) -> None:
        for (attempt, stream), rest in self._held.items():
            self._line(attempt, stream, rest)
        self._held = {}
