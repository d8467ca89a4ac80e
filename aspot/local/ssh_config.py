"""The ssh configuration of the machines, kept current, so that `ssh -F FILE NAME` works with strict host keys.

May import: cloud, records.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

import attrs

from aspot.local.cloud import Cloud
from aspot.local.records import Machine, State

__all__ = ["SshConfig"]

_KEYS = re.compile(r"BEGIN SSH HOST KEY KEYS-----\r?\n(.*?)\r?\n?-----END SSH HOST KEY KEYS", re.DOTALL)
_SAFE = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_SHARED = "127.0.0.1"
_HEAD = "# Written by the local cloud of aspot; gone with it.\n"


@attrs.define
class SshConfig:
    """Two files in the cloud's folder: `ssh_config` and `known_hosts`.

    A machine's key is read from its console, as anyone would on EC2, and from its /etc/ssh, where its owner may have
    put another one since.

    Args:
        folder: The cloud's folder; the machines' own folders are in `park/machines`.
    """

    folder: Path
    _keys: dict[str, tuple[int, list[str]]] = attrs.field(factory=dict, init=False)
    _written: tuple[str, str] = attrs.field(default=("", ""), init=False)

    @property
    def path(self) -> Path:
        """The configuration, for `ssh -F`."""
        return self.folder / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        """The machines' host keys, by instance id."""
        return self.folder / "known_hosts"

    def write(self, cloud: Cloud) -> None:
        """Write both files if anything has changed; newest machines first, since ssh takes the first of a name."""
        machines = [m for region in cloud.regions.values() for m in region.machines.values()]
        live = sorted((m for m in machines if m.state is State.RUNNING), key=lambda m: -m.ordinal)
        self._keys = {machine.id: self._host_keys(cloud, machine) for machine in live}
        hosts = "".join(f"{name} {line}\n" for name, (_, lines) in self._keys.items() for line in lines)
        text = _HEAD + "".join(self._entry(cloud, machine) for machine in live)
        if (hosts, text) != self._written:
            _replace(self.known_hosts, hosts)
            _replace(self.path, text)
            self._written = (hosts, text)

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

    def _host_keys(self, cloud: Cloud, machine: Machine) -> tuple[int, list[str]]:
        """Return when a machine's key was made, and its public lines; read only when it has changed."""
        if not machine.booted:
            return 0, []
        path = self.folder / "park" / "machines" / machine.id / "etc-ssh" / "ssh_host_ed25519_key.pub"
        made = _changed_at(path)
        known = self._keys.get(machine.id, (0, []))
        if known[1] and known[0] == made:
            return known
        return made, _public_lines(_text(path) or _from_console(cloud, machine))


def _changed_at(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _from_console(cloud: Cloud, machine: Machine) -> str:
    found: list[str] = _KEYS.findall(cloud.machines.console(machine.id))
    return found[-1] if found else ""


def _public_lines(text: str) -> list[str]:
    """Return type and key of each public key in a text, without comments."""
    words = [line.split() for line in text.splitlines()]
    return [f"{kind} {key}" for kind, key, *_ in (found for found in words if len(found) > 1)]


def _replace(path: Path, text: str) -> None:
    part = path.with_name(path.name + ".part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
    part.replace(path)
