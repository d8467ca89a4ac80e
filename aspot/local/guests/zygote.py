"""The daemon's handle on the zygote, the process that forks machines.

Owns the zygote's process and the proof that a machine's processes are gone. May import: `link`, `inside`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from aspot.local.guests.inside.wire import Message
from aspot.local.guests.inside.world import World
from aspot.local.guests.link import Link, MessageSocket

__all__ = ["Zygote"]

# The packages above `inside` import more than a bare interpreter has, so they are stood in for by their paths.
_START = """
import sys, types
for name, path in {packages!r}.items():
    package = sys.modules[name] = types.ModuleType(name)
    package.__path__ = [path]
from aspot.local.guests.inside.zygote import main
main({fd})
"""
_LOADER = ("LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH")  # an interpreter may need it to find itself
_DEATH_S = 10.0  # a killed process tree that takes longer is stuck in the kernel


class Zygote:
    """A running zygote; `spawn` makes one."""

    def __init__(self, process: subprocess.Popen[bytes], sock: socket.socket) -> None:
        self._process = process
        self._socket = MessageSocket(sock, on_message=self._take, on_end=self._ended)
        self._ends: dict[str, asyncio.Future[int]] = {}  # how each boot's first process ended

    @classmethod
    def spawn(cls, *, cookie: dict[str, str], log: Path) -> Zygote:
        """Start the zygote; `cookie` is an environment by which its processes are known for ours."""
        ours, theirs = socket.socketpair()
        script = _START.format(packages=_packages(), fd=theirs.fileno())
        with theirs, log.open("ab") as errors:
            process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", script],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=errors,
                pass_fds=[theirs.fileno()],
                env={**cookie, **{name: os.environ[name] for name in _LOADER if name in os.environ}},
                cwd="/",
                start_new_session=True,
            )
        return cls(process, ours)

    async def boot(
        self, key: str, world: World, *, on_control: Callable[[str], None], on_end: Callable[[], None]
    ) -> Link:
        """Start a machine's first process and return the link to it, once it serves.

        Args:
            key: names this boot of the machine; used once.
            world: what the machine's processes see.
            on_control: called with each line the machine's shims write.
            on_end: called when the machine ends by itself.

        Raises:
            MachineGone: the world can't be entered; the text says which step was refused.
        """
        ours, theirs = socket.socketpair()
        link = Link(ours, on_control=on_control, on_end=on_end)
        self._ends[key] = asyncio.get_running_loop().create_future()
        self._socket.send({"op": "boot", "id": key, "world": world}, [theirs.detach()])
        try:
            await link.ready()
        except BaseException:
            link.close()
            await self.bury(key)
            raise
        return link

    async def bury(self, key: str) -> bool:
        """Wait until a machine's first process is gone; kill it if it doesn't go by itself.

        Returns:
            Whether it ended the machine in order. If not, a machine without namespaces may have left processes.
        """
        gone = self._ends.get(key)
        if gone is None:
            return True
        try:
            return await self._end_of(gone) == 0
        except TimeoutError:
            self._socket.send({"op": "kill", "id": key})
            with contextlib.suppress(TimeoutError):
                await self._end_of(gone)
            return False
        finally:
            self._ends.pop(key, None)

    @staticmethod
    async def _end_of(gone: asyncio.Future[int]) -> int:
        async with asyncio.timeout(_DEATH_S):
            return await asyncio.shield(gone)

    async def aclose(self) -> None:
        """End the zygote; its machines end with their links."""
        self._socket.close()
        self._ended()
        await asyncio.to_thread(self._wait)

    def _wait(self) -> None:
        try:
            self._process.wait(_DEATH_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _take(self, message: Message, _fds: list[int]) -> None:
        gone = self._ends.get(message["id"])
        if gone and not gone.done():
            gone.set_result(message["status"])

    def _ended(self) -> None:
        for gone in self._ends.values():
            if not gone.done():
                gone.set_result(-1)


def _packages() -> dict[str, str]:
    guests = Path(__file__).absolute().parent
    local = guests.parent
    return {"aspot": str(local.parent), "aspot.local": str(local), "aspot.local.guests": str(guests)}
