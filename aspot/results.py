"""What callers get: `Result`, `Results`, `Attempt`. Files are read only when asked for."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import attrs

from aspot.errors import ConfigError, JobsFailed
from aspot.items import table_text

if TYPE_CHECKING:
    import pandas

    from aspot.jobs import Job

TEXT_LIMIT = 1024 * 1024
"""Bytes of stdout and stderr that `Result.stdout` and `.stderr` hold: the last ones."""


@attrs.frozen(kw_only=True)
class Attempt:
    """One try of a job on one instance.

    Args:
        number: From 1.
        instance_id: EC2 id.
        type: Instance type.
        zone: Availability zone.
        outcome: `succeeded`, `failed`, `timed_out`, `interrupted`, `lost` or `cancelled`.
        started: When the script began; None if it never did. Aware UTC.
        ended: When it ended.
        cost: US dollars: what the instance cost from its launch, or from the attempt before it, until this one's end.
        saved: What of it was saved: the checkpoint that came home, as text; "" for nothing.
        lost: What was lost: as text; "" for nothing.
        boot: Seconds from the launch of its machine until that could be given work; 0 on one that was there already.
        idle: Seconds in which the machine was its own and its script did not run: waiting, files on their way.
        useful: Seconds of work that are in the result or in a checkpoint.
        redone: Seconds of work that an interruption threw away. The four add up to the attempt's share of machine time:
            from the launch, or from the end of the attempt before it on that machine, until its own end.
        gap: Seconds from its last useful work until the job worked again elsewhere; None if it was not interrupted or
            lost, or nothing came after it.
    """

    number: int
    instance_id: str
    type: str
    zone: str
    outcome: str
    started: datetime | None
    ended: datetime | None
    cost: float
    saved: str = ""
    lost: str = ""
    boot: float = 0.0
    idle: float = 0.0
    useful: float = 0.0
    redone: float = 0.0
    gap: float | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as API.md's JSON."""
        return {
            "number": self.number,
            "instance_id": self.instance_id,
            "type": self.type,
            "zone": self.zone,
            "outcome": self.outcome,
            "started": self.started.isoformat() if self.started else None,
            "ended": self.ended.isoformat() if self.ended else None,
            "cost_usd": self.cost,
            "boot_s": self.boot,
            "idle_s": self.idle,
            "useful_s": self.useful,
            "redone_s": self.redone,
            "gap_s": self.gap,
            "saved": self.saved,
            "lost": self.lost,
        }


@attrs.frozen(kw_only=True, eq=False)
class Result:
    """What became of a job: always one for each job; a failure is a result, not a raise.

    Args:
        job: The `Job` as given, with its final name.
        status: `succeeded`, `failed`, `timed_out`, `cancelled`, `lost` or `budget`.
        exit_code: Of the script in the attempt that counts; None if none ended by itself.
        reason: Why, in a sentence; "" for a success.
        dir: The job's local folder with `stdout`, `stderr`, `result.json` and its files; it exists for every job.
        files: Names relative to `dir` of what came home, sorted.
        missing: What was asked for with `download` and isn't there, and what was not taken, as text.
        attempts: Every try.
        cost: US dollars over all attempts.
        duration: Seconds from the first start to the end.
        redone: Seconds of work that interruptions threw away and that was done again.
        recovery_gap: Longest `gap` of its attempts, in seconds; None without an interruption.
    """

    job: Job
    status: str
    exit_code: int | None
    reason: str
    dir: Path
    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    attempts: tuple[Attempt, ...] = ()
    cost: float = 0.0
    duration: float = 0.0
    redone: float = 0.0
    recovery_gap: float | None = None

    @property
    def name(self) -> str:
        """Return the job's name."""
        return self.job.name or ""

    @property
    def ok(self) -> bool:
        """Tell whether the job succeeded."""
        return self.status == "succeeded"

    @property
    def stdout_path(self) -> Path:
        """Return where the whole stdout is."""
        return self.dir / "stdout"

    @property
    def stderr_path(self) -> Path:
        """Return where the whole stderr is."""
        return self.dir / "stderr"

    @property
    def stdout(self) -> str:
        """Return the last MiB of stdout; undecodable bytes are replaced."""
        return _last_text(self.stdout_path)

    @property
    def stderr(self) -> str:
        """Return the last MiB of stderr; undecodable bytes are replaced."""
        return _last_text(self.stderr_path)

    def to_json(self) -> dict[str, Any]:
        """Return it as API.md's JSON."""
        return {
            "job": self.name,
            "script": self.job.display,
            "status": self.status,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "stdout": str(self.stdout_path),
            "stderr": str(self.stderr_path),
            "dir": str(self.dir),
            "files": list(self.files),
            "missing": list(self.missing),
            "attempts": [attempt.to_json() for attempt in self.attempts],
            "cost_usd": self.cost,
            "redone_s": self.redone,
            "recovery_gap_s": self.recovery_gap,
        }


@attrs.frozen(kw_only=True)
class Kept:
    """A failed job's instance that stays for a look (`keep_failed`) and ends itself.

    Args:
        name: As the fleet calls it.
        instance_id: EC2 id.
        job: The job that failed on it.
        until: When it ends itself. Aware UTC.
        price_per_hour: US dollars an hour, at the newest price seen.
        most: US dollars that it costs until then, at that price.
        address, port, user: Where SSH answers, and the login user.
        ssh: The command that opens it, its host key checked; "" if what it needs could not be written down.
    """

    name: str
    instance_id: str
    job: str
    until: datetime
    price_per_hour: float
    most: float
    address: str
    port: int
    user: str
    ssh: str

    def to_json(self) -> dict[str, Any]:
        """Return it as JSON values."""
        return {
            "name": self.name,
            "instance_id": self.instance_id,
            "job": self.job,
            "until": self.until.isoformat(),
            "usd_per_hour": self.price_per_hour,
            "most_usd": self.most,
            "address": self.address,
            "port": self.port,
            "user": self.user,
            "ssh": self.ssh,
        }

    @classmethod
    def from_json(cls, found: Mapping[str, Any]) -> Self:
        """Return what `to_json` made this of."""
        names = {"until": "until", "usd_per_hour": "price_per_hour", "most_usd": "most"}
        values = {names.get(key, key): value for key, value in found.items()}
        return cls(**values | {"until": datetime.fromisoformat(found["until"])})


class Results(list[Result]):
    """All results of a run, in order of submission.

    Args:
        results: The results.
        cost: US dollars of the whole run, boot and idle time included.
        left: What was still there when the run returned; empty: nothing.
        kept: Instances of failed jobs that stay for a look, on purpose.
        summary: The closing lines that `print` shows below the table.
    """

    def __init__(
        self,
        results: Iterable[Result] = (),
        *,
        cost: float = 0.0,
        left: Iterable[str] = (),
        kept: Iterable[Kept] = (),
        summary: str = "",
    ) -> None:
        super().__init__(results)
        self.cost = cost
        self.left = tuple(left)
        self.kept = tuple(kept)
        self.summary = summary

    @property
    def ok(self) -> bool:
        """Tell whether every job succeeded."""
        return all(result.ok for result in self)

    @property
    def failed(self) -> Results:
        """Return those that did not succeed."""
        return Results(result for result in self if not result.ok)

    def check(self) -> Self:
        """Return self if every job succeeded.

        Raises:
            JobsFailed: Otherwise; it names the first few and carries all results.
        """
        failed = self.failed
        if failed:
            named = "; ".join(f"{result.name}: {result.reason or result.status}" for result in failed[:3])
            raise JobsFailed(f"{len(failed)} of {len(self)} jobs did not succeed: {named}", results=self)
        return self

    def rows(self, json_file: str | None = None) -> list[dict[str, Any]]:
        """Return one flat dict a job: params, status, cost and, if asked for, what a JSON file of the job holds.

        Args:
            json_file: Name relative to the job's folder, such as `out/metrics.json`; jobs without it lack its keys.

        Raises:
            ConfigError: If the file exists and is not a JSON object.
        """
        return [_row(result, json_file) for result in self]

    def to_dataframe(self, json_file: str | None = None) -> pandas.DataFrame:
        """Return `rows()` as a pandas DataFrame.

        Args:
            json_file: As for `rows`.

        Raises:
            ConfigError: If pandas is not installed.
        """
        try:
            import pandas
        except ImportError as error:
            raise ConfigError("to_dataframe needs pandas", fix="pip install 'aspot[pandas]'") from error
        return pandas.DataFrame(self.rows(json_file))

    def save(self, path: str | Path, json_file: str | None = None) -> Path:
        """Write `rows()` as one table, in place of what is there: `.csv`, or `.json` (a list of objects).

        Args:
            path: Where.
            json_file: As for `rows`.

        Returns:
            The path.

        Raises:
            ConfigError: If the file's name ends otherwise, it cannot be written, or a job's file is not a JSON object.
        """
        path = check_table(path)
        rows = self.rows(json_file)
        text = table_text(rows) if path.suffix == ".csv" else json.dumps(rows, indent=2) + "\n"
        try:
            path.write_text(text, encoding="utf-8", newline="")
        except OSError as error:
            raise ConfigError(f"{path} cannot be written: {error.strerror}", fix="name a file elsewhere") from error
        return path

    def __str__(self) -> str:
        from aspot.ui.tables import results_text

        return results_text(self)

    def _repr_html_(self) -> str:
        from aspot.ui.tables import results_html

        return results_html(self)


def check_table(path: str | Path) -> Path:
    """Return the path of a table to write.

    Raises:
        ConfigError: If its name or its folder cannot be.
    """
    path = Path(path)
    if path.suffix not in (".csv", ".json"):
        raise ConfigError(f"{path} is no table's name", fix="end it in .csv or .json")
    if not path.parent.is_dir():
        raise ConfigError(f"there is no folder {path.parent} for {path.name}", fix="make the folder, or name another")
    return path


def _row(result: Result, json_file: str | None) -> dict[str, Any]:
    row: dict[str, Any] = {"job": result.name, **result.job.params}
    row |= {"status": result.status, "exit_code": result.exit_code, "attempts": len(result.attempts)}
    row |= {"duration_s": result.duration, "cost_usd": result.cost}
    return row | _json_of(result, json_file) if json_file else row


def _json_of(result: Result, name: str) -> dict[str, Any]:
    path = result.dir / name
    if not path.is_file():
        return {}
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(
            f"job {result.name}: {path} is not JSON: {error}", fix="name a JSON file of the job"
        ) from error
    if not isinstance(found, dict):
        raise ConfigError(f"job {result.name}: {path} holds no JSON object", fix="write an object: {...}")
    return found


def _last_text(path: Path) -> str:
    if not path.is_file():
        return ""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - TEXT_LIMIT))
        return file.read().decode("utf-8", "replace")
