"""The words of commands that go to a running machine, or keep what is needed to go there."""

from __future__ import annotations

import argparse

from aspot.cli.parser import Commands, Parser, command

_NAME = "a fleet with one machine, NAME_1, FLEET/JOB, or an instance id"


def add(commands: Commands[Parser]) -> None:
    """Add them."""
    _ssh(commands)
    _cp(commands)
    _forward(commands)
    _notebook(commands)
    _ssh_config(commands)
    _keys(commands)


def _ssh(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "ssh",
        help="a shell or a command on a running machine",
        usage="aspot ssh [-q] [--no-tmux] NAME [COMMAND...]",
        description="Open a shell on a machine, or run a command there; the exit code is the command's. Where tmux is "
        "installed there, a shell outlives its connection and is found again. '~.' at the beginning of a line leaves.",
    )
    parser.set_defaults(handler=command("aspot.cli.ssh"))
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("--no-tmux", action="store_true", help="a plain shell, which ends with its connection")
    parser.add_argument("name", metavar="NAME", help=_NAME)
    parser.add_argument("words", nargs=argparse.REMAINDER, metavar="COMMAND")


def _cp(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "cp",
        help="files and folders to and from a running machine",
        usage="aspot cp [-q] HERE... NAME:THERE  |  aspot cp [-q] NAME:THERE... HERE",
        description="Copy files and folders as cp -r does, every byte verified: all of a source arrives, or nothing "
        "of it. Paths there are below the home unless absolute; wildcards in quotes are the machine's.",
    )
    parser.set_defaults(handler=command("aspot.cli.cp"))
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")
    parser.add_argument("paths", nargs="+", metavar="PATH", help=f"NAME: {_NAME}")


def _forward(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "forward",
        help="ports of a machine on this computer",
        usage="aspot forward [-q] NAME PORT|HERE:THERE...",
        description="Open ports of a machine on 127.0.0.1 here, until Ctrl-C; a connection that breaks is made again.",
    )
    parser.set_defaults(handler=command("aspot.cli.forward"))
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but the addresses, and errors")
    parser.add_argument("name", metavar="NAME", help=_NAME)
    parser.add_argument("ports", nargs="+", metavar="PORT", help="a port there; HERE:THERE for another one here, 0 any")


def _notebook(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "notebook",
        help="Jupyter on a machine, in the browser here",
        description="Start Jupyter on a machine, or find the one that runs there, and open it on 127.0.0.1 here until "
        "Ctrl-C. It goes on running there until --stop, or until its machine ends.",
    )
    parser.set_defaults(handler=command("aspot.cli.notebook"))
    parser.add_argument("name", metavar="NAME", help=_NAME)
    parser.add_argument("--port", metavar="PORT", help="port here (default: the one there, or any)")
    parser.add_argument(
        "--install", action="store_true", help="install JupyterLab there first, into a folder of its own"
    )
    parser.add_argument(
        "--command", metavar="CMD", help="another server: a shell command that serves HTTP on 127.0.0.1:$PORT"
    )
    parser.add_argument("--stop", action="store_true", help="end the one that runs there")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but the address, and errors")


def _ssh_config(commands: Commands[Parser]) -> None:
    parser = commands.add_parser(
        "ssh-config",
        help="your machines for OpenSSH: ssh NAME, scp, sftp, rsync, editors",
        description="Print an OpenSSH configuration of the machines that run, with their keys and strict host key "
        "checking. With --write it is put into aspot's own folder, and one Include line into ~/.ssh/config if it is "
        "not there. Write it again when other machines run.",
    )
    parser.set_defaults(handler=command("aspot.cli.ssh_config"))
    parser.add_argument("--write", action="store_true", help="put it where ssh finds it")
    parser.add_argument("--yes", action="store_true", help="do not ask before ~/.ssh/config is changed")
    parser.add_argument("-q", "--quiet", action="store_true", help="say nothing but errors")


def _keys(commands: Commands[Parser]) -> None:
    parser = commands.add_parser("keys", help="SSH keys kept here: what they open, and their end")
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True, parser_class=Parser)
    listed = actions.add_parser("ls", help="the keys of each run, and which machines they open")
    listed.set_defaults(handler=command("aspot.cli.keys", "ls"))
    listed.add_argument("--json", action="store_true", help="print a JSON list")
    cleared = actions.add_parser("clear", help="remove those of ended runs that open nothing; without --yes, show them")
    cleared.set_defaults(handler=command("aspot.cli.keys", "clear"))
    cleared.add_argument("--yes", action="store_true", help="remove them")
    cleared.add_argument("--json", action="store_true", help="print JSON")
