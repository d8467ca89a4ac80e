"""`Instance`: what a fleet's machine is, at the moment it was asked for."""

from __future__ import annotations

import attrs

from aspot.machine.model import InstanceRecord


@attrs.frozen(kw_only=True)
class Instance:
    """One EC2 machine of a fleet, as it was when asked for.

    Args:
        name: `NAME_1` and so on.
        id: EC2 instance id.
        state: `requested`, `running`, `ssh-ready`, `job`, `interrupted`, `terminating` or `terminated`.
        address: Where SSH reaches it; "" while EC2 has given none.
        port: SSH port.
        type: Instance type.
        zone: Availability zone.
        cost: US dollars so far.
        job: Name of the job on it; "" for none.
    """

    name: str
    id: str
    state: str
    address: str
    port: int
    type: str
    zone: str
    cost: float
    job: str

    @classmethod
    def of(cls, record: InstanceRecord, cost: float) -> Instance:
        """Return the public view of a record."""
        return cls(
            name=record.label,
            id=record.id,
            state=record.state.value,
            address=record.address,
            port=record.port,
            type=record.pool.type,
            zone=record.pool.zone,
            cost=cost,
            job=record.attempt[0] if record.attempt else "",
        )
