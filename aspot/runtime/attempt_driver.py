"""One attempt on one instance: deliver, start, follow, save, stop, bring home. Each outlasts dropped links."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, assert_never

import anyio
import attrs

from aspot.errors import AspotError
from aspot.machine.effects import SaveCheckpoint, StartAttempt, StopAttempt
from aspot.machine.events import (
    AttemptEvent,
    AttemptExited,
    AttemptRefused,
    AttemptStarted,
    AttemptVanished,
    CheckpointMissed,
    CheckpointSaved,
    CollectFailed,
    ResultCollected,
)
from aspot.machine.model import Checkpoint, Collected, ExitStatus, JobSpec
from aspot.machine.news import FilesReceived, FilesSent, LogLine
from aspot.ports import AttemptOrder, Delivered, Gone, Link, StillRunning, Undeliverable
from aspot.runtime.link_keeper import LinkKeeper
from aspot.runtime.log_lines import ListeningSink
from aspot.runtime.pauses import Pauses
from aspot.runtime.wiring import Wiring

COLLECT_TRIES = 8
"""After so many failures that are no dropped links, an attempt's files are given up: about two minutes."""

RELEASE_AFTER_S = 6.0
"""A machine that is about to end anyway need not be told that its results are home."""

OUTPUT_AGAIN_S = 5.0
"""Between tries to copy output when the disk here refuses it."""

AGAIN_S = 0.5
"""Between looks at an attempt that should have ended by now."""


@attrs.define
class AttemptDriver:
    """Carries out the effects of one attempt.

    Args:
        wiring: The run's ports.
        keeper: The instance's connection.
        instance: EC2 id.
        job: Name of the job.
        number: Number of the attempt.
    """

    wiring: Wiring
    keeper: LinkKeeper
    instance: str
    job: str
    number: int
    is_started: bool = attrs.field(init=False, default=False)
    is_over: bool = attrs.field(init=False, default=False)
    _sink: ListeningSink = attrs.field(init=False)
    _beginning: anyio.CancelScope = attrs.field(init=False, factory=anyio.CancelScope)
    _following: anyio.CancelScope = attrs.field(init=False, factory=anyio.CancelScope)
    _is_quiet: anyio.Event | None = attrs.field(init=False, default=None)
    _is_asking: bool = attrs.field(init=False, default=False)
    _is_output_late: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        inner = self.wiring.archive.sink(self.job, self.number)
        self._sink = ListeningSink(inner, lambda: self.wiring.hub.wants_logs, self._tell_line)

    @property
    def spec(self) -> JobSpec:
        """Return the job's specification."""
        return self.wiring.job(self.job)

    async def start(self, effect: StartAttempt) -> None:
        """Deliver, start, and follow the output until the attempt has ended."""
        with self._beginning:
            self.is_started = (effect.is_repeat and await self._was_begun()) or await self._begin(effect.checkpoint)
        if self.is_started:
            self._post(AttemptStarted)
            await self._follow()

    async def take_up(self) -> None:
        """Follow the output of an attempt that an earlier client started."""
        self.is_started = True
        await self._follow()

    async def _was_begun(self) -> bool:
        """Tell whether an earlier client had started it; whatever became of it then is found out by following."""
        answer = await self.keeper.on_link(lambda link: link.status(self.job, self.number))
        return not isinstance(answer, Gone) or answer.was_started

    async def ask(self) -> None:
        """Ask where the attempt is, and tell if it has ended."""
        if self.is_over or self._is_asking:
            return
        self._is_asking = True
        try:
            answer = await self.keeper.on_link(lambda link: link.status(self.job, self.number))
        finally:
            self._is_asking = False
        match answer:
            case ExitStatus():
                self._end(AttemptExited, exit=answer)
            case Gone(reason=reason):
                self._end(AttemptVanished, reason=reason)
            case StillRunning():
                return
            case _:
                assert_never(answer)

    async def stop(self, effect: StopAttempt) -> None:
        """Stop it, and tell how it ended."""
        self._beginning.cancel()
        while not self.is_over:
            await self.keeper.on_link(lambda link: link.stop(self.job, self.number, effect.why, effect.grace_s))
            await self.ask()
            if not self.is_over:
                await anyio.sleep(AGAIN_S)

    async def save(self, effect: SaveCheckpoint) -> None:
        """Bring the checkpoint home before the deadline, or tell that it was missed."""
        limit_s = None if effect.deadline is None else self.wiring.seconds_until(effect.deadline)
        reason = "there was no time left"
        with anyio.move_on_after(limit_s):
            try:
                reason = await self._bring_checkpoint(effect.serial)
            except (AspotError, OSError) as error:
                reason = str(error)
        if reason:
            self._post(CheckpointMissed, serial=effect.serial, reason=reason)

    async def collect(self) -> None:
        """Bring logs and files home; then tell the machine that it need not hold them."""
        await self._stop_following()
        collected = await self._collect_stubbornly()
        if collected is None:
            return
        self._sink.flush()
        self._post(ResultCollected, collected=collected)
        files, size = len(collected.files), collected.size
        self._tell(FilesReceived, files=files, size=size, message=f"{self.job}: {files} files came home")
        await anyio.sleep(RELEASE_AFTER_S)
        await self.keeper.on_link(lambda link: link.release(self.job, self.number))

    # --- starting -----------------------------------------------------------------------------------------------------

    async def _begin(self, checkpoint: Checkpoint | None) -> bool:
        try:
            order = self._order(checkpoint)
            self._tell_delivery(await self.keeper.on_link(functools.partial(self._deliver, order)))
            await self.keeper.on_link(lambda link: link.start(order))
        except Undeliverable as error:
            self._end(AttemptRefused, reason=error.reason, is_local=error.is_local)
        except (AspotError, OSError) as error:
            self._end(AttemptRefused, reason=str(error), is_local=True)
        return not self.is_over

    def _order(self, checkpoint: Checkpoint | None) -> AttemptOrder:
        folder = None if checkpoint is None else self.wiring.archive.checkpoint(checkpoint)
        secret_env = self.wiring.secrets(self.job) if self.spec.secrets else {}
        return AttemptOrder(spec=self.spec, attempt=self.number, secret_env=secret_env, checkpoint=folder)

    async def _deliver(self, order: AttemptOrder, link: Link) -> Delivered:
        async with self.wiring.transfers:
            return await link.deliver(order)

    def _tell_delivery(self, sent: Delivered) -> None:
        message = f"{self.job}: {sent.files} files sent, {sent.skipped} were there already"
        self._tell(FilesSent, files=sent.files, size=sent.size, skipped=sent.skipped, message=message)
        for note in sent.notes:
            self.wiring.warn_once(note)

    # --- running ------------------------------------------------------------------------------------------------------

    async def _follow(self) -> None:
        self._is_quiet = anyio.Event()
        with self._following:
            while not self.is_over:
                await self._copy_output()
                await self.ask()
                if not self.is_over:
                    await anyio.sleep(AGAIN_S)
        self._is_quiet.set()

    async def _copy_output(self) -> None:
        """Copy the output until the attempt has ended, or a disk here takes no more for the moment."""
        try:
            await self.keeper.on_link(lambda link: link.follow(self.job, self.number, self._sink))
        except (AspotError, OSError) as error:
            if not self._is_output_late:
                self._is_output_late = True
                self.wiring.warn(f"{self.job}: its output cannot be kept here, it comes later: {error}", job=self.job)
            await anyio.sleep(OUTPUT_AGAIN_S)

    async def _stop_following(self) -> None:
        self._following.cancel()
        if self._is_quiet is not None:
            await self._is_quiet.wait()

    async def _bring_checkpoint(self, serial: int) -> str:
        """Return why there is none; "" when it is here."""
        fetch = functools.partial(self._fetch_checkpoint, serial)
        files, size = await self.keeper.on_link(fetch)
        if not files:
            return "there was nothing to save"
        with anyio.CancelScope(shield=True):
            await self.wiring.archive.keep_checkpoint(self.job, serial)
        taken = self.wiring.now()
        saved = Checkpoint(job=self.job, attempt=self.number, serial=serial, files=files, size=size, taken=taken)
        self._post(CheckpointSaved, checkpoint=saved)
        return ""

    async def _fetch_checkpoint(self, serial: int, link: Link) -> tuple[int, int]:
        into = self.wiring.archive.checkpoint_staging(self.job, serial)
        return await link.fetch_checkpoint(self.spec, self.number, into)

    # --- bringing home ------------------------------------------------------------------------------------------------

    async def _collect_stubbornly(self) -> Collected | None:
        pauses = Pauses(first_s=1.0, most_s=30.0, chance=self.wiring.chance)
        for tries in range(1, COLLECT_TRIES + 1):
            try:
                return await self.keeper.on_link(self._fetch_result)
            except (AspotError, OSError) as error:
                self._post(CollectFailed, reason=str(error), is_final=tries == COLLECT_TRIES)
            await anyio.sleep(pauses.next_s())
        return None

    async def _fetch_result(self, link: Link) -> Collected:
        async with self.wiring.transfers:
            into = self.wiring.archive.staging(self.job, self.number)
            return await link.fetch_result(self.spec, self.number, self._sink, into)

    # --- telling ------------------------------------------------------------------------------------------------------

    def _end(self, kind: Callable[..., AttemptEvent], **fields: Any) -> None:
        if not self.is_over:
            self.is_over = True
            self._post(kind, **fields)

    def _post(self, kind: Callable[..., AttemptEvent], **fields: Any) -> None:
        self.wiring.post(
            kind(at=self.wiring.now(), instance=self.instance, job=self.job, attempt=self.number, **fields)
        )

    def _tell(self, kind: Any, **fields: Any) -> None:
        self.wiring.tell(kind, job=self.job, instance=self.wiring.label(self.instance), **fields)

    def _tell_line(self, stream: str, line: str) -> None:
        self._tell(LogLine, attempt=self.number, stream=stream, line=line, message=line)
