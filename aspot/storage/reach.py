"""A machine of a run of this user's, reached by hand: seen in EC2, and a script run on it over verified SSH."""

from __future__ import annotations

from typing import Protocol

import attrs

from aspot.aws.clients import Aws, named
from aspot.errors import AspotError, ConfigError, LinkError
from aspot.journal.runs import RunInfo
from aspot.machine.client import Client
from aspot.ports import HostKeyMismatch, NotReady, Target


class Known(Protocol):
    """A machine as the state folder knows it; see `aspot.reach.Machine`."""

    @property
    def info(self) -> RunInfo:
        """Its run."""

    @property
    def instance(self) -> str:
        """EC2's id."""

    @property
    def label(self) -> str:
        """What users call it."""

    @property
    def address(self) -> str:
        """Where it was last seen."""

    def target(self) -> Target:
        """Return whom to connect to."""


@attrs.frozen(kw_only=True)
class Machine:
    """A machine that is up.

    Args:
        info: Its run.
        target: Whom to connect to.
        subnet, vpc, zone: Where it is.
        groups: Its security groups.
    """

    info: RunInfo
    target: Target
    subnet: str
    vpc: str
    zone: str
    groups: tuple[str, ...]

    @property
    def id(self) -> str:
        """Return EC2's id."""
        return self.target.instance

    @property
    def label(self) -> str:
        """Return what users call it."""
        return self.target.label


async def seen_up(aws: Aws, known: Known) -> Machine:
    """Return a machine as EC2 knows it, too.

    Raises:
        ConfigError: If it is not up.
    """
    label = f"{known.label} ({known.instance})"
    answer = await aws.call("ec2:DescribeInstances", InstanceIds=[known.instance])
    seen = [item for one in answer["Reservations"] for item in one["Instances"]]
    if not seen or seen[0]["State"]["Name"] != "running" or not known.address:
        state = seen[0]["State"]["Name"] if seen else "gone"
        raise ConfigError(f"{label} is {state}", fix="aspot ls shows what runs")
    attached = await aws.pages(
        "ec2:DescribeNetworkInterfaces",
        "NetworkInterfaces",
        Filters=[named("attachment.instance-id", [known.instance])],
    )
    interfaces = [item for item in attached if item.get("Attachment", {}).get("DeviceIndex") == 0]
    if not interfaces:
        raise ConfigError(f"{label} has no network interface", fix="aspot ls shows what runs")
    return Machine(
        info=known.info,
        target=known.target(),
        subnet=interfaces[0]["SubnetId"],
        vpc=interfaces[0]["VpcId"],
        zone=seen[0]["Placement"]["AvailabilityZone"],
        groups=tuple(one["GroupId"] for one in interfaces[0]["Groups"]),
    )


async def join(aws: Aws, machine: Machine, group: str) -> bool:
    """Put a machine into a security group, too; tell whether it was not in it."""
    if group in machine.groups:
        return False
    await aws.call("ec2:ModifyInstanceAttribute", InstanceId=machine.id, Groups=[*machine.groups, group])
    return True


async def leave(aws: Aws, machine: Machine) -> None:
    """Put a machine back into the groups that it was in when it was found."""
    await aws.call("ec2:ModifyInstanceAttribute", InstanceId=machine.id, Groups=list(machine.groups))


async def run_script(machine: Machine, script: str) -> None:
    """Run a script on a machine, as its login user.

    Raises:
        AspotError: If it cannot be reached, or the script fails: with what it said.
    """
    from aspot.ssh.connect import SshRemote
    from aspot.ssh.keys import RunKeys

    remote = SshRemote(RunKeys.load(machine.info.folder.keys), machine.info.id, client=Client(epoch=0, pid=0, host="-"))
    try:
        code, said = await remote.run_script(machine.target, script)
    except (NotReady, HostKeyMismatch) as error:
        raise LinkError(str(error), fix=f"aspot status {machine.info.name}") from error
    if code:
        raise AspotError(f"{machine.label}: {said.strip()[-1500:] or f'exit code {code}'}")
