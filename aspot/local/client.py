"""LocalCloud: a local cloud of one's own, for tests, demos and benchmarks. Imports home and the standard library."""

from __future__ import annotations

import asyncio
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from aspot.errors import ConfigError
from aspot.local.handle import Control
from aspot.local.home import Home, Settings

__all__ = ["LocalCloud", "boot_range"]


def boot_range(text: str | tuple[float, float]) -> tuple[float, float]:
    """Return the shortest and longest boot from words like `0.5-2` or `1`, seconds.

    Raises:
        ConfigError: it is no such range.
    """
    parts = text.split("-") if isinstance(text, str) else [str(part) for part in text]
    try:
        low, high = float(parts[0]), float(parts[-1])
    except ValueError:
        low, high = -1.0, -1.0
    if len(parts) > 2 or not 0 <= low <= high < float("inf"):  # from, to
        raise ConfigError(f"{text!r} is no range of boot times", fix="write it as 0.5-2, in seconds")
    return low, high


class LocalCloud:
    """A local cloud in a folder of its own, as an async context manager; it ends with the block.

    Args:
        folder: Where it keeps itself; None: a temporary folder that is removed at the end.
        seed: Same seed, same prices and boot times.
        boot: Shortest and longest boot, seconds: `"0.5-2"` or a pair.
        port: Port of the AWS endpoint; 0 for any free one.
        ssh_port: Port of the machines; None for 22 where possible.
        isolation: `"sessions"` to do without namespaces; None for the best there is.

    Example:
        ```python
        async with LocalCloud(boot="0.2-0.5") as cloud:
            os.environ.update(cloud.env)
        ```
    """

    def __init__(
        self,
        *,
        folder: Path | None = None,
        seed: int = 0,
        boot: str | tuple[float, float] = "0.5-2",
        port: int = 0,
        ssh_port: int | None = None,
        isolation: str | None = None,
    ) -> None:
        self._wanted = folder
        self._settings = Settings(seed=seed, boot_s=boot_range(boot), port=port, ssh_port=ssh_port, isolation=isolation)
        self._control: Control | None = None
        self._daemon: subprocess.Popen[bytes] | None = None

    async def __aenter__(self) -> Self:
        return await self.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def start(self) -> Self:
        """Start it and return when it answers. It ends with this process at the latest.

        Raises:
            ConfigError: another runs in this folder.
            InternalError: it does not start.
        """
        folder = self._wanted or Path(tempfile.mkdtemp(prefix="aspot-local-"))
        self._home = Home(folder.absolute())
        try:
            control, self._daemon = await asyncio.to_thread(self._home.start, self._settings, leashed=True)
        except BaseException:
            self._remove_temporary()
            raise
        if self._daemon is None:
            raise ConfigError(f"a local cloud already runs in {folder}", fix="choose another folder")
        self._control = control
        return self

    async def aclose(self) -> None:
        """End it with everything in it; nothing happens if it has ended."""
        if self._control is None or self._daemon is None:
            return
        self._control = None
        assert self._daemon.stdin is not None
        self._daemon.stdin.close()  # that alone ends it, should this task be cancelled at the next line
        await asyncio.to_thread(self._home.stop)
        self._daemon.wait()
        self._remove_temporary()

    def _remove_temporary(self) -> None:
        if self._wanted is None:
            shutil.rmtree(self._home.folder, ignore_errors=True)

    @property
    def env(self) -> dict[str, str]:
        """The environment variables that point AWS SDKs, and `ssh -F`, at it."""
        return self._running.environment

    @property
    def endpoint(self) -> str:
        """The URL that speaks AWS."""
        return self._running.endpoint

    @property
    def isolation(self) -> str:
        """How machines are kept apart: `namespaces` or `sessions`."""
        return self._running.isolation

    @property
    def _running(self) -> Control:
        if self._control is None:
            raise ConfigError("this local cloud does not run", fix="use it inside `async with LocalCloud()`")
        return self._control

    async def instances(self) -> list[dict[str, Any]]:
        """Return every machine, the ended ones too: id, name, state, type, zone, address, port, boot_s, tags, ..."""
        found: list[dict[str, Any]] = await self._ask("GET", "instances")
        return found

    async def interrupt(self, id_or_name: str, *, notice_s: float = 120.0) -> None:
        """Let EC2 reclaim a spot machine after a notice of so many seconds; 0 for none."""
        await self._ask("POST", "interrupt", instance=id_or_name, notice_s=notice_s)

    async def rebalance(self, id_or_name: str) -> None:
        """Let EC2 recommend to move a machine's work elsewhere."""
        await self._ask("POST", "rebalance", instance=id_or_name)

    async def fault(self, kind: str, **details: Any) -> dict[str, Any]:
        """Switch a fault on; see `aspot.local.faults.Faults.add` for the kinds and their details."""
        found: dict[str, Any] = await self._ask("POST", "faults", kind=kind, **details)
        return found

    async def faults(self) -> list[dict[str, Any]]:
        """Return the faults that are on."""
        found: list[dict[str, Any]] = await self._ask("GET", "faults")
        return found

    async def clear_faults(self) -> None:
        """Switch all faults off."""
        await self._ask("DELETE", "faults")

    async def calls(self) -> dict[str, int]:
        """Return how often each AWS action was called since the start or the last reset."""
        found: dict[str, int] = await self._ask("GET", "calls")
        return found

    async def reset_calls(self) -> None:
        """Count calls from 0 again."""
        await self._ask("DELETE", "calls")

    async def _ask(self, method: str, path: str, **body: Any) -> Any:
        return await asyncio.to_thread(self._running.call, method, path, body)
