"""What simulated jobs do: so many seconds of work, now and then a checkpoint, some exit code."""

from datetime import timedelta

import attrs

from aspot.machine.model import JobSpec


@attrs.frozen(kw_only=True)
class Script:
    """A script's behaviour.

    Args:
        work_s: Seconds of work it needs in all; a checkpoint spares it what is in it.
        code: Exit code of a run that reaches its end.
        fails_first: So many attempts end with code 1 instead.
        checkpoint_s: It writes a checkpoint after each so many seconds of work; None for never.
        heeds_term: Whether it ends at once when told to.
    """

    work_s: float = 20.0
    code: int = 0
    fails_first: int = 0
    checkpoint_s: float | None = None
    heeds_term: bool = True

    def result(self, name: str) -> str:
        """Return what an undisturbed run writes."""
        return f"{name}: {self.work_s:.3f} s of work"


def spec_of(name: str, script: Script, **options: object) -> JobSpec:
    """Return the job's specification."""
    checkpoint = ("ckpt",) if script.checkpoint_s is not None else ()
    return JobSpec(
        name=name,
        script=f"{name}.sh",
        source=f"{name}.sh",
        remote_path=f"{name}.sh",
        interpreter=("/bin/sh",),
        checkpoint=checkpoint,
        **options,
    )  # type: ignore[arg-type]


def seconds(value: float) -> timedelta:
    """Return a timedelta."""
    return timedelta(seconds=value)
