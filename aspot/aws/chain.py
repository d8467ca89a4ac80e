"""AWS's own configuration: region, credentials and endpoint as every AWS tool finds them."""

from __future__ import annotations

import ipaddress
import os
from typing import Any
from urllib.parse import urlsplit

from aspot.aws.codes import CREDENTIALS_FIX, Cause
from aspot.aws.errors import examine
from aspot.errors import AuthError, ConfigError


async def session() -> Any:
    """Return a session with credentials, read afresh.

    Raises:
        ConfigError: If AWS's configuration cannot be used.
        AuthError: If there are no credentials.
    """
    from aiobotocore.session import AioSession

    from aspot.aws import models

    made = AioSession()
    made.register_component("data_loader", models.loader())
    try:
        if is_loopback(_configured_endpoint(made)):
            made.get_component("credential_provider").remove("iam-role")  # nobody outside is asked
        found = await made.get_credentials()
    except Exception as error:
        raise _configuration(error) from error
    if found is None:
        raise AuthError("there are no AWS credentials", fix=CREDENTIALS_FIX)
    return made


def _configured_endpoint(session: Any) -> str:
    keys = ("AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL")
    found = next((os.environ[key] for key in keys if os.environ.get(key)), "")
    return found or str(session.get_scoped_config().get("endpoint_url") or "")


def is_loopback(endpoint: str) -> bool:
    """Tell whether an endpoint is an address of this machine."""
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def region_of(session: Any, wanted: str | None) -> str:
    """Return the region to use: the one wanted, else the one that AWS's configuration names.

    Raises:
        ConfigError: If there is none, or no such one.
    """
    region = wanted or session.get_config_variable("region") or os.environ.get("AWS_REGION")
    if not region:
        raise ConfigError(
            "no AWS region is set",
            fix="give --region (region= in a profile), or set AWS_DEFAULT_REGION, or run `aws configure`",
        )
    known: list[str] = []
    for partition in await _value(session.get_available_partitions()):
        known += await _value(session.get_available_regions("ec2", partition_name=partition))
    if region not in known:
        import difflib

        near = difflib.get_close_matches(region, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(
            f"there is no AWS region {region!r}",
            fix=f"{hint}regions look like us-east-1 (a very new one needs a newer botocore)",
        )
    return str(region)


async def _value(maybe: Any) -> Any:
    return await maybe if hasattr(maybe, "__await__") else maybe


def _configuration(error: Exception) -> Exception:
    """Return the public error for a configuration that botocore could not use."""
    from botocore.exceptions import BotoCoreError

    if not isinstance(error, BotoCoreError):
        return error
    trouble = examine(error, "credentials")
    if trouble is not None and trouble.cause is Cause.EXPIRED:
        return AuthError(f"AWS credentials cannot be had: {error}", fix=CREDENTIALS_FIX)
    return ConfigError(
        f"AWS's configuration cannot be used: {error}", fix="look at ~/.aws/config, AWS_PROFILE and AWS_ENDPOINT_URL"
    )
