"""A machine's SSH server: who may log in, what it is allowed, and which host key it shows.

Facts about EC2's images: root's login is answered with a text and closed (cloud-init's `disable_root`), other names
than the image's user are denied. May import: `session`, asyncssh.
"""

from __future__ import annotations

import functools
import socket
from collections.abc import Callable

import asyncssh

from aspot.local.guests.link import MachineGone
from aspot.local.guests.session import GuestSession, Host

__all__ = ["GuestServer", "SSHDoor"]

_OPTIONS = {
    "encoding": None,
    "line_editor": False,
    "password_auth": False,
    "kbdint_auth": False,
    "host_based_auth": False,
    "gss_host": None,
    "agent_forwarding": False,
    "x11_forwarding": False,
    "compression_algs": ["none"],
    "config": (),
    "login_timeout": 60,
}
_PRIVILEGED_PORTS = range(1, 1024)


class RootRefusal(asyncssh.SSHServerSession[bytes]):
    """What root's login gets: cloud-init's text, and the end."""

    def __init__(self, user: str) -> None:
        self._text = f'Please login as the user "{user}" rather than the user "root".\n\n'.encode()

    def connection_made(self, chan: asyncssh.SSHServerChannel[bytes]) -> None:
        """Keep the channel."""
        self._chan = chan

    def pty_requested(self, _term_type: str, _term_size: object, _term_modes: object) -> bool:
        """Accept, to have the text seen."""
        return True

    def shell_requested(self) -> bool:
        """Accept, to have the text seen."""
        return True

    def exec_requested(self, _command: str) -> bool:
        """Accept, to have the text seen."""
        return True

    def session_started(self) -> None:
        """Say it, and close with cloud-init's exit status."""
        self._chan.write(self._text)
        self._chan.exit(142)


class GuestServer(asyncssh.SSHServer):
    """One connection to a machine."""

    def __init__(self, host: Host, door: SSHDoor) -> None:
        self._host, self._door = host, door
        self._user = ""

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        """Note the connection, to be cut when the machine ends; cut it here if the network would not let it in."""
        self._conn = conn
        if not self._door.admits(str((conn.get_extra_info("peername") or ("",))[0])):
            conn.abort()
            return
        self._door.connections.add(conn)

    def connection_lost(self, _exc: Exception | None) -> None:
        """Forget the connection."""
        self._door.connections.discard(self._conn)

    async def begin_auth(self, username: str) -> bool:
        """Load the keys the machine accepts for a user, as they are now."""
        self._user = username
        if username in (self._door.user, "root"):
            await self._trust()
        return True

    def public_key_auth_supported(self) -> bool:
        """Offer keys, to unknown users too, as sshd does."""
        return True

    def session_requested(self) -> asyncssh.SSHServerSession[bytes]:
        """Open a session."""
        if self._user == "root" and self._door.disable_root:
            return RootRefusal(self._door.user)
        return GuestSession(self._host, connection=_connection(self._conn))

    def connection_requested(self, _dest_host: str, _dest_port: int, _orig_host: str, _orig_port: int) -> bool:
        """Allow forwarding to where machines can connect anyway (`ssh -L`)."""
        return True

    def server_requested(self, _listen_host: str, listen_port: int) -> bool:
        """Allow listening for the client (`ssh -R`), where any user may."""
        return listen_port not in _PRIVILEGED_PORTS

    async def _trust(self) -> None:
        try:
            text = await self._host.link.file("read", ".ssh/authorized_keys")
            self._conn.set_authorized_keys(_authorized(text))
        except (OSError, MachineGone, ValueError):  # no such file, or none that is a key: nobody may log in
            return


class SSHDoor:
    """A machine's SSH port: open or closed, with the connections that came through it.

    Args:
        user: The login user.
        disable_root: Whether root's login gets a text only.
        admits: Tells whether an IP address may connect; on EC2 the packets of others vanish, here they are hung up on.
    """

    def __init__(self, *, user: str, disable_root: bool, admits: Callable[[str], bool] = lambda _: True) -> None:
        self.user, self.disable_root, self.admits = user, disable_root, admits
        self.connections: set[asyncssh.SSHServerConnection] = set()
        self._acceptor: asyncssh.SSHAcceptor | None = None

    async def open(self, sock: socket.socket, *, host: Host, key: asyncssh.SSHKey) -> None:
        """Listen on a bound socket, which belongs to the door from here on."""
        self._acceptor = await asyncssh.listen(
            sock=sock,
            server_factory=functools.partial(GuestServer, host, self),
            server_host_keys=[key],
            reuse_address=None,
            **_OPTIONS,
        )

    def show(self, key: asyncssh.SSHKey) -> None:
        """Show another host key to connections from now on; the old ones live on."""
        if self._acceptor:
            self._acceptor.update(server_host_keys=[key])

    def shut(self) -> None:
        """Close the port; connections live on."""
        if self._acceptor:
            self._acceptor.close()
            self._acceptor = None

    def close(self) -> None:
        """Close the port and cut every connection."""
        self.shut()
        for connection in list(self.connections):
            connection.abort()
        self.connections.clear()


@functools.lru_cache(maxsize=64)
def _authorized(text: str) -> asyncssh.SSHAuthorizedKeys:
    return asyncssh.import_authorized_keys(text)


def _connection(conn: asyncssh.SSHServerConnection) -> dict[str, str]:
    peer, here = conn.get_extra_info("peername"), conn.get_extra_info("sockname")
    if not peer or not here:
        return {}
    return {
        "SSH_CLIENT": f"{peer[0]} {peer[1]} {here[1]}",
        "SSH_CONNECTION": f"{peer[0]} {peer[1]} {here[0]} {here[1]}",
    }
