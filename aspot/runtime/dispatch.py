"""Carries effects out: each kind has its one place, and reports back with events."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, assert_never

import anyio
import anyio.abc
import attrs

from aspot.machine.effects import (
    AcceptResult,
    Announce,
    CollectResult,
    Connect,
    Effect,
    Evacuate,
    FollowAttempt,
    Keep,
    Launch,
    SaveCheckpoint,
    StartAttempt,
    StopAttempt,
    Terminate,
)
from aspot.machine.events import LaunchAnswered, LaunchInDoubt
from aspot.machine.model import InstanceState, LaunchSpec, Run
from aspot.machine.pool import Refusal, RefusalKind
from aspot.ports import CloudUnavailable, CredentialsExpired, LaunchUnanswered
from aspot.runtime.desk import Desk
from aspot.runtime.instance_driver import InstanceDriver, Order
from aspot.runtime.reaper import Reaper
from aspot.runtime.wiring import Wiring

NOTED_S = 5.0
"""For the main loop to take note of an evacuation that was given up."""

LOOK_S = 0.02


@attrs.define
class Dispatch:
    """Starts what effects ask for, in the run's task group.

    Args:
        wiring: The run's ports.
        desk: Where results are accepted.
        reaper: What ends machines.
        group: Owns everything that is started here.
    """

    wiring: Wiring
    desk: Desk
    reaper: Reaper
    group: anyio.abc.TaskGroup
    _drivers: dict[str, InstanceDriver] = attrs.field(init=False, factory=dict)

    def carry_out(self, effect: Effect) -> None:
        """Begin to carry an effect out; never blocks."""
        match effect:
            case Launch(spec=spec):
                self.group.start_soon(self.guarded, self._launch, spec)
            case Connect():
                self._connect(effect)
            case StartAttempt() | FollowAttempt() | StopAttempt() | SaveCheckpoint() | Evacuate() | CollectResult():
                self._order(effect)
            case Keep():
                self._order(effect)
            case AcceptResult():
                self.group.start_soon(self.guarded, self._accept, effect)
            case Terminate(instance=instance):
                self._close(instance)
                self.reaper.end(instance)
            case Announce(news=news):
                self.wiring.hub.publish(news)
            case _:
                assert_never(effect)

    def let_go(self, instance: str, run: Run) -> None:
        """Stop asking for the end of a machine that is ending; close what is about one that is gone."""
        record = run.instances.get(instance)
        if record is not None and (record.ending is not None or record.state is InstanceState.TERMINATED):
            self.reaper.forget(instance)
            if record.state is InstanceState.TERMINATED:
                self._close(instance)

    async def guarded(self, act: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Run something; what nobody expected stops the run in order, not at once."""
        try:
            await act(*args)
        except Exception as error:  # noqa: BLE001 - the one place where the run's unexpected exceptions end
            self.wiring.bug(error)

    def _connect(self, effect: Connect) -> None:
        if effect.instance not in self._drivers:
            driver = self._drivers[effect.instance] = InstanceDriver(self.wiring, effect)
            self.group.start_soon(self.guarded, driver.run)

    def _order(self, effect: Order) -> None:
        driver = self._drivers.get(effect.instance)
        if driver is not None:
            driver.order(effect)

    def _close(self, instance: str) -> None:
        driver = self._drivers.pop(instance, None)
        if driver is not None:
            driver.close()

    async def _accept(self, effect: AcceptResult) -> None:
        """Publish a job's folder; what of it is still being evacuated comes too late for that, and is noted so."""
        if any([await driver.end_evacuations(effect.job) for driver in tuple(self._drivers.values())]):
            with anyio.move_on_after(NOTED_S):
                while self._is_evacuating(effect.job):  # noqa: ASYNC110 - the main loop tells nobody of its records
                    await anyio.sleep(LOOK_S)
        await self.desk.accept(effect)

    def _is_evacuating(self, job: str) -> bool:
        return any(attempt.evacuating for attempt in self.wiring.run.jobs[job].attempts)

    async def _launch(self, spec: LaunchSpec) -> None:
        """Ask for instances; whatever is cancelled meanwhile, the answer becomes an event (FAULTS C3)."""
        with self.wiring.shielded():
            try:
                self.wiring.post(await self._ask(spec))
            except Exception as error:
                self.wiring.post(LaunchInDoubt(at=self.wiring.now(), request=spec.id, reason=str(error)))
                raise

    async def _ask(self, spec: LaunchSpec) -> LaunchAnswered | LaunchInDoubt:
        try:
            answer = await self.wiring.cloud.launch(spec)
        except (LaunchUnanswered, CloudUnavailable) as error:
            return LaunchInDoubt(at=self.wiring.now(), request=spec.id, reason=str(error))
        except CredentialsExpired as error:
            refusal = Refusal(kind=RefusalKind.AUTH_EXPIRED, code="ExpiredToken", message=str(error))
            return LaunchAnswered(at=self.wiring.now(), request=spec.id, refusals=(refusal,))
        return LaunchAnswered(at=self.wiring.now(), request=spec.id, launched=answer.launched, refusals=answer.refusals)
