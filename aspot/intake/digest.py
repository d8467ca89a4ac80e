"""Digests of a job's inputs: `existing="resume"` skips a job that succeeded with the same ones."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

from aspot.machine.model import JobSpec


def input_digest(spec: JobSpec, script: str, skip: Path | None) -> str:
    """Return the digest of everything a job's result may depend on; "" where that is not known.

    Args:
        spec: The job.
        script: SHA-256 of its script.
        skip: The folder of results: never sent.
    """
    if spec.upload:
        return ""
    inputs = [script, spec.remote_path, spec.interpreter, spec.command, spec.args, sorted(spec.env.items())]
    inputs += [spec.secrets, spec.download]
    return hashlib.sha256(json.dumps(inputs).encode()).hexdigest()
