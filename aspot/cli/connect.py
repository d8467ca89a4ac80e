"""`aspot connect`, and `spot_connect` by the ancestor's name: a box, opened or made; files, scripts, a prompt."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from aspot.cli.signals import run_interruptible
from aspot.errors import ConfigError
from aspot.instance import Instance
from aspot.machine.quantities import seconds
from aspot.profiles import Profile
from aspot.reach import Machine

if TYPE_CHECKING:
    from aspot.boxes.box import Box

FOR_NEW = {
    "instance_profile": "-ip",
    "key_pair": "-kp",
    "security_group": "-sg",
    "firewall": "-fw",
    "image": "-ami",
    "max_price": "-prc",
    "user": "-un",
    "monitoring": "-m",
    "zone": "--zone",
    "market": "--market",
    "disk": "--disk",
    "setup": "--setup",
    "capacity_timeout": "--capacity-timeout",
}
"""What only a new box can be given, by the option's name."""


def main(args: argparse.Namespace) -> int:
    """Open the box; return 0, 1 if a script failed, or with a prompt that prompt's own code."""
    scripts, uploads = list(_listed(args.script)), list(_listed(args.upload))
    for path in scripts:
        if not Path(path).is_file():
            raise ConfigError(f"no such script: {path!r} (looked in {Path.cwd()})", fix="-s FILE, or -s FILE,FILE")
    if uploads:
        from aspot.boxes.files import check

        check(uploads)
    if args.prompt and args.json:
        raise ConfigError("a prompt has no JSON", fix="leave out -a or --json")
    visit = _Visit(args, _instance(args), scripts=scripts, uploads=uploads)
    code = run_interruptible(visit.prepare(), abandon=lambda: os._exit(130))
    if args.prompt:
        code = visit.prompt()
    if args.terminate:
        run_interruptible(visit.box.terminate(), abandon=lambda: os._exit(130))
    return code


@attrs.define
class _Visit:
    """One use of a box from the command line."""

    args: argparse.Namespace
    box: Instance
    scripts: list[str] = attrs.field(kw_only=True)
    uploads: list[str] = attrs.field(kw_only=True)
    _machine: Machine | None = attrs.field(init=False, default=None)

    async def prepare(self) -> int:
        """Open the box, send files, run scripts; return 1 if one of these failed."""
        is_quick = self.args.prompt and not (self.uploads or self.scripts or self.args.idle)
        found = await self.box.found(is_quick=is_quick)
        self._note_unused(found)
        self._machine = machine_of(found)
        try:
            if self.uploads:
                await self.box.upload(*self.uploads, to=_home(self.args.remotepath))
            for script in self.scripts:
                result = await self.box.run_script(Path(script), stream=not self.args.json)
                if not result.ok:
                    print(f"{script} failed: exit code {result.exit_code}", file=sys.stderr)
                    return 1
            if self.args.json:
                print(json.dumps(box_object(self.box)))
            return 0
        finally:
            await self.box.aclose()

    def prompt(self) -> int:
        """Open a prompt, and return its exit code."""
        from aspot.cli.ssh import on_machine
        from aspot.way import Way

        assert self._machine is not None
        return on_machine(Way(self._machine, is_sure=True), quiet=self.args.quiet)

    def _note_unused(self, found: Box) -> None:
        unused = unused_flags(self.args)
        if unused and not found.is_new and not self.args.quiet:
            print(f"{found.name} is there already: {', '.join(unused)} would be for a new one", file=sys.stderr)


def unused_flags(args: argparse.Namespace) -> list[str]:
    """Return the flags given that mean nothing for a box that is there."""
    return [flag for name, flag in FOR_NEW.items() if getattr(args, name)]


def machine_of(box: Box) -> Machine:
    """Return the machine that a prompt is opened on: where the box was last seen, its host key decides."""
    target = box.target
    return Machine(
        label=box.name,
        instance=target.instance,
        info=box.known.info,
        user=target.user,
        address=target.address,
        port=target.port,
        job="",
    )


def box_object(box: Instance) -> dict[str, Any]:
    """Return a box that is open, as JSON knows it."""
    return {
        "name": box.name,
        "instance_id": box.id,
        "state": "running",
        "phase": box.state,
        "type": box.type,
        "zone": box.zone,
        "address": box.address,
        "run": box.name,
        "job": None,
        "cost_usd": box.cost,
    }


# --- words to options ---


def _instance(args: argparse.Namespace) -> Instance:
    if bool(args.name) == bool(args.instance_id):
        raise ConfigError("name the box with -n, or an instance of yours with -iid", fix="aspot connect -n dev")
    if args.idle is not None:
        seconds(args.idle, "--idle")
    show = not args.quiet
    storage = storage_of(args)
    if args.instance_id:
        return Instance(id=args.instance_id, show=show, region=args.region, **storage)
    return Instance(
        args.name,
        profile=profile_of(args),
        idle=args.idle,
        capacity_timeout=args.capacity_timeout,
        show=show,
        region=args.region,
        **storage,
    )


def profile_of(args: argparse.Namespace) -> str | Profile:
    """Return what a new box is to be, as far as the words say."""
    given = {
        "market": args.market,
        "max_price": args.max_price,
        "image": args.image,
        "user": args.user,
        "disk": args.disk,
        "instance_profile": args.instance_profile,
        "key_pair": args.key_pair,
        "security_group": args.security_group,
        "firewall": [" ".join(words) for words in args.firewall],
        "monitoring": args.monitoring,
        "region": args.region,
        "zones": args.zone,
        "setup": _text_of(args.setup),
    }
    given = {name: value for name, value in given.items() if value}
    if not given:
        return args.profile or "default"
    return Profile(args.profile or "default", **given)


def _text_of(path: str | None) -> str | None:
    try:
        return Path(path).read_text(encoding="utf-8") if path else None
    except OSError as error:
        raise ConfigError(f"--setup {path}: {error.strerror}", fix="name a shell script here") from error


def storage_of(args: argparse.Namespace) -> dict[str, Any]:
    """Return what is to be mounted, by the names of `Instance`.

    Raises:
        ConfigError: If the flags contradict each other.
    """
    is_mounted = args.filesystem is not None and args.efsmount is not False
    if args.efsmount and not is_mounted:
        raise ConfigError("-em True mounts what -f names, and it names nothing", fix="-f NAME, or leave -em out")
    if args.newmount and not is_mounted:
        raise ConfigError("-nm makes the mount target of what -f mounts, and it mounts nothing", fix="-f NAME -nm True")
    if args.filesystem and not is_mounted and not args.quiet:
        print(f"-em False: {args.filesystem} is not mounted", file=sys.stderr)
    return {
        "filesystem": args.filesystem if is_mounted else None,
        "volumes": args.volumes,
        "volume_policy": args.volume_policy,
        "new_mount": args.newmount,
    }


def _listed(given: list[str]) -> Iterator[str]:
    """Yield paths: each option's, or several of one separated by commas."""
    for text in given:
        if os.path.lexists(text) or "," not in text:
            yield text
        else:
            yield from (part.strip() for part in text.split(",") if part.strip())


def _home(path: str) -> str:
    return "~" if path in (".", "./", "") else path
