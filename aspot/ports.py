"""What the runtime needs of the world: small protocols, one verb a method. Adapters and the simulation implement them.

Expected failures are values or one of the exceptions here; anything else that is raised is a bug.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Protocol

import attrs

from aspot.machine.client import Client
from aspot.machine.events import Event, Launched
from aspot.machine.haul import Haul
from aspot.machine.model import Checkpoint, Collected, EndReason, ExitStatus, JobSpec, LaunchSpec, RunSpec, StopWhy
from aspot.machine.pool import Market, Pool, Refusal


class TakenOver(Exception):
    """Another client drives the run now: nothing more may be done here. Any port may raise it.

    Args:
        client: Who does.
    """

    def __init__(self, client: Client) -> None:
        super().__init__(f"the run was taken over by {client}")
        self.client = client


# --- cloud -----------------------------------------------------------------------------------------------------------


class LaunchUnanswered(Exception):
    """The launch call was sent and its answer was lost: it may have happened."""


class CloudUnavailable(Exception):
    """EC2 could not be asked just now (network, 5xx, throttled): ask again later."""


class CredentialsExpired(Exception):
    """AWS no longer takes the credentials: jobs go on, the AWS side pauses until there are new ones."""


@attrs.frozen(kw_only=True)
class FileSystemWish:
    """An EFS file system to mount on each machine.

    Args:
        name: Its name or id.
        path: Where: absolute, or below home as `~/…`.
        is_target_new: Whether its mount targets in the zones used are to be made anew before.
    """

    name: str
    path: str
    is_target_new: bool = attrs.field(default=False, eq=False)


@attrs.frozen(kw_only=True)
class VolumeWish:
    """An EBS volume to mount: its name or id, its size in GB if it is made (0: it has to be there), and where."""

    name: str
    size_gb: int
    path: str


@attrs.frozen(kw_only=True)
class CloudPlan:
    """What the cloud is to prepare: everything a launch of this run will need.

    Args:
        run: The run.
        types: Instance types, in order of preference.
        zones: Zones allowed; empty for all.
        image: As in `Profile.image`; "" for the newest AL2023.
        user: Login user; "" for the image's usual one.
        user_data: Raw bytes for the instances' first boot (at most 16,384).
        instance_profile, key_pair, security_group: As in `Profile`; "" for none.
        firewall: As in `Profile`; None: SSH from the caller's own address.
        count: Instances wanted at first, for the quota check.
        monitoring: Whether CloudWatch monitors in detail.
        owner: Who runs this, for the tag `aspot:owner`.
        expires: Epoch seconds for the tag `aspot:expires`.
        allocation: How CreateFleet chooses among spot pools, in AWS's word.
        is_again: Whether an earlier client of the run may have made things already.
        filesystem: What to mount on each machine; None for nothing.
        volumes: What to attach to the one machine, and mount there.
        deletes_volumes: Whether those that the run makes are deleted at its end.
    """

    run: RunSpec
    types: tuple[str, ...]
    zones: tuple[str, ...] = ()
    image: str = ""
    user: str = ""
    user_data: bytes = b""
    instance_profile: str = ""
    key_pair: str = ""
    security_group: str = ""
    firewall: tuple[tuple[str, int | str, str], ...] | None = None
    count: int = 1
    monitoring: bool = False
    owner: str = ""
    expires: int = 0
    allocation: str = "price-capacity-optimized"
    is_again: bool = False
    filesystem: FileSystemWish | None = None
    volumes: tuple[VolumeWish, ...] = ()
    deletes_volumes: bool = False


@attrs.frozen(kw_only=True)
class Prepared:
    """What launches need, ready.

    Args:
        pools: Every pool the run may use, offered by EC2.
        spot_usd_per_hour: Current spot price of each pool.
        on_demand_usd_per_hour: On-demand price by type, where known; for several regions see `money.on_demand_key`.
        user: Login user of the image.
        notes: What users should know of what was made ready.
    """

    pools: tuple[Pool, ...]
    spot_usd_per_hour: Mapping[Pool, float]
    on_demand_usd_per_hour: Mapping[str, float]
    user: str
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class Mounting:
    """How a machine mounts something: the shell script that does it, which says in its last lines why it could not.

    Args:
        what: What has gone wrong if the script fails, for people.
        script: Safe to repeat.
        fix: What a user can do where it fails.
    """

    what: str
    script: str
    fix: str = ""


@attrs.frozen(kw_only=True)
class Mounted:
    """What the machines of a run mount, as it is written down at the end.

    Args:
        kind: `file_system` or `volume`.
        id, name: AWS's and the user's; a thing that was asked for by its id may have no name.
        path: Where, on the machines.
        made: Whether the run made it.
        deleted: Whether it goes with the run.
    """

    kind: str
    id: str
    name: str
    path: str
    made: bool
    deleted: bool = False


@attrs.frozen(kw_only=True)
class LaunchAnswer:
    """What a launch brought."""

    launched: tuple[Launched, ...] = ()
    refusals: tuple[Refusal, ...] = ()


@attrs.frozen(kw_only=True)
class Sighting:
    """One instance as EC2 shows it, its spot request's status folded in.

    Args:
        instance: EC2 id.
        request: Tag `aspot:request`; "" if it has none.
        pool, market: Where and how.
        state: EC2's word: pending, running, shutting-down, terminated, stopping, stopped.
        address: Where to connect: public, else private address; "" while there is none.
        port: SSH port: 22, or what the local cloud says.
        launched: EC2's LaunchTime.
        end_reason: Classed StateReason and spot status; None while alive.
        notice: When the spot request says marked for termination (or terminated by EC2 while the instance still runs):
            the deadline, from the status's update time + 120 s; None otherwise.
    """

    instance: str
    request: str
    pool: Pool
    market: Market
    state: str
    address: str = ""
    port: int = 22
    launched: datetime
    end_reason: EndReason | None = None
    notice: datetime | None = None


@attrs.frozen(kw_only=True)
class CloudNotice:
    """EC2 says by itself that it takes an instance back at `deadline`."""

    instance: str
    deadline: datetime


@attrs.frozen(kw_only=True)
class CloudRebalance:
    """EC2 recommends by itself to move an instance's work elsewhere."""

    instance: str


@attrs.frozen(kw_only=True)
class CloudChange:
    """EC2 says by itself that an instance changed its state (EC2's word)."""

    instance: str
    state: str


CloudFact = CloudNotice | CloudRebalance | CloudChange


class Cloud(Protocol):
    """EC2, for one run. Every call is bounded in time by the adapter."""

    async def prepare(self, plan: CloudPlan) -> Prepared:
        """Make ready what launches need; raises `AspotError` if that is impossible (nothing is left then)."""

    async def launch(self, spec: LaunchSpec) -> LaunchAnswer:
        """Ask for instances; refusals are values. Raises `LaunchUnanswered` when the answer was lost."""

    async def sightings(self) -> Sequence[Sighting]:
        """Return every instance of the run that EC2 still shows. Raises `CloudUnavailable`, `CredentialsExpired`."""

    async def furnish(self, instance: str, zone: str) -> Sequence[Mounting]:
        """Make ready what a machine is to mount before its first job; return how it is mounted there, in order.

        Repeating is harmless. Raises as `sightings`: ask again later; `AspotError`: it cannot be had on this machine.
        """

    async def hear(self, region: str) -> Sequence[CloudFact] | None:
        """Wait, some seconds at most, for what EC2 says by itself in a region, of any instance; None: nothing, ever.

        Repeats, and facts of other runs' instances, may be among it. Raises as `sightings`: ask again later;
        `AspotError`: EC2 cannot be heard, now and later.
        """

    async def terminate(self, instances: Collection[str]) -> Mapping[str, str]:
        """End instances; return refusals by id (why). Repeating is harmless. Raises as `sightings`."""

    async def console(self, instance: str) -> str:
        """Return the end of what an instance wrote to its console, as one harmless line; "" for nothing.

        Raises as `sightings`, and `AspotError` if it cannot be had.
        """

    async def spot_prices(self) -> Mapping[Pool, float]:
        """Return the current spot price of each of the run's pools, in US dollars an hour. Raises as `sightings`."""

    async def let_caller_in(self) -> str:
        """Have SSH let in from where the caller is now; return what changed or has to be done, as text; "" for nothing.

        Raises as `sightings`.
        """

    async def mark_kept(self, instance: str, until: datetime) -> None:
        """Write onto an instance until when it is kept for a look, for other computers. Raises as `sightings`."""

    async def clean_up(self, kept: Collection[str] = ()) -> Sequence[str]:
        """Delete what the run made beside instances (template, group); return what is left, as text for people.

        Instances that are kept for a look stay, and so does what they need: neither is left behind.
        """

    def mounted(self) -> Sequence[Mounted]:
        """Return what the machines mount, as far as it is known."""

    async def aclose(self) -> None:
        """Close connections."""


class Storage(Protocol):
    """What the machines of one run mount, and what outlives them. Raises `AspotError` where it cannot be had."""

    async def there(self) -> tuple[str, ...]:
        """Return what of it is in the region already, as text for people; makes nothing."""

    async def zones(self, usable: Sequence[str]) -> tuple[str, ...]:
        """Return the zones that machines may be in, of those that are usable; looks at what there is, makes nothing."""

    async def prepare(self, vpc: str, subnets: Mapping[str, str]) -> tuple[str, ...]:
        """Make what there is not, reachable from these zones' subnets; return security groups that machines join."""

    async def furnish(self, instance: str, zone: str) -> Sequence[Mounting]:
        """As `Cloud.furnish`."""

    async def notes(self) -> tuple[str, ...]:
        """Return what users should know beforehand."""

    def made(self) -> tuple[str, ...]:
        """Return what was made and stays, as text for people, where the run could not begin."""

    def mounted(self) -> Sequence[Mounted]:
        """As `Cloud.mounted`."""

    async def remove(self) -> Sequence[str]:
        """Delete what is to go with the run; return what is left of that, as text for people."""

    async def stays(self) -> tuple[str, ...]:
        """Return what stays after the run, since it is data, as text for people."""


# --- instances over SSH ----------------------------------------------------------------------------------------------


class LinkDropped(Exception):
    """The connection broke, or an answer did not come in time: connect again. Never evidence of death."""


class HostKeyMismatch(Exception):
    """The machine could not prove who it is: nothing was sent."""


class NotReady(Exception):
    """It does not let us in yet: try again."""


class NobodyListens(NotReady):
    """Its port takes no connections (refused, silent, still booting). A try costs next to nothing."""


class Undeliverable(Exception):
    """An attempt could not be sent or started, and nothing ran. `is_local`: the user's files are at fault."""

    def __init__(self, reason: str, *, is_local: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_local = is_local


@attrs.frozen(kw_only=True)
class Target:
    """Whom to connect to."""

    instance: str
    label: str
    address: str
    port: int
    user: str


@attrs.frozen(kw_only=True)
class Lease:
    """The machine's dead-man's switch (DESIGN 7). Seconds.

    Args:
        term_s: The lease runs out this long after its last renewal.
        idle_s: Out of lease and without work or uncollected results: it ends itself at once; `idle_s` of grace before.
        hold_s: Uncollected results hold it for at most this long after the lease ran out.
        max_life_s: It ends itself this long after boot whatever happens.
    """

    term_s: float
    idle_s: float
    hold_s: float
    max_life_s: float


@attrs.frozen(kw_only=True)
class Armed:
    """What a fresh link found.

    Args:
        boot_id: This boot of the machine.
        powers_off: Whether the command that ends the machine was proved to be there.
        watches: Whether the machine can watch its own metadata for a notice.
        rotated: Whether it now serves a host key of its own.
    """

    boot_id: str
    powers_off: bool
    watches: bool
    rotated: bool


@attrs.frozen(kw_only=True)
class AttemptOrder:
    """Everything the runner needs for an attempt.

    Args:
        spec: The job.
        attempt: Its number.
        secret_env: Values of `spec.secrets`.
        checkpoint: Local folder of the checkpoint to put back; None for none.
    """

    spec: JobSpec
    attempt: int
    secret_env: Mapping[str, str] = attrs.field(factory=dict, repr=False)
    checkpoint: Path | None = None


@attrs.frozen(kw_only=True)
class Delivered:
    """What was sent: files and bytes, and how many files were there already; `notes` names skips for the user."""

    files: int
    size: int
    skipped: int
    notes: tuple[str, ...] = ()


@attrs.frozen(kw_only=True)
class RunnerNotice:
    """The machine's own watch saw an interruption notice."""

    deadline: datetime


@attrs.frozen(kw_only=True)
class RunnerRebalance:
    """The machine's own watch saw a rebalance recommendation."""


@attrs.frozen(kw_only=True)
class RunnerExited:
    """An attempt's status was published."""

    job: str
    attempt: int


@attrs.frozen(kw_only=True)
class RunnerHookDone:
    """The `on_notice` command ended."""

    job: str
    attempt: int
    code: int


RunnerFact = RunnerNotice | RunnerRebalance | RunnerExited | RunnerHookDone


@attrs.frozen(kw_only=True)
class StillRunning:
    """The attempt's supervisor lives."""


@attrs.frozen(kw_only=True)
class Gone:
    """No status, and nothing of it runs: never started, rebooted, or its supervisor was killed (its group was, too)."""

    reason: str
    was_started: bool = True


class LogSink(Protocol):
    """Where an attempt's output goes: the local files are the cursor."""

    def offsets(self) -> tuple[int, int]:
        """Return how many bytes of stdout and stderr are here."""

    def write(self, stream: str, chunk: bytes) -> None:
        """Append bytes of `stdout` or `stderr`."""

    def restart(self, stream: str) -> None:
        """The job truncated its log: mark it and begin again at 0."""


class Link(Protocol):
    """One verified connection to one instance. Any call may raise `LinkDropped`; every call is bounded in time."""

    async def arm(self, lease: Lease) -> Armed:
        """Install the runner, give the machine a host key of its own, arm the lease and check it. Re-entrant."""

    async def set_up(self, script: str) -> None:
        """Run the profile's set-up once on this machine; raises `Undeliverable` if it fails. Re-entrant."""

    async def renew(self) -> None:
        """Renew the lease."""

    async def keep(self, seconds: float) -> None:
        """Have the machine end itself after so many seconds, and not before, whoever is there then. May be repeated."""

    async def deliver(self, order: AttemptOrder) -> Delivered:
        """Put the job's files and checkpoint into the attempt's fresh folder, verified. Raises `Undeliverable`."""

    async def start(self, order: AttemptOrder) -> None:
        """Start the attempt; a second start of the same one does nothing. Raises `Undeliverable`."""

    def watch(self) -> AsyncIterator[RunnerFact]:
        """Yield what the machine says by itself, facts of before this connection too (receivers ignore repeats)."""

    async def follow(self, job: str, attempt: int, sink: LogSink) -> None:
        """Copy the attempt's output into the sink as it appears, until the attempt has ended."""

    async def status(self, job: str, attempt: int) -> ExitStatus | StillRunning | Gone:
        """Return where the attempt is; an orphaned one is ended first."""

    async def stop(self, job: str, attempt: int, why: StopWhy, grace_s: float) -> None:
        """Stop the attempt; returns when its group is gone. Harmless to repeat."""

    async def fetch_checkpoint(self, spec: JobSpec, attempt: int, into: Path) -> tuple[int, int]:
        """Bring the checkpoint into an empty local folder, verified; return (files, bytes)."""

    async def evacuate(self, spec: JobSpec, attempt: int, into: Path, haul: Haul) -> None:
        """Bring what `spec.evacuate` names into a local folder, in order and in time; note each file once verified.

        What is in the haul already is brought again only if it changed.
        """

    async def fetch_result(self, spec: JobSpec, attempt: int, sink: LogSink, into: Path) -> Collected:
        """Bring the rest of the logs and the downloads into a local folder, verified against the manifest."""

    async def release(self, job: str, attempt: int) -> None:
        """Tell the machine that the attempt's results are home: it need not hold them."""

    async def aclose(self) -> None:
        """Close the connection."""


class Remote(Protocol):
    """How links are made, for one run."""

    async def connect(self, target: Target) -> Link:
        """Connect, verified from the first byte; one try. Raises `NotReady`, `HostKeyMismatch`, `LinkDropped`."""

    async def way_in(self, target: Target) -> str:
        """Return the command that opens a machine from a shell, its host key checked; write down what that needs.

        Raises:
            AspotError: If it cannot be written down.
        """

    async def aclose(self) -> None:
        """Close everything."""


# --- here ------------------------------------------------------------------------------------------------------------


class Journal(Protocol):
    """The write-ahead record of one run."""

    async def append(self, events: Sequence[Event]) -> None:
        """Make the events durable, in order, in one transaction; raises `AspotError` when the disk refuses."""

    async def requests(self) -> Sequence[str]:
        """Return what other processes asked of this run since the last call (`stop`, `leave WORD`)."""

    def check(self) -> None:
        """Raise `TakenOver` if another client has taken the run up; costs next to nothing while none has."""

    async def finish(self, left: Sequence[str], kept: Sequence[Mapping[str, object]] = ()) -> None:
        """Mark the run as ended: what is left, as text, and which machines are kept on purpose, as JSON objects."""

    async def aclose(self) -> None:
        """Close it."""


class Archive(Protocol):
    """The local files of one run: logs and checkpoints while it runs, results when they are accepted."""

    def sink(self, job: str, attempt: int) -> LogSink:
        """Return where the attempt's output goes."""

    def staging(self, job: str, attempt: int) -> Path:
        """Return a fresh, empty folder for what an attempt brings home."""

    def checkpoint_staging(self, job: str, serial: int) -> Path:
        """Return a fresh, empty folder for a checkpoint."""

    def evacuation(self, job: str, attempt: int) -> Path:
        """Return the folder of an attempt's evacuated files, with what is in it."""

    async def keep_checkpoint(self, job: str, serial: int) -> None:
        """Make the staged checkpoint the job's newest; older ones go."""

    def checkpoint(self, checkpoint: Checkpoint) -> Path:
        """Return the folder of a checkpoint that was kept."""

    async def accept(self, job: str, attempt: int, result: Mapping[str, object]) -> Path:
        """Publish the job's folder by one rename, with `result.json` in it; return it. Re-entrant."""

    def published(self, job: str) -> Path:
        """Return the folder of a job whose result was accepted."""

    async def finish(self, summary: Mapping[str, object]) -> None:
        """Write `results.json`."""


class Clock(Protocol):
    """Wall time. Monotonic time is the event loop's (`anyio.current_time`)."""

    def now(self) -> datetime:
        """Return the time, aware UTC."""
