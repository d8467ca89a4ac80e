"""Carries user data out in a machine, as cloud-init does at boot.

"As root" means as the machine's only user here: guests are never root. May import: `link`, `layout`, `user_data`.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import attrs

from aspot.local.guests.layout import Layout
from aspot.local.guests.link import Link, MachineGone
from aspot.local.guests.user_data import FileToWrite, Plan

__all__ = ["OUTPUT_LOG", "CloudInit"]

OUTPUT_LOG = "log/cloud-init-output.log"
_SHELL = "/bin/sh"


@attrs.frozen
class CloudInit:
    """One boot's work in one machine."""

    link: Link
    layout: Layout
    environment: dict[str, str]

    async def before_ssh(self, plan: Plan, *, first: bool) -> None:
        """Run the boot commands (each boot) and write the files (first boot), before the SSH port opens."""
        if not first:  # nothing stays mounted over a boot but what fstab says
            await self._run(self.layout.seen("run/aspot/bin/umount"), ["umount", "-a"])
            await self._run(self.layout.seen("run/aspot/bin/mount"), ["mount", "-a"])
        for command in plan.boot_commands:
            await self._run(_SHELL, ["sh", "-c", command])
        for file in plan.files if first else ():
            await self._write(file)

    async def after_ssh(self, plan: Plan) -> None:
        """Run the scripts, in order, and say that the boot is done."""
        for number, script in enumerate(plan.scripts, 1):
            path = self.layout.seen(f"run/aspot/user-data/part-{number:03}")
            await self._write(FileToWrite(path=path, content=script, mode=0o700))
            status = await self._run(path, [path])
            if status:
                await self._log(f"Failed to run module scripts-user (part-{number:03}): wait status {status}\n")
        await self._write(FileToWrite(path=self.layout.seen("run/aspot/boot-finished"), content=b"done\n"))

    async def _run(self, path: str, argv: Sequence[str]) -> int:
        log = await self.link.file("open", self._log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        ended: asyncio.Future[int | None] = asyncio.get_running_loop().create_future()
        self.link.spawn(
            argv,
            path=path,
            env=self.environment,
            fds=[os.open(os.devnull, os.O_RDONLY), log, os.dup(log)],
            on_exit=ended.set_result,
        )
        status = await asyncio.shield(ended)
        if status is None:
            raise MachineGone("the machine ended while it booted")
        return status

    @property
    def _log_path(self) -> str:
        return self.layout.seen(OUTPUT_LOG)

    async def _log(self, line: str) -> None:
        await self.link.file("write", self._log_path, line, 0o644, True)

    async def _write(self, file: FileToWrite) -> None:
        try:
            text = file.content.decode("utf-8", "surrogateescape")
            await self.link.file("write", file.path, text, file.mode, file.append)
        except MachineGone:
            raise
        except OSError as error:  # as in a real boot: said, and the boot goes on
            await self._log(f"Failed to write {file.path}: {error.strerror}\n")
