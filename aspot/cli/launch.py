"""`aspot launch`: one or several boxes by name, made side by side; which came, which did not, how to reach each."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from typing import Any, Self

import anyio
import attrs

from aspot.aws.together import together
from aspot.boxes.box import Box
from aspot.boxes.known import Known, newest
from aspot.boxes.opening import refuse_taken
from aspot.cli.connect import box_object, profile_of, storage_of, unused_flags
from aspot.cli.run import confirm
from aspot.cli.signals import run_interruptible
from aspot.errors import AspotError, ConfigError
from aspot.instance import AT_ONCE, Instance
from aspot.intake.boxes import IDLE_S
from aspot.intake.options import MOST_INSTANCES
from aspot.machine.names import check_name
from aspot.machine.quantities import round_duration, seconds
from aspot.profiles import Profile
from aspot.session import NOTHING
from aspot.ui.launches import FAILED, READY, THERE, Launches, Row, end_text
from aspot.ui.show import on_terminal
from aspot.ui.tables import error_text

SSH_PORT = 22
_AGAIN = "The same command again makes those that did not come, and leaves the others as they are."


def main(args: argparse.Namespace) -> int:
    """Launch them; return 0 if all are there, 2 if none can be as asked for, else 3."""
    profile = profile_of(args)
    if isinstance(profile, str):
        profile = Profile(profile)  # who launches wants a machine, even one of no special kind
    names = _names(args)
    idle_s = IDLE_S if args.idle is None else seconds(args.idle, "--idle")
    storage = storage_of(args)
    if len(names) > 1 and storage["volumes"]:
        raise ConfigError("a volume can be attached to one box at a time", fix="share files among them: -f NAME")
    work = _Work(args=args, each=[_One.of(name, profile, args, storage) for name in names])
    _refuse_taken(names)
    confirm(len(names), is_sure=args.yes)
    try:
        run_interruptible(work.all(), abandon=lambda: os._exit(130))
    except KeyboardInterrupt:
        work.say_what_stays()
        raise
    return work.told(round_duration(idle_s))


def _names(args: argparse.Namespace) -> list[str]:
    """Return the names of the boxes; "" for one that is to be made up."""
    for name in args.names:
        check_name(name, "box name")
    if twice := sorted({name for name in args.names if args.names.count(name) > 1}):
        raise ConfigError(f"{', '.join(twice)} is named twice", fix="name each box once")
    if args.instances is None:
        return args.names or [""]
    if not 1 <= args.instances <= MOST_INSTANCES:
        raise ConfigError(
            f"--instances is 1 to {MOST_INSTANCES:,}, not {args.instances}", fix="aspot launch worker --instances 5"
        )
    if len(args.names) > 1:
        raise ConfigError("--instances goes with one name", fix="aspot launch worker --instances 5")
    if not args.names:
        return [""] * args.instances
    return [check_name(f"{args.names[0]}_{number}", "box name") for number in range(1, args.instances + 1)]


def _refuse_taken(names: Iterable[str]) -> None:
    """Refuse them all if one cannot be, before anything is launched."""
    try:
        for name in filter(None, names):
            refuse_taken(name)
    except ConfigError as error:
        error.add_note(NOTHING)
        raise


@attrs.define
class _One:
    """One box of a launch, and what came of it."""

    box: Instance
    row: Row
    error: AspotError | None = None

    @classmethod
    def of(cls, name: str, profile: Profile, args: argparse.Namespace, storage: Mapping[str, Any]) -> Self:
        """Return a box that is to be made; nothing is asked of EC2 yet.

        Raises:
            ConfigError: If it cannot be as it is wanted.
        """
        row = Row(name=name)
        box = Instance(
            name or None,
            profile=profile,
            keep=True,
            idle=args.idle,
            capacity_timeout=args.capacity_timeout,
            region=args.region,
            show=not args.quiet and not on_terminal(),
            on_event=row.hear,
            **storage,
        )
        return cls(box, row)


@attrs.define(kw_only=True)
class _Work:
    """A launch."""

    args: argparse.Namespace
    each: Sequence[_One]

    async def all(self) -> None:
        """Make them, so many at once; one that fails keeps no other back."""
        new = sum(newest(one.row.name) is None for one in self.each)
        for one in self.each:
            one.box.among(max(1, new))
        room = anyio.CapacityLimiter(AT_ONCE)
        with ExitStack() as stack:
            view = None
            if on_terminal() and not self.args.quiet:
                view = stack.enter_context(Launches([one.row for one in self.each]))
            await together(*(partial(self._make, one, room, view) for one in self.each))

    async def _make(self, one: _One, room: anyio.CapacityLimiter, view: Launches | None) -> None:
        async with room:
            one.row.begin()
            try:
                found = await one.box.found(say=view.say if view is not None else None)
            except AspotError as error:
                one.row.state, one.error = FAILED, error
                return
            self._see(one, found)
            await one.box.aclose()

    def _see(self, one: _One, found: Box) -> None:
        box, row = one.box, one.row
        row.name, row.type, row.zone = box.name, box.type, box.zone
        row.state = READY if found.is_new else THERE
        row.usd_per_hour = found.known.usd_per_hour
        row.address = box.address if box.port == SSH_PORT else f"{box.address}:{box.port}"

    # --- what is told ---

    def told(self, idle: str) -> int:
        """Print what came of it; return the exit code."""
        failed = [one for one in self.each if one.error is not None]
        if self.args.json:
            print(json.dumps(self._object(), indent=1))
        elif len(failed) < len(self.each):
            print(end_text([one.row for one in self.each], idle=idle))
        self._say_unused()
        for names, error in self._failures():
            if len(self.each) > 1:
                print(f"{', '.join(names)} did not come:", file=sys.stderr)
            print(error_text(error), file=sys.stderr)
        if failed and len(failed) < len(self.each):
            came = f"{len(self.each) - len(failed)} of {len(self.each)} came."
            print(f"{came} {_AGAIN if self.args.names else ''}".rstrip(), file=sys.stderr)
        return self._code(failed)

    def _code(self, failed: Sequence[_One]) -> int:
        if not failed:
            return 0
        is_use = all(isinstance(one.error, ConfigError) for one in failed) and len(failed) == len(self.each)
        return ConfigError.exit_code if is_use else 3

    def _failures(self) -> list[tuple[list[str], AspotError]]:
        """Return what failed, boxes with the same reason together."""
        found: dict[tuple[str, str], tuple[list[str], AspotError]] = {}
        for one in self.each:
            if one.error is not None:
                names, _ = found.setdefault((one.error.message, one.error.fix), ([], one.error))
                names.append(one.row.name or "one")
        return list(found.values())

    def _object(self) -> dict[str, Any]:
        there = [one for one in self.each if one.error is None]
        return {
            "boxes": [
                {
                    **box_object(one.box),
                    "port": one.box.port,
                    "usd_per_hour": one.row.usd_per_hour,
                    "new": one.row.state == READY,
                }
                for one in there
            ],
            "failed": [
                {"name": one.row.name, "error": one.error.message, "fix": one.error.fix}
                for one in self.each
                if one.error is not None
            ],
        }

    def _say_unused(self) -> None:
        old, unused = [one.row.name for one in self.each if one.row.state == THERE], unused_flags(self.args)
        if old and unused and not self.args.quiet:
            verb = "is" if len(old) == 1 else "are"
            print(f"{', '.join(old)} {verb} there already: {', '.join(unused)} would be for new ones", file=sys.stderr)

    def say_what_stays(self) -> None:
        """Say which boxes are there after Ctrl-C."""
        infos = [info for one in self.each if one.row.name and (info := newest(one.row.name)) is not None]
        there = [info.name for info in infos if info.is_box and not info.trouble and Known.of(info).machine is not None]
        if there:
            print(f"these stay: {', '.join(there)}; aspot down {' '.join(there)} ends them", file=sys.stderr)
