"""The third way in which a notice comes: EC2's own events, where the user has set them up (`aspot events setup`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import assert_never

import anyio
import attrs

from aspot.errors import AspotError
from aspot.machine.events import NoticeReceived, RebalanceAdvised
from aspot.machine.model import Run
from aspot.ports import CloudChange, CloudFact, CloudNotice, CloudRebalance, CloudUnavailable, CredentialsExpired
from aspot.runtime.pauses import Pauses
from aspot.runtime.poller import has_machines
from aspot.runtime.wiring import Wiring

AFTER_S = 60.0
"""A run shorter than this does without: looking costs a call, and making rule and queue takes longer to pay off."""
LOOK_S = 5.0
"""Between looks whether there is a machine to hear of."""
PACE_S = 1.0
"""Empty answers come no faster than this."""
MOST_S = 60.0
"""Longest pause after failures."""


@attrs.define
class Listening:
    """Hears what EC2 says of the run's machines; what other channels said already changes nothing.

    Args:
        wiring: The run's ports.
        region: Where.
        hurry: Called when a machine's state has changed: EC2 is asked what it is.
    """

    wiring: Wiring
    region: str
    hurry: Callable[[], None]
    _told: set[tuple[type[CloudFact], str]] = attrs.field(init=False, factory=set)

    async def run(self) -> None:
        """Listen until cancelled, or until there is nothing to hear for good."""
        age_s = (self.wiring.now() - self.wiring.run.started).total_seconds()
        await anyio.sleep(max(0.0, AFTER_S - age_s))
        pauses = Pauses(first_s=PACE_S, most_s=MOST_S, chance=self.wiring.chance)
        while True:
            while not self._has_machines(self.wiring.run):  # noqa: ASYNC110 - the main loop tells nobody of its records
                await anyio.sleep(LOOK_S)
            began = anyio.current_time()
            try:
                facts = await self.wiring.cloud.hear(self.region)
            except (CloudUnavailable, CredentialsExpired):
                await anyio.sleep(pauses.next_s())
                continue
            except AspotError as error:
                self._give_up(error)
                return
            if facts is None:
                return
            pauses.reset()
            for fact in facts:
                self._take_in(fact)
            if not facts and anyio.current_time() - began < PACE_S:
                await anyio.sleep(PACE_S)

    def _has_machines(self, run: Run) -> bool:
        return has_machines(run) and (
            not run.spec.regions or any(run.instances[name].pool.region == self.region for name in run.live)
        )

    def _give_up(self, error: AspotError) -> None:
        fix = f" ({error.fix})" if error.fix else ""
        self.wiring.warn(f"EC2's events do not reach this run: {error.message}{fix}; notices come in two other ways")

    def _take_in(self, fact: CloudFact) -> None:
        """Tell the main loop, once, what concerns a machine of this run."""
        if fact.instance not in self.wiring.run.instances:
            return
        match fact:
            case CloudNotice(deadline=deadline):
                if self._is_new(fact):
                    self.wiring.post(
                        NoticeReceived(at=self.wiring.now(), instance=fact.instance, deadline=deadline, channel="sqs")
                    )
            case CloudRebalance():
                if self._is_new(fact):
                    self.wiring.post(RebalanceAdvised(at=self.wiring.now(), instance=fact.instance))
            case CloudChange():
                self.hurry()
            case _:
                assert_never(fact)

    def _is_new(self, fact: CloudFact) -> bool:
        known = (type(fact), fact.instance)
        is_new = known not in self._told
        self._told.add(known)
        return is_new
