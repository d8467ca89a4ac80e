"""Keeping a failed job's machine for a look: whether it can be, until when, and that it ends itself then."""

from __future__ import annotations

from datetime import datetime, timedelta

import attrs

from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.change import Change
from aspot.machine.model import InstanceRecord, InstanceState, Keep, Run
from aspot.machine.money import ROUNDING_USD, budget_left, instance_rate, kept_cost
from aspot.machine.moves import end_instance, keep_instance
from aspot.machine.quantities import price, short_duration

CONFIRM_S = 60.0
"""A machine that has not confirmed its end by then is not kept: nothing but the client would end it in time."""

OVERDUE_S = 60.0
"""A machine that still runs so long after the time it was kept until is ended by us."""


def keep_failed(change: Change, job_name: str, instance_name: str) -> None:
    """Keep the machine on which a job failed for the last time, if the user asked for that and it can be."""
    run, instance = change.run, change.run.instances[instance_name]
    is_unwanted = run.stop is not None or run.jobs[job_name].cancel_asked
    if run.spec.keep_failed_s is None or is_unwanted or instance.state is not InstanceState.SSH_READY:
        return
    until = min(change.now + timedelta(seconds=run.spec.keep_failed_s), life_end(run, instance))
    why_not = _objection(run, instance, until)
    if why_not:
        _warn(change, instance, job_name, why_not)
        return
    keep_instance(change, instance_name, Keep(job=job_name, since=change.now, until=until))
    change.emit(ef.Keep(instance=instance_name, until=until))


def fix(change: Change, name: str) -> None:
    """Have a kept machine confirm its end, again if need be."""
    keep = _keep_of(change.run, name)
    change.instance(name, keep=attrs.evolve(keep, since=change.now, is_fixed=False))
    change.emit(ef.Keep(instance=name, until=keep.until))


def confirmed(change: Change, event: ev.MachineKept, old: InstanceRecord) -> None:
    """Take note that a machine ends itself in time; harmless to repeat."""
    keep = _keep_of(change.run, event.instance)
    if keep.is_fixed:
        return
    keep = attrs.evolve(keep, is_fixed=True, user=event.user, way=event.way)
    instance = change.instance(event.instance, keep=keep)
    rate, most = instance_rate(change.run, instance), kept_cost(change.run, instance)
    rest = short_duration(max(0.0, (keep.until - change.now).total_seconds()))
    way = f": {keep.way}" if keep.way else ""
    change.announce(
        nw.InstanceKept(
            time=change.now,
            fleet=change.run.spec.name,
            job=keep.job,
            instance=old.label,
            message=f"{old.label}: kept for {rest} for a look at {keep.job}, {price(rate)}/h{way}",
            instance_id=old.id,
            until=keep.until,
            price_usd_per_hour=rate,
            most_usd=most,
            ssh=keep.way,
        )
    )


def give_up(change: Change, name: str) -> None:
    """End a machine that did not confirm its end, or that should have ended itself by now."""
    keep = _keep_of(change.run, name)
    if keep.is_fixed:
        end_instance(change, name, "the time it was kept for a look is over")
    else:
        why = f"it did not confirm within {CONFIRM_S:.0f} s that it will end itself"
        _warn(change, change.run.instances[name], keep.job, why)
        end_instance(change, name, why)


def end_kept(change: Change, why: str) -> None:
    """End every machine that is kept."""
    for name in change.run.kept:
        end_instance(change, name, why)


def due(instance: InstanceRecord) -> datetime:
    """Return when a kept machine is given up, or ended by us."""
    assert instance.keep is not None
    keep = instance.keep
    return keep.until + timedelta(seconds=OVERDUE_S) if keep.is_fixed else keep.since + timedelta(seconds=CONFIRM_S)


def life_end(run: Run, instance: InstanceRecord) -> datetime:
    """Return when the machine ends itself, whatever happens: `max_life` after its boot."""
    return (instance.running or run.now) + timedelta(seconds=run.spec.max_life_s)


def _objection(run: Run, instance: InstanceRecord, until: datetime) -> str:
    """Return why a machine cannot be kept; "" if it can."""
    if until <= run.now:
        return "it has reached max_life"
    if sum(run.instances[name].keep is not None for name in run.live) >= run.spec.limit:  # one that is ending counts
        return f"as many are kept already as the run may have machines at once ({run.spec.limit})"
    left = budget_left(run)
    usd = instance_rate(run, instance) * (until - run.now).total_seconds() / 3600
    return f"it would cost {price(usd)}, and the budget has no room for it" if _is_over(left, usd) else ""


def _is_over(left: float | None, usd: float) -> bool:
    return left is not None and left - usd <= ROUNDING_USD


def _keep_of(run: Run, name: str) -> Keep:
    keep = run.instances[name].keep
    assert keep is not None, name
    return keep


def _warn(change: Change, instance: InstanceRecord, job: str, why: str) -> None:
    message = f"{instance.label}: not kept for a look at {job}: {why}"
    change.announce(
        nw.Warned(time=change.now, fleet=change.run.spec.name, job=job, instance=instance.label, message=message)
    )
