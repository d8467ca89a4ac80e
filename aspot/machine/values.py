"""What was asked for, and what was reported: plain values inside the records, events and effects."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from aspot.machine.pool import Market, Pool
from aspot.machine.states import JobStatus, StopWhy


@attrs.frozen(kw_only=True)
class ExitStatus:
    """The runner's verified status line (RUNNER.md D1).

    Args:
        code: Exit code of the script; 128 + n when signal n ended it.
        why: `exit`, `timeout`, `cancel`, `interrupt`, `budget`, `term`, `ttl` or `disk_full`.
        ended: When, by the instance's clock.
        out: Length of stdout in bytes.
        err: Length of stderr in bytes.
        boot_id: The boot it ran in.
    """

    code: int
    why: str
    ended: datetime
    out: int
    err: int
    boot_id: str


@attrs.frozen(kw_only=True)
class Checkpoint:
    """A checkpoint that is here, whole and verified.

    Args:
        job: Job name.
        attempt: The attempt that wrote it.
        serial: Counts up with every checkpoint of the job; the newest wins.
        files: How many files.
        size: Bytes.
        taken: When it was complete here.
    """

    job: str
    attempt: int
    serial: int
    files: int
    size: int
    taken: datetime


@attrs.frozen(kw_only=True)
class Evacuation:
    """What of an attempt's `evacuate` paths is here, each file acknowledged by its hash.

    Args:
        files: How many files.
        size: Bytes.
        lost: What could not be brought in time, with the reason, as text.
    """

    files: int = 0
    size: int = 0
    lost: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Collected:
    """What came home from an attempt, whole and verified, still in staging.

    Args:
        files: Names relative to the job's folder, sorted.
        missing: What was asked for and isn't there, and what was not taken (links, special files), as text.
        size: Bytes.
    """

    files: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    size: int = 0


@attrs.frozen(kw_only=True)
class Notice:
    """An interruption notice.

    Args:
        deadline: When EC2 takes the machine back.
        received: When we heard.
        channel: `runner`, `spot-request` or `events`.
    """

    deadline: datetime
    received: datetime
    channel: str


@attrs.frozen(kw_only=True)
class Keep:
    """A failed job's machine stays for a look.

    Args:
        job: The job that failed on it.
        since: Since when; or since when its confirmation is waited for.
        until: When it ends itself.
        is_fixed: Whether it has confirmed that it will, whoever is there then.
        user: The login user there.
        way: The command that opens it from a shell; "" if it could not be made ready.
    """

    job: str
    since: datetime
    until: datetime
    is_fixed: bool = False
    user: str = ""
    way: str = ""


@attrs.frozen(kw_only=True)
class JobSpec:
    """A job after every option was checked and resolved; what the journal keeps.

    Args:
        name: Unique in the run.
        script: As the user gave it, for display (a path, or `<text>`), or the command.
        source: Local file with the script's text; "" for a command.
        remote_path: Where the script lies below `work/`; "" for a command.
        command: The shell command; "" for a script.
        interpreter: `("python3",)`, `("/bin/sh",)`, or the shebang's words; empty for a command.
        args: Arguments for the script.
        env: Environment beyond the runner's own.
        secrets: Names of environment variables to be taken from the client at start; never written down.
        params: What `to_dataframe` shows beside the result.
        base: The local folder that relative upload paths are relative to.
        upload: (local path or pattern, name below `work/` or "" for the usual rule).
        download: Patterns relative to `work/`.
        checkpoint: Paths relative to `work/`.
        checkpoint_every_s: Seconds between syncs; None for none.
        evacuate: Paths relative to `work/`, brought home on a notice in this order.
        on_notice: Shell command to run on a notice; "" for none.
        timeout_s: The script's own seconds per attempt; None for none.
        max_output: Bytes that are kept of the beginning of each of its two outputs; 0 for all.
        attempts: How many own failures end the job (1: the first one does).
        interruptions: How many interruptions end the job.
        inputs: SHA-256 of its inputs: equal digests, equal script, arguments, environment and files.
    """

    name: str
    script: str
    source: str = ""
    remote_path: str = ""
    command: str = ""
    interpreter: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: Mapping[str, str] = attrs.field(factory=dict)
    secrets: tuple[str, ...] = ()
    params: Mapping[str, str | int | float | bool | None] = attrs.field(factory=dict)
    base: str = "."
    upload: tuple[tuple[str, str], ...] = ()
    download: tuple[str, ...] = ("out",)
    checkpoint: tuple[str, ...] = ()
    checkpoint_every_s: float | None = None
    evacuate: tuple[str, ...] = ()
    on_notice: str = ""
    timeout_s: float | None = None
    max_output: int = 0
    attempts: int = 1
    interruptions: int = 10
    inputs: str = ""


@attrs.frozen(kw_only=True)
class LaunchSpec:
    """One launch call, whole: repeated after a lost answer with exactly these parameters, hence the same ClientToken.

    Args:
        id: `r1`, `r2`, … in the run; also the tag `aspot:request`.
        count: How many instances.
        pools: Where, in order of preference.
        market: How they are bought.
    """

    id: str
    count: int
    pools: tuple[Pool, ...]
    market: Market = Market.SPOT

    @property
    def region(self) -> str:
        """Return the region that is asked."""
        return self.pools[0].region


@attrs.frozen(kw_only=True)
class RunSpec:
    """What the user asked of the run, checked and resolved.

    Args:
        id: Unique; in tags and tokens.
        name: The fleet's name.
        region: AWS region; of several, the first one named.
        regions: All that it may use, where they are several; else empty.
        limit: Most instances alive at once.
        budget_usd: Most US dollars to spend; None for no limit.
        deadline_s: Most seconds from start to the end of the run; None for none.
        max_life_s: Each machine ends itself after this many seconds.
        idle_s: A machine without work ends after this many seconds.
        hold_s: Uncollected results hold a machine for at most this many seconds.
        capacity_timeout_s: How long a job waits for capacity before it is `lost`.
        market: `spot`, `on-demand` or `spot-first`.
        on_demand_base: So many of the machines alive are bought on demand, whatever the market.
        max_price_usd: Most US dollars an hour per instance; None for no limit.
        disk_gb: Root volume, for money.
        moves_when_advised: Whether jobs with a checkpoint leave a machine on EC2's mere rebalance recommendation.
        keep_failed_s: A failed job's machine stays this long for a look; None for not.
        is_rebuilt: Whether the run is what its machines told of it, its journal being lost: nothing starts again then.
        is_box: One machine by name, which stays without any job until it is told to go; it is never replaced.
    """

    id: str
    name: str
    region: str
    regions: tuple[str, ...] = ()
    limit: int = 50
    budget_usd: float | None = None
    deadline_s: float | None = None
    max_life_s: float = 86400.0
    idle_s: float = 60.0
    hold_s: float = 7200.0
    capacity_timeout_s: float = 3600.0
    market: str = "spot"
    on_demand_base: int = 0
    max_price_usd: float | None = None
    disk_gb: int = 8
    moves_when_advised: bool = False
    keep_failed_s: float | None = None
    is_rebuilt: bool = False
    is_box: bool = False

    @property
    def everywhere(self) -> tuple[str, ...]:
        """Return every region that the run may use."""
        return self.regions or (self.region,)

    @property
    def markets(self) -> tuple[Market, ...]:
        """Return the markets that the run may buy in."""
        if self.market == "on-demand":
            return (Market.ON_DEMAND,)
        is_spot_only = self.market == "spot" and not self.on_demand_base
        return (Market.SPOT,) if is_spot_only else (Market.SPOT, Market.ON_DEMAND)


@attrs.frozen(kw_only=True)
class Stop:
    """The decision to stop the whole run.

    Args:
        at: When it was made.
        reason: For people; becomes the reason of the jobs it ends.
        verdict: Status of the jobs that it ends.
        why: What attempts are told.
        force_at: What has not come home by then is given up, and every machine ended.
    """

    at: datetime
    reason: str
    verdict: JobStatus
    why: StopWhy
    force_at: datetime
