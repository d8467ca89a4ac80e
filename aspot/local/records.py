"""What the local cloud keeps of machines, spot requests and fleets. Imports attrs and what its fields hold."""

from __future__ import annotations

import enum
from datetime import datetime
from typing import Any, NamedTuple

import attrs

from aspot.local.ec2_wire import Rendered
from aspot.local.images import Image
from aspot.local.seam import Endpoint, Metadata

__all__ = ["Fleet", "Launch", "Machine", "Pool", "Reason", "SpotRequest", "State", "Subnet"]


class State(enum.Enum):
    """An instance's state, with EC2's code and name."""

    PENDING = (0, "pending")
    RUNNING = (16, "running")
    SHUTTING_DOWN = (32, "shutting-down")
    TERMINATED = (48, "terminated")
    STOPPING = (64, "stopping")
    STOPPED = (80, "stopped")

    @property
    def word(self) -> str:
        """EC2's name of the state."""
        return self.value[1]

    @property
    def is_live(self) -> bool:
        """Whether processes may run."""
        return self in (State.PENDING, State.RUNNING)

    @property
    def wire(self) -> dict[str, Any]:
        """The state as answers carry it."""
        return {"Code": self.value[0], "Name": self.value[1]}


class Pool(NamedTuple):
    """An instance type in an availability zone: what has capacity and a price of its own."""

    type: str
    zone: str


@attrs.frozen(kw_only=True)
class Subnet:
    """What a launch needs to know of a subnet."""

    id: str
    vpc: str
    zone: str
    zone_id: str
    default: bool


@attrs.frozen(kw_only=True)
class Reason:
    """Why an instance ends: EC2's code, and what the other fields say with it."""

    code: str
    message: str
    request_status: str

    @property
    def wire(self) -> dict[str, str]:
        """The state reason as answers carry it."""
        return {"Code": self.code, "Message": f"{self.code}: {self.message}"}


@attrs.frozen(kw_only=True)
class Launch:
    """One kind of machine to launch, checked and complete: what RunInstances or a fleet's override came to.

    `max_price` is dollars an hour. `tags` are by resource type. `disks` are block device mappings as boto3 writes them.
    """

    image: Image
    type: str
    subnet: Subnet
    groups: tuple[str, ...]
    key_name: str | None
    user_data: bytes
    profile: str | None
    role: str | None
    spot: bool
    max_price: float | None
    behavior: str
    shutdown: str
    client_token: str
    tags: dict[str, dict[str, str]]
    disks: tuple[dict[str, Any], ...]
    public_ip: bool
    metadata_options: dict[str, Any]
    options: dict[str, Any] = attrs.field(factory=dict)
    fleet_id: str | None = None

    @property
    def pool(self) -> Pool:
        """The pool that the machine would come from."""
        return Pool(self.type, self.subnet.zone)


@attrs.define(kw_only=True, eq=False)
class Machine:
    """An instance: its launch, its state and where it can be reached.

    `body` is moto's object, which owns disks, interfaces and groups; only moto_seams looks inside. `console` is what
    EC2 has posted of the machine's console, and when.
    """

    id: str
    region: str
    reservation: str
    launch: Launch
    body: Any
    index: int
    ordinal: int
    launched: datetime
    visible_at: float
    boot_delay_s: float
    endpoint: Endpoint
    metadata: Metadata
    state: State = State.PENDING
    booted: bool = False
    released: bool = False
    reason: Reason | None = None
    transition: str = ""
    ended: float | None = None
    request: SpotRequest | None = None
    boots: bool = True
    ssh_delay_s: float = 0.0
    runs_user_data: bool = True
    login_shell: str = ""
    console: str = ""
    console_at: datetime | None = None
    version: int = 0
    rendered: tuple[Any, Rendered] | None = None

    def touch(self) -> None:
        """Note that what DescribeInstances says of it has changed."""
        self.version += 1


@attrs.define(kw_only=True, eq=False)
class SpotRequest:
    """A one-time spot request and the machine it brought."""

    id: str
    machine: Machine
    created: datetime
    price: str
    state: str = "active"
    status: str = "fulfilled"
    updated: datetime

    def mark(self, status: str, *, now: datetime, state: str | None = None) -> None:
        """Set the status code, and the state if it changes too."""
        self.status, self.updated = status, now
        if state is not None:
            self.state = state


@attrs.define(kw_only=True, eq=False)
class Fleet:
    """An instant fleet, kept so that it can be described by its id and deleted."""

    id: str
    created: datetime
    request: dict[str, Any]
    token: str
    machines: list[Machine] = attrs.field(factory=list)
    entries: list[dict[str, Any]] = attrs.field(factory=list)
    errors: list[dict[str, Any]] = attrs.field(factory=list)
    state: str = "active"
    tags: dict[str, str] = attrs.field(factory=dict)
