"""Events: what happened, in past tense. Everything `step` learns, time included, comes in one of these."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

import attrs

from aspot.machine.model import Checkpoint, Collected, EndReason, Evacuation, ExitStatus, JobSpec
from aspot.machine.pool import Market, Pool, Refusal


@attrs.frozen(kw_only=True)
class Event:
    """Base of all events.

    Args:
        at: When, by the client's clock; aware UTC.
    """

    at: datetime


@attrs.frozen(kw_only=True)
class InstanceEvent(Event):
    """Base of the events of one instance (its EC2 id)."""

    instance: str


@attrs.frozen(kw_only=True)
class AttemptEvent(InstanceEvent):
    """Base of the events of one attempt."""

    job: str
    attempt: int


# --- the run ------------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class RunPrepared(Event):
    """The cloud side is ready: launches may begin. `user` is the image's login user."""

    pools: tuple[Pool, ...]
    spot_usd_per_hour: Mapping[Pool, float]
    on_demand_usd_per_hour: Mapping[str, float]
    user: str = ""


@attrs.frozen(kw_only=True)
class PrepareFailed(Event):
    """The cloud side could not be made ready; nothing was launched."""

    reason: str


@attrs.frozen(kw_only=True)
class JobsSubmitted(Event):
    """The user submitted jobs."""

    jobs: tuple[JobSpec, ...]


@attrs.frozen(kw_only=True)
class SubmissionClosed(Event):
    """No more jobs will come."""


@attrs.frozen(kw_only=True)
class JobsCancelled(Event):
    """The user cancelled these jobs."""

    jobs: tuple[str, ...]


@attrs.frozen(kw_only=True)
class RunStopped(Event):
    """The user, or trouble, stopped the whole run: cancel all, end all."""

    reason: str


@attrs.frozen(kw_only=True)
class LimitChanged(Event):
    """The user asked for another number of instances (`Fleet.scale`)."""

    limit: int


@attrs.frozen(kw_only=True)
class PricesSeen(Event):
    """Spot prices moved."""

    spot_usd_per_hour: Mapping[Pool, float]


@attrs.frozen(kw_only=True)
class RunAttached(Event):
    """A client took the run up again, after one that left it or was killed."""


@attrs.frozen(kw_only=True)
class Ticked(Event):
    """Time passed; sent when `wakeup(run)` is due."""


# --- launch requests -----------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class Launched:
    """One instance out of a launch answer."""

    instance: str
    pool: Pool
    market: Market


@attrs.frozen(kw_only=True)
class LaunchAnswered(Event):
    """AWS answered: instances, refusals, or both."""

    request: str
    launched: tuple[Launched, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@attrs.frozen(kw_only=True)
class LaunchInDoubt(Event):
    """The answer was lost: instances may or may not exist."""

    request: str
    reason: str


# --- one instance: what EC2 says -------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class InstanceFound(InstanceEvent):
    """The poller saw an instance with the run's tag that no answer told of (a lost answer, or attach)."""

    request: str
    pool: Pool
    market: Market


@attrs.frozen(kw_only=True)
class InstanceRan(InstanceEvent):
    """EC2 says running, with an address."""

    address: str
    port: int
    launched: datetime


@attrs.frozen(kw_only=True)
class InstanceEnding(InstanceEvent):
    """EC2 says shutting-down (or stopping): billing ended."""

    reason: EndReason


@attrs.frozen(kw_only=True)
class InstanceEnded(InstanceEvent):
    """EC2 says terminated (or stopped)."""

    reason: EndReason


@attrs.frozen(kw_only=True)
class NoticeReceived(InstanceEvent):
    """EC2 will take the instance back at `deadline`."""

    deadline: datetime
    channel: str


@attrs.frozen(kw_only=True)
class RebalanceAdvised(InstanceEvent):
    """EC2 sees an elevated risk of interruption."""


# --- one instance: what its connection says --------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class InstanceReady(InstanceEvent):
    """The connection is verified, the instance has its own host key, its lease is armed and checked."""

    boot_id: str


@attrs.frozen(kw_only=True)
class InstanceUnusable(InstanceEvent):
    """It never became ready, or proved to be somebody else: it is ended and its pool avoided."""

    reason: str


@attrs.frozen(kw_only=True)
class LinkLost(InstanceEvent):
    """The connection dropped: never evidence of death."""

    reason: str


@attrs.frozen(kw_only=True)
class LinkRestored(InstanceEvent):
    """The connection is back."""

    boot_id: str


@attrs.frozen(kw_only=True)
class TerminateFailed(InstanceEvent):
    """EC2 refused to end it (termination protection): it is reported as left."""

    reason: str


# --- one attempt -----------------------------------------------------------------------------------------------------


@attrs.frozen(kw_only=True)
class AttemptStarted(AttemptEvent):
    """The runner confirmed the start."""


@attrs.frozen(kw_only=True)
class AttemptRefused(AttemptEvent):
    """It could not be started there, and nothing ran: a full disk, a file that vanished here, a rejected upload.

    `is_local` is true when the cause lies with the user's own files: trying elsewhere would not help.
    """

    reason: str
    is_local: bool = False


@attrs.frozen(kw_only=True)
class AttemptExited(AttemptEvent):
    """The runner's verified status is here."""

    exit: ExitStatus


@attrs.frozen(kw_only=True)
class AttemptVanished(AttemptEvent):
    """The attempt is gone without a status: rebooted, its supervisor killed, or never started; nothing of it runs."""

    reason: str


@attrs.frozen(kw_only=True)
class CheckpointSaved(AttemptEvent):
    """A checkpoint is here, whole and verified."""

    checkpoint: Checkpoint


@attrs.frozen(kw_only=True)
class CheckpointMissed(AttemptEvent):
    """A checkpoint was to be saved and could not be, or there was nothing to save."""

    serial: int
    reason: str


@attrs.frozen(kw_only=True)
class Evacuated(AttemptEvent):
    """Bringing home what the user named for a notice is over; `evacuation` is all that is here of it."""

    serial: int
    evacuation: Evacuation


@attrs.frozen(kw_only=True)
class HookFinished(AttemptEvent):
    """The user's `on_notice` command ended on the instance."""

    code: int


@attrs.frozen(kw_only=True)
class ResultCollected(AttemptEvent):
    """Everything of the attempt is here, verified and in staging."""

    collected: Collected


@attrs.frozen(kw_only=True)
class CollectFailed(AttemptEvent):
    """Its files could not be brought home (tried again until the instance is gone)."""

    reason: str
    is_final: bool = False


@attrs.frozen(kw_only=True)
class ResultAccepted(Event):
    """The job's folder was published by one rename: the job is final (`attempt` 0: it never had one)."""

    job: str
    attempt: int
