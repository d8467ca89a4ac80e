"""Who we are to the runner: the first word of each command line, and what tells a real take-over from a made-up one.

A job may write what it likes on its machine, and a claim that somebody else drives the run ends our part in it: so the
word is signed with the run's own key, which no machine has, and a claim that is not signed is none.
"""

from __future__ import annotations

import hashlib
import hmac
import re

import asyncssh

from aspot.machine.client import Client
from aspot.ports import LinkDropped, TakenOver

_SIGNED = re.compile(r"(@[A-Za-z0-9._-]+)\.([0-9a-f]{32})(?![A-Za-z0-9._-])")


class Badge:
    """One client's word for the runs' machines.

    Args:
        client: Who drives the run from here.
        key: The key that opens the run's machines: whoever has it may drive the run.
    """

    def __init__(self, client: Client, key: asyncssh.SSHKey) -> None:
        self._client = client
        self._secret = hashlib.sha256(b"aspot client\0" + key.export_private_key("pkcs8-der")).digest()
        self.word = f"{client.word}.{self._signature(client.word)}"

    def refusal(self, said: str) -> Exception:
        """Return what it means that a machine heeds us no more.

        Args:
            said: The runner's reason, with the word of the client that it heeds.
        """
        found = _SIGNED.search(said)
        other = Client.read(found[1]) if found and hmac.compare_digest(found[2], self._signature(found[1])) else None
        if other is None or other.epoch <= self._client.epoch:
            return LinkDropped("the machine says that somebody else drives the run, and cannot prove it")
        return TakenOver(other)

    def _signature(self, word: str) -> str:
        return hmac.new(self._secret, word.encode(), hashlib.sha256).hexdigest()[:32]
