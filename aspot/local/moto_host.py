"""moto in this process: its WSGI application on a thread of its own. May import: moto_seams, refusal.

moto is not safe for threads, so everything that touches it runs on that one thread, save reads of single attributes.
"""

from __future__ import annotations

import asyncio
import io
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

import attrs

from aspot.local.moto_seams import ACCOUNT, MotoRegion, translated

__all__ = ["Answer", "Moto"]

_T = TypeVar("_T")


@attrs.frozen(kw_only=True)
class Answer:
    """An HTTP answer."""

    status: int
    headers: dict[str, str]
    body: bytes


class Moto:
    """moto in this process, on a thread of its own.

    Args:
        folder: Where the (empty) list of images is kept that replaces moto's own 1,300.
    """

    def __init__(self, folder: Path) -> None:
        self._images_file = folder / "moto-images.json"
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="moto")
        self._regions: dict[str, MotoRegion] = {}
        self._app: Any = None

    def load(self) -> None:
        """Import moto, which takes about a second; on moto's thread."""
        self._images_file.write_text("[]")
        os.environ["MOTO_AMIS_PATH"] = str(self._images_file)
        os.environ["MOTO_ACCOUNT_ID"] = ACCOUNT
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        self._app = DomainDispatcherApplication(create_backend_app)
        logging.getLogger("werkzeug").setLevel(logging.ERROR)

    async def call(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run a function on moto's thread; moto's own errors come back as `Refusal`.

        Raises:
            Refusal: what moto refused.
        """
        return await asyncio.get_running_loop().run_in_executor(self._thread, lambda: translated(function, *args))

    def close(self) -> None:
        """End the thread; nothing must be asked of moto afterwards."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def region(self, name: str) -> MotoRegion:
        """Return a Region, made at the first use with its default network and the public images.

        Raises:
            Refusal: there is no such Region.
        """
        found = self._regions.get(name)
        if found is None:
            found = self._regions[name] = MotoRegion(name)
        return found

    def forward(self, *, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> Answer:
        """Answer a request as moto does, through its WSGI application."""
        environ = _environ(method=method, path=path, query=query, headers=headers, body=body)
        started: list[tuple[str, list[tuple[str, str]]]] = []

        def start_response(status: str, names: list[tuple[str, str]], _error: Any = None) -> Callable[[bytes], None]:
            started.append((status, names))
            return lambda _chunk: None

        content = b"".join(self._app(environ, start_response))
        status, names = started[-1]
        return Answer(status=int(status.split()[0]), headers=dict(names), body=content)


def _environ(*, method: str, path: str, query: str, headers: Mapping[str, str], body: bytes) -> dict[str, Any]:
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path.encode("utf-8", "surrogateescape").decode("latin-1"),  # as PEP 3333 asks
        "QUERY_STRING": query,
        "CONTENT_LENGTH": str(len(body)),
        "CONTENT_TYPE": headers.get("Content-Type", ""),
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "REMOTE_ADDR": "127.0.0.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(body),
        "wsgi.errors": io.StringIO(),
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    for name, value in headers.items():
        environ.setdefault("HTTP_" + name.upper().replace("-", "_"), value)
    return environ
