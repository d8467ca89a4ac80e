"""The cloud's state: Regions with their machines, requests and fleets, and the things all actions share.

Everything here belongs to the event loop's thread; moto has a thread of its own. May import: records, prices, catalog,
faults, throttle, moto_seams.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import Counter
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

import attrs

from aspot.local.catalog import Catalog, Offer, QuotaClass, quota_class
from aspot.local.ec2_wire import Ec2Wire
from aspot.local.faults import Faults
from aspot.local.moto_host import Moto
from aspot.local.moto_seams import MotoRegion, ec2_model
from aspot.local.prices import PriceBook, share
from aspot.local.records import Fleet, Machine, Pool, SpotRequest, State
from aspot.local.refusal import Refusal
from aspot.local.seam import Endpoint, MachineSpec
from aspot.local.throttle import Throttle

__all__ = ["DEFAULT_QUOTA", "Call", "Cloud", "Machines", "Options", "Region", "new_id"]

DEFAULT_QUOTA = 10_000.0
_KEEP_TERMINATED_S = 3600.0  # "Terminated instances remain visible for a while": EC2 user guide; about an hour


class Machines(Protocol):
    """The guests half: what boots machines and ends them (aspot.local.guests.park)."""

    def reserve(self) -> Endpoint:
        """Set an address and port aside."""

    def release(self, endpoint: Endpoint) -> None:
        """Give an address and port back."""

    async def boot(self, spec: MachineSpec, endpoint: Endpoint) -> None:
        """Boot a machine."""

    async def reboot(self, instance_id: str) -> None:
        """Boot a machine again."""

    async def terminate(self, instance_id: str) -> None:
        """End a machine and everything on it."""

    def console(self, instance_id: str) -> str:
        """Return what the machine has written to its console."""

    def forget_disk(self, disk: str) -> None:
        """Remove the files of a file system or volume that was deleted."""


@attrs.frozen(kw_only=True)
class Options:
    """How the cloud behaves: the seed of its dice and how long machines take to boot (seconds, from and to)."""

    seed: int = 0
    boot_s: tuple[float, float] = (0.5, 2.0)


def new_id(prefix: str) -> str:
    """Return an id as EC2 makes them."""
    return f"{prefix}-{secrets.token_hex(9)[:17]}"


class Region:
    """One Region.

    Args:
        moto: What moto keeps of it.
    """

    def __init__(self, moto: MotoRegion) -> None:
        self.name = moto.name
        self.moto = moto
        self.zones = moto.zones()
        self.machines: dict[str, Machine] = {}
        self.requests: dict[str, SpotRequest] = {}
        self.fleets: dict[str, Fleet] = {}
        self.tokens: dict[tuple[str, ...], tuple[dict[str, Any], Any]] = {}
        self.changes = 0

    @cached_property
    def offered(self) -> dict[str, frozenset[str]]:
        """The zones that offer each instance type."""
        return self.moto.offerings()

    def offers(self, pool: Pool) -> bool:
        """Tell whether a zone offers an instance type."""
        return pool.zone in self.offered.get(pool.type, ())

    def machine(self, instance_id: str, *, now: float) -> Machine:
        """Return a machine by id.

        Raises:
            Refusal: the id is malformed, or there is no such machine (or not yet, to readers).
        """
        found = self.machines.get(instance_id)
        if found is not None and found.visible_at <= now:
            return found
        if not instance_id.startswith("i-"):
            raise Refusal("InvalidInstanceID.Malformed", f'Invalid id: "{instance_id}"')
        raise Refusal("InvalidInstanceID.NotFound", f"The instance ID '{instance_id}' does not exist")

    def visible(self, now: float) -> list[Machine]:
        """Return the machines that readers see, after forgetting those that ended long ago."""
        gone = [m.id for m in self.machines.values() if m.ended is not None and now - m.ended > _KEEP_TERMINATED_S]
        for machine_id in gone:
            del self.machines[machine_id]
        return [machine for machine in self.machines.values() if machine.visible_at <= now]

    def machines_in(self, pool: Pool) -> int:
        """Return how many machines a pool holds."""
        return sum(1 for machine in self.machines.values() if machine.launch.pool == pool and _counts(machine))

    def vcpus_used(self, kind: QuotaClass, catalog: Catalog, *, spot: bool) -> int:
        """Return the vCPUs that count against a quota: those of all machines not yet terminated."""
        used = 0
        for machine in self.machines.values():
            if machine.launch.spot is spot and _counts(machine) and quota_class(machine.launch.type) is kind:
                offer = catalog.offer(machine.launch.type)
                used += 0 if offer is None else offer.vcpus
        return used


def _counts(machine: Machine) -> bool:
    return machine.state is not State.TERMINATED


class Cloud:
    """The whole cloud of one daemon.

    Args:
        moto: moto, loaded.
        machines: The guests half.
        options: Seed and boot times.
    """

    def __init__(self, *, moto: Moto, machines: Machines, options: Options) -> None:
        self.moto = moto
        self.machines = machines
        self.options = options
        self.faults = Faults()
        self.throttle = Throttle()
        self.prices = PriceBook(options.seed)
        self.calls: Counter[str] = Counter()
        self.launching = asyncio.Lock()
        self.regions: dict[str, Region] = {}
        self.launched = 0
        self.changed = asyncio.Event()
        self.mail = asyncio.Event()

    @cached_property
    def wire(self) -> Ec2Wire:
        """EC2's wire."""
        return Ec2Wire(ec2_model())

    @cached_property
    def catalog(self) -> Catalog:
        """The instance types."""
        return Catalog(next(iter(self.regions.values())).moto.types())

    @property
    def now(self) -> float:
        """Monotonic time, seconds."""
        return time.monotonic()

    @property
    def clock(self) -> datetime:
        """Wall-clock time."""
        return datetime.now(UTC)

    async def region(self, name: str) -> Region:
        """Return a Region, made at its first use.

        Raises:
            Refusal: there is no such Region.
        """
        found = self.regions.get(name)
        if found is None:
            made = Region(await self.moto.call(self.moto.region, name))
            found = self.regions.setdefault(name, made)
        return found

    def ring(self) -> None:
        """Wake those who wait for messages: some may have come."""
        rung, self.mail = self.mail, asyncio.Event()
        rung.set()

    def dice(self, *parts: object) -> float:
        """Return a number in [0, 1) that is the same for the same seed and parts."""
        return share(self.options.seed, *parts)

    def offer(self, instance_type: str) -> Offer | None:
        """Return an instance type, or None."""
        return self.catalog.offer(instance_type)

    def on_demand_price(self, region: str, instance_type: str) -> float:
        """Return an on-demand price, dollars an hour; 0 for unknown types."""
        offer = self.offer(instance_type)
        return 0.0 if offer is None else self.prices.on_demand(region, base=offer.price)

    def spot_price(self, region: str, pool: Pool) -> float:
        """Return a pool's spot price now, dollars an hour."""
        return self.prices.spot(pool, on_demand=self.on_demand_price(region, pool.type), at=self.clock)

    def quota(self, code: str) -> float:
        """Return the value of a vCPU quota."""
        return float(self.faults.quotas(now=self.now).get(code, DEFAULT_QUOTA))

    def find(self, id_or_name: str) -> Machine:
        """Return the machine with this id, Name or address that is not terminated; the newest if several share it.

        Raises:
            Refusal: there is none.
        """
        for region in self.regions.values():
            for machine in reversed(region.machines.values()):
                names = (machine.id, region.moto.tags(machine.id).get("Name"), machine.endpoint.address)
                if id_or_name in names and machine.state is not State.TERMINATED:
                    return machine
        raise Refusal("InvalidInstanceID.NotFound", f"There is no instance named {id_or_name}.")


@attrs.frozen(kw_only=True)
class Call:
    """One EC2 request: what an action gets."""

    cloud: Cloud
    region: Region
    action: str
    parameters: dict[str, Any]

    def permit(self) -> None:
        """End here if the request was only a question whether it would be permitted.

        Raises:
            Refusal: `DryRunOperation`, with DryRun.
        """
        if self.parameters.get("DryRun"):
            raise Refusal("DryRunOperation", "Request would have succeeded, but DryRun flag is set.")
