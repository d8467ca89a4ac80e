"""A machine of a run of this user's, reached by hand: found by name or id, and a script run on it over verified SSH."""

from __future__ import annotations

import attrs

from aspot.aws import images
from aspot.aws.clients import Aws, named
from aspot.errors import AspotError, ConfigError, LinkError
from aspot.journal import runs as journals
from aspot.journal.runs import RunInfo
from aspot.machine.client import Client
from aspot.machine.model import InstanceRecord
from aspot.ports import HostKeyMismatch, NotReady, Target


@attrs.frozen(kw_only=True)
class Machine:
    """A machine that is up.

    Args:
        info: Its run.
        id, label: EC2's id; what users call it.
        subnet, vpc, zone: Where it is.
        groups: Its security groups.
        image: What it was made from.
        user: Who logs in there; "" for the image's usual one.
        address, port: Where SSH answers.
    """

    info: RunInfo
    id: str
    label: str
    subnet: str
    vpc: str
    zone: str
    groups: tuple[str, ...]
    image: str
    user: str
    address: str
    port: int


async def find(aws: Aws, name: str) -> Machine:
    """Return the machine of this name (such as `lr-study_1`) or id, as its run's journal here and EC2 know it.

    Raises:
        ConfigError: If there is none, or it is not up.
    """
    info, record, user = _known(name)
    answer = await aws.call("ec2:DescribeInstances", InstanceIds=[record.id])
    seen = [item for one in answer["Reservations"] for item in one["Instances"]]
    if not seen or seen[0]["State"]["Name"] != "running" or not record.address:
        state = seen[0]["State"]["Name"] if seen else "gone"
        raise ConfigError(f"{record.label} ({record.id}) is {state}", fix="aspot ls shows what runs")
    attached = await aws.pages(
        "ec2:DescribeNetworkInterfaces",
        "NetworkInterfaces",
        Filters=[named("attachment.instance-id", [record.id])],
    )
    interfaces = [item for item in attached if item.get("Attachment", {}).get("DeviceIndex") == 0]
    if not interfaces:
        raise ConfigError(f"{record.label} ({record.id}) has no network interface", fix="aspot ls shows what runs")
    return Machine(
        info=info,
        id=record.id,
        label=record.label,
        subnet=interfaces[0]["SubnetId"],
        vpc=interfaces[0]["VpcId"],
        zone=seen[0]["Placement"]["AvailabilityZone"],
        groups=tuple(one["GroupId"] for one in interfaces[0]["Groups"]),
        image=str(seen[0].get("ImageId", "")),
        user=user,
        address=record.address,
        port=record.port,
    )


def _known(name: str) -> tuple[RunInfo, InstanceRecord, str]:
    for info in reversed(journals.runs()):
        run = journals.replay(info.folder) if not info.trouble and (info.ended is None or info.kept) else None
        for record in run.instances.values() if run is not None else ():
            if name in (record.label, record.id) and record.ended is None:
                return info, record, run.user if run is not None else ""
    raise ConfigError(f"no machine {name!r} of a run here", fix="aspot ls names those that run")


async def join(aws: Aws, machine: Machine, group: str) -> bool:
    """Put a machine into a security group, too; tell whether it was not in it."""
    if group in machine.groups:
        return False
    await aws.call("ec2:ModifyInstanceAttribute", InstanceId=machine.id, Groups=[*machine.groups, group])
    return True


async def leave(aws: Aws, machine: Machine) -> None:
    """Put a machine back into the groups that it was in when it was found."""
    await aws.call("ec2:ModifyInstanceAttribute", InstanceId=machine.id, Groups=list(machine.groups))


async def run_script(aws: Aws, machine: Machine, script: str) -> None:
    """Run a script on a machine, as its login user.

    Raises:
        AspotError: If it cannot be reached, or the script fails: with what it said.
    """
    from aspot.ssh.connect import SshRemote
    from aspot.ssh.keys import RunKeys

    user = machine.user or await images.login_user(aws, machine.image)
    target = Target(instance=machine.id, label=machine.label, address=machine.address, port=machine.port, user=user)
    remote = SshRemote(RunKeys.load(machine.info.folder.keys), machine.info.id, client=Client(epoch=0, pid=0, host="-"))
    try:
        code, said = await remote.run_script(target, script)
    except (NotReady, HostKeyMismatch) as error:
        raise LinkError(str(error), fix=f"aspot status {machine.info.name}") from error
    if code:
        raise AspotError(f"{machine.label}: {said.strip()[-1500:] or f'exit code {code}'}")
