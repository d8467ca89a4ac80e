"""What a box mounts beside its own disk: at once when it is made, added when it is there; what stays when it has ended.

May import: `aspot.boxes`, and lazily `aspot.storage`, since opening a box without it has to be quick.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

import attrs

from aspot.errors import AspotError, ConfigError
from aspot.intake.boxes import BoxOptions
from aspot.journal.runs import RunInfo
from aspot.reach import machine_of

if TYPE_CHECKING:
    from aspot.boxes.box import Box
    from aspot.storage.inventory import Entry


async def furnish(box: Box, options: BoxOptions, say: Callable[[str], object]) -> None:
    """See to it that a box that is open has mounted what its caller asks for; what it has already is left alone.

    Args:
        box: Connected.
        options: With what is to be mounted.
        say: Told what was mounted.

    Raises:
        ConfigError: If something else is mounted there, or it cannot be had in the box's zone.
        AspotError: If it cannot be mounted.
    """
    if not options.has_storage:
        return
    from aspot.storage import inventory

    if not box.is_box:
        name = options.filesystem.name if options.filesystem is not None else "NAME"
        raise ConfigError(
            f"{box.name} is a machine of fleet {box.known.name}, which mounts what its fleet was told to",
            fix=f"aspot fs mount {name} --on {box.name}",
        )
    assert box.facts is not None, "it is connected"
    info, boot = box.known.info, box.facts.boot_id
    async with inventory.alone(info):
        known = list(inventory.of(info))
        if box.is_new:
            known = [attrs.evolve(one, boot=boot) for one in known]
            inventory.write(info, known)
        wanted = inventory.entries(options.filesystem, options.volumes, goes=options.deletes_volumes)
        lacking = [one for one in wanted if not _is_there(one, known, boot)]
        _refuse_clashes(box.name, lacking, known)
        if not box.is_new:
            _refuse_new_target(box.name, options, lacking)
        if lacking:
            say(f"{box.name}: mounting {', '.join(one.name for one in lacking)}; what is new takes up to two minutes")
            stay = [one for one in known if not any(one.is_same(other) for other in lacking)]
            inventory.write(info, [*stay, *lacking])  # whoever ends the box names it, if we are cut off half-way
            try:
                await _add(box, options, lacking)
            except BaseException:
                inventory.write(info, known)
                raise
            inventory.write(info, [*stay, *(attrs.evolve(one, boot=boot) for one in lacking)])
    for one in wanted if box.is_new else lacking:
        say(f"{box.name}: {one.kind} {one.name} is at {one.path}, after every boot too")


def _is_there(wanted: Entry, known: Iterable[Entry], boot: str) -> bool:
    return any(one.is_same(wanted) and one.boot == boot for one in known)


def _refuse_clashes(box: str, lacking: Iterable[Entry], known: Iterable[Entry]) -> None:
    for one in lacking:
        for other in known:
            if one.is_same(other):
                continue
            if one.path == other.path:
                raise ConfigError(
                    f"{one.path} on {box} is {other.kind} {other.name} already",
                    fix=f"mount {one.name} beside it: {_words(one, f'/mnt/{one.name}')}",
                )
            if (one.kind, one.name) == (other.kind, other.name):
                raise ConfigError(
                    f"{one.kind} {one.name} is mounted on {box} already, at {other.path}",
                    fix=f"use it there: {_words(one, other.path)}",
                )


def _words(entry: Entry, path: str) -> str:
    return f"--volume {entry.name}:{path}" if entry.kind == "volume" else f"-f {entry.name}:{path}"


def _refuse_new_target(box: str, options: BoxOptions, lacking: Iterable[Entry]) -> None:
    wish = options.filesystem
    if wish is not None and wish.is_target_new and not any(one.kind != "volume" for one in lacking):
        raise ConfigError(
            f"file system {wish.name} is mounted on {box}, which would hang if its mount target were made anew",
            fix="leave -nm out",
        )


async def _add(box: Box, options: BoxOptions, lacking: Sequence[Entry]) -> None:
    from aspot.storage.furnishing import Furnishing

    is_target_new = options.filesystem is not None and options.filesystem.is_target_new
    info, run = box.known.info, box.known.run
    async with await Furnishing.open(info.region) as there:
        machine = machine_of(info, run, run.instances[box.instance])
        await there.add(machine, lacking, is_target_new=is_target_new)


async def stays(info: RunInfo) -> tuple[str, ...]:
    """Return what a run that has ended had mounted and what is still there, since it is data, as text for people."""
    from aspot.storage import inventory
    from aspot.storage.furnishing import Furnishing

    try:
        known = () if info.trouble else inventory.of(info)
        if not known:
            return ()
        found: list[str] = []
        for region in info.regions:  # whichever it is in
            async with await Furnishing.open(region) as there:
                found += await there.stays(info)
        return tuple(found)
    except AspotError as error:
        return (f"What {info.name} had mounted and what stays could not be looked at: {error.message}",)
