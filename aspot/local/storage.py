"""What machines may mount: the answers to their shims' questions. May import: cloud, records, moto_storage."""

from __future__ import annotations

from collections.abc import Sequence

from aspot.local.cloud import Cloud, Region
from aspot.local.moto_storage import file_system_at
from aspot.local.records import Machine

__all__ = ["answer_machine"]

_NOWHERE = "timeout"
"""What is not let in, or not there, gives no answer on EC2 either: the client gives up after minutes."""


async def answer_machine(cloud: Cloud, instance_id: str, words: Sequence[str]) -> str:
    """Answer a machine's question about storage, in one line that begins with `ok` or says what is wrong.

    Args:
        cloud: The cloud.
        instance_id: Who asks.
        words: `nfs ADDRESS`: which file system is mounted from there (`ok FS-ID`, or `timeout`); `volumes`: which are
            attached beside the machine's own disk, by device name (`ok VOL-ID...`).
    """
    for region in cloud.regions.values():
        machine = region.machines.get(instance_id)
        if machine is not None:
            return await _answer(cloud, region, machine, words)
    return _NOWHERE


async def _answer(cloud: Cloud, region: Region, machine: Machine, words: Sequence[str]) -> str:
    match words:
        case ["nfs", address]:
            found = await cloud.moto.call(file_system_at, region.moto, address, machine.launch.groups)
            return f"ok {found}" if found else _NOWHERE
        case ["volumes"]:
            return " ".join(["ok", *await cloud.moto.call(region.moto.volumes_of, machine.body)])
    return "unknown"
