"""The words of the storage commands."""

from __future__ import annotations

import argparse

from aspot.cli.parser import Commands, Parser, command, common


def add(commands: Commands[Parser]) -> None:
    """Add them."""
    parser = commands.add_parser("s3", help="list, copy and remove objects in S3")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    _ls(actions)
    _rm(actions)
    _cp(actions)
    _sync(actions)
    _data_sync(commands)
    _roles(commands)


def _ls(actions: Commands[Parser]) -> None:
    parser = actions.add_parser("ls", help="list buckets, or what is in one")
    parser.set_defaults(handler=command("aspot.cli.s3", "ls"))
    parser.add_argument("place", nargs="?", metavar="s3://BUCKET[/PREFIX]", help="without it: your buckets")
    parser.add_argument("-r", "--recursive", action="store_true", help="everything below, not one folder")
    common(parser)


def _rm(actions: Commands[Parser]) -> None:
    parser = actions.add_parser("rm", help="delete objects")
    parser.set_defaults(handler=command("aspot.cli.s3", "rm"))
    parser.add_argument("place", metavar="s3://BUCKET/NAME")
    parser.add_argument("-r", "--recursive", action="store_true", help="everything in this folder")
    parser.add_argument(
        "--unfinished", action="store_true", help="drop uploads that broke off, and nothing else: they cost storage"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be deleted")
    parser.add_argument("--yes", action="store_true", help="do not ask before a whole folder")
    common(parser)


def _cp(actions: Commands[Parser]) -> None:
    parser = actions.add_parser(
        "cp",
        help="copy a file to S3, from it or within it",
        description="Copy a file, or with -r a folder, to S3, from it or within it. The same command goes on where a "
        "broken one stopped.",
    )
    parser.set_defaults(handler=command("aspot.cli.s3_copy", "cp"))
    parser.add_argument("source", metavar="SRC", help="a path here, or s3://BUCKET/NAME")
    parser.add_argument("dest", metavar="DST", help="likewise, one of the two in S3; with a slash: into that folder")
    parser.add_argument("-r", "--recursive", action="store_true", help="a folder with all that is in it")
    common(parser, as_json="print one JSON object")


def _sync(actions: Commands[Parser]) -> None:
    parser = actions.add_parser(
        "sync",
        help="make a folder in S3 like one here, or the other way round, or like another in S3",
        description="Copy what is new or changed. The same command goes on where a broken one stopped.",
    )
    parser.set_defaults(handler=command("aspot.cli.s3_copy", "sync"))
    parser.add_argument("source", metavar="SRC", help="a folder here, or s3://BUCKET[/FOLDER]")
    parser.add_argument("dest", metavar="DST", help="likewise; one of the two is in S3")
    parser.add_argument(
        "--on",
        metavar="NAME",
        help="on this machine, between S3 and its disk: a fleet with one machine, NAME_1, FLEET/JOB, or an instance id",
    )
    sync_options(parser)
    common(parser, as_json="print one JSON object")


def sync_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of a sync."""
    parser.add_argument("--delete", action="store_true", help="delete what is only at the destination")
    parser.add_argument("--checksum", action="store_true", help="compare contents, whatever the times say")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")


def _data_sync(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "sync",
        help="data between S3, file systems, volumes, machines and here; several at once, every so often",
        usage="aspot sync [OPTIONS] SRC DST [SRC DST]...",
        description="Copy what is new or changed from one place to another: s3://BUCKET[/FOLDER], NAME:FOLDER on a "
        "machine (its disk, or what is mounted there), a folder here, efs://NAME[/FOLDER] on a file system, "
        "ebs://NAME[/FOLDER] on a volume. For the last two a small machine is made, and ended again. Several pairs go "
        "side by side. The same command goes on where a broken one stopped.",
    )
    parser.set_defaults(handler=command("aspot.cli.sync"))
    parser.add_argument(
        "paths",
        nargs="+",
        metavar="PATH",
        help="s3://BUCKET[/FOLDER], NAME:FOLDER, efs://NAME, ebs://NAME, or one here",
    )
    parser.add_argument("--every", metavar="TIME", help="again and again, this long from start to start, until Ctrl-C")
    parser.add_argument(
        "-ip",
        "--instance-profile",
        metavar="NAME",
        help="of a machine that is made for it; with it, one is made from S3 to S3, too",
    )
    parser.add_argument("-p", "--profile", default="default", help="what a machine that is made is to be")
    sync_options(parser)
    common(parser, as_json="print one JSON object a line for each sync")


def _roles(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("roles", help="instance profiles: what machines may do in S3 and with file systems")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    one = actions.add_parser("ls", help="list instance profiles")
    one.set_defaults(handler=command("aspot.cli.roles", "ls"))
    common(one)
    one = actions.add_parser(
        "create",
        help="make one with the least rights that copies need",
        description="Make an instance profile and its role for machines that use these buckets and file systems; or "
        "give one that was made so these rights, and no others. Mounting takes a role only where the file system has a "
        "policy that asks for one.",
    )
    one.set_defaults(handler=command("aspot.cli.roles", "create"))
    one.add_argument("name", metavar="NAME", help="what --instance-profile takes")
    one.add_argument("--bucket", action="append", default=[], metavar="BUCKET", help="repeat for several")
    one.add_argument("--filesystem", action="append", default=[], metavar="NAME", help="repeat for several")
    one.add_argument(
        "--access",
        choices=("read", "write", "delete"),
        default="write",
        help="read; write: read and write (default); delete: that, and delete",
    )
    common(one)
    one = actions.add_parser("rm", help="delete one that aspot made, with its role")
    one.set_defaults(handler=command("aspot.cli.roles", "rm"))
    one.add_argument("name", metavar="NAME")
    common(one)
