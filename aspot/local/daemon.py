"""The daemon: one process, one event loop, the AWS front, the control side and the machines.

Started by `aspot.local.home`, never by hand: `python -m aspot.local.daemon SETTINGS FOLDER`. May import: everything in
aspot.local.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import logging
import os
import secrets
import signal
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from aiohttp import web

from aspot.local import advisor
from aspot.local.cloud import Cloud, Options
from aspot.local.control import ControlSide
from aspot.local.front import Front
from aspot.local.guests.park import Park
from aspot.local.home import Home, Settings
from aspot.local.lifecycle import Lifecycle
from aspot.local.moto_host import Moto
from aspot.local.ssh_config import SshConfig
from aspot.local.storage import answer_machine

__all__ = ["main", "serve"]

_LOG = logging.getLogger(__name__)
_HOME_REGION = "us-east-1"
_WRITE_EVERY_S = 0.1
_LOOK_EVERY_S = 1.0
_BIGGEST_REQUEST = 80 << 20  # parts of an upload to S3 come whole
# The moto thread must hand over quickly, or every SSH session waits 5 ms at each of its turns.
_SWITCH_S = 0.001


def main() -> None:
    """Run the daemon that the command line describes."""
    settings = json.loads(sys.argv[1])
    settings["boot_s"] = tuple(settings["boot_s"])
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("asyncssh").setLevel(logging.WARNING)
    leashed = sys.argv[3:] == ["leashed"]
    sys.exit(asyncio.run(serve(Home(Path(sys.argv[2])), Settings(**settings), leashed=leashed)))


async def serve(home: Home, settings: Settings, *, leashed: bool) -> int:
    """Run a local cloud in a folder until a signal ends it, or the end of stdin if leashed; return an exit code."""
    home.make()
    lock = home.lock_soon()
    if lock is None:
        _LOG.error("another local cloud runs in this folder")
        return 1
    home.control_file.unlink(missing_ok=True)
    sys.setswitchinterval(_SWITCH_S)
    try:
        await _serve(home, settings, _stop_event(leashed=leashed))
    finally:
        home.control_file.unlink(missing_ok=True)
        os.close(lock)
    return 0


def _stop_event(*, leashed: bool) -> asyncio.Event:
    """Return the event that is set when the daemon has to end."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)

    def slipped() -> None:
        loop.remove_reader(0)
        stop.set()

    if leashed:
        loop.add_reader(0, slipped)
    return stop


async def _serve(home: Home, settings: Settings, stop: asyncio.Event) -> None:
    listener = _listen(settings.port)
    port = listener.getsockname()[1]
    moto = Moto(home.folder)
    lives: list[Lifecycle] = []

    def shut_down(instance_id: str) -> None:
        lives[0].shut_down(instance_id)

    async def answer(instance_id: str, words: Sequence[str]) -> str:
        return await answer_machine(lives[0].cloud, instance_id, words)

    park = Park(
        home.folder / "park",
        ssh_port=settings.ssh_port,
        on_shutdown=shut_down,
        guest_environment={"AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}", "AWS_DEFAULT_REGION": _HOME_REGION},
        isolation=settings.isolation,
        on_storage=answer,
    )
    gc.disable()  # moto is loaded to stay: looking through it for garbage took a fifth of a short-lived daemon's time
    async with asyncio.TaskGroup() as group:
        group.create_task(moto.call(moto.load))
        group.create_task(park.start())
    gc.freeze()
    gc.enable()
    cloud = Cloud(moto=moto, machines=park, options=Options(seed=settings.seed, boot_s=settings.boot_s))
    try:
        async with Lifecycle(cloud) as life:
            lives.append(life)
            await cloud.region(_HOME_REGION)
            await _answer(home, cloud, life, park, listener=listener, stop=stop)
    finally:
        await park.aclose()
        moto.close()


async def _answer(
    home: Home, cloud: Cloud, life: Lifecycle, park: Park, *, listener: socket.socket, stop: asyncio.Event
) -> None:
    """Serve until asked to stop."""
    token = secrets.token_urlsafe(32)
    app = web.Application(client_max_size=_BIGGEST_REQUEST)
    app.add_routes(ControlSide(cloud, life, token=token).routes())
    app.router.add_get(advisor.PATH, advisor.Advisor(cloud).handle)
    app.router.add_route("*", "/{path:.*}", Front(cloud, life).handle)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    config = SshConfig(home.folder)
    config.write(cloud)
    async with asyncio.TaskGroup() as group:
        writing = group.create_task(_keep_config(config, cloud))
        home.write_control(port=listener.getsockname()[1], token=token, isolation=park.isolation)
        _LOG.info("the local cloud answers")
        await stop.wait()
        writing.cancel()
    await runner.cleanup()


async def _keep_config(config: SshConfig, cloud: Cloud) -> None:
    """Rewrite the ssh configuration when machines have changed, and look for new host keys and names now and then."""
    while True:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(cloud.changed.wait(), _LOOK_EVERY_S)
        cloud.changed.clear()
        try:
            config.write(cloud)
        except OSError:
            _LOG.exception("can't write the ssh configuration")
        await asyncio.sleep(_WRITE_EVERY_S)


def _listen(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("127.0.0.1", port))
    listener.listen(1024)
    return listener


if __name__ == "__main__":
    main()
