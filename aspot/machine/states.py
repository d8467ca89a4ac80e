"""The words for where things are and how they end."""

from __future__ import annotations

import enum


class InstanceState(enum.Enum):
    """Where an instance is in its life."""

    REQUESTED = "requested"  # EC2 has given an id; pending
    RUNNING = "running"  # EC2 says running; no verified SSH connection yet
    SSH_READY = "ssh-ready"  # verified, own host key, lease armed; no attempt on it
    JOB = "job"  # an attempt is on it
    KEPT = "kept"  # a job failed on it, and it stays for a look: no new attempt; it ends itself in time
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


class LaunchState(enum.Enum):
    """Where a launch request is."""

    SENT = "sent"
    IN_DOUBT = "in_doubt"  # its answer was lost: repeated with the same token
    ANSWERED = "answered"


class RunPhase(enum.Enum):
    """Where the run is."""

    PREPARING = "preparing"
    OPEN = "open"  # jobs may still come
    CLOSED = "closed"  # no job will come; ends when all are final
    STOPPING = "stopping"  # cancelled, out of budget or failed: attempts are stopped, machines ended
    ENDED = "ended"  # every job is final and every machine is terminated
