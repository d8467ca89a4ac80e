"""What the caller names and must have made: a key pair, an instance profile. Looked for before anything is launched."""

from __future__ import annotations

from aspot.aws.clients import Aws
from aspot.aws.codes import Cause
from aspot.aws.errors import Trouble
from aspot.errors import ConfigError


async def check_key_pair(aws: Aws, name: str) -> None:
    """Refuse a key pair that the region does not have; "" is none.

    Raises:
        ConfigError: If there is none of this name.
    """
    if not name:
        return
    try:
        await aws.call("ec2:DescribeKeyPairs", KeyNames=[name])
    except Trouble as trouble:
        if trouble.cause is not Cause.NOT_FOUND:
            raise
        raise ConfigError(
            f"there is no key pair {name!r} in {aws.region}",
            fix="name one that `aws ec2 describe-key-pairs` shows, or leave key_pair out",
        ) from trouble


async def check_instance_profile(aws: Aws, name: str) -> None:
    """Refuse an instance profile that the account does not have; "" is none.

    Who may pass a profile to an instance may not always read it: then the launch shows whether it is there.

    Raises:
        ConfigError: If there is none of this name.
    """
    if not name:
        return
    try:
        await aws.once("iam:GetInstanceProfile", InstanceProfileName=name.rpartition("/")[2])
    except Trouble as trouble:
        if trouble.code != "NoSuchEntity":
            return
        raise ConfigError(
            f"there is no instance profile {name!r} in this account",
            fix="name one that `aspot roles ls` shows, or leave instance_profile out",
        ) from trouble
