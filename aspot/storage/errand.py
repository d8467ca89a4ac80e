"""Send a machine to carry data itself: between S3 and its disks, within S3, between its disks.

May import: `program`, `copying`.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import attrs

from aspot.storage.copying import How, Outcome, Watch
from aspot.storage.program import refuse_failure, started

if TYPE_CHECKING:
    import asyncssh

LONGEST = 1 << 30
"""Of a line: the last one names every file."""


@attrs.frozen(kw_only=True)
class Errand:
    """What a machine is to carry.

    Args:
        source, dest: `s3://…`, or a folder of the machine: below its user's home, unless absolute.
        how: How.
    """

    source: str
    dest: str
    how: How

    async def run(
        self, connection: asyncssh.SSHClientConnection, *, label: str, watch: Watch, prefix: str = "exec"
    ) -> Outcome:
        """Have it done; return what came of it. Leaving early ends it there.

        Args:
            connection: To the machine.
            label: What users call the machine.
            watch: Is told how it goes.
            prefix: What the shell there runs the program by.

        Raises:
            LinkDropped: If the connection breaks: the same errand goes on from there.
            AspotError: If the machine cannot do it.
        """
        async with started(connection, self._order(), label=label, prefix=prefix) as there:
            while True:
                outcome = _heard(json.loads(await there.line(most=LONGEST)), label, watch)
                if outcome is not None:
                    return outcome

    def _order(self) -> dict[str, Any]:
        how = self.how
        return {
            "source": self.source,
            "dest": self.dest,
            "delete": how.delete,
            "by_content": how.by_content,
            "dry": how.dry,
        }


def _heard(line: dict[str, Any], label: str, watch: Watch) -> Outcome | None:
    """Pass on what a line says; return what came of it all, if it says that."""
    refuse_failure(line, label)
    if "files" in line:
        watch.begin(int(line["files"]), int(line["size"]))
    elif "moved" in line:
        watch.moved(int(line["moved"]))
        for _ in range(int(line["done"])):
            watch.done("")
    elif "outcome" in line:
        told = line["outcome"]
        return Outcome(
            copied=told["copied"],
            deleted=told["deleted"],
            same=told["same"],
            size=told["bytes"],
            skipped=told["skipped"],
            failed=told["failed"],
        )
    return None
