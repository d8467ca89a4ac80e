"""What an instance wrote to its console: the only witness of a boot that failed.

Facts (EC2 user guide, "Instance console output", and botocore's model): EC2 posts the last 64 KiB shortly after a boot
or an end, minutes later at times; the latest output can be had of instances on Nitro only. May import: clients, errors.
"""

from __future__ import annotations

import re

from aspot.aws.clients import Aws
from aspot.aws.errors import Trouble

_BLOCK = re.compile(r"-----BEGIN ([A-Z0-9 ]+)-----.*?(?:-----END \1-----|\Z)", re.DOTALL)
"""Host keys, certificates, private keys: no help to a reader, and the last are nobody's business."""

_STEERING = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[@-_]")
"""Escape sequences for terminals, colours above all."""

LINES, WIDTH, LENGTH = 6, 120, 300
"""What is shown at most: lines, characters of each, characters in all."""


async def read(aws: Aws, instance: str) -> str:
    """Return the end of an instance's console output as one line, "" for none.

    Raises:
        Trouble: If EC2 does not tell.
    """
    try:
        answer = await aws.call("ec2:GetConsoleOutput", tries=2, InstanceId=instance, Latest=True)
    except Trouble as trouble:
        if trouble.code != "UnsupportedOperation":
            raise
        answer = await aws.call("ec2:GetConsoleOutput", tries=2, InstanceId=instance)
    return end_of(str(answer.get("Output") or ""))


def end_of(output: str) -> str:
    r"""Return the last lines of console output, made harmless, as one line.

    >>> end_of("[ 0.1] Linux\r\n\x1b[1;31mFailed\x1b[0m to mount /\r\n\r\nlogin: ")
    '[ 0.1] Linux / Failed to mount / / login:'
    """
    text = _STEERING.sub("", _BLOCK.sub("", output))
    found: list[str] = []
    for line in reversed(text.replace("\r", "\n").replace("\t", " ").split("\n")):
        shown = "".join(filter(str.isprintable, line)).strip()[:WIDTH]
        if not shown:
            continue
        if len(found) == LINES or sum(map(len, found)) + len(shown) > LENGTH:
            break
        found.append(shown)
    return " / ".join(reversed(found))
