"""TCP connections, without anything of SSH: what is tried again and again while a machine boots has to be cheap.

May import: asyncio, anyio.
"""

from __future__ import annotations

import asyncio
import socket

import anyio

DIAL_S = 5.0
"""For one try. While a machine boots, nothing answers; Linux repeats its call 1 s and 3 s after the first and then only
4 s later (tcp(7), exponential backoff), so that a new try is heard sooner."""


async def dial(address: str, port: int) -> socket.socket:
    """Return a connected socket, the caller's to close.

    Args:
        address: An IP address.
        port: TCP port.

    Raises:
        OSError: If nobody takes it: refused, unreachable, or `TimeoutError` after `DIAL_S`.
    """
    made = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setblocking(False)
        with anyio.fail_after(DIAL_S):
            await asyncio.get_running_loop().sock_connect(made, (address, port))
    except BaseException:
        made.close()
        raise
    return made
