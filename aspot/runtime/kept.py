"""Machines that are kept for a look: that they end themselves, what other computers read of it, how to get in."""

from __future__ import annotations

import functools
import math

import anyio

from aspot.errors import AspotError
from aspot.machine.effects import Keep
from aspot.machine.events import MachineKept
from aspot.machine.model import InstanceRecord, Run
from aspot.machine.money import instance_rate, kept_cost
from aspot.ports import CloudUnavailable, CredentialsExpired, Link, Target
from aspot.results import Kept
from aspot.runtime.link_keeper import LinkKeeper
from aspot.runtime.teardown import kept_in
from aspot.runtime.wiring import Wiring

PROMPT_S = 2.0
"""A machine counts from when it is told: it is told again until that takes no longer than this."""

MARK_S = 10.0
"""Writing the tag may take this long: it is for others; the machine's own end holds without it."""


async def fix_end(wiring: Wiring, keeper: LinkKeeper, effect: Keep) -> None:
    """Have a machine end itself in time whoever is there then, and tell that it will."""
    await keeper.on_link(functools.partial(_fix, wiring, effect))
    await _mark(wiring, effect)
    wiring.post(MachineKept(at=wiring.now(), instance=effect.instance))


async def _fix(wiring: Wiring, effect: Keep, link: Link) -> None:
    """Tell the machine how long it has; again, if that was so long on its way that it would end late."""
    took_s = math.inf
    while took_s > PROMPT_S:
        began = anyio.current_time()
        await link.keep(wiring.seconds_until(effect.until))
        took_s = anyio.current_time() - began


async def _mark(wiring: Wiring, effect: Keep) -> None:
    why = "EC2 did not answer"
    with anyio.move_on_after(MARK_S):
        try:
            await wiring.cloud.mark_kept(effect.instance, effect.until)
            return
        except (CloudUnavailable, CredentialsExpired, AspotError) as error:
            why = str(error)
    wiring.warn_once(f"`aspot clean` on other computers does not see that machines are kept for a look: {why}")


async def kept_machines(wiring: Wiring) -> tuple[Kept, ...]:
    """Return the machines that are kept, with the way into each; the way is "" where it cannot be written down."""
    run, names = wiring.run, kept_in(wiring.run)
    targets = [_target(wiring, run.instances[name]) for name in names]
    try:
        ways = await wiring.remote.ways_in(targets) if targets else ()
    except AspotError as error:
        wiring.warn(f"the way into the machines that are kept cannot be written down: {error}")
        ways = [""] * len(targets)
    return tuple(_kept(run, target, way) for target, way in zip(targets, ways, strict=True))


def _target(wiring: Wiring, record: InstanceRecord) -> Target:
    return Target(instance=record.id, label=record.label, address=record.address, port=record.port, user=wiring.user)


def _kept(run: Run, target: Target, way: str) -> Kept:
    record = run.instances[target.instance]
    assert record.keep is not None
    return Kept(
        name=target.label,
        instance_id=target.instance,
        job=record.keep.job,
        until=record.keep.until,
        price_per_hour=instance_rate(run, record),
        most=kept_cost(run, record),
        address=target.address,
        port=target.port,
        user=target.user,
        ssh=way,
    )
