"""The options of a fleet: each checked on its own, unknown ones refused with a guess at what was meant."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable, Mapping, Sized
from pathlib import Path
from typing import Any, Self

import attrs

from aspot.errors import ConfigError
from aspot.intake import storage
from aspot.jobs import Job
from aspot.machine.model import RunSpec
from aspot.machine.names import check_name
from aspot.machine.quantities import dollars, seconds
from aspot.ports import FileSystemWish, VolumeWish
from aspot.profiles import Profile, resolve
from aspot.profiles.profile import USUAL_DISK_GB, USUAL_MARKET

MOST_INSTANCES = 1000
"""Most instances of one fleet; more is more likely a typing error than a wish."""
USUAL_INSTANCES = 50
"""Most instances alive at once when nothing else was asked for."""
EXISTING = ("refuse", "resume", "replace")
REBALANCE = ("save", "move")


def _instances(value: Any, what: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= MOST_INSTANCES:
        raise ConfigError(
            f"{what} must be a whole number from 1 to {MOST_INSTANCES:,}, not {value!r}",
            fix=f"leave it out for one per job, at most {USUAL_INSTANCES}; for more, use several fleets",
        )
    return value


def _base(value: Any, what: str) -> int:
    return 0 if value == 0 and not isinstance(value, bool) else _instances(value, what)


def duration(value: Any, what: str) -> float:
    """Return a duration in seconds.

    Raises:
        ConfigError: If it is none.
    """
    try:
        return seconds(value, what)
    except (TypeError, ValueError, OverflowError):
        raise ConfigError(f"{what} {value!r} is not a duration", fix='write seconds, or "1h30m"') from None


def _some_seconds(value: Any, what: str) -> float:
    number = duration(value, what)
    if number == 0:
        raise ConfigError(f"{what} must be above 0 seconds", fix=f"leave {what} out, or write more")
    return number


def _folder(value: Any, what: str) -> Path:
    if not isinstance(value, str | Path) or not str(value).strip() or "\0" in str(value):
        raise ConfigError(f"{what} must be a folder's path, not {value!r}", fix=f"leave {what} out for aspot-results")
    return Path(os.path.expanduser(value)).absolute()


def _existing(value: Any, what: str) -> str:
    if value not in EXISTING:
        raise ConfigError(
            f"{what} must be one of {', '.join(EXISTING)}, not {value!r}", fix=f"leave {what} out for refuse"
        )
    return str(value)


def _rebalance(value: Any, what: str) -> bool:
    if value not in REBALANCE:
        raise ConfigError(
            f"{what} must be one of {', '.join(REBALANCE)}, not {value!r}", fix=f"leave {what} out for save"
        )
    return bool(value == "move")


_CHECKS: Mapping[str, tuple[str, Callable[[Any, str], Any]]] = {
    "instances": ("instances", _instances),
    "budget": ("budget_usd", dollars),
    "deadline": ("deadline_s", _some_seconds),
    "max_life": ("max_life_s", _some_seconds),
    "idle": ("idle_s", duration),
    "hold": ("hold_s", duration),
    "results": ("results", _folder),
    "existing": ("existing", _existing),
    "capacity_timeout": ("capacity_timeout_s", duration),
    "on_demand_base": ("on_demand_base", _base),
    "rebalance": ("moves_when_advised", _rebalance),
    "keep_failed": ("keep_failed_s", _some_seconds),
    "filesystem": ("filesystem", storage.file_system),
    "volumes": ("volumes", storage.volumes),
    "volume_policy": ("deletes_volumes", storage.deletes_volumes),
}
_MAY_BE_NONE = frozenset({"instances", "budget", "deadline", "keep_failed", "filesystem"})


@attrs.frozen(kw_only=True)
class FleetOptions:
    """The options of a fleet, checked. Made by `check`; times in seconds, money in US dollars.

    Args:
        name: The fleet's name; None: to be made up.
        profile: With its base filled in.
        instances: Most alive at once; None: one per job, at most 50.
        budget_usd: Most to spend; None for no limit.
        deadline_s: From start to end; None for none.
        max_life_s: Each instance ends itself after this.
        idle_s: An instance without work ends after this.
        hold_s: Uncollected results hold an instance for at most this.
        results: The folder of all fleets' results, absolute.
        existing: `refuse`, `resume` or `replace`.
        capacity_timeout_s: How long a job waits for capacity.
        on_demand_base: How many of the machines alive are bought on demand.
        moves_when_advised: Whether jobs with a checkpoint move on EC2's rebalance recommendation.
        keep_failed_s: How long a failed job's instance stays for a look; None for not.
        filesystem: What each instance mounts; None for nothing.
        volumes: What the one instance gets attached.
        deletes_volumes: Whether those that are made go at the end.
    """

    name: str | None
    profile: Profile
    instances: int | None = None
    budget_usd: float | None = None
    deadline_s: float | None = None
    max_life_s: float = 86400.0
    idle_s: float = 60.0
    hold_s: float = 7200.0
    results: Path = attrs.field(factory=lambda: Path("aspot-results").absolute())
    existing: str = "refuse"
    capacity_timeout_s: float = 3600.0
    on_demand_base: int = 0
    moves_when_advised: bool = False
    keep_failed_s: float | None = None
    filesystem: FileSystemWish | None = None
    volumes: tuple[VolumeWish, ...] = ()
    deletes_volumes: bool = False

    @classmethod
    def check(cls, name: str | None, profile: str | Profile, options: Mapping[str, Any]) -> Self:
        """Return the options, checked.

        Args:
            name: The fleet's name, or None.
            profile: As for `Fleet`.
            options: The rest, by the names that `Fleet` gives them.

        Raises:
            ConfigError: If one is unknown or cannot work.
        """
        _refuse_unknown(options)
        given = {key: value for key, value in options.items() if value is not None or key not in _MAY_BE_NONE}
        checked = {_CHECKS[key][0]: _CHECKS[key][1](value, key) for key, value in given.items()}
        storage.check_volumes(checked)
        return cls(name=None if name is None else _name(name), profile=_profile(profile), **checked)

    def sized_for(self, jobs: Sized) -> Self:
        """Return these options with the number of instances filled in: one per job, at most 50."""
        if self.instances is not None:
            return self
        return attrs.evolve(self, instances=max(1, min(len(jobs), USUAL_INSTANCES)))

    def run_spec(self, run: str, name: str, region: str) -> RunSpec:
        """Return what the machine needs to know.

        Args:
            run: The run's id.
            name: The fleet's final name.
            region: AWS region; of several, the first.
        """
        return RunSpec(
            id=run,
            name=name,
            region=region,
            regions=self.profile.regions if len(self.profile.regions) > 1 else (),
            limit=self.instances or USUAL_INSTANCES,
            budget_usd=self.budget_usd,
            deadline_s=self.deadline_s,
            max_life_s=self.max_life_s,
            idle_s=self.idle_s,
            hold_s=self.hold_s,
            capacity_timeout_s=self.capacity_timeout_s,
            market=self.profile.market or USUAL_MARKET,
            max_price_usd=self.profile.max_price,
            disk_gb=self.profile.disk or USUAL_DISK_GB,
            on_demand_base=self.on_demand_base,
            moves_when_advised=self.moves_when_advised,
            keep_failed_s=self.keep_failed_s,
        )


def split_options(options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return options of the fleet and defaults for its jobs.

    Raises:
        ConfigError: If one is neither.
    """
    job_names = {
        "args",
        "env",
        "secrets",
        "upload",
        "download",
        "checkpoint",
        "evacuate",
        "checkpoint_every",
        "on_notice",
    }
    job_names |= {"timeout", "max_output", "attempts", "interruptions"}
    jobs = {key: value for key, value in options.items() if key in job_names}
    return {key: value for key, value in options.items() if key not in job_names}, jobs


def _name(name: Any) -> str:
    if not isinstance(name, str):
        raise ConfigError(f"a fleet's name must be text, not {name!r}", fix='Fleet("lr-study")')
    return check_name(name, "fleet name")


def _profile(profile: Any) -> Profile:
    if not isinstance(profile, str | Profile):
        raise ConfigError(f"profile must be a name or a Profile, not {profile!r}", fix='profile="c7i.large"')
    return resolve(profile)


def _refuse_unknown(options: Iterable[str]) -> None:
    known = [*_CHECKS, "name", "profile", "on_event", "show", "check", *(item.name for item in attrs.fields(Job))]
    for option in options:
        if option not in _CHECKS:
            close = difflib.get_close_matches(option, known, n=1)
            raise ConfigError(
                f"there is no option {option!r} here", fix=f"did you mean {close[0]!r}?" if close else "see help(Fleet)"
            )
