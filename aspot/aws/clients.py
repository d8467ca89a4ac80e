"""One gateway to AWS: opens clients lazily, repeats what may be repeated, turns every failure into a `Trouble`.

botocore's own retries are off: it would repeat a launch that found no capacity, and hide throttling from us.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Callable, Collection, Iterable
from contextlib import AsyncExitStack
from typing import Any, Self

import anyio

from aspot.aws import chain
from aspot.aws.codes import PERMISSION, TRANSIENT, Cause
from aspot.aws.errors import Trouble, examine
from aspot.aws.lean import Reader
from aspot.errors import AspotError, ConfigError

CONNECT_S = 5.0
READ_S = 30.0
CALL_S = 60.0
"""Longest that one try of a call may take in all."""
EXPLAIN_S = 8.0
TRIES = 4
UNREACHABLE_TRIES = 2
PAGE = 1000
"""Most results a page of Describe calls (EC2 API reference)."""
TEMPLATES_PAGE = 200
"""Most of DescribeLaunchTemplates (botocore's model)."""


class Aws:
    """Clients of one region. Make it with `Aws.open`."""

    def __init__(self, session: Any, region: str) -> None:
        self._session, self._stack = session, AsyncExitStack()
        self._clients: dict[str, Any] = {}
        self._old = AsyncExitStack()
        self._reader = Reader()
        self._is_refused = False  # the credentials are: read them afresh before the next call
        self.region = region
        self.endpoint = ""
        self.check: Callable[[], None] = lambda: None  # called before each call; what it raises prevents that
        self.partition = "aws"

    @classmethod
    async def open(cls, region: str | None) -> Self:
        """Find region and credentials as every AWS tool does, and connect to nothing yet.

        Args:
            region: Region; None for the one of AWS's own configuration.

        Raises:
            ConfigError: If there is no region, or no such region.
            AuthError: If there are no credentials.
        """
        session = await chain.session()
        aws = cls(session, await chain.region_of(session, region))
        try:
            ec2 = await aws._client("ec2")
            aws.endpoint, aws.partition = str(ec2.meta.endpoint_url), str(ec2.meta.partition)
        except ValueError as error:
            raise ConfigError(str(error), fix="look at AWS_ENDPOINT_URL and endpoint_url in ~/.aws/config") from error
        return aws

    @property
    def is_loopback(self) -> bool:
        """Tell whether EC2 is asked at an address of this machine."""
        return chain.is_loopback(self.endpoint)

    async def _client(self, service: str, region: str | None = None) -> Any:
        if self._is_refused:
            await self._renew()
        if service not in self._clients:
            from aiobotocore.config import AioConfig

            from aspot.aws.tls import SharedTlsSession

            config = AioConfig(
                http_session_cls=SharedTlsSession,
                connect_timeout=CONNECT_S,
                read_timeout=READ_S,
                retries={"mode": "standard", "total_max_attempts": 1},
                user_agent_extra="aspot",
            )
            made = self._session.create_client(service, region_name=region or self.region, config=config)
            client = self._clients[service] = await self._stack.enter_async_context(made)
            if service == "ec2":
                client.meta.events.register("before-parse.ec2.DescribeInstances", self._reader)
        return self._clients[service]

    async def _renew(self) -> None:
        """Read the credentials afresh. Clients used until now may have calls under way, so they are closed later."""
        try:
            self._session = await chain.session()
        except AspotError as error:
            raise Trouble(Cause.EXPIRED, "NoCredentials", error.message) from error
        self._is_refused, self._clients = False, {}
        before, self._old, self._stack = self._old, self._stack, AsyncExitStack()
        await before.aclose()

    async def once(
        self, operation: str, *, region: str | None = None, within_s: float | None = None, **params: Any
    ) -> dict[str, Any]:
        """Make one call, one try.

        Args:
            operation: As in a policy, such as `ec2:DescribeInstances`.
            region: Region to ask in place of our own, for services that live in few.
            within_s: Longest that it may take in all; None for `CALL_S`.
            **params: The call's parameters.

        Raises:
            Trouble: If it did not succeed.
        """
        self.check()
        service, _, action = operation.partition(":")
        try:
            with anyio.fail_after(CALL_S if within_s is None else within_s):
                client = await self._client(_SERVICES.get(service, service), region)
                answer: dict[str, Any] = await getattr(client, _snake(action))(**params)
        except Trouble:
            raise
        except Exception as error:
            trouble = examine(error, operation)
            if trouble is None:
                raise
            self._is_refused |= trouble.cause in (Cause.EXPIRED, Cause.AUTH) and trouble.code not in PERMISSION
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
        within_s: float | None = None,
        **params: Any,
    ) -> dict[str, Any]:
        """Make a call that may be repeated: transient failures are, with full jitter.

        Args:
            operation: As in a policy.
            tries: Most tries in all.
            awaited: Codes that mean "not yet" for something made just now.
            awaited_s: How long to wait for it.
            region: Region to ask in place of our own.
            within_s: Longest that each try may take.
            **params: The call's parameters.

        Raises:
            Trouble: If it did not succeed.
        """
        began, attempt = time.monotonic(), 0
        while True:
            attempt += 1
            try:
                return await self.once(operation, region=region, within_s=within_s, **params)
            except Trouble as trouble:
                is_early = trouble.code in awaited and time.monotonic() - began < awaited_s
                most = min(tries, UNREACHABLE_TRIES) if trouble.cause is Cause.UNREACHABLE else tries
                if not is_early and not (trouble.cause in TRANSIENT and attempt < most):
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
        await self._old.aclose()
        await self._stack.aclose()

    async def explain(self, trouble: Trouble) -> Trouble:
        """Return the refusal with what AWS's encoded message says, where we may read it."""
        if trouble.blob:
            try:
                with anyio.fail_after(EXPLAIN_S):
                    answer = await self.once("sts:DecodeAuthorizationMessage", EncodedMessage=trouble.blob)
            except (Trouble, TimeoutError):
                return trouble
            context = json.loads(answer["DecodedMessage"]).get("context", {})
            trouble.operation = context.get("action") or trouble.operation
            trouble.message = f"{trouble.message} (on {context.get('resource', 'an unknown resource')})"
        return trouble


_SERVICES = {"servicequotas": "service-quotas", "elasticfilesystem": "efs"}


def _snake(action: str) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", action).lower()


def named(name: str, values: Iterable[str]) -> dict[str, Any]:
    """Return a filter."""
    return {"Name": name, "Values": list(values)}
