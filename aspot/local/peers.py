"""Who is at the other end of a loopback connection: a machine's port is open to all of its users, this cloud is not.

A launch runs code as the user whose cloud it is, so another user's request is refused. Linux only: elsewhere nothing
tells, and everyone on the machine is trusted. Imports the standard library only.
"""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["is_ours", "owner_of_peer"]

_TABLES = (Path("/proc/net/tcp"), Path("/proc/net/tcp6"))
_UID_COLUMN = 5  # after the two addresses: state, queues, timer, retransmits, uid (proc_net_tcp, kernel documentation)
_LOOKS = 3  # the table is read in pieces, and a line can be missed while others come and go


def is_ours(ours: tuple[str, int], theirs: tuple[str, int]) -> bool:
    """Tell whether a connection's other end belongs to this process's user or to root.

    A daemon of root's answers everybody: what its machines run is nobody's.

    Args:
        ours: Our IPv4 address and port.
        theirs: The other end's.
    """
    me = os.geteuid()
    if me == 0 or not _TABLES[0].exists():
        return True
    return any(owner_of_peer(ours, theirs) in (me, 0) for _ in range(_LOOKS))


def owner_of_peer(ours: tuple[str, int], theirs: tuple[str, int]) -> int | None:
    """Return the user id that owns the other end of a connection; None if it can't be found."""
    for table in _TABLES:
        prefix = "0000000000000000FFFF0000" if table.name == "tcp6" else ""
        wanted = f" {prefix}{_hex(theirs)} {prefix}{_hex(ours)} ".encode()
        content = table.read_bytes()
        found = content.find(wanted)
        if found >= 0:
            return int(content[found + len(wanted) :].split(maxsplit=_UID_COLUMN)[_UID_COLUMN - 1])
    return None


def _hex(end: tuple[str, int]) -> str:
    octets = bytes(int(part) for part in end[0].split("."))
    return f"{octets[::-1].hex().upper()}:{end[1]:04X}"
