"""A host key of the machine's own in place of the injected one (THREATS T1): accepted once it is seen to be served."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
import asyncssh

from aspot.ports import Target
from aspot.ssh.keys import RunKeys

PROBE_S = 3.0
"""For the server to show its new host key; a real sshd needs about 0.1 s."""

Probe = Callable[[Target], Awaitable[asyncssh.SSHKey | None]]


async def noted(keys: RunKeys, target: Target, line: str) -> bool:
    """Write down the key that the machine made, before it is told to serve it: whoever comes back knows it then.

    Args:
        keys: The run's keys.
        target: Whose key it is.
        line: The public key as the machine said it over the verified connection; "" if it made none.

    Returns:
        Whether a key of the machine's own is known.
    """
    if keys.is_pinned(target.instance):
        return True
    try:
        key = asyncssh.import_public_key(line)
    except asyncssh.KeyImportError:
        return False
    await anyio.to_thread.run_sync(keys.propose, target.instance, key)
    return True


async def is_seen(keys: RunKeys, target: Target, probe: Probe) -> bool:
    """Pin the noted key once the machine serves it; until then the injected one is believed.

    Args:
        keys: The run's keys.
        target: Whose key it is.
        probe: Returns the host key that the machine serves now.

    Returns:
        Whether the machine serves it.
    """
    instance = target.instance
    if (key := keys.candidate(instance)) is None:
        return keys.is_pinned(instance)
    pause_s = 0.02
    with anyio.move_on_after(PROBE_S):
        while await probe(target) != key:
            await anyio.sleep(pause_s)
            pause_s = min(2 * pause_s, 0.5)
        keys.pin(instance)
    return keys.is_pinned(instance)
