"""The words of `aspot profiles`, `prices`, `types` and `images`."""

from __future__ import annotations

import argparse

from aspot.cli.parser import Commands, Parser, command, common

ARCHS = ("x86_64", "arm64")


def register(commands: Commands[Parser]) -> None:
    """Add the commands."""
    _profiles(commands)
    _prices(commands)
    _types(commands)
    _images(commands)


def _profiles(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "profiles",
        help="kinds of machines by name: list, show, set, edit, reset",
        description="Profiles say what kind of machine, where, bought how. Yours are in profiles.toml of your "
        "settings folder, a project's in aspot.toml of its folder; every instance type's name is a profile, too.",
    )
    actions = parser.add_subparsers(dest="profiles_command", metavar="ACTION", required=True, parser_class=Parser)
    ls = _action(actions, "ls", "ls", "list all profiles")
    ls.add_argument("--all", action="store_true", help="common instance types, too")
    ls.add_argument("--json", action="store_true", help="print JSON")
    show = _action(actions, "show", "show", "what one comes down to, and where each option is from")
    show.add_argument("name", metavar="NAME")
    show.add_argument("--json", action="store_true", help="print JSON")
    change = _action(actions, "set", "change", "set options in your file; comments are kept")
    change.add_argument("name", metavar="NAME")
    change.add_argument(
        "options", nargs="+", metavar="KEY=VALUE", help="lists with commas; KEY= takes a key away; keys as in the file"
    )
    change.add_argument("--project", action="store_true", help="in the project's aspot.toml instead")
    edit = _action(actions, "edit", "edit", "open your file in $VISUAL or $EDITOR, and check it afterwards")
    edit.add_argument("--project", action="store_true", help="the project's aspot.toml instead")
    reset = _action(actions, "reset", "reset", "choose region and image for all profiles, from live data")
    reset.add_argument("--region", metavar="REGION", help="do not ask for the region")
    reset.add_argument("--image", metavar="IMAGE", help="do not ask for the image")
    reset.add_argument("--yes", action="store_true", help="ask nothing: the usual for what is not given")
    _fresh(reset)


def _action(actions: Commands[Parser], name: str, function: str, words: str) -> Parser:
    parser = actions.add_parser(name, help=words, description=words[0].upper() + words[1:] + ".")
    parser.set_defaults(handler=command("aspot.cli.profiles", function))
    parser.add_argument("-q", "--quiet", action="store_true", help="print no more than what was asked for")
    return parser


def _fresh(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--fresh", action="store_true", help="ask AWS anew, whatever is cached")


def _prices(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("prices", help="what instance types cost: spot per zone now and over time, on demand")
    parser.set_defaults(handler=command("aspot.cli.market", "prices"))
    parser.add_argument(
        "types", nargs="+", metavar="TYPE", help="instance types, patterns such as 'c7g.*', or profiles"
    )
    parser.add_argument("--region", action="append", default=[], metavar="REGION", help="repeat for several")
    parser.add_argument("--days", type=int, default=7, metavar="N", help="how far back, 1 to 90 (default 7)")
    parser.add_argument("--json", action="store_true", help="print a JSON list, one object a zone")
    parser.add_argument("-q", "--quiet", action="store_true", help="no notes on what is old or missing")
    _fresh(parser)


def _types(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "types",
        help="find instance types by size, and what they cost",
        description="Find instance types, cheapest first. Ranges are 8, 8-16, 8- or -16.",
    )
    parser.set_defaults(handler=command("aspot.cli.market", "types"))
    parser.add_argument("types", nargs="*", metavar="TYPE", help="only these: names, or patterns such as 'c7g.*'")
    parser.add_argument("--gpu", action="store_true", help="with a GPU")
    parser.add_argument("--gpus", metavar="RANGE", help="with so many GPUs")
    parser.add_argument("--vcpu", metavar="RANGE", help="virtual CPUs")
    parser.add_argument("--memory", metavar="RANGE", help="memory in GiB")
    parser.add_argument("--arch", choices=ARCHS, help="processor architecture")
    parser.add_argument("--max-price", metavar="USD", help="most US dollars an hour, spot, in the cheapest zone")
    parser.add_argument("--all", action="store_true", help="every one that fits, however many")
    common(parser, as_json="print a JSON list")
    _fresh(parser)


def _images(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("images", help="find images: your own and those that their makers publish")
    parser.set_defaults(handler=command("aspot.cli.market", "images"))
    parser.add_argument("words", nargs="*", metavar="WORD", help="only images that have each word in name or id")
    parser.add_argument("--arch", choices=ARCHS, help="processor architecture")
    parser.add_argument("--own", action="store_true", help="only the account's own")
    parser.add_argument("--all", action="store_true", help="every one that fits, however many")
    common(parser, as_json="print a JSON list")
    _fresh(parser)
