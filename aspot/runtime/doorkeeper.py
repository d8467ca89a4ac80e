"""The doorkeeper: when no machine can be reached, this computer may have changed its network, and so its address."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

import anyio
import attrs

from aspot.errors import AspotError
from aspot.machine.model import InstanceRecord, InstanceState, Run
from aspot.ports import CloudUnavailable, CredentialsExpired
from aspot.runtime.wiring import Wiring

LOOK_S = 2.0
"""Between looks at the run: costs nothing, asks nobody."""

DROPPED_S = 5.0
"""One link that drops is an accident; all of them gone for so long are not."""

NEVER_S = 60.0
"""Machines boot in less: one that runs and was never reached for so long may be behind a wall (FAULTS S2)."""

AGAIN_S = 60.0
"""Between two questions after our own address: it is a call to AWS, and rules that flap would help nobody."""

OFFLINE_S = 5.0
"""The same while nobody could be asked: the next network may be there any moment."""


def is_cut_off(run: Run, now: datetime) -> bool:
    """Tell whether machines should be reachable, and none of them is.

    Args:
        run: The run.
        now: The time.
    """
    records = [record for record in _reachable(run) if record.ready is not None or _has_been_up(record, now)]
    return bool(records) and all(_is_out_of_reach(record, now) for record in records)


def _reachable(run: Run) -> Iterable[InstanceRecord]:
    records = (run.instances[name] for name in run.live)
    return (
        record for record in records if record.running is not None and record.state is not InstanceState.TERMINATING
    )


def _has_been_up(record: InstanceRecord, now: datetime) -> bool:
    return record.running is not None and now - record.running >= timedelta(seconds=NEVER_S)


def _is_out_of_reach(record: InstanceRecord, now: datetime) -> bool:
    if record.ready is None:
        return True
    return record.link_lost is not None and now - record.link_lost >= timedelta(seconds=DROPPED_S)


@attrs.define
class Doorkeeper:
    """Has the cloud let this computer in from where it is now, when every link is gone.

    Args:
        wiring: The run's ports.
    """

    wiring: Wiring

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await anyio.sleep(LOOK_S)
            if is_cut_off(self.wiring.run, self.wiring.now()):
                await anyio.sleep(await self._let_in())

    async def _let_in(self) -> float:
        """Ask the cloud, tell what it changed, and return how long to leave it alone."""
        try:
            told = await self.wiring.cloud.let_caller_in()
        except CloudUnavailable:
            return OFFLINE_S
        except (CredentialsExpired, AspotError) as error:
            self.wiring.warn_once(
                f"no machine can be reached, and this computer's address could not be let in: {error}"
            )
            return AGAIN_S
        if told:
            self.wiring.warn(told)
        return AGAIN_S
