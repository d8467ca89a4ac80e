"""The limit for `attach`: a process that connects to machines with asyncssh alone. Run by benchmarks.returning.

Words are a key file and how many at once; on stdin, a JSON list of [address, port, user]. Host keys are not checked.
"""

from __future__ import annotations

import json
import sys

import aiobotocore.session  # noqa: F401 - whoever asks EC2, too, imports this
import anyio
import asyncssh


async def main(key: str, at_once: int, machines: list[list]) -> None:
    """Connect to all of them, and run a command on each."""
    limit = anyio.CapacityLimiter(at_once)

    async def connect(address: str, port: int, user: str) -> None:
        async with (
            limit,
            asyncssh.connect(
                address, port, username=user, client_keys=[key], known_hosts=None, config=[]
            ) as connection,
        ):
            await connection.run("true", check=True)

    async with anyio.create_task_group() as group:
        for machine in machines:
            group.start_soon(connect, *machine)


anyio.run(main, sys.argv[1], int(sys.argv[2]), json.load(sys.stdin))
