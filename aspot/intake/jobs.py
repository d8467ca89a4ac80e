"""Jobs as users give them, resolved into what the machine and the journal take."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs

from aspot.errors import ConfigError
from aspot.intake.paths import inside, upload_pairs
from aspot.intake.scripts import Script, find_script, script_stem
from aspot.intake.uploads import Uploads
from aspot.jobs import Job, Param
from aspot.machine.model import JobSpec
from aspot.machine.names import job_name

OURS = ("results.json",)
"""Names in a fleet's results folder that no job may take."""


@attrs.frozen(kw_only=True)
class ResolvedJob:
    """A job that can run.

    Args:
        job: As given, with its final name.
        spec: What the machine and the journal take.
    """

    job: Job
    spec: JobSpec


def resolve_jobs(
    jobs: str | Path | Job | Iterable[str | Path | Job],
    *,
    base: Path,
    texts: Path,
    defaults: Mapping[str, Any] | None = None,
    taken: Collection[str] = (),
    skip: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> list[ResolvedJob]:
    """Return each job with its final name, and its specification.

    Args:
        jobs: A path, a script's text, a `Job`, or a list of them; one string is one job.
        base: The folder that relative paths are relative to.
        texts: Where scripts given as text are kept; made when there is one.
        defaults: Options of `Job` for all that leave them at their default.
        taken: Names of the fleet's other jobs.
        skip: The folder of results: never sent.
        environ: Where secrets are looked up; None for the environment.

    Raises:
        ConfigError: If one of them could not run.
    """
    given = [_with_defaults(item, defaults or {}) for item in as_list(jobs)]
    names = _Names(taken)
    for job in given:
        if job.name is not None:
            names.claim(job.name)
    uploads = Uploads(base.absolute(), skip)
    resolver = _Resolver(base.absolute(), texts, uploads, names, os.environ if environ is None else environ)
    return [resolver.resolve(job) for job in given]


def as_list(jobs: Any) -> list[str | Path | Job]:
    """Return the jobs as a list: one string is one job, not letters.

    Raises:
        ConfigError: If that is no job.
    """
    found = [jobs] if isinstance(jobs, str | Path | Job) else list(jobs) if isinstance(jobs, Iterable) else [jobs]
    for item in found:
        if not isinstance(item, str | Path | Job):
            raise ConfigError(f"{item!r} is not a job", fix='give a path, a script\'s text, or Job("train.sh")')
    return found


def _with_defaults(item: str | Path | Job, defaults: Mapping[str, Any]) -> Job:
    if not isinstance(item, Job):
        return Job(item, **defaults)
    usual = attrs.evolve(Job("usual"), **defaults)  # through the converters
    unset = {key: getattr(usual, key) for key in defaults if getattr(item, key) == _usual_value(key)}
    return attrs.evolve(item, **unset) if unset else item


def _usual_value(option: str) -> Any:
    return getattr(Job("usual"), option)


class _Names(set[str]):
    """Names that are taken, in lower case: where case makes no difference on disk, none does here."""

    def __init__(self, taken: Iterable[str]) -> None:
        super().__init__(name.casefold() for name in (*taken, *OURS))

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and super().__contains__(name.casefold())

    def claim(self, name: str) -> None:
        """Take a name that the user chose."""
        if name in self:
            raise ConfigError(f"the job name {name!r} is taken", fix="give each job a name of its own, or none")
        self.add(name.casefold())

    def make(self, stem: str, params: Mapping[str, object]) -> str:
        """Make a name that is not taken, and take it."""
        name = job_name(stem, params, self)
        self.add(name.casefold())
        return name


@attrs.frozen
class _Resolver:
    base: Path
    texts: Path
    uploads: Uploads
    names: _Names
    environ: Mapping[str, str]

    def resolve(self, job: Job) -> ResolvedJob:
        script = None if job.script is None else find_script(job.script, base=self.base, texts=self.texts)
        params = {str(key): _plain(value) for key, value in job.params.items()}
        name = job.name or self.names.make(script_stem(job.script, job.command or ""), params)
        for key in job.secrets:
            if key not in self.environ:
                raise ConfigError(f"job {name}: the secret {key} is not set here", fix=f"export {key}=...")
        spec = _spec(job, name, script, self.base, params)
        if script is not None:
            self.uploads.check_script(spec.upload, spec.source, spec.remote_path)
        spec = attrs.evolve(spec, inputs=self._digest(spec, script))
        return ResolvedJob(job=attrs.evolve(job, name=name), spec=spec)

    def _digest(self, spec: JobSpec, script: Script | None) -> str:
        """Return the digest of everything a job's result may depend on; values of secrets are not in it."""
        inputs: list[object] = [script.digest if script else "", spec.remote_path, spec.interpreter, spec.command]
        inputs += [spec.args, sorted(spec.env.items()), sorted(spec.secrets), sorted(spec.download)]
        inputs.append(self.uploads.digest(spec.upload))
        return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()


def _spec(job: Job, name: str, script: Script | None, base: Path, params: Mapping[str, Param]) -> JobSpec:
    return JobSpec(
        name=name,
        script=job.display,
        source=str(script.source) if script else "",
        remote_path=script.remote_path if script else "",
        command=job.command or "",
        interpreter=script.interpreter if script else (),
        args=job.args,
        env=job.env,
        secrets=job.secrets,
        params=params,
        base=str(base),
        upload=upload_pairs(job.upload),
        download=inside(job.download, "download"),
        checkpoint=inside(job.checkpoint, "checkpoint"),
        checkpoint_every_s=job.checkpoint_every,
        evacuate=inside(job.evacuate, "evacuate"),
        on_notice=job.on_notice or "",
        timeout_s=job.timeout,
        max_output=job.max_output or 0,
        attempts=job.attempts,
        interruptions=job.interruptions,
    )


def _plain(value: object) -> Param:
    """Return a parameter as a value that JSON knows; numbers of other libraries become plain ones."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    item = getattr(value, "item", None)
    plain = item() if callable(item) else value
    return plain if isinstance(plain, str | bool | int | float) else str(value)
