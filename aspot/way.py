"""How a machine is logged in to: EC2 says where it is, noted keys that it is the one; and again when that breaks.

The one place for all commands that go to a machine. May import: `aspot.reach`, `aspot.ssh`, `aspot.aws`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING

import anyio
import attrs

from aspot.errors import CloudError, ConfigError, HostKeyError, LinkError
from aspot.journal.runs import RunInfo
from aspot.machine.client import Client
from aspot.ports import HostKeyMismatch, NotReady
from aspot.reach import Machine, find

if TYPE_CHECKING:
    import asyncssh

    from aspot.aws.account import Found
    from aspot.ssh.keys import RunKeys

SILENCE_S = 20.0
"""Somebody waits before the screen: a peer that says nothing for so long is given up."""

PAUSE_S, MOST_PAUSE_S = 0.3, 5.0
"""Between tries to connect again."""

FIRST_LOOK_S, LOOK_EVERY_S = 1.0, 15.0
"""While a machine cannot be reached, EC2 is asked so often whether it is still there."""


SESSION = 'exec /bin/sh "$HOME/.aspot/run" session'
"""The runner's command that becomes the login shell, or the words after it: a box is in use while it lives."""


class Gone(LinkError):
    """EC2 says that the machine has ended."""


def _say_nothing(_: str) -> None:
    return


@attrs.define
class Way:
    """The way to one machine: connects, and connects again while the machine is there.

    Args:
        machine: Whom to connect to.
        is_sure: Whether it is tried where it was last seen before EC2 is asked.
    """

    machine: Machine
    _is_sure: bool = attrs.field(default=False, kw_only=True)

    @classmethod
    def to(cls, name: str) -> Way:
        """Return the way to the machine of this name.

        Raises:
            AspotError: As `find`.
        """
        return cls(find(name))

    @property
    def label(self) -> str:
        """Return what users call the machine."""
        return self.machine.label

    async def connect(self) -> asyncssh.SSHClientConnection:
        """Return a verified connection; one try at the address that is known, one at the one that EC2 says.

        Raises:
            LinkError: If the machine is gone, still boots, or cannot be reached.
            HostKeyError: If it could not prove who it is.
            CloudError: If EC2 had to be asked and could not be.
            ConfigError: If the keys of its run cannot be read.
        """
        if self.machine.is_fresh or self._is_sure:
            try:
                return await self._try()
            except NotReady:
                pass
        await self.look()
        try:
            return await self._try()
        except NotReady as error:
            raise LinkError(
                str(error),
                instance=self.machine.instance,
                fix=f"a machine that boots takes a moment: try again; aspot status {self.machine.info.name} shows it",
            ) from error

    async def connect_again(self, *, say: Callable[[str], None] = _say_nothing) -> asyncssh.SSHClientConnection:
        """Return a new connection after one that broke, however long that takes.

        Args:
            say: Told, now and then, what it is waiting for.

        Raises:
            LinkError: If EC2 says that the machine is gone.
            HostKeyError: If it could not prove who it is.
            ConfigError: If the keys of its run cannot be read any more.
        """
        pause_s, why = PAUSE_S, ""
        looked = anyio.current_time() - LOOK_EVERY_S + FIRST_LOOK_S
        while True:
            try:
                return await self._try()
            except NotReady as error:
                if str(error) != why:
                    say(why := str(error))
            await anyio.sleep(pause_s)
            pause_s = min(MOST_PAUSE_S, 2 * pause_s)
            if anyio.current_time() - looked >= LOOK_EVERY_S:
                looked = anyio.current_time()
                await self._look_if_possible(say)

    async def _look_if_possible(self, say: Callable[[str], None]) -> None:
        """Ask EC2; a network that is down here keeps nobody from trying on."""
        try:
            await self.look()
        except CloudError as error:
            say(f"EC2 could not be asked: {error.message}")

    async def look(self) -> None:
        """Ask EC2 once where the machine is.

        Raises:
            LinkError: If it is gone, or has no address yet.
            CloudError: If EC2 could not be asked.
        """
        found = await _seen(self.machine)
        label, instance = self.machine.label, self.machine.instance
        if found is None or found.state in ("terminated", "shutting-down"):
            state = found.state if found is not None else "EC2 no longer knows it"
            raise Gone(f"{label} ({instance}) is gone: {state}", instance=instance, fix="aspot ls shows what runs")
        if found.state != "running" or not found.address:
            raise LinkError(
                f"{label} ({instance}) is not running yet: {found.state}",
                instance=instance,
                fix="try again in a moment",
            )
        self.machine = attrs.evolve(self.machine, address=found.address, port=found.port)
        self._is_sure = True

    async def _try(self) -> asyncssh.SSHClientConnection:
        from aspot.ssh.connect import SshRemote

        onlooker = Client(epoch=0, pid=os.getpid(), host="")  # drives nothing: the runner is told nothing in its name
        remote = SshRemote(await self._keys(), self.machine.info.id, client=onlooker)
        try:
            return await remote.log_in(self.machine.target(), silence_s=SILENCE_S)
        except HostKeyMismatch as error:
            raise HostKeyError(
                str(error),
                instance=self.machine.instance,
                fix="nothing was sent; somebody else may answer at its address. If you changed its host key yourself, "
                f"end it: aspot down {self.machine.info.name}",
            ) from error

    async def _keys(self) -> RunKeys:
        """Return the keys of the machine's run; a run that ends takes them with it, and then its machine is gone."""
        try:
            return self.machine.keys()
        except ConfigError:
            await self.look()
            raise


async def _seen(machine: Machine) -> Found | None:
    return (await seen([machine.info])).get(machine.instance)


async def seen(runs: Collection[RunInfo]) -> dict[str, Found]:
    """Return what EC2 shows of the instances of these runs, by id: one question a region, all at once.

    Raises:
        CloudError: If EC2 could not be asked.
    """
    from aspot.aws.account import Account
    from aspot.aws.together import together

    async def look(region: str | None) -> list[Found]:
        async with await Account.open(region) as account:
            ids = [item.id for item in runs if region in (item.regions or (None,))]
            return await account.instances(runs=ids)

    regions = dict.fromkeys(region for item in runs for region in (item.regions or (None,)))
    answers = await together(*(partial(look, region) for region in regions))
    return {item.instance: item for items in answers for item in items}
