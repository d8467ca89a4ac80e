"""A bug in every place: one port call, counted over all ports, raises what nobody expects."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import attrs


class Bug(Exception):
    """Not one of the exceptions that ports may raise."""


@attrs.define
class Fuse:
    """Goes off at the n-th call; `seen` counts."""

    at: int
    seen: int = 0
    went_off: str = ""

    def burn(self, name: str) -> None:
        self.seen += 1
        if self.seen == self.at:
            self.went_off = name
            raise Bug(name)


class Bombed:
    """A port whose coroutine methods burn the fuse first."""

    def __init__(self, port: Any, fuse: Fuse) -> None:
        self._port = port
        self._fuse = fuse

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._port, name)
        if name == "watch":
            return self._watching(found)
        return self._burning(name, found) if inspect.iscoroutinefunction(found) else found

    def _watching(self, found: Callable[..., Any]) -> Callable[..., Any]:
        async def watch() -> Any:
            self._fuse.burn("watch")
            async for fact in found():
                yield fact

        return watch

    def _burning(self, name: str, found: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **options: Any) -> Any:
            self._fuse.burn(name)
            answer = await found(*args, **options)
            return Bombed(answer, self._fuse) if name == "connect" else answer

        return call
