"""How to reach a running daemon: its environment for AWS SDKs, and its control side. Imports aspot.errors only."""

from __future__ import annotations

import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import attrs

from aspot.errors import CloudError, ConfigError

__all__ = ["Control"]

_ACCESS_KEY = "AKIAASPOTLOCALCLOUD0"
_SECRET = "aspot-local-cloud-accepts-any-secret"  # says so itself
_REGION = "us-east-1"


@attrs.frozen(kw_only=True)
class Control:
    """How to reach a running daemon, as it wrote it down."""

    pid: int
    port: int
    token: str
    isolation: str
    folder: Path

    @property
    def endpoint(self) -> str:
        """The URL that speaks AWS."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> dict[str, str]:
        """The variables that point any AWS SDK, and `ssh -F`, at this cloud."""
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_ACCESS_KEY_ID": _ACCESS_KEY,
            "AWS_SECRET_ACCESS_KEY": _SECRET,
            "AWS_DEFAULT_REGION": _REGION,
            "AWS_REGION": _REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "ASPOT_LOCAL_SSH_CONFIG": str(self.folder / "ssh_config"),
            "ASPOT_LOCAL_DIR": str(self.folder),
        }

    def call(self, method: str, path: str, body: Mapping[str, Any] | None = None, *, timeout_s: float = 30.0) -> Any:
        """Ask the daemon something on its control side.

        Raises:
            ConfigError: it refused what was asked.
            CloudError: it does not answer.
        """
        content = json.dumps(dict(body or {})).encode()
        url = f"{self.endpoint}/_aspot/{path}"
        headers = {"X-Aspot-Token": self.token, "Content-Type": "application/json"}
        request = urllib.request.Request(url, method=method, data=content, headers=headers)  # noqa: S310  # loopback
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        try:
            with opener.open(request, timeout=timeout_s) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise ConfigError(json.load(error)["error"]) from error
        except (OSError, ValueError) as error:
            raise CloudError(f"the local cloud in {self.folder} does not answer: {error}") from error
