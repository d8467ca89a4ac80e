"""What is shown of a machine, as it was when it was last seen."""

from __future__ import annotations

import attrs


@attrs.frozen(kw_only=True)
class View:
    """What was seen of a machine."""

    name: str
    id: str = ""
    state: str = "requested"
    address: str = ""
    port: int = 22
    type: str = ""
    zone: str = ""
    cost: float = 0.0
    job: str = ""


class Shown:
    """Something that shows what was seen of a machine."""

    _view: View

    @property
    def name(self) -> str:
        """Return its name; a fleet's machine is `NAME_1` and so on."""
        return self._view.name

    @property
    def id(self) -> str:
        """Return its EC2 id; "" before it is opened."""
        return self._view.id

    @property
    def state(self) -> str:
        """Return `requested`, `running`, `ssh-ready`, `job`, `interrupted`, `terminating` or `terminated`."""
        return self._view.state

    @property
    def address(self) -> str:
        """Return where SSH reaches it; "" while it has no address."""
        return self._view.address

    @property
    def port(self) -> int:
        """Return its SSH port."""
        return self._view.port

    @property
    def type(self) -> str:
        """Return its instance type."""
        return self._view.type

    @property
    def zone(self) -> str:
        """Return its availability zone."""
        return self._view.zone

    @property
    def job(self) -> str:
        """Return the name of a fleet's job on it; "" for none."""
        return self._view.job
