"""Making a box: a run without jobs is driven until its machine is ready, and then left to it.

The same code as for fleets launches, connects, gives the machine its own host key and arms its lease; so whatever
happens meanwhile (a lost answer, a kill) is taken up again as theirs is. May import: `aspot.opening` and what it may.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime
from typing import TYPE_CHECKING

import attrs

from aspot.errors import AspotError, CapacityError, CloudError
from aspot.intake.boxes import BoxOptions
from aspot.intake.names import new_run_id
from aspot.machine.model import Run
from aspot.machine.news import News
from aspot.opening import make_host, refuse_live, take_up

if TYPE_CHECKING:
    from aspot.journal.folders import RunFolder
    from aspot.journal.runs import RunInfo
    from aspot.runtime.host import RunHost

NO_ROOM = ("no capacity", "no pool")
"""How the reasons begin that another type or zone may mend."""

Listener = Callable[[News], object]
Say = Callable[[str], object]


async def make(options: BoxOptions, listener: Listener, say: Say) -> RunFolder:
    """Launch a box and return the folder of its run once the machine is ready.

    Args:
        options: Of the box.
        listener: Told what happens meanwhile.
        say: Told, in a sentence, what stays where it is given up.

    Raises:
        AspotError: If there is no machine to be had; nothing is left then, or the error names it.
    """
    from aspot.archive.local import LocalArchive
    from aspot.aws.cloud import Ec2Cloud
    from aspot.journal.folders import RunFolder, one_at_a_time

    run_id = new_run_id()
    async with AsyncExitStack() as undo:
        cloud = await Ec2Cloud.open(options.profile.region)
        undo.push_async_callback(cloud.aclose)
        with one_at_a_time():
            name = options.name or _free_name()
            refuse_live(name)
            folder = RunFolder.of(name, run_id)
            fleet = options.fleet(name, folder.path)
            spec = attrs.evolve(fleet.run_spec(run_id, name, cloud.region), is_box=True)
            archive = LocalArchive(folder.path, name, run=run_id)
            host = make_host(spec, fleet, cloud, archive, folder)
            archive.prepare()
        undo.pop_all()
    await _until_ready(host, listener, say, lambda: cloud.stays)
    return folder


async def go_on(known: RunInfo, listener: Listener, say: Say) -> None:
    """Take up a box whose client was gone before its machine was ready; return once it is. Raises as `make`."""
    from aspot.aws.cloud import Ec2Cloud

    cloud = await Ec2Cloud.open(known.region)
    try:
        host, _ = await take_up(known, cloud)
    except BaseException:
        await cloud.aclose()
        raise
    await _until_ready(host, listener, say, lambda: cloud.stays)


def _free_name() -> str:
    """Return a name that no run that has not ended has."""
    from aspot.journal.runs import runs

    taken = {item.name for item in runs() if item.ended is None}
    wanted = f"box-{datetime.now().astimezone():%m%d-%H%M}"
    names = (f"{wanted}-{number}" if number > 1 else wanted for number in itertools.count(1))
    return next(name for name in names if name not in taken)


async def _until_ready(host: RunHost, listener: Listener, say: Say, stays: Callable[[], Sequence[str]]) -> None:
    """Drive the run until its machine is ready, and leave it; whatever else happens ends what was begun."""
    news = host.subscribe()
    try:
        await host.start()
        while not is_ready(host.run):
            listener(await anext(news))
    except StopAsyncIteration:
        await host.finished()
        error = _refusal(host)
        for line in stays():
            error.add_note(line)
        raise error from None
    except BaseException:
        host.stop("the box was not waited for")
        await host.finished()
        for line in stays():
            say(line)
        raise
    finally:
        news.close()
    host.detach()
    await host.finished()


def is_ready(run: Run) -> bool:
    """Tell whether the run has had its machine."""
    return any(instance.ready is not None for instance in run.instances.values())


def _refusal(host: RunHost) -> AspotError:
    name, reason = host.run.spec.name, host.run.stop_reason or "the run was stopped"
    if host.error is not None:
        return host.error
    has_no_room = reason.startswith(NO_ROOM)
    error = (CapacityError if has_no_room else CloudError)(
        f"box {name} could not be made: {reason}",
        fix="try another type, zone or region" if has_no_room else "aspot doctor checks what it needs",
    )
    error.add_note(f"still there: {'; '.join(host.left)}" if host.left else "Nothing left (checked).")
    return error
