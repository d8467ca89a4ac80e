"""One gateway to AWS: opens clients lazily, repeats what may be repeated, turns every failure into a `Trouble`.

botocore's own retries are off: it would repeat a launch that found no capacity, and hide throttling from us.
"""

from __future__ import annotations

import ipaddress
import os
import random
import re
import time
from collections.abc import Collection, Iterable, Mapping
from contextlib import AsyncExitStack
from typing import Any, Self
from urllib.parse import urlsplit

import anyio

from aspot.aws.errors import CREDENTIALS_FIX, TRANSIENT, Cause, Trouble, examine
from aspot.errors import AuthError, ConfigError

CONNECT_S = 5.0
READ_S = 30.0
CALL_S = 60.0
"""Longest that one try of a call may take in all."""
TRIES = 4
PAGE = 1000
"""Most results a page of Describe calls (EC2 API reference)."""

_KEPT: Mapping[str, tuple[str, ...]] = {
    "Reservation": ("Instances",),
    "Instance": (
        "InstanceId",
        "InstanceLifecycle",
        "InstanceType",
        "LaunchTime",
        "Placement",
        "PrivateIpAddress",
        "PublicIpAddress",
        "SpotInstanceRequestId",
        "State",
        "StateReason",
        "Tags",
    ),
    "Placement": ("AvailabilityZone",),
    "SpotInstanceRequest": ("InstanceId", "SpotInstanceRequestId", "State", "Status"),
}
"""Members of EC2's answers that we read; the parser skips the rest, which makes a poll three times as cheap
(0.17 instead of 0.5 ms of CPU an instance: measured with botocore 1.43)."""


class Aws:
    """Clients of one region. Make it with `Aws.open`."""

    def __init__(self, session: Any, region: str, stack: AsyncExitStack) -> None:
        self._session, self._stack = session, stack
        self._clients: dict[str, Any] = {}
        self.region = region
        self.endpoint = ""

    @classmethod
    async def open(cls, region: str | None) -> Self:
        """Find region and credentials as every AWS tool does, and connect to nothing yet.

        Args:
            region: Region; None for the one of AWS's own configuration.

        Raises:
            ConfigError: If there is no region, or no such region.
            AuthError: If there are no credentials.
        """
        from aiobotocore.session import AioSession

        session = AioSession()
        _lighten(session)
        try:
            found = await _region(session, region)
            if _is_loopback(_configured_endpoint(session)):
                session.get_component("credential_provider").remove("iam-role")  # nobody outside is asked
            await _check_credentials(session)
        except Exception as error:
            raise _configuration(error) from error
        aws = cls(session, found, AsyncExitStack())
        aws.endpoint = str((await aws._client("ec2")).meta.endpoint_url)
        return aws

    @property
    def is_loopback(self) -> bool:
        """Tell whether EC2 is asked at an address of this machine."""
        return _is_loopback(self.endpoint)

    async def _client(self, service: str, region: str | None = None) -> Any:
        if service not in self._clients:
            from botocore.config import Config

            config = Config(
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                retries={"mode": "standard", "total_max_attempts": 1},
                user_agent_extra="aspot",
            )
            made = self._session.create_client(service, region_name=region or self.region, config=config)
            self._clients[service] = await self._stack.enter_async_context(made)
        return self._clients[service]

    async def once(self, operation: str, *, region: str | None = None, **params: Any) -> dict[str, Any]:
        """Make one call, one try.

        Args:
            operation: As in a policy, such as `ec2:DescribeInstances`.
            region: Region to ask in place of our own, for services that live in few.
            **params: The call's parameters.

        Raises:
            Trouble: If it did not succeed.
        """
        service, _, action = operation.partition(":")
        try:
            with anyio.fail_after(CALL_S):
                client = await self._client(_SERVICES.get(service, service), region)
                answer: dict[str, Any] = await getattr(client, _snake(action))(**params)
        except Exception as error:
            trouble = examine(error, operation)
            if trouble is None:
                raise
            raise trouble from error
        return answer

    async def call(
        self,
        operation: str,
        *,
        tries: int = TRIES,
        awaited: Collection[str] = (),
        awaited_s: float = 60.0,
        region: str | None = None,
        **params: Any,
    ) -> dict[str, Any]:
        """Make a call that may be repeated: transient failures are, with full jitter.

        Args:
            operation: As in a policy.
            tries: Most tries in all.
            awaited: Codes that mean "not yet" for something made just now.
            awaited_s: How long to wait for it.
            region: Region to ask in place of our own.
            **params: The call's parameters.

        Raises:
            Trouble: If it did not succeed.
        """
        began, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                return await self.once(operation, region=region, **params)
            except Trouble as trouble:
                is_early = trouble.code in awaited and time.monotonic() - began < awaited_s
                if not is_early and not (trouble.cause in TRANSIENT and attempt < tries):
                    raise
            await anyio.sleep(random.uniform(0.1, min(8.0, 0.5 * 2.0**attempt)))  # noqa: S311

    async def pages(
        self, operation: str, key: str, *, tries: int = TRIES, size: int | None = PAGE, **params: Any
    ) -> list[Any]:
        """Return all items of a paged answer.

        Args:
            operation: As in a policy.
            key: The answer's member with the items.
            tries: Most tries of each page.
            size: Items a page; None where the action has a limit of its own.
            **params: The call's parameters.
        """
        found: list[Any] = []
        more: dict[str, Any] = {} if size is None else {"MaxResults": size}
        while True:
            answer = await self.call(operation, tries=tries, **params, **more)
            found += answer.get(key, [])
            if not answer.get("NextToken"):
                return found
            more["NextToken"] = answer["NextToken"]

    async def aclose(self) -> None:
        """Close connections."""
        await self._stack.aclose()


_SERVICES = {"servicequotas": "service-quotas"}


def _snake(action: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower()


def tag_filter(key: str, *values: str) -> dict[str, Any]:
    """Return a filter on a tag's value."""
    return {"Name": f"tag:{key}", "Values": list(values)}


def named(name: str, values: Iterable[str]) -> dict[str, Any]:
    """Return a filter."""
    return {"Name": name, "Values": list(values)}


def _lighten(session: Any) -> None:
    """Leave out what we do not read of EC2's answers; the loader, and so the model, belongs to this session alone."""
    shapes = session.get_component("data_loader").load_service_model("ec2", "service-2")["shapes"]
    for name, kept in _KEPT.items():
        members = shapes[name]["members"]
        shapes[name]["members"] = {key: members[key] for key in kept if key in members}


def _configured_endpoint(session: Any) -> str:
    keys = ("AWS_ENDPOINT_URL_EC2", "AWS_ENDPOINT_URL")
    found = next((os.environ[key] for key in keys if os.environ.get(key)), "")
    return found or str(session.get_scoped_config().get("endpoint_url") or "")


def _is_loopback(endpoint: str) -> bool:
    host = urlsplit(endpoint).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


async def _region(session: Any, wanted: str | None) -> str:
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


async def _check_credentials(session: Any) -> None:
    if await session.get_credentials() is None:
        raise AuthError("there are no AWS credentials", fix=CREDENTIALS_FIX)


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
