"""The two kinds of places that a machine carries data between: a bucket's folder, and one of the machine's own.

Travels there with `carrier`: plain Python 3.8 of the standard library.
"""

from __future__ import annotations

import base64
import os
from typing import Any
from xml.sax.saxutils import escape

from aspot.storage import rules
from aspot.storage.post import EXIT_USE, Failure
from aspot.storage.wire import Metadata, Wire, tree_of

BATCH = 1000
SCHEME = "s3://"


class Folder:
    """A folder of the machine, whatever disk it lies on.

    Args:
        path: Below the user's home unless absolute.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.expanduser(path)

    def check(self) -> None:
        """Do nothing: a folder is looked at when it is listed."""

    def items(self, skipped: Any) -> dict[str, Any]:
        """Return its files by name.

        Args:
            skipped: Told what is left out; None for a destination, which may not be there.

        Raises:
            Failure: If it cannot be one side of a sync.
        """
        if skipped is None and not os.path.exists(self.path):
            return {}
        if not os.path.isdir(self.path):
            what = "a file" if os.path.exists(self.path) else "not there"
            raise Failure(f"{self.path} is {what}", "name a folder of the machine", EXIT_USE)
        told: dict[str, str] = {} if skipped is None else skipped
        return {item.name: item for item in rules.files(self.path, told.__setitem__)}

    def delete(self, names: list[Any]) -> dict[str, Any]:
        """Delete files; return those that were not, and why."""
        failed = {}
        for name in names:
            try:
                os.unlink(os.path.join(self.path, name))
            except OSError as error:
                failed[name] = error.strerror or str(error)
        return failed


class Bucket:
    """A folder in S3, as the machine's role may use it.

    Args:
        place: `s3://…`
        metadata: The machine's.
    """

    def __init__(self, place: str, metadata: Metadata) -> None:
        bucket, _, key = place[len(SCHEME) :].partition("/")
        self.place = place
        self.prefix = key.rstrip("/") + "/" if key.rstrip("/") else ""
        self.wire = Wire(bucket, metadata)

    def check(self) -> None:
        """Make sure that the machine's role may look into it, before anything is read."""
        self.wire.ask("HeadBucket", "HEAD")

    def items(self, skipped: Any) -> dict[str, Any]:
        """Return its objects by name.

        Args:
            skipped: None for a destination, which may be empty.

        Raises:
            Failure: If nothing is there that can be copied.
        """
        found = self.wire.items(self.prefix)
        if skipped is not None and not found:
            raise Failure(f"there is nothing in {self.place}", code=EXIT_USE)
        return found

    def delete(self, names: list[Any]) -> dict[str, Any]:
        """Delete objects; return those that were not, and why."""
        failed = {}
        for at in range(0, len(names), BATCH):
            rows = "".join(
                f"<Object><Key>{escape(self.prefix + name)}</Key></Object>" for name in names[at : at + BATCH]
            )
            body = f"<Delete><Quiet>true</Quiet>{rows}</Delete>".encode()
            digest = base64.b64encode(rules.md5(body).digest()).decode()
            answer = self.wire.ask(
                "DeleteObjects", "POST", query={"delete": ""}, headers={"Content-MD5": digest}, body=body
            )
            for one in tree_of(answer.body).findall("Error"):
                name = (one.findtext("Key") or "")[len(self.prefix) :]
                code, said = one.findtext("Code"), one.findtext("Message")
                is_denied = code == "AccessDenied"
                failed[name] = "the permission s3:DeleteObject is missing" if is_denied else f"{code}: {said}"
        return failed
