"""The seam between the wire half and the guests half of the local cloud.

Owns the values both halves pass each other; the guests half implements `Park` (aspot.local.guests.park), the wire
half calls it, both in one asyncio loop. May import: attrs and the standard library.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import NamedTuple

import attrs

__all__ = ["Endpoint", "MachineSpec", "Metadata"]


class Endpoint(NamedTuple):
    """Where a machine's SSH server listens: a loopback address and a port."""

    address: str
    port: int


@attrs.define(kw_only=True)
class Metadata:
    """What a machine's metadata service answers; the wire half changes it while the machine lives.

    `notice_time` (aware UTC) makes `spot/instance-action` and `spot/termination-time` answer with that time;
    `rebalance_time` (aware UTC) makes `events/recommendations/rebalance` answer.
    """

    instance_id: str
    instance_type: str
    zone: str
    region: str
    image_id: str
    account_id: str
    address: str
    lifecycle: str = "spot"
    role: str | None = None
    notice_time: datetime | None = None
    rebalance_time: datetime | None = None


@attrs.frozen(kw_only=True)
class MachineSpec:
    """What to boot: who it is, who may log in, what it runs at boot, and its boot faults.

    `user_data` is raw (already decoded from base64), may be empty. `key_pair` is the OpenSSH public key line of the
    instance's KeyName. `ssh_delay_s` (seconds) holds the port closed for that long after boot; with `boots=False`
    nothing ever listens, with `runs_user_data=False` cloud-init fails before it reads its user data. `shell` is the
    path of the login shell, "" for the images' usual one. `admits` tells, connection by connection, whether the network
    lets an IP address in to SSH.
    """

    metadata: Metadata
    name: str
    user: str
    user_data: bytes
    key_pair: str | None
    ssh_delay_s: float = 0.0
    boots: bool = True
    runs_user_data: bool = True
    shell: str = ""
    admits: Callable[[str], bool] = attrs.field(default=lambda _: True, eq=False, repr=False)
