"""`Box`: a box while it is open here: connected, its lease renewed, connected again after a break.

One task renews the lease; whatever callers ask for runs in their own tasks, notebook cells among them, and a caller's
cancellation ends what it asked for and nothing else. May import: `aspot.boxes`, and lazily, since opening one that is
there has to be quick, `aspot.opening` and adapters.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, TypeVar

import anyio
import attrs

from aspot.boxes.known import Known, end, is_gone, story
from aspot.errors import AspotError, CloudError, ConfigError, HostKeyError, LinkError
from aspot.intake.boxes import BOX_TERM_S
from aspot.journal import runs as journals
from aspot.journal.epochs import this_process
from aspot.journal.runs import RunInfo
from aspot.ports import HostKeyMismatch, LinkDropped, NotReady, Target

if TYPE_CHECKING:
    import asyncssh

    from aspot.aws.account import Look
    from aspot.ssh.box import BoxLink, Facts
    from aspot.ssh.keys import RunKeys

logger = logging.getLogger(__name__)

T = TypeVar("T")

REACH_S = 45.0
"""For a machine that EC2 says is running to answer: it may be rebooting."""

END_S = 180.0
"""For a box that ends with its block to be seen gone."""

PAUSE_S = 0.5
ANSWER_S = 3.0

NEW = timedelta(seconds=120)
"""EC2's answers may lag this far behind: a machine that they do not know is not gone before that."""

SILENCE_S = 60.0
"""A peer that says nothing for so long is given up."""


@attrs.define(eq=False)
class Box:
    """A box, or a fleet's machine, that is open here.

    Args:
        known: Its run.
        instance: EC2 id of its machine.
        target: Whom to connect to.
        is_new: Whether it was made just now.
        idle_s: From now on it ends itself after this long without use; None: as it was told before.
    """

    known: Known
    instance: str
    target: Target
    is_new: bool = False
    idle_s: float | None = None
    _link: BoxLink | None = attrs.field(init=False, default=None)
    _facts: Facts | None = attrs.field(init=False, default=None)
    _lock: anyio.Lock = attrs.field(init=False, factory=anyio.Lock)
    _task: asyncio.Task[None] | None = attrs.field(init=False, default=None)
    _is_sure: bool = attrs.field(init=False, default=False)
    over: AspotError | None = attrs.field(init=False, default=None)
    """What it is known to have ended by."""

    @property
    def name(self) -> str:
        """Return what users call the machine."""
        return self.target.label

    @property
    def is_box(self) -> bool:
        """Tell whether it is a box, and no machine of a fleet."""
        return self.known.info.is_box

    @property
    def region(self) -> str:
        """Return the region that the machine is in: a fleet may have several."""
        record = self.known.run.instances.get(self.instance)
        return (record.pool.region if record is not None else "") or self.known.info.region

    @property
    def facts(self) -> Facts | None:
        """Return what it is like, once it was connected to."""
        return self._facts

    async def connect(self) -> None:
        """Connect, and keep the lease from here on.

        Raises:
            AspotError: If it cannot be reached, or has ended.
        """
        await self._current()
        if self.is_box and self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._keep(), name=f"aspot-box-{self.name}")

    async def answers(self) -> bool:
        """Tell whether it was there before, and its SSH port answers where it was last seen."""
        from aspot.ssh.dial import dial

        if self.is_new or not self.target.address:
            return False
        try:
            with anyio.fail_after(ANSWER_S):
                found = await dial(self.target.address, self.target.port)
        except OSError:
            return False
        found.close()
        return True

    def keys(self) -> RunKeys:
        """Return the keys of its run.

        Raises:
            ConfigError: If they cannot be read.
        """
        from aspot.ssh.keys import RunKeys

        return RunKeys.load(self.known.info.folder.keys)

    async def on_link(self, act: Callable[[BoxLink], Awaitable[T]]) -> T:
        """Do something over the link; when it breaks meanwhile, do it again over a new one, once.

        Args:
            act: What to do; safe to repeat.

        Raises:
            AspotError: If it cannot be reached, or has ended.
        """
        try:
            return await self.once(act)
        except LinkDropped:
            logger.info("connected again", extra={"box": self.name})
        try:
            return await self.once(act)
        except LinkDropped as error:
            raise LinkError(f"the connection to {self.name} broke: {error}", instance=self.instance) from error

    async def once(self, act: Callable[[BoxLink], Awaitable[T]]) -> T:
        """Do something over the link that is not to be repeated. Raises `LinkDropped` when it breaks."""
        link = await self._current()
        try:
            return await act(link)
        except LinkDropped:
            await self._drop(link)
            raise

    async def aclose(self) -> None:
        """Close the connection; the machine stays."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None
        if self._link is not None:
            await self._drop(self._link)

    # --- how ----------------------------------------------------------------------------------------------------------

    async def _keep(self) -> None:
        """Renew the lease while the box is open here, over a new connection if need be."""
        while self.over is None:
            await anyio.sleep(BOX_TERM_S / 4)
            try:
                await self.on_link(lambda link: link.renew())
            except AspotError:
                logger.info("the lease could not be renewed", exc_info=True, extra={"box": self.name})

    async def _current(self) -> BoxLink:
        async with self._lock:
            if self.over is not None:
                raise self.over
            if self._link is None or not self._link.is_open:
                self._link = await self._connected()
            return self._link

    async def _drop(self, link: BoxLink) -> None:
        if self._link is link:
            self._link, self._is_sure = None, False
        await link.aclose()

    async def _connected(self) -> BoxLink:
        from aspot.ssh.box import BoxLink

        if not self._is_sure:
            await self.look()
            if self.over is not None:
                raise self.over
        link = BoxLink(await self._reach(), self.name)
        try:
            self._facts = await (link.hello(self.idle_s) if self.is_box else link.look())
        except LinkDropped as error:
            await link.aclose()
            raise LinkError(f"{self.name} does not answer: {error}", instance=self.instance) from error
        self.idle_s = None
        return link

    async def look(self) -> Look | None:
        """Ask EC2, once, where the machine is; a box that has ended is cleared away, and `over` says so."""
        look = await look_at(self.region, self.instance)
        if is_missing(self.known, look):
            return look
        if is_gone(look) and self.over is None:
            self.over = await ended(self.known, look) if self.is_box else _gone(self.name, self.instance)
        if look is not None and look.found.address:
            self.target = attrs.evolve(self.target, address=look.found.address, port=look.found.port)
        return look

    async def end(self) -> list[str]:
        """End the box for good; return what is left, as text for people.

        Raises:
            AspotError: If EC2 could not be asked.
        """
        from aspot.aws.account import Account

        await self.aclose()
        async with await Account.open(self.known.info.region) as account:
            left = await end(account, self.known, look=None, is_asked=True)
        self.over = ConfigError(f"box {self.name} was terminated here", fix="open a new one: Instance(...)")
        return left

    async def end_surely(self) -> list[str]:
        """End the box as `end` does, whatever is cancelled meanwhile; one that is not seen to end in time is left."""
        with anyio.move_on_after(END_S, shield=True):
            return await self.end()
        return [f"{self.name} was not seen to end in time"]

    async def _reach(self) -> asyncssh.SSHClientConnection:
        """Return a verified connection; a caller whose address has changed is let in first."""
        from aspot.ssh.connect import SshRemote

        remote = SshRemote(self.keys(), self.known.info.id, client=this_process())
        until, has_asked = anyio.current_time() + REACH_S, False
        while True:
            try:
                return await remote.log_in(self.target, silence_s=SILENCE_S)
            except HostKeyMismatch as error:
                raise HostKeyError(
                    str(error),
                    instance=self.instance,
                    fix="nothing was sent; somebody else may answer at its address. If you changed its host key "
                    f"yourself, end it: aspot down {self.known.name}",
                ) from error
            except NotReady as error:
                if anyio.current_time() > until:
                    raise LinkError(
                        str(error),
                        instance=self.instance,
                        fix=f"EC2 says that it runs; if it stays so: aspot down {self.known.name}",
                    ) from error
            if not has_asked:
                has_asked = True
                await _let_in(self.known.info, self.region)
            await anyio.sleep(PAUSE_S)


def is_missing(known: Known, look: Look | None) -> bool:
    """Tell whether EC2 does not know a machine that may be too new for it to know."""
    machine = known.machine
    return look is None and machine is not None and datetime.now(UTC) - machine.requested < NEW


async def ended(known: Known, look: Look | None) -> CloudError:
    """Clear away what is left of a box whose machine is gone, write that down, and return what to raise."""
    from aspot.aws.account import Account

    if journals.info(known.info.folder).ended is not None:
        return CloudError(f"box {known.name} was ended meanwhile", fix="aspot ls shows what runs")
    async with await Account.open(known.info.region) as account:
        left = await end(account, known, look=look, is_asked=False)
    error = CloudError(
        story(known, look), fix=f"aspot connect -n {known.name} -p {known.run.pools[0].type} makes a new one"
    )
    for item in left:
        error.add_note(f"left behind: {item}")
    from aspot.boxes.storage import stays

    for item in await stays(known.info):
        error.add_note(item)
    return error


def end_text(name: str, left: Sequence[str]) -> str:
    """Return that a box has ended, as text for people.

    Raises:
        AspotError: If something of it is left.
    """
    if left:
        raise AspotError(f"{name}: still there: {'; '.join(left)}", fix=f"aspot down {name}")
    return f"{name} has ended. Nothing left (checked)."


def _gone(name: str, instance: str) -> LinkError:
    return LinkError(f"{name} ({instance}) is gone", instance=instance, fix="aspot ls shows what runs")


async def look_at(region: str, instance: str) -> Look | None:
    """Return what EC2 shows of a machine, in one call; None if it knows it no longer.

    Raises:
        CloudError: If EC2 could not be asked.
    """
    from aspot.aws.account import Account

    async with await Account.open(region) as account:
        return await account.instance(instance)


async def _let_in(info: RunInfo, region: str) -> None:
    """Open the box's group to where the caller is now; if that cannot be done, the connection says what is wrong."""
    from aspot.aws.account import Account

    async with await Account.open(region) as account:
        try:
            if not account.is_loopback and not info.options["plan"]["security_group"]:
                await account.let_in(info.id)
        except CloudError:
            logger.info("the group could not be opened to this address", exc_info=True, extra={"box": info.name})
