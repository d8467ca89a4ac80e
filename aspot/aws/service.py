"""What aspot asks of AWS in one account and region beside runs: found by AWS's own configuration, refusals in words."""

from __future__ import annotations

from collections.abc import Awaitable
from types import TracebackType
from typing import Self, TypeVar

import anyio

from aspot.aws.clients import Aws
from aspot.aws.errors import Trouble, to_error

T = TypeVar("T")

CLOSE_S = 2.0
"""To close connections."""


class Service:
    """One region. Make it with `open`, close it with `aclose`, or use it as `async with await Service.open(region)`."""

    def __init__(self, aws: Aws) -> None:
        self._aws = aws

    @classmethod
    async def open(cls, region: str | None) -> Self:
        """Find credentials and region as every AWS tool does; nothing is asked of AWS yet.

        Raises:
            ConfigError: If there is no region, or no such region.
            AuthError: If there are no credentials.
        """
        return cls(await Aws.open(region))

    @property
    def region(self) -> str:
        """Return the region."""
        return self._aws.region

    async def aclose(self) -> None:
        """Close connections, when cancelled, too."""
        with anyio.move_on_after(CLOSE_S, shield=True):
            await self._aws.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _explained(self, call: Awaitable[T]) -> T:
        """Return what a call brings; its refusal becomes an error for people."""
        try:
            return await call
        except Trouble as trouble:
            raise to_error(await self._aws.explain(trouble)) from trouble
