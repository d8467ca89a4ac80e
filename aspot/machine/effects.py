"""Effects: what to do, imperative, frozen, safe to repeat. What each achieved comes back as an event."""

from __future__ import annotations

from datetime import datetime

import attrs

from aspot.machine.model import Checkpoint, LaunchSpec, StopWhy
from aspot.machine.news import News


@attrs.frozen(kw_only=True)
class Launch:
    """Ask EC2 for instances; the same spec again means the same ClientToken."""

    spec: LaunchSpec


@attrs.frozen(kw_only=True)
class Connect:
    """Connect, verify, rotate the host key, arm the lease: `InstanceReady` or `InstanceUnusable`."""

    instance: str
    address: str
    port: int


@attrs.frozen(kw_only=True)
class StartAttempt:
    """Deliver the job's files (and its checkpoint) and start it.

    `is_repeat`: an earlier client may have done so already; then the machine is asked first.
    """

    instance: str
    job: str
    attempt: int
    checkpoint: Checkpoint | None
    is_repeat: bool = False


@attrs.frozen(kw_only=True)
class FollowAttempt:
    """Take up the output of an attempt that an earlier client started, from the byte it stopped at."""

    instance: str
    job: str
    attempt: int


@attrs.frozen(kw_only=True)
class StopAttempt:
    """Stop it: TERM to its group, grace, KILL; its status then says why."""

    instance: str
    job: str
    attempt: int
    why: StopWhy
    grace_s: float


@attrs.frozen(kw_only=True)
class SaveCheckpoint:
    """Bring its checkpoint home before `deadline` (None: no hurry)."""

    instance: str
    job: str
    attempt: int
    serial: int
    deadline: datetime | None


@attrs.frozen(kw_only=True)
class Evacuate:
    """Bring home what the user named for a notice, in order, as far as it goes by `deadline`; again: what is new."""

    instance: str
    job: str
    attempt: int
    serial: int
    deadline: datetime


@attrs.frozen(kw_only=True)
class CollectResult:
    """Bring the rest of its logs and its files home, into staging."""

    instance: str
    job: str
    attempt: int


@attrs.frozen(kw_only=True)
class AcceptResult:
    """Make the staged files (if any) the job's result, by one rename: `ResultAccepted`; then the caller gets it.

    `attempt` is 0 for a job that ends without any attempt.
    """

    job: str
    attempt: int


@attrs.frozen(kw_only=True)
class Terminate:
    """End the instance; repeated until EC2 says that it is gone."""

    instance: str
    why: str


@attrs.frozen(kw_only=True)
class Keep:
    """Have the machine end itself at `until`, whoever is there then, and not before: `MachineKept`."""

    instance: str
    until: datetime


@attrs.frozen(kw_only=True)
class Announce:
    """Tell whoever listens."""

    news: News


Effect = (
    Launch
    | Connect
    | StartAttempt
    | FollowAttempt
    | StopAttempt
    | SaveCheckpoint
    | Evacuate
    | CollectResult
    | AcceptResult
    | Terminate
    | Keep
    | Announce
)
