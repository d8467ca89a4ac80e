"""How many machines there is work for: one look at everything that lives."""

from __future__ import annotations

import attrs

from aspot.machine.change import counts
from aspot.machine.checkpoints import can_move
from aspot.machine.endings import is_taken, outcome_of
from aspot.machine.model import AttemptState, InstanceRecord, InstanceState, Outcome, Run, StopWhy


@attrs.frozen(kw_only=True)
class Census:
    """Who is there.

    Args:
        idle: Instances that are ready and have no attempt, oldest first.
        starting: Instances on their way, oldest first.
        moving: Jobs whose attempt is on a machine that goes away: each wants a successor.
        counted: Instances that count towards the limit; one that EC2 takes back does not: its successor may overlap it.
        queued: Jobs that wait.
        pending: Instances asked for, not yet heard of.
        limit: Most instances allowed; a successor may overlap a machine that its job leaves of our own will.
        excess: By how many instances the limit is exceeded, those that we are ending left out.
        standing: Instances wanted without any job: a box's.
    """

    idle: tuple[str, ...]
    starting: tuple[str, ...]
    moving: tuple[str, ...]
    counted: int
    queued: int
    pending: int
    limit: int
    excess: int
    standing: int = 0

    @property
    def spare(self) -> int:
        """Return how many idle or starting instances nobody waits for."""
        return max(0, len(self.idle) + len(self.starting) - self.queued - len(self.moving) - self.standing)

    @property
    def unmet(self) -> int:
        """Return how many more instances there is work and room for, those asked for included."""
        lacking = self.queued + len(self.moving) + self.standing - len(self.idle) - len(self.starting)
        return max(0, min(lacking, self.limit - self.counted))


def census(run: Run) -> Census:
    """Return who is there now."""
    leaving = (run.instances[name] for name in run.leaving)
    moving = (i.attempt[0] for i in leaving if i.attempt is not None and _wants_successor(run, i))
    moving_by_choice = movers(run)
    return Census(
        idle=run.idle,
        starting=run.starting,
        moving=(*moving, *moving_by_choice),
        counted=run.counted,
        queued=len(run.queued),
        pending=pending(run),
        limit=run.spec.limit + len(moving_by_choice),
        excess=excess(run),
        standing=_standing(run),
    )


def excess(run: Run) -> int:
    """Return by how many instances the limit is exceeded, those that we are ending left out."""
    limit = run.spec.limit + len(movers(run))
    if run.counted <= limit:
        return 0
    instances = (run.instances[name] for name in run.live)
    ending = sum(counts(instance) and instance.state is InstanceState.TERMINATING for instance in instances)
    return max(0, run.counted - ending - limit)


def movers(run: Run) -> tuple[str, ...]:
    """Return the jobs that leave their machine by policy, because EC2 recommended it."""
    if not run.spec.moves_when_advised or run.stop is not None:
        return ()
    advised = (run.instances[name] for name in run.advised)
    return tuple(i.attempt[0] for i in advised if i.attempt is not None and _moves(run, i))


def _moves(run: Run, instance: InstanceRecord) -> bool:
    assert instance.attempt is not None
    is_under_way = run.jobs[instance.attempt[0]].attempts[-1].stop_why is StopWhy.INTERRUPT
    return _wants_successor(run, instance) if is_under_way else can_move(run, instance.attempt[0])


def pending(run: Run) -> int:
    """Return how many instances were asked for and not yet heard of; unanswered requests may all have succeeded."""
    requests = (run.requests[name] for name in run.asked)
    return sum(max(0, request.spec.count - len(request.instances)) for request in requests)


def _standing(run: Run) -> int:
    """Return 1 for a box that waits for its machine, or has it; one that was ready and goes away has no successor."""
    if not run.spec.is_box or run.stop is not None:
        return 0
    was_ready = any(instance.ready is not None for instance in run.instances.values())
    return int(bool(run.idle) or not was_ready)


def _wants_successor(run: Run, instance: InstanceRecord) -> bool:
    assert instance.attempt is not None
    job = run.jobs[instance.attempt[0]]
    attempt = job.attempts[-1]
    is_last = is_taken(instance) and job.interruptions + 1 >= job.spec.interruptions
    if run.stop is not None or job.cancel_asked or is_last:
        return False
    if attempt.state is not AttemptState.COLLECTING:
        return True
    assert attempt.exit is not None
    return outcome_of(attempt.exit, instance) in (Outcome.INTERRUPTED, Outcome.LOST)
