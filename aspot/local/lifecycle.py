"""What happens to machines with time: they boot, are noticed and reclaimed, shut down, and end.

Owns every task of a machine, in one task group. May import: cloud, records, seam.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from datetime import datetime, timedelta
from functools import partial
from types import TracebackType
from typing import Any, Self

from aspot.local.cloud import Cloud
from aspot.local.records import Machine, Reason, State
from aspot.local.refusal import Refusal
from aspot.local.seam import MachineSpec

__all__ = ["BY_ITSELF", "BY_SPOT", "BY_USER", "Lifecycle"]

_LOG = logging.getLogger(__name__)

BY_USER = Reason(
    code="Client.UserInitiatedShutdown",
    message="User initiated shutdown",
    request_status="instance-terminated-by-user",
)
BY_ITSELF = Reason(
    code="Client.InstanceInitiatedShutdown",
    message="Instance initiated shutdown",
    request_status="instance-terminated-by-user",
)
BY_SPOT = Reason(
    code="Server.SpotInstanceTermination",
    message="Spot instance termination",
    request_status="instance-terminated-no-capacity",
)
_WARNING, _ADVICE, _CHANGE = (
    "EC2 Spot Instance Interruption Warning",
    "EC2 Instance Rebalance Recommendation",
    "EC2 Instance State-change Notification",
)
_WARNED = timedelta(seconds=120)
# Shutting down takes tens of seconds on EC2; the local cloud hurries, but never skips the state.
_SHUTDOWN_S = (0.3, 0.8)
_POSTED_S = 2.0  # from a boot to the posting of its console: minutes on EC2 ("shortly after", EC2 user guide)


class Lifecycle:
    """The clockwork of all machines; an async context manager.

    Args:
        cloud: The cloud.
    """

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self._tasks = asyncio.TaskGroup()
        self._running: set[asyncio.Task[None]] = set()
        self._waits: dict[str, asyncio.Task[None]] = {}

    @property
    def cloud(self) -> Cloud:
        """The cloud."""
        return self._cloud

    async def __aenter__(self) -> Self:
        await self._tasks.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in list(self._running):
            task.cancel()
        await self._tasks.__aexit__(kind, error, trace)

    def start(self, machine: Machine) -> None:
        """Let a new machine boot."""
        self._publish(machine, _CHANGE, state=machine.state.word)
        self._waits[machine.id] = self._spawn(self._boot(machine))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = self._tasks.create_task(self._logged(work))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return task

    async def _logged(self, work: Coroutine[Any, Any, None]) -> None:
        """Run work of one machine; what goes wrong with it must not end the others."""
        try:
            await work
        except Exception:  # noqa: BLE001  # logged, and the other machines live on
            _LOG.exception("a machine's task failed")

    async def _boot(self, machine: Machine) -> None:
        await asyncio.sleep(machine.boot_delay_s / 2)
        if machine.state is State.PENDING:
            self._run(machine)
        await asyncio.sleep(machine.boot_delay_s / 2)
        if machine.state is State.RUNNING:
            self._waits.pop(machine.id, None)
            await self._cloud.machines.boot(self._spec(machine), machine.endpoint)
            machine.booted = machine.boots
            self._cloud.changed.set()
            await asyncio.sleep(_POSTED_S)
            self._post_console(machine)

    def _post_console(self, machine: Machine) -> None:
        """Let GetConsoleOutput show what the machine has written until now: EC2 does so after its transitions."""
        if text := self._cloud.machines.console(machine.id):
            machine.console, machine.console_at = text, self._cloud.clock

    def _run(self, machine: Machine) -> None:
        moto = self._cloud.regions[machine.region].moto
        machine.state = State.RUNNING
        moto.set_state(machine.body, State.RUNNING)
        if machine.launch.public_ip:
            moto.address(machine.body, public=machine.endpoint.address)
        self._changed(machine)

    def _spec(self, machine: Machine) -> MachineSpec:
        moto = self._cloud.regions[machine.region].moto
        launch = machine.launch
        return MachineSpec(
            metadata=machine.metadata,
            name=moto.tags(machine.id).get("Name", machine.id),
            user=launch.image.user,
            user_data=launch.user_data,
            key_pair=moto.public_key(launch.key_name) if launch.key_name else None,
            ssh_delay_s=machine.ssh_delay_s,
            boots=machine.boots,
            runs_user_data=machine.runs_user_data,
            shell=machine.login_shell,
            admits=partial(self._admits, machine),
        )

    def _admits(self, machine: Machine, address: str) -> bool:
        """Tell whether a machine's security groups let an address in to SSH; without "walls" they are not asked."""
        if not self._cloud.faults.has_walls(now=self._cloud.now):
            return True
        return self._cloud.regions[machine.region].moto.admits_ssh(machine.launch.groups, address)

    def end(self, machine: Machine, reason: Reason) -> None:
        """Terminate a machine: `shutting-down` at once, `terminated` a little later; again is no harm."""
        if machine.state in (State.SHUTTING_DOWN, State.TERMINATED):
            return
        machine.state, machine.reason = State.SHUTTING_DOWN, reason
        machine.transition = f"User initiated ({self._stamp()})" if reason is BY_USER else ""
        machine.metadata.notice_time = None if reason is BY_USER else machine.metadata.notice_time
        if machine.request is not None:
            ended = "cancelled" if machine.request.state == "cancelled" else "closed"
            machine.request.mark(reason.request_status, now=self._cloud.clock, state=ended)
        self._changed(machine)
        self._spawn(self._finish(machine))

    async def _finish(self, machine: Machine) -> None:
        await self._kill(machine)
        low, high = _SHUTDOWN_S
        await asyncio.sleep(low + (high - low) * self._cloud.dice("shutdown", machine.ordinal))
        region = self._cloud.regions[machine.region]
        await self._cloud.moto.call(region.moto.end, machine.body)
        machine.state, machine.ended = State.TERMINATED, self._cloud.now
        self._changed(machine)

    async def _kill(self, machine: Machine) -> None:
        """End a machine's processes; a boot that has begun is left to the guests half, which copes."""
        waiting = self._waits.pop(machine.id, None)
        if waiting is not None:
            waiting.cancel()
        self._post_console(machine)
        await self._cloud.machines.terminate(machine.id)
        if not machine.released:
            machine.released = True
            self._cloud.machines.release(machine.endpoint)

    def interrupt(self, machine: Machine, *, notice_s: float) -> datetime:
        """Let EC2 reclaim a spot machine after a notice of so many seconds (0: none); return when.

        Raises:
            Refusal: it is no running spot machine.
        """
        if not machine.launch.spot:
            raise Refusal("UnsupportedOperation", f"{machine.id} is not a Spot Instance: EC2 does not interrupt it.")
        if not machine.state.is_live:
            raise Refusal("IncorrectInstanceState", f"{machine.id} is {machine.state.word}.")
        when = self._cloud.clock + timedelta(seconds=notice_s)
        if notice_s <= 0:
            self.end(machine, BY_SPOT)
            return when
        self._publish(machine, _WARNING, at=when - _WARNED, **{"instance-action": "terminate"})
        late_s = self._cloud.faults.notice_delay_s(now=self._cloud.now)
        if late_s > 0:
            self._spawn(self._show_late(machine, when, late_s))
        else:
            self._show_notice(machine, when)
        self._spawn(self._reclaim(machine, notice_s))
        return when

    async def _show_late(self, machine: Machine, when: datetime, late_s: float) -> None:
        await asyncio.sleep(late_s)
        if machine.state.is_live:
            self._show_notice(machine, when)

    def _show_notice(self, machine: Machine, when: datetime) -> None:
        machine.metadata.notice_time = when
        self._mark_noticed(machine)

    def _mark_noticed(self, machine: Machine) -> None:
        """Show the notice in the request's status: EC2 has been seen to use either of these words (AWS.md 0.6, 3)."""
        seen = ("marked-for-termination", "instance-terminated-no-capacity")
        if machine.request is not None:
            machine.request.mark(seen[machine.ordinal % 2], now=self._cloud.clock)

    async def _reclaim(self, machine: Machine, notice_s: float) -> None:
        await asyncio.sleep(notice_s)
        self.end(machine, BY_SPOT)

    def rebalance(self, machine: Machine) -> None:
        """Recommend to move a machine's work elsewhere.

        Raises:
            Refusal: it is not a live spot machine.
        """
        if not machine.launch.spot or not machine.state.is_live:
            raise Refusal("IncorrectInstanceState", f"{machine.id} is not a live Spot Instance.")
        machine.metadata.rebalance_time = self._cloud.clock
        self._publish(machine, _ADVICE)

    def shut_down(self, instance_id: str) -> None:
        """Do what a machine's shutdown behaviour says after its own `shutdown`."""
        for region in self._cloud.regions.values():
            machine = region.machines.get(instance_id)
            if machine is None or not machine.state.is_live:
                continue
            if machine.metadata.notice_time is not None and machine.metadata.notice_time <= self._cloud.clock:
                self.end(machine, BY_SPOT)
            elif region.moto.shutdown_behavior(machine.body) == "terminate":
                self.end(machine, BY_ITSELF)
            else:
                self._stop(machine)

    def _stop(self, machine: Machine) -> None:
        machine.state, machine.reason = State.STOPPING, BY_ITSELF
        if machine.request is not None:
            machine.request.mark("instance-stopped-by-user", now=self._cloud.clock)
        self._changed(machine)
        self._spawn(self._finish_stop(machine))

    async def _finish_stop(self, machine: Machine) -> None:
        await self._kill(machine)
        if machine.state is State.STOPPING:
            machine.state = State.STOPPED
            self._cloud.regions[machine.region].moto.set_state(machine.body, State.STOPPED)
            self._changed(machine)

    async def reboot(self, machine: Machine) -> None:
        """Reboot a machine."""
        if machine.booted:
            await self._cloud.machines.reboot(machine.id)
            await asyncio.sleep(_POSTED_S)
            self._post_console(machine)

    def _publish(self, machine: Machine, kind: str, *, at: datetime | None = None, **detail: str) -> None:
        """Put an event on the Region's bus, in order with the others.

        A warning comes two minutes before the end, on EC2: here it is dated so, however short the notice.
        """
        moto = self._cloud.regions[machine.region].moto
        if moto.has_rules:
            time = (at or self._cloud.clock).timestamp()
            self._spawn(self._published(partial(moto.publish, kind, {"instance-id": machine.id, **detail}, time=time)))

    async def _published(self, publish: Callable[[], None]) -> None:
        await self._cloud.moto.call(publish)
        self._cloud.ring()

    def _changed(self, machine: Machine) -> None:
        self._publish(machine, _CHANGE, state=machine.state.word)
        machine.touch()
        self._cloud.changed.set()

    def _stamp(self) -> str:
        return self._cloud.clock.strftime("%Y-%m-%d %H:%M:%S UTC")
