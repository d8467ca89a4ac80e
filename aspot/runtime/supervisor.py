"""What the host task does: prepare, drive, end, clean up, close. All else of the run lives in its task groups."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import anyio
import attrs

from aspot.errors import AspotError
from aspot.machine.client import Client
from aspot.machine.events import PrepareFailed, RunAttached, RunPrepared
from aspot.machine.farewell import farewell, farewell_lines, taken_lines
from aspot.machine.model import Run
from aspot.machine.money import cost_now
from aspot.machine.news import FleetDetached, FleetFinished, FleetTakenOver
from aspot.machine.outstanding import outstanding
from aspot.ports import CloudPlan, CloudUnavailable, CredentialsExpired, TakenOver
from aspot.results import Kept
from aspot.runtime.desk import Desk
from aspot.runtime.dispatch import Dispatch
from aspot.runtime.doorkeeper import Doorkeeper
from aspot.runtime.driver import MainLoop
from aspot.runtime.listening import Listening
from aspot.runtime.outcomes import kept_machines
from aspot.runtime.pauses import Pauses
from aspot.runtime.poller import Poller
from aspot.runtime.reaper import Reaper
from aspot.runtime.teardown import clean_up, end_all, kept_in, machines_left
from aspot.runtime.wiring import Wiring

logger = logging.getLogger(__name__)

PREPARE_GRACE_S = 10.0
"""A preparation under way is cut this long after a stop: what it was making is then known, and cleaned up."""

LISTENERS_S = 5.0
"""Listeners may take this long over the last news."""

LEAVE_S = 15.0
"""When the loop itself ends under us, this long is spent on ending machines."""

UNCHECKED = "what the run made in AWS beside machines (launch template, security group) was not deleted"

CLOSE_S = 5.0
"""To close an adapter, and to write down the end."""


@attrs.define
class Supervisor:
    """The life of one run.

    Args:
        wiring: The run's ports.
        plan: What the cloud is to prepare.
        teardown_s: Seconds that machines and security group may take to go.
    """

    wiring: Wiring
    plan: CloudPlan
    teardown_s: float
    left: tuple[str, ...] = attrs.field(init=False, default=())
    kept: tuple[Kept, ...] = attrs.field(init=False, default=())
    desk: Desk = attrs.field(init=False)
    listeners: list[Callable[[], Awaitable[None]]] = attrs.field(init=False, factory=list)
    prepared: anyio.Event = attrs.field(init=False, factory=anyio.Event)
    done: anyio.Event = attrs.field(init=False, factory=anyio.Event)
    _loop: MainLoop = attrs.field(init=False)
    _scope: anyio.CancelScope = attrs.field(init=False, factory=anyio.CancelScope)
    _ending: anyio.CancelScope = attrs.field(init=False, factory=anyio.CancelScope)
    is_detached: bool = attrs.field(init=False, default=False)
    _is_abandoned: bool = attrs.field(init=False, default=False)
    _is_unprepared: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.desk = Desk(self.wiring)
        self._loop = MainLoop(self.wiring, self.teardown_s)
        self.wiring.give_way = self._give_way

    @property
    def run(self) -> Run:
        """Return the run as it is now."""
        return self.wiring.run

    @property
    def error(self) -> AspotError | None:
        """Return what made the run as a whole fail."""
        return self.wiring.error

    def hasten(self) -> None:
        """Bound the preparation, if it is under way: the run is being stopped."""
        if not self.prepared.is_set():
            for scope in self.wiring.uncut:
                scope.deadline = min(scope.deadline, anyio.current_time() + PREPARE_GRACE_S)

    def abandon(self) -> None:
        """Leave at once."""
        self._is_abandoned = True
        for scope in (*self.wiring.uncut, self._scope, self._ending):
            scope.cancel()

    def detach(self) -> None:
        """Leave the run to its machines; what is being asked of the cloud is finished first."""
        self._is_abandoned = self.is_detached = True
        self._scope.cancel()
        self._ending.cancel()

    def leave_to(self, client: Client) -> None:
        """Leave the run to another client, which asks for it; what is being asked of the cloud is finished first."""
        self.wiring.taken = self.wiring.taken or TakenOver(client)
        self.detach()

    def _give_way(self) -> None:
        """Leave the run to the client that has taken it over, without another word to the cloud."""
        self.is_detached, self.left = True, ()
        self.abandon()

    async def host(self) -> None:
        """Carry the run through; the body of the host task."""
        try:
            async with anyio.create_task_group() as group:
                for listener in self.listeners:
                    group.start_soon(self._serve_listener, listener)
                await self._carry_through()
                self.wiring.hub.close()
                group.cancel_scope.deadline = anyio.current_time() + LISTENERS_S
        finally:
            self.wiring.hub.close()
            self.desk.close()
            self.prepared.set()
            self.done.set()

    async def _serve_listener(self, listener: Callable[[], Awaitable[None]]) -> None:
        try:
            await listener()
        except Exception:
            logger.warning("a listener raised", exc_info=True)

    async def _carry_through(self) -> None:
        try:
            with self._scope:
                await self._live()
        except asyncio.CancelledError:
            await self._leave_closing_loop()
            raise
        except Exception as error:  # noqa: BLE001 - nothing unexpected may keep machines alive
            self.wiring.bug(error)
        await self._wind_up()

    async def _live(self) -> None:
        async with anyio.create_task_group() as group:
            poller, reaper = Poller(self.wiring, self.leave_to), Reaper(self.wiring)
            dispatch = Dispatch(self.wiring, self.desk, reaper, group)
            if self.wiring.earlier is None:
                group.start_soon(dispatch.guarded, self._prepare)
            elif not await self._take_up(dispatch):
                return
            group.start_soon(self._service, poller.run)
            group.start_soon(self._service, reaper.run)
            for region in self.wiring.spec.everywhere:
                group.start_soon(dispatch.guarded, Listening(self.wiring, region, poller.hurry).run)
            group.start_soon(self._service, Doorkeeper(self.wiring).run)
            await self._loop.until_over(dispatch, poller)
            group.cancel_scope.cancel()

    async def _service(self, act: Callable[[], Awaitable[None]]) -> None:
        """Serve something that the end of the run depends on, whatever happens to it."""
        while True:
            try:
                await act()
            except Exception as error:  # noqa: BLE001 - reported, and served again: machines must still end
                self.wiring.bug(error)
            await anyio.sleep(1.0)

    async def _take_up(self, dispatch: Dispatch) -> bool:
        """Go on where an earlier client stopped; if the cloud cannot be used now, leave everything as it is."""
        self.desk.resume()
        try:
            await self._make_ready()
        except AspotError as error:
            self.wiring.error = error
            self.abandon()
            return False
        finally:
            self.prepared.set()
        for effect in outstanding(self.run):
            dispatch.carry_out(effect)
        self.wiring.post(RunAttached(at=self.wiring.now()))
        return True

    async def _make_ready(self) -> None:
        with self.wiring.shielded():
            ready = await self.wiring.cloud.prepare(self.plan)
            self.wiring.user = ready.user
            for note in ready.notes:
                self.wiring.warn(note)
            self.wiring.post(
                RunPrepared(
                    at=self.wiring.now(),
                    pools=ready.pools,
                    spot_usd_per_hour=ready.spot_usd_per_hour,
                    on_demand_usd_per_hour=ready.on_demand_usd_per_hour,
                    user=ready.user,
                )
            )

    async def _prepare(self) -> None:
        try:
            await self._make_ready()
        except AspotError as error:
            self._is_unprepared = True
            self.wiring.error = self.wiring.error or error
            self.wiring.post(PrepareFailed(at=self.wiring.now(), reason=error.message))
        finally:
            self.prepared.set()

    # --- the end ------------------------------------------------------------------------------------------------------

    async def _leave_closing_loop(self) -> None:
        """The loop cancels every task: end the machines, unless that is on its way already, and write it down."""
        if self.run.live and not (self._is_abandoned or self.run.stop is not None):
            with anyio.CancelScope(shield=True), suppress(TakenOver):
                await end_all(self.wiring, self._endable(), limit_s=LEAVE_S, spared=kept_in(self.run))
        self.kept = kept_machines(self.run)
        self.left = machines_left(self.run, {})
        await self._close()

    async def _wind_up(self) -> None:
        try:
            await self._end()
        except TakenOver as taken:
            self.wiring.resign(taken)
        except Exception as error:  # noqa: BLE001 - what is still there is told, and the journal closed, all the same
            self.wiring.bug(error)
        if self.is_detached:
            self.left = self.kept = ()  # on purpose: `_close` tells of it
        elif not self.left and self._is_abandoned:
            self.left = (*machines_left(self.run, {}), UNCHECKED)
        await self._close()

    async def _end(self) -> None:
        if self.wiring.taken is not None:
            return
        with self._ending:
            shown = await self._end_rest()
            self.kept = kept_machines(self.run)
            left = machines_left(self.run, shown)
            self.left = (*left, UNCHECKED)
            rest = await self._clean_up()
            self.left = (*left, *(item for item in rest if not any(name in item for name in self.run.live)))

    async def _end_rest(self) -> dict[str, str]:
        """End what the run, had it ended in order, would not have left."""
        if not (self._endable() or self.run.asked):
            return {}
        return await end_all(self.wiring, self._endable(), limit_s=LEAVE_S, spared=kept_in(self.run))

    async def _clean_up(self) -> tuple[str, ...]:
        if self._is_unprepared:
            return ()
        pauses = Pauses(first_s=1.0, most_s=10.0, chance=self.wiring.chance)
        is_protected = any(self.run.instances[name].protected for name in self.run.live)
        patience_s = 0.0 if is_protected else self.teardown_s  # what such a machine uses stays, however often we try
        deadline = min(self._loop.deadline, anyio.current_time() + patience_s)
        return await clean_up(self.wiring, pauses, deadline=deadline)

    def _endable(self) -> set[str]:
        records = [self.run.instances[name] for name in self.run.live]
        return {record.id for record in records if not (record.protected or record.is_kept)}

    async def _close(self) -> None:
        """Write down and tell the end, and close the adapters; each bounded, none keeps the next from its turn."""
        if not self._is_abandoned:
            await self._bounded(self._write_down)
        self._tell_the_end()
        for act in (self.wiring.cloud.aclose, self.wiring.remote.aclose, self.wiring.journal.aclose):
            await self._bounded(act)

    def _tell_the_end(self) -> None:
        if self.wiring.taken is not None:
            client = self.wiring.taken.client
            message = " ".join(taken_lines(self.run.spec.name, client))
            self.wiring.tell(FleetTakenOver, by=str(client), since=client.since, message=message)
            return
        if self.is_detached:
            seen = farewell(self.run)
            message = " ".join(farewell_lines(self.run))
            self.wiring.tell(
                FleetDetached, machines=seen.machines, until=seen.until, most_usd=seen.most_usd, message=message
            )
            return
        message = "nothing left (checked)" if not self.left else f"still there: {'; '.join(self.left)}"
        if self.kept:
            message += f"; kept for a look: {', '.join(item.name for item in self.kept)}"
        self.wiring.tell(FleetFinished, cost_usd=cost_now(self.run), left=self.left, kept=self.kept, message=message)

    async def _write_down(self) -> None:
        results = [self.desk.results[name].to_json() for name in self.run.jobs if name in self.desk.results]
        summary: dict[str, Any] = {"run": self.run.spec.id, "fleet": self.run.spec.name, "results": results}
        kept = [item.to_json() for item in self.kept]
        summary |= {"cost_usd": cost_now(self.run), "left": list(self.left), "kept": kept}
        summary["storage"] = [attrs.asdict(item) for item in self.wiring.cloud.mounted()]
        await self.wiring.journal.finish(self.left, kept)
        if not self._is_unprepared:
            await self.wiring.archive.finish(summary)

    async def _bounded(self, act: Callable[[], Awaitable[None]]) -> None:
        with anyio.move_on_after(CLOSE_S, shield=True):
            try:
                await act()
            except TakenOver as taken:
                self.wiring.resign(taken)
            except (AspotError, OSError, CloudUnavailable, CredentialsExpired) as error:
                self.wiring.error = self.wiring.error or (error if isinstance(error, AspotError) else None)
                logger.warning("could not finish in order", exc_info=True)
            except Exception as error:  # noqa: BLE001 - nobody but the caller is left to tell
                self.wiring.bug(error)
