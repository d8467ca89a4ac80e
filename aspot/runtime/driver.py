"""The main loop: all events that wait, one step each, one journal entry, then the effects."""

from __future__ import annotations

import math
from collections.abc import Sequence

import anyio
import attrs

from aspot.errors import AspotError
from aspot.machine.effects import Effect, Launch, StartAttempt
from aspot.machine.events import (
    AttemptRefused,
    Event,
    InstanceEvent,
    JobsSubmitted,
    LaunchAnswered,
    PrepareFailed,
    ResultAccepted,
    Ticked,
)
from aspot.machine.model import RunPhase
from aspot.machine.pool import Refusal, RefusalKind
from aspot.machine.step import is_over, step, wakeup
from aspot.ports import TakenOver
from aspot.runtime.dispatch import Dispatch
from aspot.runtime.poller import Poller, is_moving
from aspot.runtime.wiring import Wiring

NAP_S = 0.05
"""Least time between two ticks: a wake-up that stays due must not spin."""

LONGEST_WAIT_S = 30.0
"""The wall clock may jump (a laptop sleeps), so that it is looked at this often."""


@attrs.define
class MainLoop:
    """Takes events, one batch at a time, until the run is over.

    Args:
        wiring: The run's ports.
        teardown_s: How long machines may take to go once every job is final.
    """

    wiring: Wiring
    teardown_s: float
    deadline: float = attrs.field(init=False, default=math.inf)
    _is_recording: bool = attrs.field(init=False, default=True)
    _has_only_ticked: bool = attrs.field(init=False, default=False)

    async def until_over(self, dispatch: Dispatch, poller: Poller) -> None:
        """Drive the run until it is over, could not be prepared, or its time to end is up."""
        while not is_over(self.wiring.run) and anyio.current_time() < self.deadline:
            events = await self._next()
            effects = self._step(events)
            effects = await self._record(events, effects)
            if self.wiring.taken is not None:
                return
            self._settle(events, dispatch)
            if any(isinstance(event, PrepareFailed) for event in events):
                return
            for effect in effects:
                dispatch.carry_out(effect)
            if is_moving(self.wiring.run):
                poller.hurry()

    async def _next(self) -> list[Event]:
        """Wait for events or for the time of the next tick; return what there is."""
        with anyio.move_on_after(self._patience_s()):
            await self.wiring.inbox.wait()
        events = merged(self.wiring.inbox.take())
        now, due = self.wiring.now(), wakeup(self.wiring.run)
        self._has_only_ticked = not events
        if due is not None and due <= now:
            events.append(Ticked(at=now))
        return events

    def _patience_s(self) -> float:
        due = wakeup(self.wiring.run)
        wait_s = LONGEST_WAIT_S if due is None else min(LONGEST_WAIT_S, self.wiring.seconds_until(due))
        wait_s = max(wait_s, NAP_S) if self._has_only_ticked else wait_s
        return max(0.0, min(wait_s, self.deadline - anyio.current_time()))

    def _step(self, events: Sequence[Event]) -> list[Effect]:
        effects: list[Effect] = []
        for event in events:
            self.wiring.run, more = step(self.wiring.run, event)
            effects.extend(more)
        return effects

    async def _record(self, events: Sequence[Event], effects: list[Effect]) -> list[Effect]:
        """Make the events durable, and return the effects that may be carried out then."""
        if events and self._is_recording:
            try:
                await self.wiring.journal.append(events)
            except TakenOver as taken:
                self.wiring.resign(taken)
            except AspotError as error:
                self._is_recording = False
                self.wiring.fail(error)
        return effects if self._is_recording else [effect for effect in effects if self._may_unrecorded(effect)]

    def _may_unrecorded(self, effect: Effect) -> bool:
        """Refuse to begin anything new that the journal does not know of (FAULTS D1); endings go on."""
        now, reason = self.wiring.now(), "the journal cannot be written"
        if isinstance(effect, Launch):
            refusal = Refusal(kind=RefusalKind.FATAL, code="JournalFailed", message=reason)
            self.wiring.post(LaunchAnswered(at=now, request=effect.spec.id, refusals=(refusal,)))
        if isinstance(effect, StartAttempt):
            refused = AttemptRefused(
                at=now, instance=effect.instance, job=effect.job, attempt=effect.attempt, reason=reason
            )
            self.wiring.post(refused)
        return not isinstance(effect, Launch | StartAttempt)

    def _settle(self, events: Sequence[Event], dispatch: Dispatch) -> None:
        """Do what follows from durable events: hand results over, let go of machines, set the last deadline."""
        for event in events:
            if isinstance(event, ResultAccepted):
                dispatch.desk.hand_over(event.job)
            elif isinstance(event, InstanceEvent):
                dispatch.let_go(event.instance, self.wiring.run)
        self.deadline = min(self.deadline, self._last_moment())

    def _last_moment(self) -> float:
        run = self.wiring.run
        if run.phase not in (RunPhase.CLOSED, RunPhase.STOPPING) or (run.unfinished and run.stop is None):
            return math.inf
        force_s = self.wiring.seconds_until(run.stop.force_at) if run.stop is not None and run.unfinished else 0.0
        return anyio.current_time() + force_s + self.teardown_s


def merged(events: Sequence[Event]) -> list[Event]:
    """Return the events with neighbouring submissions made one: jobs handed in together are launched for together."""
    whole: list[Event] = []
    for event in events:
        last = whole[-1] if whole else None
        if isinstance(event, JobsSubmitted) and isinstance(last, JobsSubmitted):
            whole[-1] = JobsSubmitted(at=event.at, jobs=(*last.jobs, *event.jobs))
        else:
            whole.append(event)
    return whole
