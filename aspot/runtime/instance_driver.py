"""One instance: its connection, its watcher, its attempts, in a task group of its own."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, assert_never

import anyio
import anyio.abc
import attrs

from aspot.machine.effects import (
    CollectResult,
    Connect,
    Evacuate,
    FollowAttempt,
    Keep,
    SaveCheckpoint,
    StartAttempt,
    StopAttempt,
)
from aspot.ports import Target
from aspot.runtime.attempt_driver import AttemptDriver
from aspot.runtime.evacuator import Evacuator
from aspot.runtime.kept import fix_end
from aspot.runtime.link_keeper import LinkKeeper
from aspot.runtime.mailbox import Mailbox
from aspot.runtime.watcher import Watcher
from aspot.runtime.wiring import Wiring

Order = StartAttempt | FollowAttempt | StopAttempt | SaveCheckpoint | Evacuate | CollectResult | Keep


@attrs.define
class InstanceDriver:
    """Carries out the effects that concern one instance, until it is closed.

    Args:
        wiring: The run's ports.
        effect: What made it: whom to connect to.
    """

    wiring: Wiring
    effect: Connect
    _orders: Mailbox[Order] = attrs.field(init=False, factory=Mailbox)
    _scope: anyio.CancelScope = attrs.field(init=False, factory=anyio.CancelScope)
    _attempts: dict[tuple[str, int], AttemptDriver] = attrs.field(init=False, factory=dict)
    _evacuators: dict[tuple[str, int], Evacuator] = attrs.field(init=False, factory=dict)
    _group: anyio.abc.TaskGroup = attrs.field(init=False)
    _keeper: LinkKeeper = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        instance = self.effect.instance
        target = Target(
            instance=instance,
            label=self.wiring.label(instance),
            address=self.effect.address,
            port=self.effect.port,
            user=self.wiring.user,
        )
        watcher = Watcher(self.wiring, instance, self._exited)
        self._keeper = LinkKeeper(self.wiring, target, watcher.watch)

    async def run(self) -> None:
        """Serve the instance until closed or cancelled."""
        with self._scope:
            async with anyio.create_task_group() as self._group:
                self._group.start_soon(self._guarded, self._keeper.keep)
                while True:
                    await self._orders.wait()
                    for order in self._orders.take():
                        self._begin(order)

    def order(self, order: Order) -> None:
        """Hand it an effect."""
        self._orders.put(order)

    async def end_evacuations(self, job: str) -> bool:
        """Give up what of a job is on its way home for a notice; tell whether anything was."""
        ended = [await found.end() for (name, _), found in self._evacuators.items() if name == job]
        return any(ended)

    def close(self) -> None:
        """End everything about the instance here: it is gone, or nothing more is wanted of it."""
        self._scope.cancel()

    def _begin(self, order: Order) -> None:
        if isinstance(order, Keep):
            self._group.start_soon(self._guarded, fix_end, self.wiring, self._keeper, order)
            return
        attempt = self._attempt(order.job, order.attempt)
        match order:
            case StartAttempt():
                self._group.start_soon(self._guarded, attempt.start, order)
            case FollowAttempt():
                self._group.start_soon(self._guarded, attempt.take_up)
            case StopAttempt():
                self._group.start_soon(self._guarded, attempt.stop, order)
            case SaveCheckpoint():
                self._group.start_soon(self._guarded, attempt.save, order)
            case Evacuate():
                self._group.start_soon(self._guarded, self._evacuator(order).evacuate, order)
            case CollectResult():
                self._group.start_soon(self._guarded, attempt.collect)
            case _:
                assert_never(order)

    def _attempt(self, job: str, number: int) -> AttemptDriver:
        key = (job, number)
        if key not in self._attempts:
            self._attempts[key] = AttemptDriver(self.wiring, self._keeper, self.effect.instance, job, number)
        return self._attempts[key]

    def _evacuator(self, order: Evacuate) -> Evacuator:
        key = (order.job, order.attempt)
        if key not in self._evacuators:
            self._evacuators[key] = Evacuator(self.wiring, self._keeper, self.effect.instance, *key)
        return self._evacuators[key]

    def _exited(self, job: str, number: int) -> None:
        attempt = self._attempts.get((job, number))
        if attempt is not None and attempt.is_started:
            self._group.start_soon(self._guarded, attempt.ask)

    async def _guarded(self, act: Callable[..., Awaitable[None]], *args: Any) -> None:
        """Keep a bug in one task from taking the instance's others along: the run is stopped in order."""
        try:
            await act(*args)
        except Exception as error:  # noqa: BLE001 - the one place where an instance's unexpected exceptions end
            self.wiring.bug(error)
