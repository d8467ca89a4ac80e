"""The words of the command line. Commands are imported when they are called, so that `--help` is quick."""

from __future__ import annotations

import argparse
import importlib
from collections.abc import Callable, Sequence
from typing import NoReturn

import aspot
from aspot.errors import ConfigError

Handler = Callable[[argparse.Namespace], int]


class _Parser(argparse.ArgumentParser):
    """Reports wrong use as aspot's own error, so that it looks like all others."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(message, fix=f"{self.prog} --help")


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the parsed words; `handler` is the command to call, `after` the words after the first `--`.

    Raises:
        ConfigError: On wrong use.
    """
    before, after = _split(list(words))
    parser = build()
    args = parser.parse_args(before)
    args.after = after
    if after is not None and args.command != "run":
        raise ConfigError(f"'--' means nothing to aspot {args.command}", fix=f"aspot {args.command} --help")
    return args


def _split(words: list[str]) -> tuple[list[str], list[str] | None]:
    if "--" not in words:
        return words, None
    cut = words.index("--")
    return words[:cut], words[cut + 1 :]


def _command(module: str, function: str = "main") -> Handler:
    """Return a handler that imports its module when it is called."""

    def call(args: argparse.Namespace) -> int:
        return int(getattr(importlib.import_module(module), function)(args))

    return call


def build() -> argparse.ArgumentParser:
    """Return the parser of the whole command line."""
    parser = _Parser(
        prog="aspot",
        description="Run scripts on EC2 spot instances: launched together, watched, brought home, nothing left behind.",
        epilog="Try everything without a cloud account: aspot demo",
    )
    parser.add_argument("--version", action="version", version=f"aspot {aspot.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=_Parser)
    _run(commands)
    _attach(commands)
    _connect(commands)
    _ls(commands)
    _status(commands)
    _logs(commands)
    _down(commands)
    _clean(commands)
    _doctor(commands)
    _demo(commands)
    _local(commands)
    return parser


Commands = argparse._SubParsersAction  # noqa: SLF001 - argparse has no public name for it


def _common(parser: argparse.ArgumentParser, *, as_json: str = "print JSON") -> None:
    parser.add_argument("--json", action="store_true", help=as_json)
    parser.add_argument("--region", metavar="REGION", help="AWS region (default: AWS's own configuration)")
    parser.add_argument("-q", "--quiet", action="store_true", help="no progress")


def _run(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser(
        "run",
        help="run scripts, bring their results home, leave nothing running",
        usage="aspot run [OPTIONS] SCRIPT...  |  aspot run [OPTIONS] SCRIPT -- ARGS  |  aspot run [OPTIONS] -- COMMAND",
        description="Run each script on a spot instance of its own, all at once, and bring the results home.",
    )
    parser.set_defaults(handler=_command("aspot.cli.run"))
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="paths of scripts")
    _common(parser, as_json="print one JSON object a line on stdout")
    parser.add_argument("-n", "--name", help="name of the fleet (default: made from the first script)")
    _run_machine(parser.add_argument_group("machines"))
    _run_files(parser.add_argument_group("files"))
    _run_limits(parser.add_argument_group("limits"))


def _run_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument("-p", "--profile", default="default", help="'default' or an instance type")
    group.add_argument("--instances", type=int, metavar="N", help="most at once (default: one a job, at most 50)")
    group.add_argument("--type", action="append", default=[], help="instance type; repeat for several")
    group.add_argument("--zone", action="append", default=[], help="availability zone; repeat for several")
    group.add_argument("--market", choices=("spot", "on-demand", "spot-first"), help="how instances are bought")
    group.add_argument("--max-price", "--price", metavar="USD", help="most US dollars an hour per instance")
    group.add_argument("--image", help="al2023, ubuntu-24.04, debian-12, an SSM parameter or ami-...")
    group.add_argument("--user", help="login user (default: the image's)")
    group.add_argument("--disk", metavar="SIZE", help='root volume, such as "20 GB"')
    group.add_argument("--setup", metavar="FILE", help="shell script run once on each instance before its first job")
    group.add_argument("--instance-profile", metavar="NAME", help="IAM instance profile")
    group.add_argument("--key-pair", metavar="NAME", help="your own EC2 key pair, added to aspot's key")
    group.add_argument("--security-group", metavar="ID", help="your own security group")
    group.add_argument("--firewall", action="append", metavar="CIDR", help="who may use SSH (default: your address)")
    group.add_argument("--yes", action="store_true", help="do not ask before more than 50 instances")
    group.add_argument(
        "--detach", action="store_true", help="leave once the jobs run; `aspot attach` takes it up again"
    )


def _run_files(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--upload", action="append", default=[], metavar="PATH", help="file, folder, glob; HERE=THERE renames"
    )
    group.add_argument("--download", action="append", metavar="PATH", help="what to bring home (default: out)")
    group.add_argument("--checkpoint", action="append", default=[], metavar="PATH", help="saved on interruption")
    group.add_argument(
        "--evacuate",
        action="append",
        default=[],
        metavar="PATH",
        help="brought home at EC2's notice, first named first",
    )
    group.add_argument("--checkpoint-every", metavar="TIME", help="save the checkpoint this often")
    group.add_argument("--on-notice", metavar="CMD", help="shell command run on the instance on an interruption notice")
    group.add_argument("--env", action="append", default=[], metavar="KEY=VALUE", help="environment variable")
    group.add_argument("--grid", action="append", default=[], metavar="KEY=A,B,C", help="a job per combination; 1..5")
    group.add_argument("--results", default="aspot-results", metavar="FOLDER", help="where results go")
    again = group.add_mutually_exclusive_group()
    again.add_argument("--replace", action="store_true", help="move an existing results folder aside")
    again.add_argument("--resume", action="store_true", help="skip jobs that succeeded there with the same inputs")


def _run_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--budget", metavar="USD", help="most US dollars to spend")
    group.add_argument("--timeout", metavar="TIME", help="the script's own time per attempt")
    group.add_argument("--attempts", type=int, metavar="N", help="tries for the script's own failures (default 1)")
    group.add_argument("--interruptions", type=int, metavar="N", help="interruptions a job may see (default 10)")
    group.add_argument("--deadline", metavar="TIME", help="most time from start to end")
    group.add_argument("--max-life", metavar="TIME", help="each machine ends itself after this (default 24h)")
    group.add_argument("--idle", metavar="TIME", help="a machine without work ends after this (default 60s)")
    group.add_argument("--hold", metavar="TIME", help="uncollected results hold a lost machine this long (default 2h)")
    group.add_argument("--capacity-timeout", metavar="TIME", help="how long a job waits for capacity (default 1h)")


def _attach(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser("attach", help="take up a run again that its process left, and see it to its end")
    parser.set_defaults(handler=_command("aspot.cli.attach"))
    parser.add_argument("name", metavar="NAME")
    _common(parser, as_json="print one JSON object a line on stdout")


def _connect(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser(
        "connect",
        help="open a box, one machine by name that stays; make it if it is not there",
        description="Open a box, or make it: one machine by name, which stays until `aspot down NAME`, or until nobody "
        "has used it for two hours. `spot_connect` is the same command by its ancestor's name.",
    )
    parser.set_defaults(handler=_command("aspot.cli.connect"))
    from aspot.cli.connect import register

    register(parser)


def _ls(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser("ls", help="what runs, what it costs")
    parser.set_defaults(handler=_command("aspot.cli.show", "ls"))
    parser.add_argument("--all", action="store_true", help="ended runs too")
    _common(parser, as_json="print a JSON list of instances")


def _status(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser("status", help="jobs, attempts and money of one run")
    parser.set_defaults(handler=_command("aspot.cli.show", "status"))
    parser.add_argument("name", metavar="NAME")
    _common(parser)


def _logs(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser("logs", help="a job's output")
    parser.set_defaults(handler=_command("aspot.cli.show", "logs"))
    parser.add_argument("name", metavar="NAME/JOB")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job ends")
    parser.add_argument("--stderr", action="store_true", help="stderr only")
    parser.add_argument("--stdout", action="store_true", help="stdout only")
    _common(parser, as_json="print one JSON object a line")


def _down(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser("down", help="end runs and everything they launched")
    parser.set_defaults(handler=_command("aspot.cli.down"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all", action="store_true", help="every run of yours in this region")
    _common(parser)


def _clean(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser(
        "clean",
        aliases=["sweep"],
        help="end what earlier runs left; without --yes, show it",
        description="Show what your earlier runs left in the regions they used, and end it with --yes. Runs that are "
        "driven from here, runs left to their machines whose time is not over, and whatever is not provably yours are "
        "left alone. For cron: aspot clean --yes -q",
    )
    parser.set_defaults(handler=_command("aspot.cli.clean"))
    parser.add_argument("--yes", action="store_true", help="end it, and wait until it is gone (at most 120 s)")
    parser.add_argument("--older-than", metavar="TIME", help="spare runs that began or launched something since then")
    parser.add_argument(
        "--run", action="append", default=[], metavar="NAME", help="only this run, however young: its name or id"
    )
    parser.add_argument("--all", action="store_true", help="runs left to their machines too, before their time is over")
    _common(parser)


def _doctor(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser("doctor", help="check credentials, permissions, quota, clock and address")
    parser.set_defaults(handler=_command("aspot.cli.doctor"))
    _common(parser)


def _demo(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser("demo", help="all of it on a local cloud: eight jobs, one interruption")
    parser.set_defaults(handler=_command("aspot.cli.demo"))
    parser.add_argument("--keep", metavar="FOLDER", help="put the results here (default: aspot-results)")
    _common(parser, as_json="print one JSON object a line on stdout")


def _local(commands: Commands[_Parser]) -> None:
    parser = commands.add_parser("local", help="a local cloud that speaks AWS and SSH")
    parser.set_defaults(handler=_command("aspot.local.command"))
    from aspot.local.command import register

    register(parser.add_subparsers(dest="local_command", metavar="ACTION", required=True, parser_class=_Parser))
