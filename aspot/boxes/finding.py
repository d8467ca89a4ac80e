"""Machines that are there already: by name, or by EC2's id."""

from __future__ import annotations

from aspot.boxes.box import Box
from aspot.boxes.known import Known, newest
from aspot.errors import AspotError, ConfigError
from aspot.intake.boxes import BoxOptions
from aspot.journal.runs import RunInfo
from aspot.machine.model import Run
from aspot.reach import machine_of, run_of


def by_name(options: BoxOptions) -> Box:
    """Return the box of this name, not connected; nothing is made.

    Raises:
        ConfigError: If none is known here.
    """
    info = newest(options.name) if options.name else None
    if info is None or not info.is_box:
        raise ConfigError(f"no box {options.name or 'without a name'} is open here", fix="await box.start() opens it")
    if info.trouble:
        raise AspotError(f"box {info.name} cannot be opened: {info.trouble}")
    known = Known.of(info)
    if known.machine is None:
        raise ConfigError(f"box {info.name} has no machine yet", fix=f"aspot connect -n {info.name}")
    return _box(info, known.run, known.machine.id)


async def by_id(instance: str, region: str | None) -> Box:
    """Return a machine of ours by its id, a box or a fleet's, not connected.

    Args:
        instance: EC2's id.
        region: Where EC2 is asked about one that is not known here; None for the one of AWS's configuration.

    Raises:
        AspotError: If it is not ours, or has ended.
    """
    found = run_of(instance)
    if found is None:
        raise await _stranger(instance, region)
    return _box(*found, instance)


def _box(info: RunInfo, run: Run, instance: str) -> Box:
    machine = machine_of(info, run, run.instances[instance])
    return Box(Known(info=info, run=run), instance, machine.target())


async def _stranger(instance: str, region: str | None) -> AspotError:
    """Return why a machine that the state folder does not know cannot be opened, and what that would need."""
    from aspot.aws.account import Account

    async with await Account.open(region) as account:
        look = await account.instance(instance)
    if look is None:
        return ConfigError(f"there is no instance {instance} in {account.region}", fix="aspot ls shows what runs")
    if look.is_ours:
        return ConfigError(
            f"{instance} is of {look.found.name}, run by {look.found.owner}: its keys are not in the state folder here",
            fix="open it where it was made",
        )
    return ConfigError(
        f"{instance} was not made by aspot: opening it takes its user's private key and its host key, "
        "which aspot does not have",
        fix=f"ssh -i YOUR-KEY USER@{look.found.address or 'ADDRESS'}",
    )
