"""One job on a machine behind a link that loses packets: `unshare -rn python -m tests.toxics.lossy FOLDER SHARE`.

Client and machine live in network namespaces of their own; between them lies a link of two tun devices whose packets
this process carries, and of which it drops a share, each way. Prints what came of the job as JSON.
"""

from __future__ import annotations

import ctypes
import fcntl
import json
import os
import random
import select
import socket
import struct
import subprocess
import sys
import threading
from pathlib import Path

import anyio

from aspot.machine.model import ExitStatus
from aspot.ports import LinkDropped, NotReady
from aspot.ssh.keys import RunKeys
from tests.ssh.guest import LEASE, Guest, Sink, order_for, remote_of

CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000
HERE, THERE, NET = "10.77.0.1", "10.77.0.2", "10.77.0.0/30"
JOB = "seq 1 2000; echo oh >&2; cp data out/; exit 3"


def link_end(address: str) -> int:
    """Make this namespace's end of the link."""
    end = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(end, TUNSETIFF, struct.pack("16sH", b"tun0", IFF_TUN | IFF_NO_PI))
    for words in (
        ("link", "set", "lo", "up"),
        ("addr", "add", f"{address}/30", "dev", "tun0"),
        ("link", "set", "tun0", "up"),
        ("route", "change", NET, "dev", "tun0", "rto_min", "5ms"),  # lost packets are sent again that soon
    ):
        subprocess.run(["ip", *words], check=True)
    return end


def carry(ends: tuple[int, int], share: float, lost: list[int]) -> None:
    chance = random.Random(f"lossy {share}")
    other = {ends[0]: ends[1], ends[1]: ends[0]}
    while True:
        for end in select.select(ends, [], [])[0]:
            packet = os.read(end, 1 << 16)
            if chance.random() < share:
                lost[0] += 1
            else:
                os.write(other[end], packet)


def be_machine(guest: Guest, parent: socket.socket) -> None:
    """Serve SSH in a namespace of its own until the parent hangs up."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "no network namespace")
    socket.send_fds(parent, [b"."], [link_end(THERE)])

    async def serve() -> None:
        guest.prepare()
        await guest.listen()
        parent.sendall(struct.pack("!H", guest.port))
        await anyio.to_thread.run_sync(parent.recv, 1)
        await guest.aclose()

    anyio.run(serve)


async def play(guest: Guest, base: Path) -> dict[str, object]:
    """Run a job there, as the runtime does: what drops is done again."""
    (base / "data").write_bytes(random.Random("data").randbytes(20_000))
    order = order_for(base, JOB, upload=(("data", ""),))
    sink, into = Sink(), base / "into"
    into.mkdir()
    drops = 0
    async with remote_of(guest) as remote:
        for _ in range(20):
            try:
                link = await remote.connect(guest.target())
                await link.arm(LEASE)
                await link.deliver(order)
                await link.start(order)
                await link.follow("job", 1, sink)
                while not isinstance(status := await link.status("job", 1), ExitStatus):
                    await anyio.sleep(0.05)
                await link.fetch_result(order.spec, 1, sink, into)
                break
            except (LinkDropped, NotReady):
                drops += 1
    return {
        "code": status.code,
        "stdout": bytes(sink.kept["stdout"]).decode(),
        "stderr": bytes(sink.kept["stderr"]).decode(),
        "restarts": len(sink.restarts),
        "same": (into / "out/data").read_bytes() == (base / "data").read_bytes(),
        "drops": drops,
    }


def main(folder: Path, share: float) -> None:
    base = folder / "base"
    base.mkdir()
    guest = Guest(folder / "guest", RunKeys.generate(folder / "keys"), address=THERE)
    mine, childs = socket.socketpair()
    child = os.fork()
    if child == 0:
        mine.close()
        be_machine(guest, childs)
        os._exit(0)
    childs.close()
    _, (there, *_), _, _ = socket.recv_fds(mine, 1, 1)
    lost = [0]
    threading.Thread(target=carry, args=((link_end(HERE), there), share, lost), daemon=True).start()
    (guest.port,) = struct.unpack("!H", mine.recv(2))
    try:
        done = anyio.run(play, guest, base)
    finally:
        mine.close()
        os.waitpid(child, 0)
    print(json.dumps({**done, "lost": lost[0]}))


if __name__ == "__main__":
    main(Path(sys.argv[1]), float(sys.argv[2]))
