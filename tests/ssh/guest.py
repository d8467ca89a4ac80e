"""A machine for tests: a real SSH server whose commands run in a shell and a home of its own, with shims."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import asyncssh
import attrs

from aspot.machine.client import Client
from aspot.machine.model import JobSpec
from aspot.ports import AttemptOrder, Lease, Target
from aspot.ssh.connect import SshRemote
from aspot.ssh.keys import RunKeys

LEASE = Lease(term_s=600, idle_s=60, hold_s=7200, max_life_s=86400)
RUN = "01TESTRUN"
CLIENT = Client(epoch=1_764_000_000_000, pid=4711, host="first.example")


@attrs.define
class Guest:
    """One machine: `home` is its user's, `login` that user's shell, `shell` what its /bin/sh is.

    `etc` stands for /etc/ssh, `off` appears when it powers off.
    """

    folder: Path
    keys: RunKeys
    shell: str = "/bin/sh"
    login: str = "/bin/sh"
    only_busybox: bool = False
    noise: str = ""
    endpoint: str = ""
    address: str = "127.0.0.1"
    port: int = 0
    commands: list[str] = attrs.field(factory=list)
    auth_calls: int = 0
    host_key: asyncssh.SSHKey | None = None
    server: asyncssh.SSHAcceptor | None = None
    connections: list[asyncssh.SSHServerConnection] = attrs.field(factory=list)
    tasks: set[asyncio.Task] = attrs.field(factory=set)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def off(self) -> Path:
        return self.folder / "off"

    @property
    def environment(self) -> dict[str, str]:
        metadata = {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.endpoint} if self.endpoint else {}
        return {
            "HOME": str(self.home),
            "PATH": f"{self.folder}/bin:{f'{self.folder}/busybox' if self.only_busybox else '/usr/bin:/bin'}",
            "USER": "tester",
            "SHELL": self.login,
            "LANG": "C.UTF-8",
            "ASPOT_LOCAL_GUEST": "1",
            "ASPOT_ETC_SSH": str(self.folder / "etc"),
            "ASPOT_BOOT_ID_FILE": str(self.folder / "boot_id"),
            "ASPOT_SH": self.shell,
            **metadata,
        }

    def prepare(self) -> None:
        for name in ("home", "etc", "bin"):
            (self.folder / name).mkdir(parents=True)
        (self.folder / "boot_id").write_text("11111111-2222-3333-4444-555555555555\n")
        self.shim("sudo", '[ "$1" = -n ] && shift; exec "$@"')
        self.shim("poweroff", f"echo off >{self.off}")
        self.shim("systemctl", "exit 1")  # a server that does not reload keeps its key
        self.host_key = self.keys.injected
        self._chat_at_start()
        if self.only_busybox:
            self._only_busybox()

    def _chat_at_start(self) -> None:
        """Give the login shell a start-up file that says something whenever it starts."""
        for name in (".cshrc", ".config/fish/config.fish"):
            path = self.home / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text("echo Welcome\n")

    def _only_busybox(self) -> None:
        tools = self.folder / "busybox"
        tools.mkdir()
        applets = subprocess.run(["busybox", "--list"], capture_output=True, text=True, check=True).stdout.split()
        for name in {*applets, "busybox"} - {"poweroff", "halt", "reboot", "init"}:
            (tools / name).symlink_to(shutil.which("busybox"))
        (self.folder / "bin/ssh-keygen").symlink_to(shutil.which("ssh-keygen"))

    def shim(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def target(self, instance: str = "i-0001") -> Target:
        return Target(instance=instance, label="t_1", address=self.address, port=self.port, user="tester")

    async def listen(self) -> None:
        guest = self

        class Server(asyncssh.SSHServer):
            def connection_made(self, conn):
                guest.connections.append(conn)

            def begin_auth(self, username):
                guest.auth_calls += 1
                return True

            def public_key_auth_supported(self):
                return True

            def validate_public_key(self, username, key):
                return key == guest.keys.client.convert_to_public()

        self.server = await asyncssh.listen(
            self.address,
            self.port,
            server_factory=Server,
            server_host_keys=[self.host_key],
            process_factory=self.serve,
            encoding=None,
        )
        self.port = self.server.sockets[0].getsockname()[1]

    async def relisten(self) -> None:
        """Serve the key that lies in `etc` now, as sshd does after a reload."""
        await self.stop_listening()
        self.host_key = asyncssh.read_private_key(self.folder / "etc" / "ssh_host_ed25519_key")
        await self.listen()

    async def stop_listening(self) -> None:
        if self.server is not None:
            self.server.close()
            await self.server.wait_closed()
            self.server = None

    async def serve(self, process: asyncssh.SSHServerProcess) -> None:
        self.commands.append(process.command or "")
        task = asyncio.current_task()
        self.tasks.add(task)  # before the child: what is cancelled while it starts is waited for too
        task.add_done_callback(self.tasks.discard)
        child = await asyncio.create_subprocess_exec(
            self.login,
            "-c",
            self.noise + (process.command or "").replace("/bin/sh", self.shell),
            cwd=self.home,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(_feed, process, child.stdin)
                async with anyio.create_task_group() as output:
                    output.start_soon(_pump, child.stdout, process.stdout)
                    output.start_soon(_pump, child.stderr, process.stderr)
                code = await child.wait()
                with contextlib.suppress(OSError):
                    process.exit(code if code >= 0 else 128 - code)
                await process.wait_closed()
                group.cancel_scope.cancel()
        finally:
            child._transport.close()
            with anyio.CancelScope(shield=True):
                await child.wait()  # it was killed; until that is seen, it counts as left running

    async def aclose(self) -> None:
        for connection in self.connections:
            connection.abort()
        await self.stop_listening()
        for task in tuple(self.tasks):
            task.cancel()
        deadline = asyncio.get_running_loop().time() + 10
        while self._kill_all() and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.02)
        while self.tasks:
            await asyncio.sleep(0.01)
        shutil.rmtree(self.folder, ignore_errors=True)

    def _kill_all(self) -> bool:
        """Kill what carries this guest's home in its environment; tell whether there was anything."""
        mark = f"HOME={self.home}\0".encode()
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                if mark in (path / "environ").read_bytes():
                    found.append(int(path.name))
                    os.kill(int(path.name), 9)
        return bool(found)


async def _feed(process, child_input) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while chunk := await process.stdin.read(1 << 16):
            child_input.write(chunk)
            await child_input.drain()
    child_input.close()


async def _pump(source, target) -> None:
    with contextlib.suppress(OSError, asyncssh.Error):
        while chunk := await source.read(1 << 16):
            target.write(chunk)
            await target.drain()


@contextlib.asynccontextmanager
async def guest_at(folder: Path, **options) -> AsyncIterator[Guest]:
    keys = RunKeys.generate(folder / "keys")
    guest = Guest(folder / "guest", keys, **options)
    guest.prepare()
    await guest.listen()
    try:
        yield guest
    finally:
        await guest.aclose()


@contextlib.asynccontextmanager
async def remote_of(guest: Guest, **options) -> AsyncIterator[SshRemote]:
    remote = SshRemote(guest.keys, RUN, **{"client": CLIENT, **options})
    try:
        yield remote
    finally:
        await remote.aclose()


class Sink:
    """Keeps an attempt's output."""

    def __init__(self) -> None:
        self.kept = {"stdout": bytearray(), "stderr": bytearray()}
        self.restarts = []

    def offsets(self) -> tuple[int, int]:
        return len(self.kept["stdout"]), len(self.kept["stderr"])

    def write(self, stream: str, chunk: bytes) -> None:
        self.kept[stream] += chunk

    def restart(self, stream: str) -> None:
        self.restarts.append(stream)
        self.kept[stream].clear()


def order_for(
    base: Path, text: str, *, name: str = "job", attempt: int = 1, saved: Path | None = None, **options
) -> AttemptOrder:
    script = base / f"{name}.sh"
    script.write_text(text)
    spec = JobSpec(
        name=name,
        script=str(script),
        source=str(script),
        remote_path=f"{name}.sh",
        interpreter=("/bin/sh",),
        base=str(base),
        **options,
    )
    return AttemptOrder(spec=spec, attempt=attempt, checkpoint=saved)
