"""The end of a run: machines that must be ended without the machine's help, and what the run made beside machines."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping

import anyio

from aspot.errors import AspotError
from aspot.machine.model import Run
from aspot.machine.states import InstanceState
from aspot.ports import Cloud, CloudUnavailable, CredentialsExpired
from aspot.runtime.pauses import Pauses
from aspot.runtime.wiring import Wiring

LAST_TRY_S = 20.0
"""One try of cleaning up is made even when the time for it is over; it may take this long."""

_GONE = ("terminated", "stopped")
_ENDING = ("shutting-down", "stopping")
_TROUBLE = (CloudUnavailable, CredentialsExpired, AspotError)


async def end_all(
    wiring: Wiring, known: Collection[str], *, limit_s: float, spared: Collection[str] = ()
) -> dict[str, str]:
    """End every machine of the run that EC2 shows or that is known, and see it ending; never raises.

    Args:
        wiring: The run's ports.
        known: EC2 ids of machines not known to be gone.
        limit_s: Seconds to try for.
        spared: EC2 ids of machines that stay on purpose.

    Returns:
        EC2's word for the state of each machine that it showed last.
    """
    pauses = Pauses(first_s=1.0, most_s=5.0, chance=wiring.chance)
    doomed, shown = set(known), dict[str, str]()
    with anyio.move_on_after(limit_s):
        while True:
            shown = await _states(wiring.cloud) or shown
            over = {name for name, state in shown.items() if state in _GONE + _ENDING}
            doomed = (doomed | set(shown)) - over - set(spared)
            if not doomed:
                break
            with contextlib.suppress(*_TROUBLE):
                await wiring.cloud.terminate(sorted(doomed))
            await anyio.sleep(pauses.next_s())
    return shown


async def _states(cloud: Cloud) -> dict[str, str]:
    """Return EC2's word for the state of each machine of the run; nothing if it cannot be asked."""
    try:
        return {sighting.instance: sighting.state for sighting in await cloud.sightings()}
    except _TROUBLE:
        return {}


async def clean_up(wiring: Wiring, pauses: Pauses, *, deadline: float) -> tuple[str, ...]:
    """Delete what the run made beside machines, again and again until nothing is left or the time is over.

    What is in the way may be a machine of a launch whose answer never came, while EC2 could not be asked: it is ended.

    Args:
        wiring: The run's ports.
        pauses: Between tries.
        deadline: By the loop's clock; one try is made in any case.

    Returns:
        What is left, as text for people.
    """
    left: tuple[str, ...] = ("what the run made in AWS beside machines could not be checked",)
    while True:
        now = anyio.current_time()
        with anyio.move_on_after(max(LAST_TRY_S, deadline - now)):
            try:
                left = tuple(await wiring.cloud.clean_up(kept_in(wiring.run)))
                if left:
                    await _end_strangers(wiring)
            except _TROUBLE as error:
                left = (f"what the run made in AWS beside machines could not be checked: {error}",)
        pause_s = pauses.next_s()
        if not left or anyio.current_time() + pause_s > deadline:
            return left
        await anyio.sleep(pause_s)


async def _end_strangers(wiring: Wiring) -> None:
    """End the run's machines that it was never told of."""
    shown = {sighting.instance: sighting.state for sighting in await wiring.cloud.sightings()}
    strangers = [name for name in shown if name not in wiring.run.instances and shown[name] not in _GONE + _ENDING]
    if strangers:
        await wiring.cloud.terminate(strangers)


def kept_in(run: Run) -> tuple[str, ...]:
    """Return the EC2 ids of the machines that stay on purpose."""
    return tuple(name for name in run.kept if run.instances[name].is_kept)


def machines_left(run: Run, shown: Mapping[str, str]) -> tuple[str, ...]:
    """Return the machines that EC2 has not been seen to end, and launches without an answer, as text for people.

    Args:
        run: The run.
        shown: Newer words of EC2 for their states, by id.
    """
    kept = kept_in(run)
    left = [name for name in run.live if name not in kept and shown.get(name) not in _GONE]
    known = [_machine_text(run, name, shown.get(name, "")) for name in left]
    strangers = [
        f"instance {name}: {state}" for name, state in shown.items() if name not in run.instances and state not in _GONE
    ]
    doubts = [f"launch request {name}: it has no answer, and may have brought machines" for name in run.asked]
    return (*known, *strangers, *doubts)


def _machine_text(run: Run, name: str, shown: str) -> str:
    record = run.instances[name]
    known = "pending" if record.state is InstanceState.REQUESTED else "running"
    state = record.protected or shown or ("shutting-down" if record.ending else known)
    return f"instance {record.label} ({record.id}, {record.pool}): {state}"
