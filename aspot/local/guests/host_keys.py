"""A machine's SSH host key: given by its user data, or made at its first boot. May import: asyncssh."""

from __future__ import annotations

import asyncssh
import attrs

__all__ = ["HostKey"]

_TYPE = "ssh-ed25519"


@attrs.frozen
class HostKey:
    """An ed25519 host key, as the texts of its two files."""

    key: asyncssh.SSHKey
    private: str
    public: str

    @classmethod
    def generate(cls, comment: str) -> HostKey:
        """Make a new key."""
        key = asyncssh.generate_private_key(_TYPE, comment=comment)
        return cls(key, key.export_private_key().decode(), key.export_public_key().decode())

    @classmethod
    def load(cls, private: str) -> HostKey:
        """Take the key of a private key file.

        Raises:
            ValueError: it is no unencrypted private key.
        """
        try:
            key = asyncssh.import_private_key(private)
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            raise ValueError(f"no usable host key: {error}") from error
        return cls(key, private, key.export_public_key().decode())

    def console_block(self) -> str:
        """Return what cloud-init prints to the console about the key (tools/write-ssh-key-fingerprints)."""
        return (
            "-----BEGIN SSH HOST KEY FINGERPRINTS-----\n"
            f"256 {self.key.get_fingerprint()} {self.public.split(' ')[-1].strip()} (ED25519)\n"
            "-----END SSH HOST KEY FINGERPRINTS-----\n"
            "-----BEGIN SSH HOST KEY KEYS-----\n"
            f"{self.public.strip()}\n"
            "-----END SSH HOST KEY KEYS-----\n"
        )
