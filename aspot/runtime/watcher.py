"""The interruption watcher: what an instance says by itself, turned into events."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import assert_never

import attrs

from aspot.machine.events import HookFinished, NoticeReceived, RebalanceAdvised
from aspot.ports import Link, RunnerExited, RunnerFact, RunnerHookDone, RunnerNotice, RunnerRebalance
from aspot.runtime.wiring import Wiring


@attrs.define
class Watcher:
    """Listens to one instance; facts that it says again after a reconnect are told once.

    Args:
        wiring: The run's ports.
        instance: EC2 id.
        exited: Called with (job, attempt) when an attempt's status was published.
    """

    wiring: Wiring
    instance: str
    exited: Callable[[str, int], None]
    _deadline: datetime | None = attrs.field(init=False, default=None)
    _is_rebalancing: bool = attrs.field(init=False, default=False)
    _hooks: set[tuple[str, int]] = attrs.field(init=False, factory=set)

    async def watch(self, link: Link) -> None:
        """Listen until the link says no more or drops."""
        async for fact in link.watch():
            self._hear(fact)

    def _hear(self, fact: RunnerFact) -> None:
        match fact:
            case RunnerNotice(deadline=deadline):
                self._notice(deadline)
            case RunnerRebalance():
                self._rebalance()
            case RunnerExited(job=job, attempt=attempt):
                self.exited(job, attempt)
            case RunnerHookDone():
                self._hook(fact)
            case _:
                assert_never(fact)

    def _notice(self, deadline: datetime) -> None:
        if deadline != self._deadline:
            self._deadline = deadline
            self.wiring.post(
                NoticeReceived(at=self.wiring.now(), instance=self.instance, deadline=deadline, channel="runner")
            )

    def _rebalance(self) -> None:
        if not self._is_rebalancing:
            self._is_rebalancing = True
            self.wiring.post(RebalanceAdvised(at=self.wiring.now(), instance=self.instance))

    def _hook(self, fact: RunnerHookDone) -> None:
        if (fact.job, fact.attempt) not in self._hooks:
            self._hooks.add((fact.job, fact.attempt))
            self.wiring.post(
                HookFinished(
                    at=self.wiring.now(),
                    instance=self.instance,
                    job=fact.job,
                    attempt=fact.attempt,
                    code=fact.code,
                )
            )
