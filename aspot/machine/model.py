"""The records: everything a run is, as frozen values. `step` makes new ones from events."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from aspot.machine.pool import Market, Pool, Refusal
from aspot.machine.states import (
    AttemptState,
    EndReason,
    InstanceState,
    JobStatus,
    LaunchState,
    Outcome,
    RunPhase,
    StopWhy,
)
from aspot.machine.values import (
    Checkpoint,
    Collected,
    Evacuation,
    ExitStatus,
    JobSpec,
    Keep,
    LaunchSpec,
    Notice,
    RunSpec,
    Stop,
)

__all__ = [
    "AttemptRecord",
    "AttemptState",
    "Checkpoint",
    "Collected",
    "EndReason",
    "Evacuation",
    "ExitStatus",
    "InstanceRecord",
    "InstanceState",
    "JobRecord",
    "JobSpec",
    "JobStatus",
    "Keep",
    "LaunchRecord",
    "LaunchSpec",
    "LaunchState",
    "Notice",
    "Outcome",
    "PoolMemory",
    "Run",
    "RunPhase",
    "RunSpec",
    "Stop",
    "StopWhy",
]


@attrs.frozen(kw_only=True, slots=False)  # changed several times a step: see `change.replace`
class AttemptRecord:
    """One try of a job on one instance.

    `ended_by` is why it ended, for people. `resumed_from` is the serial of the checkpoint it began with; 0 for none.
    """

    job: str
    number: int
    instance: str
    pool: Pool
    state: AttemptState = AttemptState.STARTING
    ordered: datetime
    since: datetime | None = (
        None  # from when on its machine's time is its own: the launch, or the end of the one before
    )
    boot_s: float = 0.0  # how much of that went by until the machine was ready
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
    evacuated: Evacuation | None = None  # what of its `evacuate` paths is here
    evacuations: int = 0  # serial of the newest order to bring them
    evacuating: int = 0  # the same while that is under way; else 0
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
    moves: int = 0  # attempts that left their machine on EC2's recommendation
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
    evacuating_until: datetime | None = None  # its files are on their way home, until then at most
    rebalance: datetime | None = None
    link_lost: datetime | None = None
    attempt: tuple[str, int] | None = None  # (job, number)
    freed: datetime | None = None  # when the last attempt on it ended
    terminate_asked: bool = False
    boot_id: str = ""
    price_usd_per_hour: float = 0.0  # newest known
    cost_usd: float = 0.0  # accrued up to `priced_at`
    priced_at: datetime | None = None
    attributed_usd: float = 0.0  # how much of its cost the attempts that ended on it bear
    refund_usd: float = 0.0  # compute part that AWS does not charge: EC2 took it back within its first hour
    protected: str = ""  # why EC2 refuses to end it: it is reported as left
    keep: Keep | None = None  # it stays for a look at the failed job on it
    story: tuple[str, ...] = ()

    @property
    def is_kept(self) -> bool:
        """Tell whether it is left on purpose: it stays for a look, and is known to end itself in time."""
        return self.state is InstanceState.KEPT and self.keep is not None and self.keep.is_fixed


@attrs.frozen(kw_only=True, slots=False)  # changed several times a step: see `change.replace`
class LaunchRecord:
    """A launch request and its answer."""

    spec: LaunchSpec
    state: LaunchState = LaunchState.SENT
    sent: datetime
    tries: int = 1
    lost: int = 0  # answers that never came
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
    on_demand_usd_per_hour: Mapping[str, float] = attrs.field(factory=dict)  # see `money.on_demand_price`
    user: str = ""  # who logs in to its machines
    launch_after: datetime | None = None  # back-off of the whole run (quota, throttling, all pools refused)
    quota: Refusal | None = None  # newest quota refusal, shown while it holds
    stop_reason: str = ""
    budget_reached: bool = False
    seen: int = 0  # events taken so far; makes replay idempotent
    is_submission_closed: bool = False
    stop: Stop | None = None  # set with phase STOPPING
    quota_refusals: int = 0  # in a row, with nothing launched between
    bare_since: datetime | None = None  # since when machines are wanted and none of ours lives
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
    advised: tuple[str, ...] = ()  # SSH_READY or JOB, with a rebalance recommendation
    kept: tuple[str, ...] = ()  # instances that are KEPT
    counted: int = 0  # instances that count towards the limit
    # Lower bounds, so that `wakeup` need not look at everything either:
    look_at: datetime | None = None  # no attempt or waiting job falls due before
    budget_at: datetime | None = None  # the budget cannot be reached before
