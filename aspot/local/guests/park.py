"""The park: every machine of one local cloud. May import: the rest of this package."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import resource
import secrets
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from aspot.local.guests.crew import Crew
from aspot.local.guests.endpoints import Endpoints
from aspot.local.guests.layout import Layout, remove_tree
from aspot.local.guests.leftovers import kill_marked
from aspot.local.guests.link import MachineGone
from aspot.local.guests.machine import Ground, Machine, OnStorage
from aspot.local.guests.shared import Owner, Shared
from aspot.local.guests.zygote import Zygote
from aspot.local.seam import Endpoint, MachineSpec, Metadata

__all__ = ["Park"]

# Free on any system: systemd's "Users, Groups, UIDs and GIDs" leaves 65520-65533 unused (2026-01).
_GUEST = Owner(65521, 65521)
_OPEN_FILES = 1 << 16
_PROBE = MachineSpec(
    metadata=Metadata(
        instance_id="probe", instance_type="", zone="", region="", image_id="", account_id="", address="127.0.0.1"
    ),
    name="probe",
    user="probe",
    user_data=b"",
    key_pair=None,
)


class Park:
    """Machines that can be logged into, in one folder of the host.

    Args:
        folder: the park's own folder; made if missing, and cleaned of what a crashed predecessor left.
        ssh_port: the port machines listen on; None picks 22 where that is allowed, else a high one.
        on_shutdown: called with the instance id of a machine that powered itself off.
        guest_environment: put into the environment of every guest process.
        on_storage: answers what a machine asks about storage, in words (see `aspot.local.storage`).
        isolation: "sessions" to do without namespaces where they would be allowed; None for the best there is.

    After `start`, `isolation` is what machines have: "namespaces" (their own processes, files, host name) or "sessions"
    (process trees in folders of their own, which see the host as their user does); `refusal` says why not the former.
    """

    def __init__(
        self,
        folder: Path,
        *,
        ssh_port: int | None,
        on_shutdown: Callable[[str], None],
        guest_environment: Mapping[str, str] | None = None,
        isolation: str | None = None,
        on_storage: OnStorage | None = None,
    ) -> None:
        self._folder = folder.absolute()
        self._on_shutdown = on_shutdown
        self._on_storage = on_storage or _no_storage
        self._guest_environment = dict(guest_environment or {})
        self._endpoints = Endpoints(ssh_port)
        self._crew = Crew()
        self._machines: dict[str, Machine] = {}
        self._removals: set[asyncio.Task[None]] = set()
        self._owner = _GUEST if os.geteuid() == 0 else None
        self.isolation = isolation or "namespaces"
        self.refusal = ""

    async def start(self) -> None:
        """Find out what this host allows, and clean up after a predecessor that crashed."""
        self._folder.mkdir(mode=0o711, parents=True, exist_ok=True)
        self._cookie = {"ASPOT_PARK": _identity(self._folder / "park-id")}
        await asyncio.to_thread(self._clean)
        self._zygote = Zygote.spawn(cookie=self._cookie, log=self._folder / "zygote.log")
        await self._crew.start()
        self._endpoints.probe()
        _raise_open_files()
        self._share(self._folder / "machines")
        if self.isolation == "namespaces" and not await self._allows_namespaces():
            self.isolation = "sessions"
        if self.isolation == "sessions" and self._owner:
            self._owner = _known_guest()
            if not _open_to_all(self._folder):
                self._share(self._elsewhere())
        self._ground = Ground(
            zygote=self._zygote,
            crew=self._crew,
            endpoints=self._endpoints,
            guest_environment=self._guest_environment,
            on_shutdown=self._on_shutdown,
            on_storage=self._storage_for,
        )

    async def _storage_for(self, instance_id: str, words: Sequence[str]) -> str:
        """Answer a machine's question about storage; the files of what it may mount are there when it reads that."""
        answer = await self._on_storage(instance_id, words)
        status, _, disks = answer.partition(" ")
        for disk in disks.split() if status == "ok" else ():
            self._shared.make_disk(disk, self._owner)
        return answer

    def forget_disk(self, disk: str) -> None:
        """Remove the files of a file system or volume that was deleted, in the background."""
        if ended := self._shared.put_disk_aside(disk):
            self._remove_soon(ended)

    async def aclose(self) -> None:
        """End every machine and remove every trace of them."""
        async with asyncio.TaskGroup() as group:
            for instance_id in list(self._machines):
                group.create_task(self.terminate(instance_id))
        if self._removals:
            await asyncio.wait(self._removals)
        await self._crew.aclose()
        await self._zygote.aclose()
        self._endpoints.close()
        await asyncio.to_thread(self._clean)

    def reserve(self) -> Endpoint:
        """Reserve an address and port for a machine; it refuses connections until the machine has booted."""
        return self._endpoints.reserve()

    def release(self, endpoint: Endpoint) -> None:
        """Give an endpoint back that no machine uses any more."""
        self._endpoints.release(endpoint)

    async def boot(self, spec: MachineSpec, endpoint: Endpoint) -> None:
        """Boot a machine at a reserved endpoint; returns when it answers, or will late, or never will."""
        instance_id = spec.metadata.instance_id
        layout = self._layout(spec)
        machine = self._machines[instance_id] = Machine(spec, endpoint, layout=layout, ground=self._ground)
        await machine.boot()

    async def reboot(self, instance_id: str) -> None:
        """Restart a machine: every process ends, and it comes back with a new boot id."""
        await self._machines[instance_id].reboot()

    async def terminate(self, instance_id: str) -> None:
        """End a machine with every process and file of it; an unknown one is already gone."""
        if machine := self._machines.get(instance_id):
            ended = await machine.terminate()
            self._machines.pop(instance_id, None)
            if ended:
                self._remove_soon(ended)

    def _remove_soon(self, folder: Path) -> None:
        """Remove a machine's files in the background: a machine is gone before its disk is."""
        removal = self._crew.start_soon(asyncio.to_thread(remove_tree, folder), name=f"remove {folder.name}")
        self._removals.add(removal)
        removal.add_done_callback(self._removals.discard)

    def console(self, instance_id: str) -> str:
        """Return a machine's console output, with the block of its SSH host key."""
        machine = self._machines.get(instance_id)
        return machine.console() if machine else ""

    def metadata_endpoint(self, instance_id: str) -> str:
        """Return the URL of a machine's metadata service."""
        return self._machines[instance_id].metadata_endpoint

    def _share(self, folder: Path) -> None:
        self._shared = Shared(folder / "shared")
        self._shared.create()

    def _layout(self, spec: MachineSpec) -> Layout:
        return Layout(
            folder=self._shared.folder.parent / spec.metadata.instance_id,
            spec=spec,
            namespaces=self.isolation == "namespaces",
            owner=self._owner,
            cookie=self._cookie,
            shared=self._shared,
        )

    async def _allows_namespaces(self) -> bool:
        """Boot the world of a machine that nobody will see."""
        layout = self._layout(_PROBE)
        layout.create()
        try:
            link = await self._zygote.boot("probe", layout.world(), on_control=_ignore, on_end=lambda: None)
        except MachineGone as refusal:
            self.refusal = str(refusal)
            return False
        link.close()
        await self._zygote.bury("probe")
        remove_tree(layout.folder)
        return True

    def _elsewhere(self) -> Path:
        """Return a folder for machines where guests, who are another user, could not enter the park's."""
        elsewhere = Path(tempfile.mkdtemp(prefix="aspot-park-"))
        elsewhere.chmod(0o711)
        (self._folder / "elsewhere").write_text(str(elsewhere))
        return elsewhere

    def _clean(self) -> None:
        kill_marked("=".join(next(iter(self._cookie.items()))))
        remove_tree(self._folder / "machines")
        pointer = self._folder / "elsewhere"
        with contextlib.suppress(FileNotFoundError):
            remove_tree(Path(pointer.read_text()))
            pointer.unlink()


def _ignore(_line: str) -> None:
    return


async def _no_storage(_instance: str, _words: Sequence[str]) -> str:
    return "timeout"


def _identity(path: Path) -> str:
    """Return the park's own name, the same for every run in its folder."""
    with contextlib.suppress(FileNotFoundError):
        return path.read_text()
    identity = secrets.token_hex(16)
    path.write_text(identity)
    return identity


def _known_guest() -> Owner:
    """Return an account that the host's programs know by name, which some insist on (ssh-keygen)."""
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        return _GUEST
    return Owner(nobody.pw_uid, nobody.pw_gid)


def _open_to_all(folder: Path) -> bool:
    return all(path.stat().st_mode & 0o001 for path in (folder, *folder.parents))


def _raise_open_files() -> None:
    """Raise the limit of open files: a machine takes some 5, a running command 3 more."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _OPEN_FILES if hard == resource.RLIM_INFINITY else min(_OPEN_FILES, hard)
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
