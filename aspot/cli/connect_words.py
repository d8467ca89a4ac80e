"""The words of `aspot connect`: the ancestor's flags, short and long, and today's. Cheap to import: `--help` does."""

from __future__ import annotations

import argparse

from aspot.cli.parser import REGION

WORDS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False, "": False}


def truth(text: str) -> bool:
    """Return what the ancestor's users typed: `True`, `False`, or nothing.

    Raises:
        argparse.ArgumentTypeError: If it is neither.
    """
    if text.strip().lower() not in WORDS:
        raise argparse.ArgumentTypeError(f"{text!r} is neither True nor False")
    return WORDS[text.strip().lower()]


def register(parser: argparse.ArgumentParser) -> None:
    """Add the options of `connect`: the ancestor's, short and long, and today's."""
    add = parser.add_argument
    add("-n", "--name", metavar="NAME", help="the box: opened if it is there, else made")
    add("-iid", "--instanceid", dest="instance_id", metavar="ID", help="a machine of yours by its EC2 id instead")
    add("-a", "--activeprompt", dest="prompt", nargs="?", const=True, default=False, type=truth, metavar="True",
        help="open a prompt on it; its exit code is passed on")  # fmt: skip
    add("-s", "--script", action="append", default=[], metavar="FILE", help="run this script there; a,b or repeat")
    add("-u", "--upload", action="append", default=[], metavar="PATH", help="send this first; a,b or repeat")
    add("-r", "--remotepath", default="~", metavar="FOLDER", help="where uploads go (default: the home folder)")
    add("-t", "--terminate", nargs="?", const=True, default=False, type=truth, metavar="True",
        help="end the box when all is done")  # fmt: skip
    add("--idle", metavar="TIME", help="it ends itself after this long without use (default 2h)")
    add("--json", action="store_true", help="print a JSON object")
    add("-q", "--quiet", action="store_true", help="no progress")
    register_machine(parser.add_argument_group("a new box"), rule_words="+")
    storage = parser.add_argument_group("storage, of a new box or one that is there")
    _register_storage(storage)
    add = storage.add_argument
    add("-em", "--efsmount", nargs="?", const=True, default=None, type=truth, metavar="False",
        help="False: do not mount what -f names (default: True)")  # fmt: skip
    add("-nm", "--newmount", nargs="?", const=True, default=False, type=truth, metavar="True",
        help="make its mount target anew before, if no machine uses it")  # fmt: skip


def register_machine(group: argparse._ArgumentGroup, *, rule_words: str | int) -> None:
    """Add what only a new box can be given.

    Args:
        group: Where to.
        rule_words: How many words a firewall rule takes: several only where no names follow that it would swallow.
    """
    add = group.add_argument
    add("-p", "--profile", metavar="PROFILE", help="a profile's name (aspot profiles ls), or an instance type's")
    add("-reg", "--region", metavar="REGION", help=REGION)
    add("--zone", action="append", default=[], help="availability zone; repeat for several")
    add("--market", choices=("spot", "on-demand", "spot-first"), help="how it is bought")
    add("-prc", "--price", "--max-price", dest="max_price", metavar="USD", help="most US dollars an hour")
    add("--capacity-timeout", metavar="TIME", help="how long it waits for capacity (default 1h)")
    add("-ami", "--imageid", "--image", dest="image", help="al2023, ubuntu-24.04, debian-12, or ami-...")
    add("-un", "--username", "--user", dest="user", help="login user (default: the image's)")
    add("--disk", metavar="SIZE", help='root volume, such as "20 GB"')
    add("--setup", metavar="FILE", help="shell script run on it once, when it is made")
    add("-ip", "--instanceprofile", dest="instance_profile", metavar="NAME", help="IAM instance profile")
    add("-kp", "--keypair", dest="key_pair", metavar="NAME", help="your own EC2 key pair, added to aspot's key")
    add("-sg", "--securitygroup", dest="security_group", metavar="ID|NAME", help="your own security group")
    add("-fw", "--firewall", action="append", nargs=rule_words, default=[], metavar="RULE",
        help="who may use SSH: a CIDR (default: your address); beside that: 'tcp 8000-8010 CIDR'")  # fmt: skip
    add("-m", "--monitoring", nargs="?", const=True, default=False, type=truth, metavar="True",
        help="CloudWatch's detailed monitoring, which AWS charges for")  # fmt: skip


def _register_storage(group: argparse._ArgumentGroup) -> None:
    add = group.add_argument
    add("-f", "--filesystem", metavar="NAME[:/PATH]", help="EFS to mount, made if new (default path: ~/efs)")
    add("--volume", action="append", dest="volumes", default=[], metavar="NAME:SIZE:/PATH",
        help="EBS volume to attach and mount, made if new (default path: ~/NAME)")  # fmt: skip
    add("--volume-policy", choices=("keep", "delete"), default="keep",
        help="what becomes of volumes made for the box when it ends (default: keep)")  # fmt: skip


def register_launch(parser: argparse.ArgumentParser) -> None:
    """Add the options of `launch`."""
    add = parser.add_argument
    add("names", nargs="*", metavar="NAME", help="the boxes; without any, one whose name is made up")
    add("--instances", type=int, metavar="N", help="so many of one NAME: NAME_1, NAME_2 and so on")
    add("--idle", metavar="TIME", help="each ends itself after this long without use (default 2h)")
    add("--yes", action="store_true", help="do not ask before more than 50")
    add("--json", action="store_true", help="print a JSON object")
    add("-q", "--quiet", action="store_true", help="no progress")
    register_machine(parser.add_argument_group("new boxes"), rule_words=1)
    _register_storage(parser.add_argument_group("storage, of new boxes and those that are there"))
    parser.set_defaults(efsmount=None, newmount=False)  # for one box: with `-nm` there, `-n` would mean it
