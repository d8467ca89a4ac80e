"""Stopping the whole run: by the user, by its deadline, by its budget, or by a refusal that nothing can mend."""

from __future__ import annotations

from datetime import datetime, timedelta

from aspot.machine import news as nw
from aspot.machine.attempts import ask_to_stop
from aspot.machine.change import Change
from aspot.machine.endings import close_attempt, finish
from aspot.machine.model import JobStatus, Outcome, Run, RunPhase, Stop, StopWhy
from aspot.machine.money import DRAIN_S, ROUNDING_USD, budget_bound, budget_left, cost_now
from aspot.machine.quantities import price

PATIENCE_S = 20.0
"""What is not home this long after a stop is given up."""

GRACE_S = 5.0
ENDING_S = 15.0
"""How long machines may take from our call until EC2 bills no more; part of the budget's drain time."""

DEADLINE_LEAD_S = 30.0
"""The run stops this long before its deadline, or a tenth of it if that is less, so that it is over by then."""


def stop(change: Change, reason: str, *, verdict: JobStatus, why: StopWhy = StopWhy.CANCEL) -> None:
    """Stop the run: waiting jobs get the verdict, attempts are stopped and brought home, machines end."""
    if change.run.stop is not None:
        return
    patience_s = DRAIN_S - ENDING_S if why is StopWhy.BUDGET else PATIENCE_S
    force_at = change.now + timedelta(seconds=patience_s)
    decision = Stop(at=change.now, reason=reason, verdict=verdict, why=why, force_at=force_at)
    change.set(phase=RunPhase.STOPPING, stop=decision, stop_reason=reason)
    for name in change.run.queued:
        finish(change, name, verdict, reason)
    for name in _live_jobs(change.run):
        ask_to_stop(change, name, why, grace_s=GRACE_S)
    change.plan()


def force(change: Change) -> None:
    """Give up what has not come home and publish what is here; machines without work end with the next plan."""
    stopped = change.run.stop
    assert stopped is not None
    for name in _live_jobs(change.run):
        close_attempt(change, name, Outcome.CANCELLED, stopped.reason)
        finish(change, name, stopped.verdict, f"{stopped.reason}; not everything of it came home in time")


def exhaust(change: Change) -> None:
    """The budget is reached: nothing more is launched, what runs is brought home."""
    if change.run.budget_reached or change.run.stop is not None:
        return
    cost, budget = cost_now(change.run), change.run.spec.budget_usd or 0.0
    reason = f"the budget of {price(budget)} is reached"
    change.set(budget_reached=True)
    change.announce(
        nw.BudgetReached(
            time=change.now,
            fleet=change.run.spec.name,
            message=f"{reason} ({price(cost)} spent, the rest brings results home)",
            cost_usd=cost,
        )
    )
    stop(change, reason, verdict=JobStatus.BUDGET, why=StopWhy.BUDGET)


def watch_budget(change: Change) -> None:
    """Stop if what is spent and reserved reaches the budget; else say when to look again."""
    left = budget_left(change.run)
    if left is not None and left <= ROUNDING_USD:
        exhaust(change)
    change.set(budget_at=budget_bound(change.run) if change.run.stop is None else None)


def pass_deadline(change: Change) -> None:
    """Stop: the user's deadline is near."""
    stop(change, "the deadline is reached", verdict=JobStatus.CANCELLED)


def run_deadline(run: Run) -> datetime | None:
    """Return when the run has to stop to be over by its deadline; None without one."""
    seconds = run.spec.deadline_s
    if seconds is None or run.stop is not None:
        return None
    return run.started + timedelta(seconds=seconds - min(DEADLINE_LEAD_S, seconds / 10))


def _live_jobs(run: Run) -> tuple[str, ...]:
    instances = (run.instances[name] for name in run.live)
    return tuple(instance.attempt[0] for instance in instances if instance.attempt is not None)
