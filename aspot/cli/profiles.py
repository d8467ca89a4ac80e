"""`aspot profiles ls|show|set|edit|reset`: what kinds of machines have a name."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aspot.errors import ConfigError
from aspot.machine.pool import region_of
from aspot.profiles import edit as files
from aspot.profiles.builtin import COMMON
from aspot.profiles.places import PROJECT_FILE, project_file, user_file
from aspot.profiles.profile import IMAGES, Profile, guess
from aspot.profiles.read import text_of
from aspot.profiles.shelf import DEFAULT, Shelf
from aspot.ui.profiles import option_text, profile_object, profile_text, profiles_text
from aspot.ui.safe import one_line

if TYPE_CHECKING:
    from aspot.aws.gallery import ImageFacts

MOST_CHOICES = 12
"""Images that are offered; any other can be given by `--image`."""


def ls(args: argparse.Namespace) -> int:
    """Print every profile."""
    shelf = Shelf.open()
    names = shelf.names() + [name for name in COMMON if args.all and name not in shelf.names()]
    if args.json:
        print(json.dumps([profile_object(shelf, name) for name in names], indent=1))
        return 0
    print(profiles_text(shelf, names))
    if not args.quiet and not args.all:
        print("Every instance type's name is a profile, too (--all shows common ones; aspot types finds others).")
    return 0


def show(args: argparse.Namespace) -> int:
    """Print what one profile comes down to, and where each option is from."""
    shelf = Shelf.open()
    if args.json:
        print(json.dumps(profile_object(shelf, args.name), indent=1))
        return 0
    print(profile_text(shelf.options(args.name), shelf.ancestors(args.name)))
    return 0


def change(args: argparse.Namespace) -> int:
    """Set options of a profile in a file, comments kept."""
    path, source = _file(is_project=args.project)
    values = files.values_of(args.options, folder=path.parent)
    shelf = Shelf.open(without=source)  # what is wrong there may be what is being mended
    was_there = files.change(
        path, source, args.name, values, check=lambda new: shelf.with_file(source, new).resolve(args.name)
    )
    is_known = was_there or shelf.layers(args.name)
    if not args.quiet:
        print(f"{path}: [{one_line(args.name)}]{'' if is_known else ', a new profile'}")
        for key, value in values.items():
            said = "taken away" if value is None else f"= {one_line(_said(key, value))}"
            print(f"  {key} {said}")
    return 0


def _said(key: str, value: object) -> str:
    return str(value) if key == "extends" else option_text(key, getattr(Profile(**{key: value}), key))  # type: ignore[arg-type]


def _file(*, is_project: bool) -> tuple[Path, str]:
    if is_project:
        return project_file() or Path.cwd() / PROJECT_FILE, "project"
    return user_file(), "user"


# --- edit ---


def edit(args: argparse.Namespace) -> int:
    """Open the file in the user's editor, and look at what they wrote."""
    path, source = _file(is_project=args.project)
    words = _editor()
    is_new = not path.exists()
    try:
        if is_new:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(files.TEMPLATE if source == "user" else _project_template(), encoding="utf-8")
        code = subprocess.run([*words, str(path)], check=False).returncode
    except OSError as error:
        raise ConfigError(
            f"cannot edit {path}: {error.strerror} ({error.filename})", fix="set EDITOR, or VISUAL"
        ) from error
    finally:
        if is_new and path.exists() and text_of(path) in (files.TEMPLATE, _project_template()):
            path.unlink()
    if code != 0:
        raise ConfigError(f"the editor {words[0]} ended with exit code {code}", fix=f"look at {path}")
    Shelf.open().check()
    if not args.quiet:
        print(f"{path}: {'every profile works' if path.exists() else 'nothing was written'}")
    return 0


def _project_template() -> str:
    return files.TEMPLATE.replace("[train]", "[profiles.train]")


def _editor() -> list[str]:
    chosen = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
    try:
        words = shlex.split(chosen)
    except ValueError as error:
        raise ConfigError(f"EDITOR cannot be read: {chosen!r}", fix="EDITOR=nano aspot profiles edit") from error
    if not words:
        raise ConfigError(
            f"neither VISUAL nor EDITOR is set; the file is {_file(is_project=False)[0]}",
            fix="EDITOR=nano aspot profiles edit",
        )
    return words


# --- reset ---


def reset(args: argparse.Namespace) -> int:
    """Ask for region and image, from live data, and write them where all profiles take them from."""
    if not sys.stdin.isatty() and not args.yes and not (args.region and args.image):
        raise ConfigError(
            "there is no terminal to ask for region and image", fix="give --region and --image, or --yes for the usual"
        )
    before = Shelf.open()
    now = {key: item.value for key, item in before.options(DEFAULT).items()}
    region = _choose_region(args, now)
    image = _choose_image(args, now, region)
    path, source = _file(is_project=False)
    values = {"region": region, "image": image, **_moot(before, region)}
    files.change(path, source, DEFAULT, values, check=lambda new: before.with_file(source, new).resolve(DEFAULT))
    if not args.quiet:
        print(f"{path}: [{DEFAULT}]", *(f"  {key} = {value}" for key, value in values.items() if value), sep="\n")
    _tell_others(Shelf.open(), quiet=args.quiet)
    return 0


def _moot(before: Shelf, region: str) -> dict[str, None]:
    """Return that `default` loses its several regions, and its zones if they are another region's."""
    own = [entry.options for entry in before.entries if (entry.name, entry.source) == (DEFAULT, "user")]
    zones = [zone for options in own for zone in options.get("zones", ())]
    several: dict[str, None] = {"regions": None} if any("regions" in options for options in own) else {}
    return several | ({"zones": None} if any(region_of(zone) != region for zone in zones) else {})


def _tell_others(shelf: Shelf, *, quiet: bool) -> None:
    """Say which profiles have a region or image of their own, and which no longer work."""
    for entry in shelf.entries:
        own = [key for key in ("region", "regions", "image", "zones") if key in entry.options]
        if own and not quiet and (entry.name, entry.source) != (DEFAULT, "user"):
            said = ", ".join(f"{key} {option_text(key, entry.options[key])}" for key in own)
            print(f"{entry.place(own[0])}: [{entry.name}] keeps its own: {one_line(said)}", file=sys.stderr)
        try:
            shelf.resolve(entry.name)
        except ConfigError as error:
            print(f"{entry.place()}: [{entry.name}] does not work now: {one_line(error.message)}", file=sys.stderr)


async def _regions(args: argparse.Namespace) -> tuple[list[str], str]:
    """Return the account's regions, and the one that AWS's configuration names."""
    from aspot.aws.market import Market

    async with await Market.open(None, fresh=args.fresh, anywhere=True) as market:
        return await market.regions(), market.region


async def _images(args: argparse.Namespace, region: str) -> list[ImageFacts]:
    """Return what there is in a region; if an image was given, that it is there is looked at, too."""
    from aspot.aws.market import Market

    async with await Market.open(region, fresh=args.fresh) as market:
        found: list[ImageFacts] = (await market.images()).value
        if args.image:
            await market.check_image(args.image)
        return found


def _choose_region(args: argparse.Namespace, before: Mapping[str, Any]) -> str:
    known, configured = asyncio.run(_regions(args))
    usual = str(before.get("region") or next(iter(before.get("regions", ())), configured))
    region = str(args.region or (usual if args.yes else _ask("Region", known, usual=usual)))
    if region not in known:
        raise ConfigError(
            f"your account has no region {region!r}", fix=guess(region, known, f"one of: {', '.join(known)}")
        )
    return region


def _choose_image(args: argparse.Namespace, before: Mapping[str, Any], region: str) -> str:
    if args.image:
        Profile(image=args.image)  # whatever it is, it looks like one
    found = asyncio.run(_images(args, region))
    if args.image:
        return str(args.image)
    words = [name for name in IMAGES if any(facts.alias == name for facts in found)]
    words += [facts.word for facts in found if facts.is_own]
    usual = str(before.get("image", IMAGES[0]))
    if usual.startswith("ami-") and usual not in words:
        usual = IMAGES[0]  # an id belongs to one region
    return usual if args.yes else _ask("Image", words[:MOST_CHOICES], usual=usual)


def _ask(what: str, known: Sequence[str], *, usual: str) -> str:
    """Ask on the terminal: by number or name; nothing stands for the usual one."""
    for number, word in enumerate(known, 1):
        print(f"{number:4} {one_line(word)}{'  (usual)' if word == usual else ''}", file=sys.stderr)
    while True:
        print(f"{what} [{usual}]: ", end="", file=sys.stderr, flush=True)
        line = sys.stdin.readline()
        if not line:
            raise ConfigError(f"no {what.lower()} was chosen: nothing was changed", fix="aspot profiles reset")
        word = line.strip() or usual
        if word.isdigit() and 1 <= int(word) <= len(known):
            return known[int(word) - 1]
        if word in known or word == usual:
            return word
        print(
            f"There is no {what.lower()} {one_line(word)}: {guess(word, known, 'give a number or a name')}",
            file=sys.stderr,
        )
