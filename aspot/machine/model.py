"""The records: everything a run is, as frozen values. `step` makes new ones from events."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from datetime import datetime

import attrs

from aspot.machine.pool import Market, Pool, Refusal


class InstanceState(enum.Enum):
    """Where an instance is in its life."""

    REQUESTED = "requested"  # EC2 has given an id; pending
    RUNNING = "running"  # EC2 says running; no verified SSH connection yet
    SSH_READY = "ssh-ready"  # verified, own host key, lease armed; no attempt on it
    JOB = "job"  # an attempt is on it
    INTERRUPTED = "interrupted"  # noticed: it takes no new attempt; one may still be on it
    TERMINATING = "terminating"  # we asked EC2 to end it, or EC2 is ending it
    TERMINATED = "terminated"  # EC2 says it is gone: final


class EndReason(enum.Enum):
    """Why an instance ended, classed from StateReason and spot status in `aspot.aws` (AWS.md 3)."""

    OURS = "ended by aspot"
    INTERRUPTED = "interrupted by EC2"
    SOMEONE = "terminated by someone"
    ITSELF = "shut itself down"
    NO_CAPACITY = "no capacity while starting"
    HARDWARE = "failed in EC2"
    ACCOUNT = "refused by the account's limits or keys"
    UNKNOWN = "ended for an unknown reason"


class AttemptState(enum.Enum):
    """Where an attempt is."""

    STARTING = "starting"  # sent to the instance, start not confirmed
    RUNNING = "running"
    STOPPING = "stopping"  # told to stop; its status is awaited
    COLLECTING = "collecting"  # its verified status is here; files are on their way
    ENDED = "ended"


class Outcome(enum.Enum):
    """How an attempt ended (API.md)."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    INTERRUPTED = "interrupted"
    LOST = "lost"
    CANCELLED = "cancelled"


class JobStatus(enum.Enum):
    """Where a job is, and how it ended (API.md)."""

    QUEUED = "queued"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"
    LOST = "lost"
    BUDGET = "budget"

    @property
    def is_final(self) -> bool:
        """Tell whether nothing more will happen to the job."""
        return self not in (JobStatus.QUEUED, JobStatus.RUNNING)


class StopWhy(enum.Enum):
    """Why an attempt is told to stop; the runner writes it into the status line's `why=`."""

    CANCEL = "cancel"
    INTERRUPT = "interrupt"
    BUDGET = "budget"


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
        on_notice: Shell command to run on a notice; "" for none.
        timeout_s: The script's own seconds per attempt; None for none.
        attempts: How many own failures end the job (1: the first one does).
        interruptions: How many interruptions end the job.
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
    on_notice: str = ""
    timeout_s: float | None = None
    attempts: int = 1
    interruptions: int = 10


@attrs.frozen(kw_only=True, slots=False)  # changed several times a step: see `change.replace`
class AttemptRecord:
    """One try of a job on one instance.

    `ended_by` is why it ended when no status line says so. `resumed_from` is the serial of the checkpoint it began with.
    `useful_s` counts seconds whose work is in the result or in a checkpoint; the rest was redone.
    """

    job: str
    number: int
    instance: str
    pool: Pool
    state: AttemptState = AttemptState.STARTING
    ordered: datetime
    started: datetime | None = None
    ended: datetime | None = None
    stop_why: StopWhy | None = None
    exit: ExitStatus | None = None
    outcome: Outcome | None = None
    ended_by: str = ""
    resumed_from: int = 0
    saved: Checkpoint | None = None  # newest checkpoint that came from this attempt
    cost_usd: float = 0.0
    stop_asked: datetime | None = None  # when it was told to stop
    exited: datetime | None = None  # when its status came: it works no more
    synced: datetime | None = None  # when a checkpoint was last asked for
    saving: int = 0  # serial of the checkpoint on its way; 0 for none
    final_serial: int = 0  # serial of the checkpoint that is its last; it ends when that one is here or missed
    has_hook_run: bool = False  # the user's `on_notice` command ended
    is_parting: bool = False  # stopped for an interruption: it ends once its last checkpoint is here or missed


@attrs.frozen(kw_only=True, slots=False)  # changed several times a step: see `change.replace`
class JobRecord:
    """A job and what became of it."""

    spec: JobSpec
    status: JobStatus = JobStatus.QUEUED
    verdict: JobStatus | None = None  # final status decided, its result not yet accepted here
    reason: str = ""
    submitted: datetime
    attempts: tuple[AttemptRecord, ...] = ()
    failures: int = 0
    interruptions: int = 0
    losses: int = 0  # attempts that vanished for a reason that is neither the script's nor an interruption
    checkpoint: Checkpoint | None = None  # newest over all attempts
    checkpoint_serial: int = 0  # newest serial given out
    collected: Collected | None = None
    accepted: int = 0  # number of the attempt whose result is the job's; 0 until there is one
    cancel_asked: bool = False
    order: int = 0  # place in the order of submission
    waiting_since: datetime | None = None  # when it last began to wait for capacity

    @property
    def live(self) -> AttemptRecord | None:
        """Return the attempt that has not ended, if any: there is never more than one."""
        last = self.attempts[-1] if self.attempts else None
        return last if last is not None and last.state is not AttemptState.ENDED else None


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


@attrs.frozen(kw_only=True, slots=False)  # changed several times a step: see `change.replace`
class InstanceRecord:
    """One EC2 machine of the run. `label` is what users see: `NAME_1` and so on."""

    id: str
    label: str
    request: str
    pool: Pool
    market: Market
    state: InstanceState = InstanceState.REQUESTED
    requested: datetime
    running: datetime | None = None  # EC2 says running: billing began
    ready: datetime | None = None
    idle_since: datetime | None = None
    ending: datetime | None = None  # shutting-down: billing ended
    ended: datetime | None = None
    end_reason: EndReason | None = None
    address: str = ""
    port: int = 22
    notice: Notice | None = None
    rebalance: datetime | None = None
    link_lost: datetime | None = None
    attempt: tuple[str, int] | None = None  # (job, number)
    terminate_asked: bool = False
    boot_id: str = ""
    price_usd_per_hour: float = 0.0  # newest known
    cost_usd: float = 0.0  # accrued up to `priced_at`
    priced_at: datetime | None = None
    attributed_usd: float = 0.0  # how much of its cost the attempts that ended on it bear
    refund_usd: float = 0.0  # compute part that AWS does not charge: EC2 took it back within its first hour
    kept: str = ""  # why EC2 refuses to end it: it is reported as left
    story: tuple[str, ...] = ()

    @property
    def is_alive(self) -> bool:
        """Tell whether it may still cost money or do work."""
        return self.state not in (InstanceState.TERMINATING, InstanceState.TERMINATED)


class LaunchState(enum.Enum):
    """Where a launch request is."""

    SENT = "sent"
    IN_DOUBT = "in_doubt"  # its answer was lost: repeated with the same token
    ANSWERED = "answered"


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


@attrs.frozen(kw_only=True, slots=False)  # changed several times a step: see `change.replace`
class LaunchRecord:
    """A launch request and its answer."""

    spec: LaunchSpec
    state: LaunchState = LaunchState.SENT
    sent: datetime
    tries: int = 1
    retry_at: datetime | None = None  # when an in-doubt or throttled one is repeated
    instances: tuple[str, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@attrs.frozen(kw_only=True)
class PoolMemory:
    """What happened in a pool: it is avoided until `avoid_until`, for ever if `barred`."""

    refused: int = 0
    interrupted: int = 0
    avoid_until: datetime | None = None
    interrupted_until: datetime | None = None  # avoided because EC2 took machines back here
    barred: bool = False
    last_code: str = ""


class RunPhase(enum.Enum):
    """Where the run is."""

    PREPARING = "preparing"
    OPEN = "open"  # jobs may still come
    CLOSED = "closed"  # no job will come; ends when all are final
    STOPPING = "stopping"  # cancelled, out of budget or failed: attempts are stopped, machines ended
    ENDED = "ended"  # every job is final and every machine is terminated


@attrs.frozen(kw_only=True)
class RunSpec:
    """What the user asked of the run, checked and resolved.

    Args:
        id: Unique; in tags and tokens.
        name: The fleet's name.
        region: AWS region.
        limit: Most instances alive at once.
        budget_usd: Most US dollars to spend; None for no limit.
        deadline_s: Most seconds from start to the end of the run; None for none.
        max_life_s: Each machine ends itself after this many seconds.
        idle_s: A machine without work ends after this many seconds.
        hold_s: Uncollected results hold a machine for at most this many seconds.
        capacity_timeout_s: How long a job waits for capacity before it is `lost`.
        market: `spot`, `on-demand` or `spot-first`.
        max_price_usd: Most US dollars an hour per instance; None for no limit.
        disk_gb: Root volume, for money.
    """

    id: str
    name: str
    region: str
    limit: int = 50
    budget_usd: float | None = None
    deadline_s: float | None = None
    max_life_s: float = 86400.0
    idle_s: float = 60.0
    hold_s: float = 7200.0
    capacity_timeout_s: float = 3600.0
    market: str = "spot"
    max_price_usd: float | None = None
    disk_gb: int = 8


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


@attrs.frozen(kw_only=True, slots=False)  # changed several times a step: see `change.replace`
class Run:
    """The whole state of a run: `step(run, event)` returns the next one and the effects to carry out."""

    spec: RunSpec
    phase: RunPhase = RunPhase.PREPARING
    now: datetime
    started: datetime
    jobs: Mapping[str, JobRecord] = attrs.field(factory=dict)  # in order of submission
    instances: Mapping[str, InstanceRecord] = attrs.field(factory=dict)
    requests: Mapping[str, LaunchRecord] = attrs.field(factory=dict)
    pools: tuple[Pool, ...] = ()  # every pool the run may use
    memory: Mapping[Pool, PoolMemory] = attrs.field(factory=dict)
    spot_usd_per_hour: Mapping[Pool, float] = attrs.field(factory=dict)
    on_demand_usd_per_hour: Mapping[str, float] = attrs.field(factory=dict)  # by type
    launch_after: datetime | None = None  # back-off of the whole run (quota, throttling, all pools refused)
    quota: Refusal | None = None  # newest quota refusal, shown while it holds
    stop_reason: str = ""
    budget_reached: bool = False
    seen: int = 0  # events taken so far; makes replay idempotent
    is_submission_closed: bool = False
    stop: Stop | None = None  # set with phase STOPPING
    quota_refusals: int = 0  # in a row, with nothing launched between
    unusable: int = 0  # machines in a row that never became ready
    unusable_why: str = ""
    on_demand_memory: Mapping[Pool, PoolMemory] = attrs.field(factory=dict)  # as `memory`, for on-demand launches
    # Indexes, kept by `Change`, so that a step need not look at everything (checked in `invariants`):
    queued: tuple[str, ...] = ()  # jobs that wait for a machine, in order of submission
    unfinished: int = 0  # jobs that are not final
    asked: tuple[str, ...] = ()  # launch requests not yet ANSWERED
    starved: tuple[str, ...] = ()  # jobs that wait for capacity: those with `waiting_since`
    live: tuple[str, ...] = ()  # instances not yet TERMINATED
    idle: tuple[str, ...] = ()  # instances that are SSH_READY
    starting: tuple[str, ...] = ()  # instances that are REQUESTED or RUNNING
    leaving: tuple[str, ...] = ()  # instances that are INTERRUPTED, or TERMINATING with an attempt on them
    counted: int = 0  # instances that count towards the limit
    # Lower bounds, so that `wakeup` need not look at everything either:
    look_at: datetime | None = None  # no attempt or waiting job falls due before
    budget_at: datetime | None = None  # the budget cannot be reached before
