"""What EC2 and their connections say of instances."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aspot.machine import checkpoints
from aspot.machine import effects as ef
from aspot.machine import events as ev
from aspot.machine import news as nw
from aspot.machine.change import Change
from aspot.machine.endings import is_taken, lose_machine
from aspot.machine.evacuation import evacuate
from aspot.machine.instance_table import instance_cell
from aspot.machine.keeping import confirmed, fix
from aspot.machine.launches import adopt
from aspot.machine.model import AttemptState, EndReason, InstanceRecord, InstanceState, JobStatus, Notice
from aspot.machine.money import instance_cost, start_billing, stop_billing
from aspot.machine.moves import end_instance
from aspot.machine.placement import remember_interruption, remember_unusable
from aspot.machine.quantities import price, short_duration
from aspot.machine.refusals import refuse_late
from aspot.machine.stopping import stop

UNUSABLE_ENDS = (EndReason.SOMEONE, EndReason.ITSELF, EndReason.HARDWARE, EndReason.UNKNOWN)
"""Ends of a machine that was never ready which speak against the set-up."""


def found(change: Change, event: ev.InstanceFound) -> None:
    """Take in an instance that carries the run's tag."""
    adopt(change, event.instance, event.request, event.pool, event.market)


def instance_event(change: Change, event: ev.InstanceEvent) -> None:
    """Take in what happened to an instance, if the table knows it."""
    old = change.run.instances[event.instance]
    state = instance_cell(old.state, type(event), story=old.story)
    if state is None:
        return
    change.tell(event.instance, f"{type(event).__name__}: {old.state.value} → {state.value}")
    if not isinstance(event, ev.InstanceUnusable):
        change.instance(event.instance, state=state)
    _HANDLERS[type(event)](change, event, old)


def _ran(change: Change, event: ev.InstanceRan, _old: InstanceRecord) -> None:
    start_billing(change, event.instance)
    instance = change.instance(event.instance, address=event.address, port=event.port)
    if instance.state is InstanceState.RUNNING:
        change.emit(ef.Connect(instance=event.instance, address=event.address, port=event.port))


def _ready(change: Change, event: ev.InstanceReady, old: InstanceRecord) -> None:
    boot_s = (change.now - old.requested).total_seconds()
    is_free = old.state is InstanceState.RUNNING
    change.instance(
        event.instance,
        ready=change.now,
        link_lost=None,
        boot_id=event.boot_id,
        idle_since=change.now if is_free else None,
    )
    change.set(unusable=0, unusable_why="")
    change.announce(
        nw.InstanceReady(
            time=change.now,
            fleet=change.run.spec.name,
            instance=old.label,
            message=f"{old.label}: ready after {short_duration(boot_s)}",
            instance_id=old.id,
            boot_s=boot_s,
        )
    )
    change.plan()


def _unusable(change: Change, event: ev.InstanceUnusable, old: InstanceRecord) -> None:
    remember_unusable(change, old.pool, old.market)
    if old.ready is None:
        change.set(unusable=change.run.unusable + 1, unusable_why=event.reason)
        change.announce(
            nw.Warned(
                time=change.now,
                fleet=change.run.spec.name,
                instance=old.label,
                message=f"{old.label} ({old.id}) is of no use and is ended: {event.reason}",
            )
        )
    if old.state is not InstanceState.INTERRUPTED:
        end_instance(change, event.instance, event.reason)
    change.plan()


def _noticed(change: Change, event: ev.NoticeReceived, old: InstanceRecord) -> None:
    if old.notice is not None:
        if event.deadline < old.notice.deadline:
            notice = Notice(deadline=event.deadline, received=change.now, channel=old.notice.channel)
            change.instance(event.instance, notice=notice)
        return
    notice = Notice(deadline=event.deadline, received=change.now, channel=event.channel)
    instance = change.instance(event.instance, notice=notice, idle_since=None)
    remember_interruption(change, old.pool)
    left_s = max(0.0, (event.deadline - change.now).total_seconds())
    change.announce(
        nw.NoticeReceived(
            time=change.now,
            fleet=change.run.spec.name,
            job=old.attempt[0] if old.attempt else "",
            instance=old.label,
            message=f"{old.label}: EC2 takes {old.pool} back in {short_duration(left_s)}",
            instance_id=old.id,
            seconds=left_s,
            channel=event.channel,
        )
    )
    if old.attempt is not None:
        checkpoints.sync(change, old.attempt[0], deadline=checkpoints.stop_time(notice))
        if change.run.jobs[old.attempt[0]].attempts[-1].state is AttemptState.RUNNING:
            evacuate(change, old.attempt[0])
    checkpoints.sync_neighbours(change, instance)
    change.plan()


def _advised(change: Change, event: ev.RebalanceAdvised, old: InstanceRecord) -> None:
    if old.rebalance is None:
        change.instance(event.instance, rebalance=change.now)
        if old.attempt is not None:
            checkpoints.sync(change, old.attempt[0], deadline=None)
        if change.run.spec.moves_when_advised:
            remember_interruption(change, old.pool)
            change.plan()


def _link_lost(change: Change, event: ev.LinkLost, old: InstanceRecord) -> None:
    change.instance(event.instance, link_lost=old.link_lost or change.now)
    change.plan()


def _link_restored(change: Change, event: ev.LinkRestored, old: InstanceRecord) -> None:
    change.instance(event.instance, link_lost=None, boot_id=event.boot_id)
    if old.state is InstanceState.KEPT and old.boot_id != event.boot_id:
        fix(change, event.instance)  # a machine that was booted again knows of no end
    change.plan()


def _terminate_failed(change: Change, event: ev.TerminateFailed, _old: InstanceRecord) -> None:
    change.instance(event.instance, protected=event.reason)
    change.plan()


def _ending(change: Change, event: ev.InstanceEnding | ev.InstanceEnded, old: InstanceRecord) -> None:
    is_first = old.end_reason in (None, EndReason.UNKNOWN)
    reason = _reason(old, event.reason) if is_first else old.end_reason or event.reason
    instance = change.instance(event.instance, end_reason=reason, idle_since=None)
    stop_billing(change, event.instance, reason)
    if is_first and reason is EndReason.INTERRUPTED and old.notice is None:
        remember_interruption(change, instance.pool)
    change.plan()


def _ended(change: Change, event: ev.InstanceEnded, old: InstanceRecord) -> None:
    _ending(change, event, old)
    instance = change.instance(event.instance, ended=change.now)
    if instance.ready is None and not is_taken(instance):
        _never_ready(change, instance)
    lose_machine(change, instance)
    cost = instance_cost(change.run, change.run.instances[event.instance])
    reason = instance.end_reason or event.reason
    change.announce(
        nw.InstanceEnded(
            time=change.now,
            fleet=change.run.spec.name,
            instance=instance.label,
            message=f"{instance.label}: {reason.value}, {price(cost)}",
            instance_id=instance.id,
            reason=reason.value,
            cost_usd=cost,
        )
    )
    if change.run.spec.is_box and instance.ready is not None:
        stop(change, reason.value, verdict=JobStatus.LOST)


def _never_ready(change: Change, instance: InstanceRecord) -> None:
    """Learn from a machine that ended before it was of use."""
    reason = instance.end_reason
    if reason in (EndReason.NO_CAPACITY, EndReason.ACCOUNT):
        refuse_late(change, instance)
    elif reason in UNUSABLE_ENDS:
        remember_unusable(change, instance.pool, instance.market)
        change.set(unusable=change.run.unusable + 1, unusable_why=reason.value)


def _reason(instance: InstanceRecord, reason: EndReason) -> EndReason:
    """Return why it ended: EC2 does not tell our own call from someone else's."""
    if reason is EndReason.SOMEONE and instance.terminate_asked:
        return EndReason.OURS
    if reason is EndReason.OURS and not instance.terminate_asked:
        return EndReason.SOMEONE
    return reason


_HANDLERS: Mapping[type[ev.InstanceEvent], Callable[[Change, Any, InstanceRecord], None]] = {
    ev.InstanceRan: _ran,
    ev.InstanceReady: _ready,
    ev.InstanceUnusable: _unusable,
    ev.NoticeReceived: _noticed,
    ev.RebalanceAdvised: _advised,
    ev.LinkLost: _link_lost,
    ev.LinkRestored: _link_restored,
    ev.InstanceEnding: _ending,
    ev.InstanceEnded: _ended,
    ev.TerminateFailed: _terminate_failed,
    ev.MachineKept: confirmed,
}
