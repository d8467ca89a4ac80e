"""Machines that are kept for a look: that they end themselves, what other computers read of it, how to get in."""

from __future__ import annotations

import functools
import math

import anyio

from aspot.errors import AspotError
from aspot.machine.effects import Keep
from aspot.machine.events import MachineKept
from aspot.ports import CloudUnavailable, CredentialsExpired, Link, Target
from aspot.runtime.link_keeper import LinkKeeper
from aspot.runtime.wiring import Wiring

PROMPT_S = 2.0
"""A machine counts from when it is told: it is told again until that takes no longer than this."""

MARK_S = 10.0
"""Writing the tag may take this long: it is for others; the machine's own end holds without it."""


async def fix_end(wiring: Wiring, keeper: LinkKeeper, effect: Keep) -> None:
    """Have a machine end itself in time whoever is there then, and tell that it will."""
    await keeper.on_link(functools.partial(_fix, wiring, effect))
    await _mark(wiring, effect)
    way = await _way_in(wiring, keeper.target)
    wiring.post(MachineKept(at=wiring.now(), instance=effect.instance, user=keeper.target.user, way=way))


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


async def _way_in(wiring: Wiring, target: Target) -> str:
    try:
        return await wiring.remote.way_in(target)
    except AspotError as error:
        wiring.warn(f"{target.label}: the way in cannot be written down: {error}", instance=target.label)
        return ""
