"""How links are made: one verified connection an instance, its host key known before the first byte.

May import: asyncssh, anyio, `aspot.ssh`.
"""

from __future__ import annotations

import contextlib
import functools
import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import anyio
import anyio.to_thread
import asyncssh

from aspot.files.carried import Carried
from aspot.machine.client import Client
from aspot.ports import HostKeyMismatch, NobodyListens, NotReady, Remote, Target
from aspot.ssh.badge import Badge
from aspot.ssh.cork import Cork
from aspot.ssh.dial import dial
from aspot.ssh.keys import TYPE, RunKeys
from aspot.ssh.link import SshLink
from aspot.ssh.upload import Uploads

LOGIN_S = 10.0
"""For key exchange and login (asyncssh's own limit of 120 s is no help against a dead peer)."""

LOGIN_MOST_S = 60.0
"""Up to this it doubles for a machine that ran into it: 5 kB and six round trips take long on a link of 1 kB/s."""

HANDSHAKES = 8
"""At once: 8 stall the loop for 13 ms, 64 for 285 ms (DESIGN 6, measured)."""

SSH_PORT = 22

SCRIPT_S = 600.0
"""For a script run by hand: it may have to install something."""

KEEPALIVE_S, KEEPALIVES = 15, 4
"""A peer that is silent for a minute is gone; asyncssh sends none unless told."""

_KEX = ["curve25519-sha256", "curve25519-sha256@libssh.org", "ecdh-sha2-nistp256"]

_ALGORITHMS: Mapping[str, Any] = {
    # The cheapest first, by measurement: aes128-gcm costs two thirds of chacha20-poly1305 here.
    "kex_algs": _KEX,
    "encryption_algs": [
        "aes128-gcm@openssh.com",
        "aes256-gcm@openssh.com",
        "chacha20-poly1305@openssh.com",
        "aes128-ctr",
    ],
    "mac_algs": ["hmac-sha2-256-etm@openssh.com", "hmac-sha2-256"],
    "compression_algs": ["none"],
}


class SshRemote(Remote):
    """Links to the instances of one run.

    Args:
        keys: The run's keys; pinned host keys are written there.
        run: The run's id: the folder on the instances.
        client: Who drives the run from here.
        skip: Local folders that are never uploaded (the results folder).
        carried: What jobs send that came from another computer; None: there are no such jobs.
    """

    def __init__(
        self,
        keys: RunKeys,
        run: str,
        *,
        client: Client,
        skip: tuple[Path, ...] = (),
        carried: Carried | None = None,
    ) -> None:
        self._keys = keys
        self._badge = Badge(client, keys.client)
        self._run = run
        self._uploads = Uploads(skip=skip, carried=carried)
        self._handshakes = anyio.Semaphore(HANDSHAKES)
        self._links: set[SshLink] = set()
        self._limits_s: dict[str, float] = {}  # for key exchange and login, of instances that took longer

    async def connect(self, target: Target) -> SshLink:
        """Connect, verified from the first byte; one try.

        Raises:
            NobodyListens: Its port takes no connections.
            NotReady: It does not let us in yet.
            HostKeyMismatch: It showed another key, or none of the right type: nothing was sent.
        """
        try:
            connection = await self._open(target, (self._keys.expected(target.instance),))
        except HostKeyMismatch:
            if (candidate := self._keys.candidate(target.instance)) is None:
                raise
            connection = await self._open(target, (candidate,))
            self._keys.pin(target.instance)
        link = SshLink(
            connection,
            target,
            run=self._run,
            keys=self._keys,
            uploads=self._uploads,
            probe=self._probe,
            badge=self._badge,
        )
        self._links.add(link)
        link.on_close = functools.partial(self._links.discard, link)
        return link

    async def log_in(
        self, target: Target, *, silence_s: float = KEEPALIVE_S * KEEPALIVES
    ) -> asyncssh.SSHClientConnection:
        """Return a verified connection of its own, beside those of the process that drives the run; nothing is written.

        Args:
            target: Whom to connect to.
            silence_s: A peer that says nothing for so long is given up.

        Raises:
            NobodyListens, NotReady, HostKeyMismatch: As `connect`.
        """
        trusted = self._keys.trusted(target.instance)
        return await self._open(target, trusted, keepalive_interval=silence_s / KEEPALIVES)

    async def run_script(self, target: Target, script: str) -> tuple[int, str]:
        """Run a script on a machine, beside aspot's runner; return its exit code, and what it said.

        Raises:
            NotReady: It cannot be reached, or went away meanwhile.
            HostKeyMismatch: It showed another key: nothing was sent.
        """
        connection = await self.log_in(target)
        async with connection:
            done = await connection.run("/bin/sh -s", input=script, stderr=asyncssh.STDOUT, timeout=SCRIPT_S)
        if done.exit_status is None:
            raise NotReady(f"{target.label} went away")
        return done.exit_status, str(done.stdout)

    async def way_in(self, target: Target) -> str:
        """Return the `ssh` command that opens a machine, and write down the host key that it is to believe.

        Raises:
            ConfigError: If that cannot be written down.
        """
        host = target.address if target.port == SSH_PORT else f"[{target.address}]:{target.port}"
        path = await anyio.to_thread.run_sync(self._keys.write_known_hosts, target.instance, host)
        return ssh_command(target, key=self._keys.client_key_path, known_hosts=path)

    async def aclose(self) -> None:
        """Close every connection."""
        for link in tuple(self._links):
            await link.aclose()

    async def _open(
        self, target: Target, trusted: tuple[asyncssh.SSHKey, ...], **more: Any
    ) -> asyncssh.SSHClientConnection:
        try:
            connected = await dial(target.address, target.port)
        except OSError as error:
            raise NobodyListens(f"{target.label} at {target.address}:{target.port}: {_why(error)}") from error
        with Cork(connected) as cork:
            return await self._log_in(target, cork, {**self._options(target, trusted), **more})

    async def _log_in(self, target: Target, cork: Cork, options: dict[str, Any]) -> asyncssh.SSHClientConnection:
        """Take turns for this only: a machine that does not answer at all keeps no other waiting."""
        try:
            async with self._handshakes:
                with self._timed(target) as limit_s, anyio.fail_after(limit_s + 2):
                    return await asyncssh.connect(
                        target.address, target.port, tunnel=cork, login_timeout=limit_s, **options
                    )
        except asyncssh.HostKeyNotVerifiable as error:
            raise HostKeyMismatch(
                f"{target.label} ({target.instance}) showed a host key that is not its own"
            ) from error
        except asyncssh.KeyExchangeFailed as error:
            raise HostKeyMismatch(f"{target.label} ({target.instance}) has no {TYPE} host key: {error}") from error
        except asyncssh.PermissionDenied as error:
            raise NotReady(f"{target.label} does not let {target.user!r} in yet: {error.reason}") from error
        except (asyncssh.Error, OSError) as error:
            raise NotReady(f"{target.label} at {target.address}:{target.port}: {_why(error)}") from error

    @contextlib.contextmanager
    def _timed(self, target: Target) -> Iterator[float]:
        """Give how long key exchange and login may take, in seconds; more the next time if they took that long."""
        limit_s = self._limits_s.get(target.instance, LOGIN_S)
        began = anyio.current_time()
        try:
            yield limit_s
        except (asyncssh.Error, OSError):
            if anyio.current_time() - began >= limit_s:
                self._limits_s[target.instance] = min(2 * limit_s, LOGIN_MOST_S)
            raise

    def _options(self, target: Target, trusted: tuple[asyncssh.SSHKey, ...]) -> dict[str, Any]:
        return {
            "username": target.user,
            "client_keys": [self._keys.client],
            "known_hosts": (list(trusted), [], []),
            "server_host_key_algs": [TYPE],
            "config": [],
            "agent_path": None,
            "agent_forwarding": False,
            "x11_forwarding": False,
            "preferred_auth": ["publickey"],
            "public_key_auth": True,
            "password_auth": False,
            "kbdint_auth": False,
            "gss_auth": False,
            "gss_kex": False,
            "host_based_auth": False,
            "keepalive_interval": KEEPALIVE_S,
            "keepalive_count_max": KEEPALIVES,
            **_ALGORITHMS,
        }

    async def _probe(self, target: Target) -> asyncssh.SSHKey | None:
        """Return the host key that is served now; None when none is. No login is tried."""
        try:
            with anyio.fail_after(self._limits_s.get(target.instance, LOGIN_S)):
                with Cork(await dial(target.address, target.port)) as cork:
                    async with self._handshakes:
                        return await asyncssh.get_server_host_key(
                            target.address,
                            target.port,
                            tunnel=cast("Any", cork),
                            config=[],
                            kex_algs=_KEX,
                            server_host_key_algs=[TYPE],
                        )
        except (asyncssh.Error, OSError):
            return None


def ssh_command(target: Target, *, key: Path, known_hosts: Path) -> str:
    """Return the command that opens a machine from a shell, its host key checked strictly.

    Keys that the user's agent or configuration hold are not offered: a server lets nobody try many.
    """
    hosts = f'"{known_hosts}"' if " " in str(known_hosts) else str(known_hosts)
    options = [f"UserKnownHostsFile={hosts}", "StrictHostKeyChecking=yes", "IdentitiesOnly=yes"]
    words = ["ssh", "-i", str(key), *(word for option in options for word in ("-o", option))]
    words += [] if target.port == SSH_PORT else ["-p", str(target.port)]
    return shlex.join([*words, f"{target.user}@{target.address}"])


def _why(error: Exception) -> str:
    return str(error) or ("no answer" if isinstance(error, TimeoutError) else type(error).__name__)
