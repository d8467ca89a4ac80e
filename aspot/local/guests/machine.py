"""One machine: boots, is logged into, reboots, powers off, is terminated.

Owns the order of these. A lock makes them take turns; ending a machine first cuts its link, so that whatever waits on
the machine stops waiting. May import: everything else in this package but `park`.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import os
import stat
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any

import anyio
import attrs

from aspot.local.guests.cloud_init import OUTPUT_LOG, CloudInit
from aspot.local.guests.crew import Crew
from aspot.local.guests.endpoints import Endpoints
from aspot.local.guests.host_keys import HostKey
from aspot.local.guests.layout import Layout
from aspot.local.guests.leftovers import kill_marked
from aspot.local.guests.link import Link, MachineGone
from aspot.local.guests.metadata_server import MetadataServer
from aspot.local.guests.shared import Owner
from aspot.local.guests.ssh_server import SSHDoor
from aspot.local.guests.user_data import Plan, parse
from aspot.local.guests.zygote import Zygote
from aspot.local.seam import Endpoint, MachineSpec

__all__ = ["Ground", "Machine", "OnStorage"]

OnStorage = Callable[[str, Sequence[str]], Awaitable[str]]
"""Given an instance id and a question about storage in words, returns the answer in one line."""

_logger = logging.getLogger(__name__)
_GRACE_S = 0.5  # between SIGTERM and SIGKILL when a machine shuts itself down; systemd's is 90 s
_CONSOLE_BYTES = 64 << 10  # EC2 keeps the last 64 KiB
_UNREAD = Plan(warnings=("util.py[WARNING]: No instance datasource found! Likely bad things to come!",))  # its words
_KEY_FILE = "etc-ssh/ssh_host_ed25519_key"


class Power(enum.Enum):
    """Whether a machine runs."""

    OFF = "off"
    ON = "on"
    ENDING = "ending"
    GONE = "gone"


@attrs.frozen(kw_only=True)
class Ground:
    """What a park's machines share."""

    zygote: Zygote
    crew: Crew
    endpoints: Endpoints
    guest_environment: Mapping[str, str]
    on_shutdown: Callable[[str], None]
    on_storage: OnStorage


class Machine:
    """A machine of the park."""

    def __init__(self, spec: MachineSpec, endpoint: Endpoint, *, layout: Layout, ground: Ground) -> None:
        self._spec, self._endpoint, self._layout, self._ground = spec, endpoint, layout, ground
        self._turn = asyncio.Lock()
        self._power = Power.OFF
        self._boots = 0
        self._plan: Plan = parse(spec.user_data) if spec.runs_user_data else _UNREAD
        self._door = SSHDoor(user=spec.user, disable_root=self._plan.disable_root, admits=spec.admits)
        self._metadata = MetadataServer(spec.metadata, user_data=spec.user_data, public_key=spec.key_pair)
        self._link: Link | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._console: list[str] = []
        self._environment: dict[str, str] = {}

    @property
    def link(self) -> Link:
        """The link to the machine's first process.

        Raises:
            MachineGone: the machine is off.
        """
        if self._link is None:
            raise MachineGone("the machine is off")
        return self._link

    @property
    def owner(self) -> Owner | None:
        """Who its processes run as, if not as the daemon."""
        return self._layout.owner

    @property
    def metadata_endpoint(self) -> str:
        """The URL of its metadata service, empty before the boot."""
        return self._metadata.endpoint

    @property
    def shell(self) -> str:
        """The path of its user's login shell."""
        return self._layout.shell

    def environment(self) -> dict[str, str]:
        """Return a guest process's environment."""
        return self._environment

    def console(self) -> str:
        """Return the last 64 KiB of console output."""
        output = _tail(self._layout.folder / OUTPUT_LOG)
        return ("".join(self._console) + output)[-_CONSOLE_BYTES:]

    async def boot(self) -> None:
        """Boot for the first time; returns when SSH answers, or will after the spec's delay, or never will."""
        async with self._turn:
            if self._power is Power.GONE or not self._spec.boots:
                return
            self._layout.create()
            self._place_keys()
            await self._metadata.start()
            await self._start(first=True)

    async def reboot(self) -> None:
        """End every process, close the port, and come back with a new boot id."""
        async with self._turn:
            if self._power is Power.ON:
                await self._stop(grace_s=_GRACE_S)
                await asyncio.to_thread(self._layout.renew)
                await self._start(first=False)

    async def terminate(self) -> Path | None:
        """End every process and cut every connection; safe to repeat.

        Returns:
            Where the machine's files were put, for the caller to remove: that can take long. None if there are none.
        """
        self._power = Power.GONE
        if self._link:
            self._door.close()
            self._link.close()
        async with self._turn:
            await self._stop(grace_s=0.0)
            self._power = Power.GONE
            await self._metadata.aclose()
            return self._layout.put_aside()

    def _place_keys(self) -> None:
        """Write what must be there before the first login: host key and authorized keys."""
        try:
            key = HostKey.load(self._plan.host_key) if self._plan.host_key else None
        except ValueError as error:
            self._say(f"cloud-init: {error}")
            key = None
        self._host_key = key or HostKey.generate(f"root@{self._spec.name}")
        self._layout.put(_KEY_FILE, self._host_key.private, mode=0o600)
        self._layout.put(f"{_KEY_FILE}.pub", self._host_key.public, mode=0o644)
        pair = self._spec.key_pair if self._spec.runs_user_data else None  # cloud-init places that, too
        keys = [key for key in (pair, *self._plan.authorized_keys) if key]
        if keys:
            self._layout.put(
                f"home/{self._spec.user}/.ssh/authorized_keys", "".join(f"{key.strip()}\n" for key in keys), mode=0o600
            )

    async def _start(self, *, first: bool) -> None:
        self._boots += 1
        self._say(f"Booting {self._spec.name} ({self._spec.metadata.instance_id}), boot {self._boots}")
        self._environment = {
            **self._layout.environment(),
            **self._ground.guest_environment,
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": self._metadata.endpoint,
        }
        self._layout.put("run/aspot/env", "".join(f"{k}={v}\n" for k, v in self._environment.items()), mode=0o644)
        self._link = await self._ground.zygote.boot(
            self._key, self._layout.world(), on_control=self._obey, on_end=self._died
        )
        if self._power is Power.GONE:
            self._link.close()
            return
        self._power = Power.ON
        try:
            await self._set_up(CloudInit(self._link, self._layout, self._environment), first=first)
        except MachineGone:
            self._say("the machine ended while it booted")

    async def _set_up(self, cloud_init: CloudInit, *, first: bool) -> None:
        for warning in self._plan.warnings if first else ():
            self._say(f"cloud-init: {warning}")
        await cloud_init.before_ssh(self._plan, first=first)
        if self._spec.ssh_delay_s > 0:
            self._soon(self._open_later(self._spec.ssh_delay_s), "late sshd")
        else:
            await self._open()
        self._say(self._host_key.console_block() + f"\n{self._spec.name} login:")
        self._soon(_unless_gone(cloud_init.after_ssh(self._plan if first else Plan())), "user data")

    async def _open_later(self, delay_s: float) -> None:
        await anyio.sleep(delay_s)
        await self._open()

    async def _open(self) -> None:
        sock = self._ground.endpoints.take(self._endpoint)
        await self._door.open(sock, host=self, key=self._host_key.key)

    async def _stop(self, *, grace_s: float) -> None:
        """Bring everything of the current boot to its end; the endpoint stays held."""
        if self._link is None:
            return
        link, self._power = self._link, Power.ENDING
        for task in self._tasks:
            task.cancel()
        self._door.shut()
        if grace_s:
            link.tell({"op": "shutdown", "grace_s": grace_s})
        else:
            self._door.close()
            link.close()
        in_order = await self._ground.zygote.bury(self._key)
        link.close()
        self._link, self._power = None, Power.OFF
        self._door.close()
        self._ground.endpoints.hold(self._endpoint)
        if not in_order and not self._layout.namespaces:
            left = await asyncio.to_thread(kill_marked, self._layout.mark)
            _logger.warning("a machine's init was killed", extra={"instance": self._key, "processes_left": left})

    def _obey(self, line: str) -> None:
        """Do what the machine's shims ask for: `verb [reply path]`."""
        verb, _, reply = line.partition(" ")
        match verb:
            case "poweroff":
                self._ground.crew.start_soon(self._power_off(grace_s=_GRACE_S), name="power off")
            case "poweroff-now":
                self._ground.crew.start_soon(self._power_off(grace_s=0.0), name="power off")
            case "reboot":
                self._ground.crew.start_soon(self.reboot(), name="reboot")
            case "reload-ssh":
                self._soon(_unless_gone(self._reload_host_key(reply)), "reload sshd")
            case "storage":
                self._soon(_unless_gone(self._ask_about_storage(reply.split())), "storage")

    def _died(self) -> None:
        """Take the end of the machine's first process, of itself, for a crash: the machine is off."""
        if self._power is Power.ON:
            self._ground.crew.start_soon(self._power_off(grace_s=0.0), name="crash")

    async def _power_off(self, *, grace_s: float) -> None:
        async with self._turn:
            if self._power is not Power.ON:
                return
            self._say("Power down.")
            await self._stop(grace_s=grace_s)
        self._ground.on_shutdown(self._spec.metadata.instance_id)

    async def _ask_about_storage(self, words: list[str]) -> None:
        """Pass a shim's question on; the last word is where it waits for the answer."""
        if words:
            answer = await self._ground.on_storage(self._spec.metadata.instance_id, words[:-1])
            self.link.tell({"op": "answer", "path": words[-1], "text": answer})

    async def _reload_host_key(self, reply: str) -> None:
        """Serve the key that now lies in the machine's key file; a bad file leaves the old key in service."""
        try:
            text = await self.link.file("read", self._layout.seen(_KEY_FILE))
            self._host_key = HostKey.load(text)
        except (OSError, ValueError) as error:
            self._say(f"sshd: Unable to load host key: {error}")
            self.link.tell({"op": "answer", "path": reply, "text": "failed"})
            return
        self._door.show(self._host_key.key)
        self.link.tell({"op": "answer", "path": reply, "text": "ok"})

    @property
    def _key(self) -> str:
        return f"{self._spec.metadata.instance_id}#{self._boots}"

    def _soon(self, work: Coroutine[Any, Any, None], name: str) -> None:
        task = self._ground.crew.start_soon(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _say(self, line: str) -> None:
        self._console.append(line + "\n")


async def _unless_gone(work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except MachineGone:
        return


def _tail(path: Path) -> str:
    """Return the end of a file that the machine may have replaced by anything."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return ""
    with os.fdopen(fd, "rb") as log:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return ""
        log.seek(max(0, found.st_size - _CONSOLE_BYTES))
        return log.read(_CONSOLE_BYTES).decode("utf-8", "replace")
