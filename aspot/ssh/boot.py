"""User data: what an instance is told before its first boot. It holds no secret that outlives the first connection.

The keys are cloud-init's (docs.cloud-init.io, module reference: ssh, bootcmd; 2026-01). The injected host key is worth
nothing once the instance has made its own, which it does over the first connection (THREATS.md T1).
"""

from __future__ import annotations

import json
import math

from aspot.errors import ConfigError
from aspot.ssh.keys import RunKeys

MOST_BYTES = 16_384
"""EC2's limit for raw user data (AWS.md 5, RunInstances reference 2026-01)."""

_LIFE = """\
(systemd-run --quiet --unit=aspot-life --on-active={seconds} systemctl poweroff || :) >/dev/null 2>&1
(setsid /bin/sh -c 'sleep {seconds}; poweroff; sleep 60; poweroff -f' </dev/null >/dev/null 2>&1 &)
"""
"""The first layer of the dead-man's switch: it holds if nobody ever connects. Two ways, since either may be missing."""

UNCLAIMED_S = 1800.0
"""A machine whose lease nobody has armed this long after its boot ends itself: its client died while it booted."""

_UNCLAIMED = """\
(setsid /bin/sh -c 'armed() {{ grep -qs "[_]lease" /proc/[0-9]*/cmdline; }}
sleep {seconds}; armed || {{ sleep {again}; armed || {{ poweroff; sleep 60; poweroff -f; }}; }}' \
</dev/null >/dev/null 2>&1 &)
"""
"""The runner's lease keeper is known by its command line ("_lease"); the brackets keep this one from finding itself."""


def user_data(keys: RunKeys, *, max_life_s: float) -> bytes:
    """Return the cloud-config of a run's instances.

    Args:
        keys: The run's keys.
        max_life_s: Seconds after boot when the machine ends itself, whatever happens.

    Raises:
        ConfigError: If it is longer than EC2 takes.
    """
    config = {
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": keys.injected_private, "ed25519_public": keys.injected_public},
        "ssh_authorized_keys": [keys.client_public],
        "ssh_pwauth": False,
        "bootcmd": [
            _LIFE.format(seconds=math.ceil(max_life_s)),
            _UNCLAIMED.format(seconds=math.ceil(min(UNCLAIMED_S, max_life_s)), again=60),
        ],
    }
    text = b"#cloud-config\n" + json.dumps(config, indent=1).encode()  # JSON is YAML
    if len(text) > MOST_BYTES:
        raise ConfigError(f"user data of {len(text)} bytes is longer than EC2 takes ({MOST_BYTES})")
    return text
