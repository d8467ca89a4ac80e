"""Opening a box by name: the one that is there, or one that is made; what became of one that is gone is said.

May import: `aspot.boxes`, and lazily, since opening one that is there has to be quick, `aspot.boxes.making`.
"""

from __future__ import annotations

from collections.abc import Callable

import anyio
import attrs

from aspot.boxes.box import PAUSE_S, Box, ended, is_missing, look_at
from aspot.boxes.known import Known, is_gone, newest
from aspot.errors import AspotError, ConfigError
from aspot.intake.boxes import BoxOptions
from aspot.journal import runs as journals
from aspot.journal.runs import RunInfo
from aspot.machine.news import News
from aspot.ports import Target

MADE_S = 900.0
"""How long to wait for another process that is making the box."""


@attrs.define
class Events:
    """What is told of a box that is being made or opened.

    Args:
        news: Told what happens while it is made.
        say: Told, in a sentence, what its user should know.
    """

    news: Callable[[News], object]
    say: Callable[[str], object]


async def opened(options: BoxOptions, events: Events, *, is_quick: bool = False) -> Box:
    """Return the box of this name, made where there is none; not connected yet.

    Args:
        options: Of the box.
        events: Told what happens.
        is_quick: Whether a box whose port answers where it was last seen is taken to be there; its host key proves it
            to whoever connects, and EC2 is asked only if that fails.

    Raises:
        AspotError: If it cannot be made, has ended (said once; a new one takes its place only if the caller named a
            profile), or a fleet has that name.
    """
    while options.name is not None and (info := newest(options.name)) is not None:
        if info.is_live and info.trouble:  # it is only just being begun
            await anyio.sleep(PAUSE_S)
            continue
        _refuse_other(info, options)
        if info.is_live:
            events.say(f"another process is at work on {info.name}: waiting for it")
            await _settled(info)
            continue
        known = Known.of(info)
        if known.machine is None:
            from aspot.boxes import making

            events.say(f"{info.name} was being made when its process ended: going on with it")
            await making.go_on(info, events.news, events.say)
            return _box(Known.of(journals.info(info.folder)), options, is_new=True)
        if is_quick and await (there := _box(known, options, is_new=False)).answers():
            return there
        look = await look_at(info.region, known.machine.id)
        if is_missing(known, look) or not is_gone(look):
            box = _box(known, options, is_new=False)
            if look is not None and look.found.address:
                box.target = attrs.evolve(box.target, address=look.found.address, port=look.found.port)
                box._is_sure = True  # noqa: SLF001 - a constructor of ours
            return box
        error = await ended(known, look)
        if not options.is_wanted:
            raise error
        events.say(f"{error.message}. Making a new one.")
        for note in getattr(error, "__notes__", ()):
            events.say(note)
    from aspot.boxes import making

    folder = await making.make(options, events.news, events.say)
    return _box(Known.of(journals.info(folder)), options, is_new=True)


def _refuse_other(info: RunInfo, options: BoxOptions) -> None:
    """Refuse what has the name and is not the box that is meant, or cannot be read."""
    if not info.is_box:
        raise ConfigError(f"{info.name} is a fleet", fix="choose another name for the box")
    if info.trouble:
        raise AspotError(f"box {info.name} cannot be opened: {info.trouble}")
    if options.region is not None and options.region != info.region:
        raise ConfigError(f"box {info.name} is in {info.region}, not in {options.region}", fix="leave the region out")


def _box(known: Known, options: BoxOptions, *, is_new: bool) -> Box:
    machine = known.machine
    assert machine is not None, "only boxes that were ready get here"
    target = Target(
        instance=machine.id, label=known.name, address=machine.address, port=machine.port, user=known.run.user
    )
    box = Box(known, machine.id, target, is_new=is_new, idle_s=None if is_new else options.idle_s)
    box._is_sure = is_new  # noqa: SLF001 - a constructor of ours
    return box


async def _settled(info: RunInfo) -> None:
    """Wait until no process drives a run any more.

    Raises:
        AspotError: If that takes too long.
    """
    with anyio.move_on_after(MADE_S):
        while info.folder.is_live:  # noqa: ASYNC110 - another process; it tells nobody
            await anyio.sleep(0.2)
        return
    raise AspotError(f"another process is still at work on {info.name}", fix=f"aspot status {info.name}")
