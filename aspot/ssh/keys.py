"""The keys of one run: the client's, the host key that user data carries, and the host keys pinned since.

May import: asyncssh. Everything lies in one folder (0700), every file is 0600 and made with O_EXCL.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Self

import asyncssh
import attrs

from aspot.errors import ConfigError
from aspot.machine.names import check_name

TYPE = "ssh-ed25519"
CLIENT_KEY = "client_key"
HOST_KEY = "injected_host_key"
PINNED = "host-keys"


@attrs.define
class RunKeys:
    """Keys of one run.

    Args:
        folder: Where they are kept.
        client: The key that opens the run's instances.
        injected: The host key that user data gives them for the first connection.
    """

    folder: Path
    client: asyncssh.SSHKey = attrs.field(repr=False)
    injected: asyncssh.SSHKey = attrs.field(repr=False)
    _pinned: dict[str, asyncssh.SSHKey | None] = attrs.field(init=False, factory=dict, repr=False)
    _candidates: dict[str, asyncssh.SSHKey | None] = attrs.field(init=False, factory=dict, repr=False)

    @classmethod
    def generate(cls, folder: Path) -> Self:
        """Make new keys and write them down.

        Args:
            folder: Made if it is not there (0700); must not hold keys yet.

        Raises:
            ConfigError: If the folder cannot be used.
        """
        client, injected = asyncssh.generate_private_key(TYPE), asyncssh.generate_private_key(TYPE)
        try:
            (folder / PINNED).mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)
            _write_new(folder / CLIENT_KEY, client.export_private_key())
            _write_new(folder / HOST_KEY, injected.export_private_key())
        except OSError as error:
            raise ConfigError(f"keys cannot be kept in {folder}: {error.strerror}") from error
        return cls(folder, client, injected)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read the keys of an earlier `generate`.

        Raises:
            ConfigError: If they are not there, or no keys.
        """
        try:
            client, injected = ((folder / name).read_bytes() for name in (CLIENT_KEY, HOST_KEY))
            return cls(folder, asyncssh.import_private_key(client), asyncssh.import_private_key(injected))
        except OSError as error:
            raise ConfigError(
                f"the run's keys cannot be read from {folder}: {error.strerror}",
                fix="aspot ls shows whether it still runs; its machines can be ended without them: aspot down NAME",
            ) from error
        except asyncssh.KeyImportError as error:
            raise ConfigError(
                f"the run's keys in {folder} are damaged: {error}",
                fix="its machines can be ended without them: aspot down NAME",
            ) from error

    @property
    def client_key_path(self) -> Path:
        """Return the file of the client's private key, for `ssh -i`."""
        return self.folder / CLIENT_KEY

    @property
    def client_public(self) -> str:
        """Return the line for `authorized_keys`."""
        return self.client.export_public_key().decode().strip()

    @property
    def injected_private(self) -> str:
        """Return the injected host key as user data carries it, the same each time (an export never is)."""
        return (self.folder / HOST_KEY).read_text()

    @property
    def injected_public(self) -> str:
        """Return its public line."""
        return self.injected.export_public_key().decode().strip()

    def expected(self, instance: str) -> asyncssh.SSHKey:
        """Return the one host key that this instance may show."""
        return self._look_up(self._pinned, instance, "pub") or self.injected.convert_to_public()

    def trusted(self, instance: str) -> tuple[asyncssh.SSHKey, ...]:
        """Return the host keys that the instance may show, read anew: for who connects beside the run's own process.

        Until that process has seen the machine serve its own key, there are two: the injected one, and the noted one.
        """
        if (pinned := self._read(instance, "pub")) is not None:
            return (pinned,)
        noted = self._read(instance, "next")
        if noted is None and (pinned := self._read(instance, "pub")) is not None:  # pinned between the two looks
            return (pinned,)
        injected = self.injected.convert_to_public()
        return (injected,) if noted is None else (injected, noted)

    def is_pinned(self, instance: str) -> bool:
        """Tell whether the instance was seen to serve a host key of its own."""
        return self._look_up(self._pinned, instance, "pub") is not None

    def candidate(self, instance: str) -> asyncssh.SSHKey | None:
        """Return the key that the instance said it will serve, but was not seen to serve yet."""
        return None if self.is_pinned(instance) else self._look_up(self._candidates, instance, "next")

    def propose(self, instance: str, key: asyncssh.SSHKey) -> None:
        """Write down the key that the instance said, over a verified connection, that it will serve. Blocks."""
        path = self._path(instance, "next")
        fresh = path.with_suffix(f".{os.getpid()}")
        fresh.unlink(missing_ok=True)
        _write_new(fresh, key.export_public_key())
        fresh.replace(path)
        self._candidates[instance] = key

    def pin(self, instance: str) -> None:
        """Accept the proposed key, and no other from now on, from the instance: it was seen to serve it."""
        self._path(instance, "next").replace(self._path(instance, "pub"))
        self._pinned[instance] = self._candidates.pop(instance)

    def known_hosts(self, instance: str, host: str) -> str:
        """Return the host keys that the instance may show as `known_hosts` has them, a line each, under this name."""
        keys = self.trusted(instance)
        return "".join(f"{host} {key.export_public_key().decode().strip()}\n" for key in keys)

    def write_known_hosts(self, instance: str, host: str) -> Path:
        """Write down the host keys that a shell's `ssh` is to believe of an instance; return the file. Blocks.

        Args:
            instance: EC2 id.
            host: What `ssh` calls it.

        Raises:
            ConfigError: If it cannot be written.
        """
        path = self._path(instance, "known_hosts")
        fresh = path.with_suffix(f".{os.getpid()}")
        try:
            fresh.unlink(missing_ok=True)
            _write_new(fresh, self.known_hosts(instance, host).encode())
            fresh.replace(path)
        except OSError as error:
            raise ConfigError(f"host keys cannot be written to {path}: {error.strerror}") from error
        return path

    def _look_up(self, known: dict[str, asyncssh.SSHKey | None], instance: str, kind: str) -> asyncssh.SSHKey | None:
        """Return the key, read at the first question: a run's folder is one process's."""
        if instance not in known:
            known[instance] = self._read(instance, kind)
        return known[instance]

    def _read(self, instance: str, kind: str) -> asyncssh.SSHKey | None:
        try:
            return asyncssh.import_public_key(self._path(instance, kind).read_bytes())
        except (FileNotFoundError, asyncssh.KeyImportError):
            return None

    def _path(self, instance: str, kind: str) -> Path:
        return self.folder / PINNED / f"{check_name(instance, 'instance id')}.{kind}"


def _write_new(path: Path, content: bytes) -> None:
    """Write a file that was not there; nobody else can read it, whatever the umask."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    with os.fdopen(fd, "wb") as target:
        target.write(content)
        target.flush()
        os.fsync(fd)
