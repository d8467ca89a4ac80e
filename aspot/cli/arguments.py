"""The words of the command line. Commands are imported when they are called, so that `--help` is quick."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence

import aspot
from aspot.cli.parser import Commands, Parser, command, common
from aspot.errors import ConfigError


def parse(words: Sequence[str]) -> argparse.Namespace:
    """Return the parsed words; `handler` is the command to call, `after` the words after the first `--`.

    Raises:
        ConfigError: On wrong use.
    """
    before, after = _split(list(words))
    parser = build(before[0] if before else "")
    args, others = parser.parse_known_args(before)
    spread = {"run": "scripts", "launch": "names"}.get(args.command)
    if spread is not None and not any(word.startswith("-") for word in others):
        getattr(args, spread).extend(others)  # argparse takes them in one place only: before or after the options
    elif others:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    args.after = after
    if after is not None and args.command not in ("run", "ssh"):
        raise ConfigError(f"'--' means nothing to aspot {args.command}", fix=f"aspot {args.command} --help")
    return args


def _split(words: list[str]) -> tuple[list[str], list[str] | None]:
    if "--" not in words:
        return words, None
    cut = words.index("--")
    return words[:cut], words[cut + 1 :]


def build(only: str = "") -> argparse.ArgumentParser:
    """Return the parser of the command line.

    Args:
        only: The one command that it has to know, which is quicker; what is no command's name: all of them.
    """
    parser = Parser(
        prog="aspot",
        description="Run scripts on EC2 spot instances: launched together, watched, brought home, nothing left behind.",
        epilog="Try everything without a cloud account: aspot demo",
    )
    parser.add_argument("--version", action="version", version=f"aspot {aspot.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True, parser_class=Parser)
    adders = _adders()
    wanted = [add for names, add in adders if only in names.split()]
    for add in wanted or [add for _, add in adders]:
        add(commands)
    return parser


def _adders() -> list[tuple[str, Callable[[Commands[Parser]], None]]]:
    """Return what adds commands, each with the names of those, in the order in which help lists them."""
    return [
        ("run", _run),
        ("attach", _attach),
        ("export", _export),
        ("connect", _connect),
        ("launch", _launch),
        ("ls", _ls),
        ("status", _status),
        ("logs", _logs),
        ("ssh cp forward notebook ssh-config keys", _to_machines),
        ("down", _down),
        ("clean sweep", _clean),
        ("profiles prices types images", _market),
        ("doctor", _doctor),
        ("events", _events),
        ("s3 sync roles", _storage),
        ("fs", _fs),
        ("volume", _volume),
        ("demo", _demo),
        ("local", _local),
    ]


def _to_machines(commands: Commands[Parser]) -> None:
    from aspot.cli.machine_words import add

    add(commands)


def _market(commands: Commands[Parser]) -> None:
    from aspot.cli.market_arguments import register

    register(commands)


def _storage(commands: Commands[Parser]) -> None:
    from aspot.cli.storage_words import add

    add(commands)


def _run(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "run",
        help="run scripts, bring their results home, leave nothing running",
        usage="aspot run [OPTIONS] SCRIPT...  |  aspot run [OPTIONS] SCRIPT -- ARGS  |  aspot run [OPTIONS] -- COMMAND",
        description="Run each script on a spot instance of its own, all at once, and bring the results home.",
    )
    parser.set_defaults(handler=command("aspot.cli.run"))
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="paths of scripts")
    common(parser, as_json="print one JSON object a line on stdout", regions=True)
    parser.add_argument("-n", "--name", help="name of the fleet (default: made from the first script)")
    _run_machine(parser.add_argument_group("machines"))
    _run_files(parser.add_argument_group("files"))
    _run_limits(parser.add_argument_group("limits"))


def _run_machine(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "-p", "--profile", default="default", help="a profile's name (aspot profiles ls), or an instance type's"
    )
    group.add_argument("--instances", type=int, metavar="N", help="most at once (default: one a job, at most 50)")
    group.add_argument("--type", action="append", default=[], help="instance type; repeat for several")
    group.add_argument("--zone", action="append", default=[], help="availability zone; repeat for several")
    group.add_argument("--market", choices=("spot", "on-demand", "spot-first"), help="how instances are bought")
    group.add_argument("--on-demand-base", type=int, metavar="N", help="so many of the machines are bought on demand")
    group.add_argument("--allocation", help="how EC2 chooses spot pools (default: price-capacity-optimized)")
    group.add_argument("--max-price", "--price", metavar="USD", help="most US dollars an hour per instance")
    group.add_argument("--image", help="al2023, ubuntu-24.04, debian-12, an SSM parameter or ami-...")
    group.add_argument("--user", help="login user (default: the image's)")
    group.add_argument("--disk", metavar="SIZE", help='root volume, such as "20 GB"')
    group.add_argument("--setup", metavar="FILE", help="shell script run once on each instance before its first job")
    group.add_argument(
        "--filesystem", "-f", metavar="NAME[:/PATH]", help="EFS to mount, made if new (default path: ~/efs)"
    )
    words = "EBS volume of the run's one machine, made if new (default path: ~/NAME)"
    group.add_argument("--volume", action="append", dest="volumes", metavar="NAME:SIZE:/PATH", help=words)
    group.add_argument("--volume-policy", choices=("keep", "delete"), help="of volumes the run makes (default: keep)")
    group.add_argument("--instance-profile", metavar="NAME", help="IAM instance profile")
    group.add_argument("--key-pair", metavar="NAME", help="your own EC2 key pair, added to aspot's key")
    group.add_argument("--security-group", metavar="ID|NAME", help="your own security group")
    words = 'who may use SSH: a CIDR (default: your address); beside that: "tcp 8000-8010 CIDR"'
    group.add_argument("--firewall", action="append", metavar="RULE", help=words)
    group.add_argument(
        "--rebalance", choices=("save", "move"), help="on EC2's recommendation to leave a machine (default: save)"
    )
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
    group.add_argument("--params", metavar="FILE", help="a job per row of this table: .csv, .tsv, .json or .jsonl")
    group.add_argument("--table", metavar="FILE", help="write one row a job there at the end: .csv or .json")
    group.add_argument("--collect", metavar="FILE", help="what this JSON file of each job holds goes into its row, too")
    group.add_argument("--results", default="aspot-results", metavar="FOLDER", help="where results go")
    again = group.add_mutually_exclusive_group()
    again.add_argument("--replace", action="store_true", help="move an existing results folder aside")
    again.add_argument("--resume", action="store_true", help="skip jobs that succeeded there with the same inputs")


def _run_limits(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--budget", metavar="USD", help="most US dollars to spend")
    group.add_argument("--timeout", metavar="TIME", help="the script's own time per attempt")
    group.add_argument("--max-output", metavar="SIZE", help="most of stdout, and of stderr, to keep (default: 1 GB)")
    group.add_argument("--attempts", type=int, metavar="N", help="tries for the script's own failures (default 1)")
    group.add_argument("--interruptions", type=int, metavar="N", help="interruptions a job may see (default 10)")
    group.add_argument("--deadline", metavar="TIME", help="most time from start to end")
    group.add_argument("--max-life", metavar="TIME", help="each machine ends itself after this (default 24h)")
    group.add_argument("--idle", metavar="TIME", help="a machine without work ends after this (default 60s)")
    group.add_argument("--hold", metavar="TIME", help="uncollected results hold a lost machine this long (default 2h)")
    group.add_argument(
        "--keep-failed", metavar="TIME", help="a failed job's machine stays this long for a look, at its price"
    )
    group.add_argument("--capacity-timeout", metavar="TIME", help="how long a job waits for capacity (default 1h)")


def _attach(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("attach", help="take up a run again that its process left, and see it to its end")
    parser.set_defaults(handler=command("aspot.cli.attach"))
    parser.add_argument("name", metavar="NAME")
    parser.add_argument(
        "--take-over", action="store_true", help="take it from the process that drives it, without asking"
    )
    parser.add_argument(
        "--key", metavar="BUNDLE", help="go on here with a fleet of another computer: `aspot export` there"
    )
    parser.add_argument(
        "--from-cloud",
        action="store_true",
        help="its journal is lost: rebuild it from what EC2 and its machines tell (needs its keys: here, or --key)",
    )
    parser.add_argument(
        "--results", metavar="FOLDER", help="with --key or --from-cloud, where results go (default: aspot-results)"
    )
    common(parser, as_json="print one JSON object a line on stdout", regions=True)


def _export(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "export",
        help="write what another computer needs to go on with a fleet",
        description="Write the journal, keys, queue and uploads of a fleet into one file, for `aspot attach NAME --key "
        "BUNDLE` on another computer. It holds private keys: whoever has it can log in to the fleet's machines.",
    )
    parser.set_defaults(handler=command("aspot.cli.export"))
    parser.add_argument("name", metavar="NAME")
    parser.add_argument("file", nargs="?", metavar="BUNDLE", help="the file; it must not exist (default: NAME.aspot)")
    parser.add_argument("--with-results", action="store_true", help="take results along that came home already")
    common(parser)


def _connect(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "connect",
        help="open a box, one machine by name that stays; make it if it is not there",
        description="Open a box, or make it: one machine by name, which stays until `aspot down NAME`, or until nobody "
        "has used it for two hours. `spot_connect` is the same command by its ancestor's name.",
    )
    parser.set_defaults(handler=command("aspot.cli.connect"))
    from aspot.cli.connect_words import register

    register(parser)


def _launch(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "launch",
        help="make one or several boxes by name, and say how to reach each",
        usage="aspot launch [OPTIONS] [NAME...]  |  aspot launch [OPTIONS] NAME --instances N",
        description="Make boxes, all at once: each one machine by name, which stays until `aspot down NAME`, or until "
        "nobody has used it for two hours. Those that are there already are left as they are.",
    )
    parser.set_defaults(handler=command("aspot.cli.launch"))
    from aspot.cli.connect_words import register_launch

    register_launch(parser)


def _ls(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("ls", help="what runs, what it costs")
    parser.set_defaults(handler=command("aspot.cli.show", "ls"))
    parser.add_argument("--all", action="store_true", help="ended runs too")
    common(parser, as_json="print a JSON list of instances")


def _status(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("status", help="jobs, attempts and money of one run")
    parser.set_defaults(handler=command("aspot.cli.show", "status"))
    parser.add_argument("name", metavar="NAME")
    common(parser)


def _logs(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("logs", help="a job's output")
    parser.set_defaults(handler=command("aspot.cli.show", "logs"))
    parser.add_argument("name", metavar="NAME/JOB")
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the job ends")
    parser.add_argument("--stderr", action="store_true", help="stderr only")
    parser.add_argument("--stdout", action="store_true", help="stdout only")
    common(parser, as_json="print one JSON object a line")


def _down(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("down", help="end runs and everything they launched")
    parser.set_defaults(handler=command("aspot.cli.down"))
    parser.add_argument("names", nargs="*", metavar="NAME")
    parser.add_argument("--all", action="store_true", help="every run of yours, those in --region if that is given")
    common(parser)


def _clean(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "clean",
        aliases=["sweep"],
        help="end what earlier runs left; without --yes, show it",
        description="Show what your earlier runs left in the regions they used, and end it with --yes. Runs that are "
        "driven from here, runs left to their machines whose time is not over, and whatever is not provably yours are "
        "left alone. For cron: aspot clean --yes -q",
    )
    parser.set_defaults(handler=command("aspot.cli.clean"))
    parser.add_argument("--yes", action="store_true", help="end it, and wait until it is gone (at most 120 s)")
    parser.add_argument("--older-than", metavar="TIME", help="spare runs that began or launched something since then")
    parser.add_argument(
        "--run", action="append", default=[], metavar="NAME", help="only this run, however young: its name or id"
    )
    parser.add_argument("--all", action="store_true", help="runs left to their machines too, before their time is over")
    common(parser)


def _doctor(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("doctor", help="check credentials, permissions, quota, clock and address")
    parser.set_defaults(handler=command("aspot.cli.doctor"))
    common(parser)


def _events(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "events",
        help="hear of interruptions by EC2's own events, too",
        description="Let runs in a region hear EC2's own events (EventBridge, through queues of SQS): a third way in "
        "which notices come. Set up once a region and account; runs there of more than a minute use it by themselves.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    words = {
        "setup": "make the shared rule and queue, or put them right",
        "status": "say whether they are there and whole",
        "teardown": "remove them",
    }
    for action, text in words.items():
        one = actions.add_parser(action, help=text, description=text.capitalize() + ".")
        one.set_defaults(handler=command("aspot.cli.events", action))
        common(one)


def _fs(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "fs",
        help="EFS file systems that runs mount by --filesystem",
        description="List, make, delete, mount EFS file systems. Runs make them by themselves: aspot run --filesystem.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    words = {
        "ls": "list the region's file systems",
        "create": "make an encrypted file system; its mount targets come with the runs that use it",
        "rm": "delete a file system of aspot's with all that is in it",
        "mount": "mount one on a machine that runs",
    }
    for action, text in words.items():
        one = actions.add_parser(action, help=text, description=text.capitalize() + ".")
        one.set_defaults(handler=command("aspot.cli.fs", action))
        if action != "ls":
            one.add_argument(
                "name", metavar="NAME[:/PATH]" if action == "mount" else "NAME", help="its name, or fs-..."
            )
        common(one)
        if action == "create":
            cost = "bursting (default), or elastic: fast at once, paid by what is moved"
            one.add_argument("--throughput", choices=("bursting", "elastic"), default="bursting", help=cost)
        elif action == "rm":
            one.add_argument("--yes", action="store_true", help="its data may go")
        elif action == "mount":
            one.add_argument("--on", required=True, metavar="INSTANCE", help="name, such as lr-study_1, or id")


def _volume(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "volume",
        help="EBS volumes that runs made by --volume",
        description="List and delete the EBS volumes that runs made: aspot run --volume NAME:SIZE:/PATH.",
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    words = {"ls": "list those of the region", "rm": "delete one of aspot's with all that is on it"}
    for action, text in words.items():
        one = actions.add_parser(action, help=text, description=text.capitalize() + ".")
        one.set_defaults(handler=command("aspot.cli.volume", action))
        if action == "rm":
            one.add_argument("name", metavar="NAME", help="its name, or vol-...")
            one.add_argument("--yes", action="store_true", help="its data may go")
        common(one)


def _demo(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("demo", help="all of it on a local cloud: eight jobs, one interruption")
    parser.set_defaults(handler=command("aspot.cli.demo"))
    parser.add_argument("--keep", metavar="FOLDER", help="put the results here (default: aspot-results)")
    common(parser, as_json="print one JSON object a line on stdout")


def _local(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("local", help="a local cloud that speaks AWS and SSH")
    parser.set_defaults(handler=command("aspot.local.command"))
    from aspot.local.command import register

    register(parser.add_subparsers(dest="local_command", metavar="ACTION", required=True, parser_class=Parser))
