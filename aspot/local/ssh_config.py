"""The ssh configuration of the machines, kept current, so that `ssh -F FILE NAME` works with strict host keys.

May import: cloud, records.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

import attrs

from aspot.local.cloud import Cloud
from aspot.local.records import Machine, State

__all__ = ["SshConfig"]

_KEYS = re.compile(r"BEGIN SSH HOST KEY KEYS-----\r?\n(.*?)\r?\n?-----END SSH HOST KEY KEYS", re.DOTALL)
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHARED = "127.0.0.1"


@attrs.frozen
class SshConfig:
    """Two files in the cloud's folder: `ssh_config` and `known_hosts`."""

    folder: Path

    @property
    def path(self) -> Path:
        """The configuration, for `ssh -F`."""
        return self.folder / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The machines' host keys, by instance id."""
        return self.folder / "known_hosts"

    def write(self, cloud: Cloud) -> None:
        """Write both files, newest machines first: of two with one name, ssh takes the first."""
        machines = [m for region in cloud.regions.values() for m in region.machines.values()]
        live = sorted((m for m in machines if m.state is State.RUNNING), key=lambda m: -m.ordinal)
        _replace(self.known_hosts, "".join(line for machine in live for line in _host_keys(cloud, machine)))
        head = "# Written by the local cloud of aspot; gone with it.\n"
        _replace(self.path, head + "".join(self._entry(cloud, machine) for machine in live))

    def _entry(self, cloud: Cloud, machine: Machine) -> str:
        names = [machine.id]
        name = cloud.regions[machine.region].moto.tags(machine.id).get("Name", "")
        if _SAFE.fullmatch(name):
            names.append(name)
        if machine.endpoint.address != _SHARED:
            names.append(machine.endpoint.address)
        lines = (
            f"Host {' '.join(names)}",
            f"    HostName {machine.endpoint.address}",
            f"    Port {machine.endpoint.port}",
            f"    User {machine.launch.image.user}",
            f"    HostKeyAlias {machine.id}",
            f'    UserKnownHostsFile "{self.known_hosts}"',
            "    GlobalKnownHostsFile none",
            "    StrictHostKeyChecking yes",
        )
        return "\n".join(lines) + "\n"


def _host_keys(cloud: Cloud, machine: Machine) -> Iterator[str]:
    """Yield a machine's known_hosts lines, from what it has written to its console."""
    found = _KEYS.findall(cloud.machines.console(machine.id)) if machine.booted else []
    for line in found[-1].splitlines() if found else ():
        kind, _, rest = line.strip().partition(" ")
        if rest:
            yield f"{machine.id} {kind} {rest.split()[0]}\n"


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    part.replace(path)
