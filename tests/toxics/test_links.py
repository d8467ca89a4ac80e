"""One machine behind a network that spoils connections (FAULTS S): nothing runs twice, nothing half arrives."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tracemalloc

import anyio
import pytest
from waiting import until_async

from aspot.archive.local import LocalArchive
from aspot.errors import LinkError
from aspot.machine.model import ExitStatus
from aspot.ports import Gone, LinkDropped, NotReady
from aspot.ssh import collect, connect, exchange
from aspot.ssh import link as link_module
from tests.ssh.guest import LEASE, RUN, Sink, order_for

pytestmark = pytest.mark.anyio

MIB = 1 << 20
COUNTS = 'echo "$ASPOT_ATTEMPT" >>"$HOME/runs"\n'
WAITS = "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two"


async def armed(remote, target):
    link = await remote.connect(target)
    await link.arm(LEASE)
    return link


async def ended(link, attempt=1) -> ExitStatus:
    with anyio.fail_after(60):
        while not isinstance(found := await link.status("job", attempt), ExitStatus):
            await anyio.sleep(0.02)
    return found


def go(guest):
    (guest.home / ".aspot" / RUN / "job/a1/work/go").touch()


def runs(guest) -> list[str]:
    return (guest.home / "runs").read_text().split()


async def test_a_connection_that_is_hung_up_on_before_the_key_exchange_is_made_again(proxy, remote, target):
    proxy.hang_ups = 2
    for _ in range(2):
        with pytest.raises(NotReady):
            await remote.connect(target)
    await armed(remote, target)
    assert proxy.made == 3


async def test_a_port_behind_which_everything_vanishes_is_not_ready(proxy, remote, target, monkeypatch):
    monkeypatch.setattr(connect, "LOGIN_S", 0.3)
    proxy.partition()
    with pytest.raises(NotReady):
        await remote.connect(target)


async def test_a_connection_beside_the_run_gives_a_silent_machine_up(proxy, remote, target):
    """Whoever sits before the screen waits seconds, not a minute."""
    connection = await remote.log_in(target, silence_s=0.8)
    proxy.partition()
    with anyio.fail_after(60):
        await connection.wait_closed()


async def test_a_half_open_connection_is_given_up_and_the_output_goes_on_where_it_was(
    quick, proxy, remote, target, base, guest
):
    order = order_for(base, WAITS)
    link = await armed(remote, target)
    await link.deliver(order)
    await link.start(order)
    sink = Sink()

    async def follow() -> None:
        with pytest.raises(LinkDropped), anyio.fail_after(60):
            await link.follow("job", 1, sink)

    async with anyio.create_task_group() as group:
        group.start_soon(follow)
        await until_async(lambda: sink.kept["stdout"] == b"one\n")
        proxy.partition()
    proxy.heal()
    again = await armed(remote, target)
    go(guest)
    await again.follow("job", 1, sink)
    assert sink.kept["stdout"] == b"one\ntwo\n"
    assert sink.restarts == []


@pytest.mark.parametrize("way", ["up", "down"])
async def test_a_reset_at_any_byte_of_a_start_starts_it_once(way, proxy, remote, target, base, guest):
    """Every 40th byte, from the first to the last of the exchange."""
    link, attempt, offset = await armed(remote, target), 1, 0
    while True:
        order = order_for(base, COUNTS, attempt=attempt)
        await link.deliver(order)
        toxic = getattr(proxy, way)
        toxic.resets_after = offset
        with contextlib.suppress(LinkDropped):
            await link.start(order)
        was_reset = toxic.resets_after < 0
        proxy.heal()
        if was_reset:
            link = await armed(remote, target)
        await link.start(order)
        assert (await ended(link, attempt)).code == 0
        if not was_reset:
            break
        attempt, offset = attempt + 1, offset + 40
    assert attempt > 3
    assert sorted(runs(guest), key=int) == [str(number) for number in range(1, attempt + 1)]


async def test_a_start_whose_answer_is_lost_is_asked_again_and_runs_once(
    proxy, remote, target, base, guest, monkeypatch
):
    order = order_for(base, COUNTS + WAITS)
    link = await armed(remote, target)
    await link.deliver(order)
    monkeypatch.setattr(link_module, "ANSWER_S", 0.3)
    proxy.down.silent_after = 0
    with pytest.raises(LinkDropped, match="nothing came"):
        await link.start(order)
    await until_async((guest.home / "runs").exists)
    proxy.heal()
    monkeypatch.undo()
    again = await armed(remote, target)
    await again.start(order)
    go(guest)
    assert (await ended(again)).code == 0
    assert runs(guest) == ["1"]


@pytest.mark.parametrize("after", [0, 10_000, 1_000_000, 2_900_000])
async def test_an_upload_that_is_cut_starts_nothing_and_arrives_whole_the_next_time(after, proxy, remote, target, base):
    (base / "big").write_bytes(os.urandom(3_000_000))
    order = order_for(base, "sha256sum <big | cut -c1-64", upload=(("big", ""),))
    link = await armed(remote, target)
    proxy.up.resets_after = after
    with pytest.raises(LinkDropped):
        await link.deliver(order)
    proxy.heal()
    link = await armed(remote, target)
    answer = await link.status("job", 1)
    assert isinstance(answer, Gone)
    assert not answer.was_started
    await link.deliver(order)
    await link.start(order)
    sink = Sink()
    await link.follow("job", 1, sink)
    assert sink.kept["stdout"].decode().strip() == hashlib.sha256((base / "big").read_bytes()).hexdigest()


@pytest.mark.parametrize("after", [0, 10_000, 1_000_000, 2_900_000])
async def test_a_download_that_is_cut_is_never_seen_and_comes_whole_the_next_time(
    after, proxy, remote, target, base, tmp_path
):
    content = os.urandom(1_500_000)
    (base / "big").write_bytes(content)
    order = order_for(base, "cp big out/a; cp big out/b; echo log", upload=(("big", ""),))
    link = await armed(remote, target)
    await link.deliver(order)
    await link.start(order)
    await ended(link)
    archive = LocalArchive(tmp_path / "results", "study", run="01" + "k" * 24)
    archive.prepare()
    proxy.down.resets_after = after
    with pytest.raises((LinkDropped, LinkError)):
        await link.fetch_result(order.spec, 1, Sink(), archive.staging("job", 1))
    assert not (tmp_path / "results/study/job").exists()
    proxy.heal()
    into = archive.staging("job", 1)
    assert list(into.iterdir()) == []
    found = await (await armed(remote, target)).fetch_result(order.spec, 1, archive.sink("job", 1), into)
    assert found.files == ("out/a", "out/b")
    folder = await archive.accept("job", 1, {"status": "succeeded"})
    assert [(folder / name).read_bytes() for name in found.files] == [content, content]
    assert (folder / "stdout").read_text() == "log\n"


async def test_a_slow_narrow_network_loses_nothing(proxy, remote, target, base, tmp_path):
    proxy.up.latency_s = proxy.down.latency_s = 0.05
    proxy.up.bytes_per_s = proxy.down.bytes_per_s = 100_000
    (base / "data").write_bytes(os.urandom(50_000))
    order = order_for(base, "cp data out/; seq 1 2000", upload=(("data", ""),))
    link = await armed(remote, target)
    await link.deliver(order)
    await link.start(order)
    sink, into = Sink(), tmp_path / "into"
    into.mkdir()
    await link.follow("job", 1, sink)
    await link.fetch_result(order.spec, 1, sink, into)
    assert sink.kept["stdout"].decode() == "".join(f"{n}\n" for n in range(1, 2001))
    assert (into / "out/data").read_bytes() == (base / "data").read_bytes()
    assert proxy.made == 1


@pytest.fixture
def tenfold(monkeypatch):
    """Ten seconds in one: every limit on the way to a machine, as it is in earnest, divided by ten."""
    limits = [(connect, "LOGIN_S"), (connect, "LOGIN_MOST_S"), (connect, "KEEPALIVE_S"), (link_module, "ANSWER_S")]
    limits += [(exchange, "PATIENCE_S"), (exchange, "OPEN_S"), (collect, "PATIENCE_S")]
    for module, name in limits:
        monkeypatch.setattr(module, name, getattr(module, name) / 10)


async def test_one_kilobyte_a_second_and_a_second_each_way_lose_nothing(tenfold, proxy, remote, target, base, tmp_path):
    """In a tenth of the time: 10 kB/s, and 0.1 s each way."""
    proxy.up.latency_s = proxy.down.latency_s = 0.1
    proxy.up.bytes_per_s = proxy.down.bytes_per_s = 10_000
    order = order_for(base, "seq 1 100; echo x >out/x; exit 3")
    with pytest.raises(NotReady, match="Login timeout"):
        await armed(remote, target)
    link = await armed(remote, target)
    assert proxy.made == 2, "it was given more time"
    await link.deliver(order)
    await link.start(order)
    sink, into = Sink(), tmp_path / "into"
    into.mkdir()
    await link.follow("job", 1, sink)
    assert (await ended(link)).code == 3
    await link.fetch_result(order.spec, 1, sink, into)
    assert sink.kept["stdout"].decode() == "".join(f"{n}\n" for n in range(1, 101))
    assert (into / "out/x").read_text() == "x\n"
    assert proxy.made == 2, "the connection was kept"


def test_a_network_that_loses_one_packet_in_five_each_way_loses_nothing(tmp_path):
    """Real packets, between network namespaces: TCP sends them again, and nobody gives up meanwhile."""
    if shutil.which("unshare") is None or shutil.which("ip") is None:
        pytest.skip("unshare or ip is not installed")
    words = ["unshare", "-rn", sys.executable, "-m", "tests.toxics.lossy", str(tmp_path), "0.2"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=110, check=False)
    if not done.stdout and re.search("unshare|Operation not permitted|/dev/net/tun|rto_min", done.stderr):
        pytest.skip(f"no network namespaces with a link of their own here: {done.stderr.strip()[-200:]}")
    found = json.loads(done.stdout or "null")
    assert found is not None, done.stderr
    assert found.pop("lost") > 20
    output = "".join(f"{number}\n" for number in range(1, 2001))
    expected = {"code": 3, "stdout": output, "stderr": "oh\n", "restarts": 0, "same": True, "drops": 0}
    assert found == expected


async def test_a_flood_of_output_over_a_narrow_network_is_not_held_here(proxy, remote, target, base):
    """The machine's disk holds what the network cannot carry: 40 MiB without a line's end, NULs and all."""
    proxy.down.bytes_per_s = 20 * MIB
    order = order_for(base, "head -c 41943040 /dev/zero")
    link = await armed(remote, target)
    await link.deliver(order)
    taken = 0

    class Thirsty(Sink):
        def offsets(self):
            return taken, 0

        def write(self, stream, chunk):
            nonlocal taken
            taken += len(chunk)

    await link.start(order)
    tracemalloc.start()
    try:
        await link.follow("job", 1, Thirsty())
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert taken == 40 * MIB
    assert most < 12 * MIB
