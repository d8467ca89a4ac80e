"""How boxes are: each machine that runs is asked how long nobody has used it; asking is no use, and takes 3 s at most.

May import: `aspot.boxes`, and lazily `aspot.ssh`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import anyio
import attrs

from aspot.boxes.known import Known
from aspot.errors import AspotError
from aspot.journal.epochs import this_process
from aspot.ports import HostKeyMismatch, LinkDropped, NotReady, Target

if TYPE_CHECKING:
    from aspot.aws.account import Found

ASK_S = 3.0


@attrs.frozen(kw_only=True)
class Glance:
    """A box as it is now.

    Args:
        state: EC2's word for its machine; "" for one that EC2 does not show, None where EC2 was not asked.
        idle_s: Seconds for which nobody has used it; None if it does not answer.
        left_s: Seconds until it ends itself.
    """

    state: str | None
    idle_s: float | None = None
    left_s: float | None = None


async def look_at_all(boxes: Iterable[Known], found: Iterable[Found] | None) -> Mapping[str, Glance]:
    """Return how boxes are that have not ended, by run id.

    Args:
        boxes: As their journals tell.
        found: What EC2 shows; None if it could not be asked.
    """
    seen = None if found is None else {item.instance: item for item in found}
    glances: dict[str, Glance] = {}

    async def look(known: Known) -> None:
        glances[known.info.id] = await _look(known, seen)

    async with anyio.create_task_group() as group:
        for known in boxes:
            if known.info.ended is None:
                group.start_soon(look, known)
    return glances


async def _look(known: Known, seen: Mapping[str, Found] | None) -> Glance:
    machine = known.machine
    there = seen.get(machine.id) if seen is not None and machine is not None else None
    state = None if seen is None else there.state if there is not None else ""
    if machine is None or (seen is not None and state != "running"):
        return Glance(state=state)
    target = Target(
        instance=machine.id,
        label=known.name,
        address=there.address if there is not None else machine.address,
        port=there.port if there is not None else machine.port,
        user=known.run.user,
    )
    glance = Glance(state=state)
    with anyio.move_on_after(ASK_S):
        try:
            glance = await _asked(known, target, state)
        except (AspotError, NotReady, HostKeyMismatch, LinkDropped):
            return glance
    return glance


async def _asked(known: Known, target: Target, state: str | None) -> Glance:
    from aspot.ssh.box import BoxLink
    from aspot.ssh.connect import SshRemote
    from aspot.ssh.keys import RunKeys

    remote = SshRemote(RunKeys.load(known.info.folder.keys), known.info.id, client=this_process())
    link = BoxLink(await remote.log_in(target), known.name)
    try:
        use = await link.use()
    finally:
        await link.aclose()
    return Glance(state=state, idle_s=use.idle_s, left_s=use.left_s)
