"""A prompt on a machine: OpenSSH's `ssh`, told exactly whom to trust, and counted by the machine as use."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs

from aspot.errors import ConfigError

SESSION = 'exec /bin/sh "$HOME/.aspot/run" session'
"""The runner's command that becomes the login shell: the machine does not end itself while it lives."""


@attrs.frozen(kw_only=True)
class Door:
    """How to get in.

    Args:
        name: What users call the machine.
        address, port, user: Where, and as whom.
        key: File of the private key.
        host_keys: The host keys that it may show, as OpenSSH writes public keys.
    """

    name: str
    address: str
    port: int
    user: str
    key: Path
    host_keys: Sequence[str]


def open_prompt(door: Door) -> int:
    """Open a prompt and return its exit code; 255 if the connection broke or could not be made.

    Raises:
        ConfigError: If there is no `ssh` here.
    """
    with tempfile.NamedTemporaryFile("w", prefix="aspot-known-hosts-") as known:
        known.writelines(f"{door.name} {key}\n" for key in door.host_keys)
        known.flush()
        try:
            return subprocess.run(_words(door, known.name), check=False).returncode
        except FileNotFoundError as error:
            raise ConfigError("there is no `ssh` here", fix="install OpenSSH's client") from error


def _words(door: Door, known: str) -> list[str]:
    """Return the command line: no configuration of the user's, no agent, one key, one host."""
    options = {
        "HostKeyAlias": door.name,
        "UserKnownHostsFile": known,
        "GlobalKnownHostsFile": os.devnull,
        "StrictHostKeyChecking": "yes",
        "IdentityFile": str(door.key),
        "IdentitiesOnly": "yes",
        "IdentityAgent": "none",
        "ForwardAgent": "no",
        "PreferredAuthentications": "publickey",
        "ConnectTimeout": "15",
        "ServerAliveInterval": "15",
        "ServerAliveCountMax": "4",
        "LogLevel": "ERROR",
        "UpdateHostKeys": "no",
    }
    flags = [word for name, value in options.items() for word in ("-o", f"{name}={value}")]
    terminal = ["-tt"] if sys.stdin is not None and sys.stdin.isatty() else ["-T"]
    return ["ssh", "-F", "none", *terminal, *flags, "-p", str(door.port), f"{door.user}@{door.address}", SESSION]
