"""A machine's SFTP server: each operation is done by the machine's first process, in its own world.

So a link that leads to the host's files leads to the machine's instead, and rights are those of its user. Open files
are descriptors the machine opened; reads and writes are done here. May import: `link`, asyncssh.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from typing import Any

import asyncssh
from asyncssh import constants

from aspot.local.guests.link import Link

__all__ = ["GuestFiles"]

_NS = 1_000_000_000
_FLAGS = {
    constants.FXF_APPEND: os.O_APPEND,
    constants.FXF_CREAT: os.O_CREAT,
    constants.FXF_TRUNC: os.O_TRUNC,
    constants.FXF_EXCL: os.O_EXCL,
}
_SPACE = ("bsize", "frsize", "blocks", "bfree", "bavail", "files", "ffree", "favail", "flags", "namemax")


class GuestFiles(asyncssh.SFTPServer):
    """The SFTP server of one session."""

    def __init__(self, chan: asyncssh.SSHServerChannel[bytes], *, link: Link) -> None:
        super().__init__(chan)
        self._link = link

    async def open(self, path: bytes, pflags: int, attrs: asyncssh.SFTPAttrs) -> object:
        """Open a regular file."""
        flags = (os.O_RDONLY, os.O_WRONLY, os.O_RDWR)[_access(pflags)]
        flags |= sum(ours for theirs, ours in _FLAGS.items() if pflags & theirs)
        mode = 0o666 if attrs.permissions is None else attrs.permissions & 0o777
        fd = await self._ask("open", path, flags, mode)
        return os.fdopen(fd, "r+b" if flags & os.O_RDWR else "wb" if flags & os.O_WRONLY else "rb", buffering=0)

    async def lstat(self, path: bytes) -> asyncssh.SFTPAttrs:
        """Return attributes of a file or link."""
        return _attributes(await self._ask("lstat", path))

    async def stat(self, path: bytes) -> asyncssh.SFTPAttrs:
        """Return attributes of a file, links followed."""
        return _attributes(await self._ask("stat", path))

    async def setstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Set attributes of a file, links followed."""
        await self._ask("set", path, _changes(attrs), True)

    async def lsetstat(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Set attributes of a file or link."""
        await self._ask("set", path, _changes(attrs), False)

    async def scandir(self, path: bytes) -> AsyncIterator[asyncssh.SFTPName]:
        """List a folder."""
        for name, fields in await self._ask("scan", path):
            yield asyncssh.SFTPName(os.fsencode(name), attrs=_attributes(fields))

    async def remove(self, path: bytes) -> None:
        """Remove a file or link."""
        await self._ask("remove", path)

    async def mkdir(self, path: bytes, attrs: asyncssh.SFTPAttrs) -> None:
        """Make a folder."""
        await self._ask("mkdir", path, 0o777 if attrs.permissions is None else attrs.permissions & 0o7777)

    async def rmdir(self, path: bytes) -> None:
        """Remove an empty folder."""
        await self._ask("rmdir", path)

    async def realpath(self, path: bytes) -> bytes:
        """Return the canonical form of a path."""
        return os.fsencode(await self._ask("realpath", path))

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename to a name that is free."""
        await self._ask("rename_new", oldpath, os.fsdecode(newpath))

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Rename, replacing."""
        await self._ask("replace", oldpath, os.fsdecode(newpath))

    async def readlink(self, path: bytes) -> bytes:
        """Return where a link leads."""
        return os.fsencode(await self._ask("readlink", path))

    async def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """Make a symbolic link at `newpath`."""
        await self._ask("symlink", oldpath, os.fsdecode(newpath))

    async def link(self, oldpath: bytes, newpath: bytes) -> None:
        """Make a hard link at `newpath`."""
        await self._ask("link", oldpath, os.fsdecode(newpath))

    async def statvfs(self, path: bytes) -> asyncssh.SFTPVFSAttrs:
        """Return how much space there is."""
        return asyncssh.SFTPVFSAttrs(**dict(zip(_SPACE, await self._ask("space", path), strict=True)))

    def format_user(self, uid: int | None) -> str:
        """Return a user as a number: the host's names are not the machine's."""
        return "" if uid is None else str(uid)

    def format_group(self, gid: int | None) -> str:
        """Return a group as a number."""
        return "" if gid is None else str(gid)

    def exit(self) -> None:
        """Report success to the client (scp asks for an exit status)."""
        self.channel.exit(0)

    async def _ask(self, name: str, path: bytes, *arguments: object) -> Any:
        return await self._link.file(name, os.fsdecode(path), *arguments)


def _access(pflags: int) -> int:
    reads, writes = bool(pflags & constants.FXF_READ), bool(pflags & constants.FXF_WRITE)
    return 2 if reads and writes else int(writes)


def _attributes(fields: list[int]) -> asyncssh.SFTPAttrs:
    mode, size, uid, gid, nlink, atime_ns, mtime_ns = fields
    return asyncssh.SFTPAttrs(
        permissions=mode, size=size, uid=uid, gid=gid, nlink=nlink, atime=atime_ns // _NS, mtime=mtime_ns // _NS
    )


def _changes(attrs: asyncssh.SFTPAttrs) -> dict[str, Any]:
    changes: dict[str, Any] = {}
    if attrs.size is not None:
        changes["size"] = attrs.size
    if attrs.uid is not None and attrs.gid is not None:
        changes["owner"] = [attrs.uid, attrs.gid]
    if attrs.permissions is not None:
        changes["mode"] = attrs.permissions & 0o7777
    if attrs.atime is not None and attrs.mtime is not None:
        changes["times_ns"] = [
            int(attrs.atime) * _NS + (attrs.atime_ns or 0),
            int(attrs.mtime) * _NS + (attrs.mtime_ns or 0),
        ]
    return changes
