"""Parks of machines in this very process, one a test; most tests run with both kinds of isolation."""

from __future__ import annotations

import asyncio
import itertools
import os
import shlex
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from waiting import until_async

from aspot.local.guests.park import Park
from aspot.local.seam import Endpoint, MachineSpec, Metadata

_NUMBERS = itertools.count((os.getpid() << 24) + 1)  # other workers look for processes by these, too
KEY = asyncssh.generate_private_key("ssh-ed25519")
PUBLIC = KEY.export_public_key().decode().strip()


class Guest:
    """A booted machine, and how a test talks to it."""

    def __init__(self, park: Park, spec: MachineSpec, endpoint: Endpoint) -> None:
        self.park, self.spec, self.endpoint = park, spec, endpoint
        self.id = spec.metadata.instance_id

    def connect(self, **options: Any) -> Any:
        options = {"username": self.spec.user, "client_keys": [KEY], "known_hosts": None, "config": [], **options}
        return asyncssh.connect(*self.endpoint, **options)

    async def run(self, command: str, **options: Any) -> asyncssh.SSHCompletedProcess:
        async with self.connect() as connection:
            return await connection.run(command, **options)

    async def out(self, command: str) -> str:
        done = await self.run(command, check=True)
        return done.stdout.strip()

    async def host_key(self) -> str:
        async with self.connect() as connection:
            return connection.get_server_host_key().export_public_key().decode().split()[1]

    async def refuses(self) -> bool:
        try:
            _reader, writer = await asyncio.open_connection(*self.endpoint)
        except OSError:
            return True
        writer.close()
        await writer.wait_closed()
        return False

    @property
    def folder(self) -> Path:
        """The machine's folder on the host."""
        return self.park._machines[self.id]._layout.folder

    @property
    def processes(self) -> list[int]:
        """The host's pids of the machine's processes, as far as they can be told from outside."""
        mark = f"ASPOT_MACHINE={self.id}".encode()
        return [pid for pid in _pids() if mark in _environ(pid).split(b"\0")]


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def _environ(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:
        return b""


def alive_with(word: str) -> list[int]:
    """Return processes of this host with `word` as one of their arguments, wherever they came from."""
    found = []
    for pid in _pids():
        try:
            arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            continue
        if word.encode() in arguments:
            found.append(pid)
    return found


class Grounds:
    """A started park, and machines in it by one call."""

    def __init__(self, park: Park, shut_down: list[str]) -> None:
        self.park, self.shut_down = park, shut_down

    async def boot(self, user_data: bytes = b"", *, key_pair: str | None = PUBLIC, **more: Any) -> Guest:
        endpoint = self.park.reserve()
        metadata = Metadata(
            instance_id=f"i-{next(_NUMBERS):017x}",
            instance_type="m5.large",
            zone="us-east-1a",
            region="us-east-1",
            image_id="ami-0123456789abcdef0",
            account_id="123456789012",
            address=endpoint.address,
            role=more.pop("role", None),
        )
        name = more.pop("name", metadata.instance_id)
        spec = MachineSpec(
            metadata=metadata, name=name, user="ec2-user", user_data=user_data, key_pair=key_pair, **more
        )
        await self.park.boot(spec, endpoint)
        return Guest(self.park, spec, endpoint)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(params=["namespaces", "sessions"])
def isolation(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
async def grounds(tmp_path: Path, isolation: str) -> AsyncIterator[Grounds]:
    shut_down: list[str] = []
    park = Park(tmp_path / "park", ssh_port=None, on_shutdown=shut_down.append, isolation=isolation)
    await park.start()
    made = Grounds(park, shut_down)
    if park.isolation != isolation:
        await park.aclose()
        pytest.skip(f"no namespaces here: {park.refusal}")
    yield made
    await park.aclose()
    assert not alive_with("inside.zygote")


@pytest.fixture
async def guest(grounds: Grounds) -> Guest:
    return await grounds.boot()


@pytest.fixture(name="until")
def _until() -> Any:
    return until_async


@pytest.fixture(name="alive_with")
def _alive_with() -> Any:
    return alive_with


@pytest.fixture
def client_key() -> asyncssh.SSHKey:
    return KEY


class OpenSSH:
    """OpenSSH's own clients, which trust only the machine's key, as printed on its console."""

    def __init__(self, guest: Guest, folder: Path) -> None:
        self.guest, self.folder = guest, folder
        key = folder / "client-key"
        key.write_bytes(KEY.export_private_key())
        key.chmod(0o600)
        keys = guest.park.console(guest.id).split("-----BEGIN SSH HOST KEY KEYS-----\n")[1].split("-----END")[0]
        (folder / "known").write_text("".join(f"guest {line}\n" for line in keys.splitlines()))
        self.config = folder / "config"
        self.config.write_text(
            f"Host guest\n HostName {guest.endpoint.address}\n Port {guest.endpoint.port}\n User {guest.spec.user}\n"
            f" HostKeyAlias guest\n IdentityFile {key}\n IdentitiesOnly yes\n UserKnownHostsFile {folder / 'known'}\n"
            " GlobalKnownHostsFile /dev/null\n StrictHostKeyChecking yes\n BatchMode yes\n"
        )

    async def run(self, *argv: str | Path, stdin: bytes = b"") -> tuple[int, bytes, bytes]:
        """Run `ssh`, `scp`, `sftp` (given `-F` here) or anything else; return its status, output and errors."""
        program, *rest = [str(word) for word in argv]
        if program in ("ssh", "scp", "sftp"):
            rest = ["-F", str(self.config), *rest]
        process = await asyncio.create_subprocess_exec(
            program,
            *rest,
            cwd=self.folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        out, err = await process.communicate(stdin)
        return process.returncode or 0, out, err

    @property
    def remote_shell(self) -> str:
        """The value of rsync's `-e`."""
        return shlex.join(["ssh", "-F", str(self.config)])


@pytest.fixture
def openssh(guest: Guest, tmp_path: Path) -> OpenSSH:
    return OpenSSH(guest, tmp_path)
