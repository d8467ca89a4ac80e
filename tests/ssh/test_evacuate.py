"""What the user named for a notice, over real SSH: in order, in time, each file by its hash, while the job goes on."""

from __future__ import annotations

import time

import anyio
import pytest

from aspot.errors import LinkError
from aspot.machine.haul import Haul
from aspot.machine.model import StopWhy
from aspot.ssh.evacuate import DRAFT
from tests.ssh.guest import LEASE, RUN, order_for, remote_of
from tests.ssh.test_life import tree

pytestmark = pytest.mark.anyio

LONG_S = 60.0


class Noted(Haul):
    """A haul that remembers in which order files came."""

    def __init__(self, seconds: float) -> None:
        super().__init__(limit_s=anyio.current_time() + seconds)
        self.order: list[str] = []

    def keep(self, name, digest, size) -> None:
        self.order.append(name)
        super().keep(name, digest, size)


def work_of(base):
    return base.parent / "guest/home/.aspot" / RUN / "job/a1/work"


async def started(link, base, text, *, evacuate):
    """Start a job, and wait until it says that its files are there; it runs on."""
    order = order_for(base, f"{text}\n: >ready; while [ ! -e go ]; do sleep 0.1; done", evacuate=evacuate)
    await link.deliver(order)
    await link.start(order)
    with anyio.fail_after(60):
        while not (work_of(base) / "ready").exists():
            await anyio.sleep(0.02)
    return order


async def test_files_come_in_the_users_order_while_the_job_runs(any_guest, base, into):
    text = """
    mkdir -p logs/deep out; echo one >"logs/a b ü"; echo two >logs/deep/x; echo model >model.pt; : >logs/empty
    chmod 700 model.pt; ln -s model.pt logs/link; mkfifo logs/fifo; echo last >z.txt
    """
    async with remote_of(any_guest) as remote:
        link = await remote.connect(any_guest.target())
        await link.arm(LEASE)
        order = await started(link, base, text, evacuate=("model.pt", "z*", "logs/", "absent"))
        haul = Noted(LONG_S)
        await link.evacuate(order.spec, 1, into, haul)
    assert haul.order[:2] == ["model.pt", "z.txt"]
    assert sorted(haul.order[2:]) == ["logs/a b ü", "logs/deep/x", "logs/empty"]
    assert tree(into) == {
        "model.pt": b"model\n", "z.txt": b"last\n", "logs/a b ü": b"one\n", "logs/deep/x": b"two\n", "logs/empty": b"",
    }  # fmt: skip
    assert (into / "model.pt").stat().st_mode & 0o777 == 0o700
    told, links = haul.told(), ["logs/fifo (a FIFO, not brought home)", "logs/link (a link, not brought home)"]
    assert (told.files, told.size) == (5, 19)
    assert sorted(told.lost) == ["absent (not there)", *links]


async def test_a_second_look_brings_what_is_new_and_no_more(any_guest, base, into):
    async with remote_of(any_guest) as remote:
        link = await remote.connect(any_guest.target())
        await link.arm(LEASE)
        order = await started(link, base, "echo 1 >a; echo 1 >b", evacuate=("a", "b", "c"))
        haul = Noted(LONG_S)
        await link.evacuate(order.spec, 1, into, haul)
        (work_of(base) / "b").write_text("2\n")
        (work_of(base) / "c").write_text("3\n")
        await link.evacuate(order.spec, 1, into, haul)
    assert haul.order == ["a", "b", "b", "c"]
    assert tree(into) == {"a": b"1\n", "b": b"2\n", "c": b"3\n"}
    assert haul.told().lost == ()


async def test_a_file_too_large_for_the_time_is_given_up_and_the_next_one_comes(link, base, into):
    """By its own speed, before the time is over; after that its like are not even begun."""
    text = "echo 1 >first; truncate -s 3G big; truncate -s 3G big-too; echo 3 >last"
    order = await started(link, base, text, evacuate=("first", "big", "big-too", "last"))
    haul = Noted(5.0)
    began = time.monotonic()
    await link.evacuate(order.spec, 1, into, haul)
    assert time.monotonic() - began < 5.0
    assert haul.order == ["first", "last"]
    assert haul.told().lost == ("big (no time left for it)", "big-too (no time left for it)")
    assert haul.bytes_per_s > 1_000_000
    assert tree(into) == {"first": b"1\n", "last": b"3\n"}, "nothing is left of what was cut off"


async def test_room_here_is_given_out_in_the_users_order(link, base, into, monkeypatch):
    monkeypatch.setattr("aspot.ssh.evacuate.room_at", lambda _: 1000)
    order = await started(link, base, "truncate -s 2K a; echo 1 >z", evacuate=("z", "a"))
    haul = Noted(LONG_S)
    await link.evacuate(order.spec, 1, into, haul)
    assert haul.order == ["z"]
    assert haul.told().lost == ("a (no room for it here)",)


async def test_when_the_time_is_over_nothing_is_begun(link, base, into):
    order = await started(link, base, "echo 1 >first; echo 2 >second", evacuate=("first", "second"))
    haul = Noted(0.0)
    await link.evacuate(order.spec, 1, into, haul)
    assert haul.told().lost == ("first (no time left for it)", "second (no time left for it)")
    assert tree(into) == {}


async def test_a_file_that_is_written_to_meanwhile_is_not_taken_for_whole(any_guest, base, into):
    """It grows without end: its size was read before its content, and its hash after."""
    text = "yes >busy & until [ $(stat -c %s busy) -gt 100000 ]; do sleep 0.05; done; echo calm >calm"
    async with remote_of(any_guest) as remote:
        link = await remote.connect(any_guest.target())
        await link.arm(LEASE)
        order = await started(link, base, text, evacuate=("busy", "calm"))
        haul = Noted(LONG_S)
        await link.evacuate(order.spec, 1, into, haul)
        await link.stop("job", 1, StopWhy.CANCEL, 0.1)
    assert haul.order == ["calm"]
    assert haul.told().lost == ("busy (it changed while it was copied)",)
    assert tree(into) == {"calm": b"calm\n"}


async def test_a_draft_of_the_machines_making_is_no_file_of_ours(link, base, into):
    order = await started(link, base, f"echo evil >{DRAFT}; mkdir d; echo good >d/{DRAFT}", evacuate=(".",))
    haul = Noted(LONG_S)
    await link.evacuate(order.spec, 1, into, haul)
    assert f"d/{DRAFT}" in haul.order
    assert DRAFT not in haul.order
    assert not (into / DRAFT).exists()


async def test_a_name_that_is_a_folder_here_is_refused_alone(link, base, into):
    order = await started(link, base, "echo 1 >a; echo 2 >b", evacuate=("a", "b"))
    (into / "a").mkdir()
    haul = Noted(LONG_S)
    await link.evacuate(order.spec, 1, into, haul)
    assert haul.told().lost == ("a (its name is taken by another file here)",)
    assert haul.order == ["b"]


LIARS = {
    "nonsense": 'give() { echo "1 2 3"; }',
    "endless": "give() { echo 99999999999999999999; }",
    "another hash": 'give() { echo 3; printf abc; echo "$(printf abd | sha256sum | cut -d" " -f1) whole"; }',
}


@pytest.mark.parametrize("lie", LIARS)
async def test_a_machine_that_lies_is_not_believed(guest, link, base, into, lie):
    order = await started(link, base, "echo 1 >a", evacuate=("a",))
    runner = base.parent / "guest/home/.aspot/run"
    text = runner.read_text()
    runner.write_text(text.replace("\ncmd=$1\n", f"\n{LIARS[lie]}\ncmd=$1\n"))
    haul = Noted(LONG_S)
    if lie == "another hash":
        await link.evacuate(order.spec, 1, into, haul)
        assert haul.told().lost == ("a (it changed while it was copied)",)
    else:
        with pytest.raises(LinkError, match="makes no sense"):
            await link.evacuate(order.spec, 1, into, haul)
    assert tree(into) == {}
