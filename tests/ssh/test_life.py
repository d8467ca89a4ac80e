"""Whole lives of attempts over real SSH."""

from __future__ import annotations

import hashlib
import os

import anyio
import attrs
import pytest

from aspot.errors import LinkError
from aspot.machine.model import ExitStatus, StopWhy
from aspot.ports import Gone, RunnerExited, StillRunning, Undeliverable
from tests.ssh.guest import LEASE, RUN, Sink, order_for, remote_of

pytestmark = pytest.mark.anyio


async def exited(link, job="job", attempt=1):
    with anyio.fail_after(60):
        async for fact in link.watch():
            if fact == RunnerExited(job=job, attempt=attempt):
                return
    raise AssertionError("the watch ended")


async def finished(link, job="job", attempt=1) -> ExitStatus:
    with anyio.fail_after(60):
        while not isinstance(found := await link.status(job, attempt), ExitStatus):
            await anyio.sleep(0.02)
    return found


def tree(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


async def test_a_job_from_connecting_to_its_files_at_home(every_guest, base, into):
    (base / "src/deep").mkdir(parents=True)
    (base / "src/deep/a b ü.txt").write_text("content")
    (base / "src/tool").write_text("#!/bin/sh\necho tool\n")
    (base / "src/tool").chmod(0o755)
    text = """
    echo hi; echo oh >&2; cat "src/deep/a b ü.txt"; src/tool
    echo x >out/x.txt; mkdir -p "out/d e/empty"; printf 'y\\0z' >"out/d e/ü"; chmod 700 out/x.txt
    ln -s /etc/passwd out/link; mkfifo out/fifo; exit 3
    """
    order = order_for(base, text, upload=(("src", ""),), download=("out", "nope", "src/*.txt", "../x"))
    async with remote_of(every_guest) as remote:
        link = await remote.connect(every_guest.target())
        armed = await link.arm(LEASE)
        assert (armed.boot_id[:8], armed.powers_off, armed.watches) == ("11111111", True, False)
        delivered = await link.deliver(order)
        assert (delivered.files, delivered.skipped) == (3, 0)
        await link.start(order)
        sink = Sink()
        await link.follow("job", 1, sink)
        status = await finished(link)
        assert (status.code, status.why, status.out, status.err) == (3, "exit", 15, 3)
        found = await link.fetch_result(order.spec, 1, sink, into)
        await link.release("job", 1)
    assert bytes(sink.kept["stdout"]) == b"hi\ncontenttool\n"
    assert bytes(sink.kept["stderr"]) == b"oh\n"
    assert found.files == ("out/d e/ü", "out/x.txt")
    assert sorted(found.missing) == [
        "../x", "nope", "out/fifo (a FIFO, not brought home)", "out/link (a link, not brought home)", "src/*.txt"
    ]  # fmt: skip
    assert tree(into) == {"out/x.txt": b"x\n", "out/d e/ü": b"y\0z"}
    assert (into / "out/d e/empty").is_dir()
    assert (into / "out/x.txt").stat().st_mode & 0o777 == 0o700
    assert (into / "out/d e/ü").stat().st_mode & 0o777 == 0o600


async def test_output_arrives_while_the_job_runs_and_the_rest_when_it_is_fetched(link, base, into):
    order = order_for(base, "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two", download=("out",))
    await link.deliver(order)
    await link.start(order)
    sink = Sink()
    async with anyio.create_task_group() as group:
        group.start_soon(link.follow, "job", 1, sink)
        with anyio.fail_after(60):
            while bytes(sink.kept["stdout"]) != b"one\n":
                await anyio.sleep(0.01)
        assert await link.status("job", 1) == StillRunning()
        group.cancel_scope.cancel()
    work = os.path.join
    assert work
    await finished_by(link, base, order)
    found = await link.fetch_result(order.spec, 1, sink, into)
    assert bytes(sink.kept["stdout"]) == b"one\ntwo\n"
    assert found.missing == ()


async def finished_by(link, base, order):
    """Let the job go on by touching the file it waits for, through its own machine's folder."""
    home = next(path for path in base.parent.glob("guest/home"))
    (home / ".aspot" / RUN / order.spec.name / f"a{order.attempt}" / "work/go").touch()
    await finished(link, order.spec.name, order.attempt)


async def test_a_second_link_goes_on_where_the_first_was(guest, base, into):
    order = order_for(base, "echo one; while [ ! -e go ]; do sleep 0.05; done; echo two; exit 4")
    sink = Sink()
    async with remote_of(guest) as remote:
        first = await remote.connect(guest.target())
        await first.arm(LEASE)
        await first.deliver(order)
        await first.start(order)
        with anyio.move_on_after(1):
            await first.follow("job", 1, sink)
        for connection in guest.connections:
            connection.abort()
        second = await remote.connect(guest.target())
        await second.arm(LEASE)
        await second.start(order)
        again = await second.deliver(order)
        assert again is not None
        await finished_by(second, base, order)
        await second.follow("job", 1, sink)
        await exited(second)
        assert (await second.status("job", 1)).code == 4
        await second.fetch_result(order.spec, 1, sink, into)
    assert bytes(sink.kept["stdout"]) == b"one\ntwo\n"


async def test_the_watch_brings_the_status_along(link, guest, base):
    order = order_for(base, "exit 5")
    await link.deliver(order)
    await link.start(order)
    await exited(link)
    before = len(guest.commands)
    assert (await link.status("job", 1)).code == 5
    assert len(guest.commands) == before


async def test_stop_and_gone(link, base):
    order = order_for(base, "sleep 100")
    assert await link.status("job", 1) == Gone(reason="it was never started", was_started=False)
    await link.deliver(order)
    await link.start(order)
    await link.stop("job", 1, StopWhy.INTERRUPT, 1.0)
    status = await link.status("job", 1)
    assert (status.code, status.why) == (143, "interrupt")
    await link.renew()


async def test_a_job_that_truncates_its_log_is_read_again_from_the_start(link, base, into):
    order = order_for(base, "echo a long first line; while [ ! -e go ]; do sleep 0.05; done; : >../stdout; echo b")
    await link.deliver(order)
    await link.start(order)
    sink = Sink()
    async with anyio.create_task_group() as group:
        group.start_soon(link.follow, "job", 1, sink)
        with anyio.fail_after(60):
            while not sink.kept["stdout"]:
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    await finished_by(link, base, order)
    await link.follow("job", 1, sink)
    await link.fetch_result(order.spec, 1, sink, into)
    assert bytes(sink.kept["stdout"]) == b"b\n"
    assert sink.restarts == ["stdout"]


async def test_output_that_is_lost_on_the_machine_comes_as_zeros(link, base, into):
    order = order_for(base, "echo abcdef")
    await link.deliver(order)
    await link.start(order)
    await finished(link)
    kept = base.parent / f"guest/home/.aspot/{RUN}/job/a1/stdout"
    kept.write_bytes(kept.read_bytes()[:3])
    sink = Sink()
    await link.fetch_result(order.spec, 1, sink, into)
    assert bytes(sink.kept["stdout"]) == b"abc" + bytes(4)


async def test_megabytes_of_binary_output_arrive_whole(link, base, into):
    order = order_for(base, "head -c 3000000 /dev/urandom | tee copy; cat copy >&2; cp copy out/copy")
    await link.deliver(order)
    await link.start(order)
    sink = Sink()
    await link.follow("job", 1, sink)
    await finished(link)
    found = await link.fetch_result(order.spec, 1, sink, into)
    assert found.size == 3_000_000
    content = (into / "out/copy").read_bytes()
    assert bytes(sink.kept["stdout"]) == content
    assert bytes(sink.kept["stderr"]) == content


async def test_ten_thousand_small_files_go_and_come_in_seconds(link, base, into):
    (base / "many").mkdir()
    for number in range(10_000):
        (base / "many" / f"{number:05}.txt").write_text(f"{number}\n")
    order = order_for(base, "cp -r many out/", upload=(("many", ""),))
    sink = Sink()
    with anyio.fail_after(60):
        assert (await link.deliver(order)).files == 10_001
        await link.start(order)
        await link.follow("job", 1, sink)
        await finished(link)
        found = await link.fetch_result(order.spec, 1, sink, into)
    assert len(found.files) == 10_000
    assert (into / "out/many/09999.txt").read_text() == "9999\n"


async def test_a_set_that_is_there_is_not_sent_again_and_only_changes_are(any_guest, base):
    (base / "src").mkdir()
    for name in ("a", "b", "c"):
        (base / "src" / name).write_text(name * 1000)
    async with remote_of(any_guest) as remote:
        link = await remote.connect(any_guest.target())
        await link.arm(LEASE)
        first = order_for(base, "cat src/* | wc -c", upload=(("src", ""),))
        assert (await link.deliver(first)).files == 4
        same = attrs.evolve(first, attempt=2)
        delivered = await link.deliver(same)
        assert (delivered.files, delivered.size, delivered.skipped) == (0, 0, 4)
        (base / "src/a").write_text("changed")
        (base / "src/b").unlink()
        (base / "src/d").mkdir()
        (base / "src/d/new").write_text("new")
        delivered = await link.deliver(attrs.evolve(first, attempt=3))
        assert (delivered.files, delivered.skipped) == (2, 2)
        work = any_guest.home / ".aspot" / RUN / "job/a3/work"
        assert {k: v for k, v in tree(work).items() if k != "job.sh"} == {
            "src/a": b"changed", "src/c": b"c" * 1000, "src/d/new": b"new"
        }  # fmt: skip
        assert tree(any_guest.home / ".aspot" / RUN / "job/a2/work")["src/b"] == b"b" * 1000
        (base / "src/c").unlink()
        (base / "src/c").mkdir()
        (base / "src/c/in").write_text("a folder in a file's place")
        delivered = await link.deliver(attrs.evolve(first, attempt=4))
        work = any_guest.home / ".aspot" / RUN / "job/a4/work"
        assert tree(work)["src/c/in"] == b"a folder in a file's place"


async def test_a_machine_that_lost_its_cache_gets_everything(link, guest, base):
    import shutil

    order = order_for(base, "true")
    await link.deliver(order)
    shutil.rmtree(guest.home / ".aspot" / RUN / ".sets")
    assert (await link.deliver(attrs.evolve(order, attempt=2))).files == 1


async def test_a_checkpoint_is_saved_while_the_job_runs_and_put_back(any_guest, base, into, tmp_path):
    text = 'echo step 3 >"$ASPOT_CHECKPOINT_DIR/state"; : >ckpt/empty; mkdir ckpt/sub; echo up; sleep 100'
    order = order_for(base, text, checkpoint=("ckpt", "model.bin"))
    async with remote_of(any_guest) as remote:
        link = await remote.connect(any_guest.target())
        await link.arm(LEASE)
        await link.deliver(order)
        await link.start(order)
        with anyio.fail_after(60):
            while not (any_guest.home / ".aspot" / RUN / "job/a1/work/ckpt/sub").exists():
                await anyio.sleep(0.02)
        files, size = await link.fetch_checkpoint(order.spec, 1, into)
        assert (files, size) == (2, 7)
        with anyio.fail_after(60):
            while list((any_guest.home / ".aspot" / RUN / "job/a1").glob(".snap*")):
                await anyio.sleep(0.02)
        await link.stop("job", 1, StopWhy.INTERRUPT, 1.0)
        later = tmp_path / "later"
        later.mkdir()
        assert await link.fetch_checkpoint(order.spec, 1, later) == (2, 7)
        again = order_for(base, "cat ckpt/state; ls ckpt", attempt=2, saved=into)
        again = attrs.evolve(again, spec=attrs.evolve(again.spec, checkpoint=("ckpt",)))
        delivered = await link.deliver(again)
        assert delivered.files >= 2
        await link.start(again)
        sink = Sink()
        await link.follow("job", 2, sink)
    assert bytes(sink.kept["stdout"]) == b"step 3\nempty\nstate\nsub\n"


async def test_a_checkpoint_that_is_not_there_is_nothing(link, base, into):
    order = order_for(base, "sleep 100", checkpoint=("some/file.bin",))
    await link.deliver(order)
    await link.start(order)
    assert await link.fetch_checkpoint(order.spec, 1, into) == (0, 0)
    await link.stop("job", 1, StopWhy.CANCEL, 0.1)


async def test_a_checkpoint_that_never_holds_still_is_refused(link, base, into):
    order = order_for(base, "mkdir ckpt; while :; do echo x >>ckpt/log; done", checkpoint=("ckpt",))
    await link.deliver(order)
    await link.start(order)
    with pytest.raises(LinkError, match="kept changing"):
        await link.fetch_checkpoint(order.spec, 1, into)
    await link.stop("job", 1, StopWhy.CANCEL, 0.1)


async def test_set_up_runs_once_and_says_why_it_failed(any_guest):
    async with remote_of(any_guest) as remote:
        link = await remote.connect(any_guest.target())
        await link.arm(LEASE)
        await link.set_up("echo $PWD >>here")
        await link.set_up("echo $PWD >>here")
        assert (any_guest.home / "here").read_text() == f"{any_guest.home}\n"
        await link.set_up("#!/bin/sh\necho $0 >>where")
        assert (any_guest.home / "where").read_text().endswith("/work/setup\n")
        with pytest.raises(Undeliverable, match=r"exit code 9; it said at last: (.|\n)*no such package"):
            await link.set_up("echo no such package >&2; exit 9")


async def test_a_kept_machine_ends_itself_though_the_link_is_gone(any_guest):
    async with remote_of(any_guest) as remote:
        link = await remote.connect(any_guest.target())
        await link.arm(LEASE)
        await link.keep(3600.0)
        await link.keep(1.0)
        await link.aclose()
        with anyio.fail_after(60):
            while not any_guest.off.exists():
                await anyio.sleep(0.05)


async def test_files_that_change_while_they_are_sent_are_noticed(link, base, monkeypatch):
    from aspot.files import parcel

    (base / "data").write_text("first")
    order = order_for(base, "cat data", upload=(("data", ""),))
    honest = parcel._sha256

    def late(entry):
        found = honest(entry)
        if entry.name == "data":
            (base / "data").write_text("other")
        return found

    monkeypatch.setattr(parcel, "_sha256", late)
    with pytest.raises(Undeliverable, match="data"):
        await link.deliver(order)


async def test_a_file_that_is_gone_is_the_users_affair(link, base):
    order = order_for(base, "true", upload=(("gone", ""),))
    with pytest.raises(Undeliverable) as caught:
        await link.deliver(order)
    assert caught.value.is_local


async def test_hashes_agree(base, into, link):
    (base / "big").write_bytes(os.urandom(5_000_000))
    order = order_for(base, "sha256sum big | cut -c1-64; mv big out/", upload=(("big", ""),))
    await link.deliver(order)
    await link.start(order)
    sink = Sink()
    await link.follow("job", 1, sink)
    await finished(link)
    await link.fetch_result(order.spec, 1, sink, into)
    digest = hashlib.sha256((base / "big").read_bytes()).hexdigest()
    assert sink.kept["stdout"].decode().strip() == digest
    assert (into / "out/big").read_bytes() == (base / "big").read_bytes()


FLOOD = "awk 'BEGIN { for (i = 1; i <= 400000; i++) printf \"%07d\\n\", i }'"


async def test_a_flood_of_output_comes_home_with_its_beginning_and_its_end(any_guest, base, into):
    """Followed live, over a cut, and collected: both ends, in their places, and all of the other output."""
    text = f"{FLOOD}; echo begun >&2; while [ ! -e go ]; do sleep 0.05; done; {FLOOD}; echo done >&2"
    order = order_for(base, text, max_output=1_000_000)
    sink = Sink()
    async with remote_of(any_guest) as remote:
        link = await remote.connect(any_guest.target())
        await link.arm(attrs.evolve(LEASE, term_s=0.8, idle_s=600))
        await link.deliver(order)
        await link.start(order)
        async with anyio.create_task_group() as group:
            group.start_soon(link.follow, "job", 1, sink)
            folder = any_guest.home / ".aspot" / RUN / "job/a1"
            with anyio.fail_after(60):
                while sink.offsets() != (1_000_000, 6) or (folder / "stdout").stat().st_size != 3_200_000:
                    await anyio.sleep(0.02)
            (folder / "work/go").touch()
        assert bytes(sink.kept["stderr"]) == b"begun\ndone\n"
        status = await finished(link)
        await link.fetch_result(order.spec, 1, sink, into)
    everything = b"".join(b"%07d\n" % number for number in range(1, 400_001)) * 2
    kept = bytes(sink.kept["stdout"])
    assert sink.restarts == []
    assert (status.out, kept[:1_000_000], kept[-(1 << 20) :]) == (
        len(kept),
        everything[:1_000_000],
        everything[-(1 << 20) :],
    )
    gone = len(everything) - 1_000_000 - (1 << 20)
    said = f"\n[aspot: {gone} bytes of output are left out here: max_output]\n"
    assert kept[1_000_000 : -(1 << 20)].decode() == said


async def test_a_client_that_comes_back_in_a_flood_goes_on_where_it_was(guest, base, into):
    order = order_for(base, f"{FLOOD}; while [ ! -e go ]; do sleep 0.05; done", max_output=1_000_000)
    sink = Sink()
    sink.kept["stdout"] += b"".join(b"%07d\n" % number for number in range(1, 62_501))
    async with remote_of(guest) as remote:
        link = await remote.connect(guest.target())
        await link.arm(LEASE)
        await link.deliver(order)
        await link.start(order)
        output = guest.home / ".aspot" / RUN / "job/a1/stdout"
        with anyio.fail_after(60):
            while output.stat().st_size != 3_200_000:
                await anyio.sleep(0.02)
        with anyio.move_on_after(2):
            await link.follow("job", 1, sink)
        assert len(sink.kept["stdout"]) == 1_000_000
        await finished_by(link, base, order)
        await link.follow("job", 1, sink)
        await link.fetch_result(order.spec, 1, sink, into)
    assert sink.restarts == []
    assert bytes(sink.kept["stdout"]).startswith(b"".join(b"%07d\n" % number for number in range(1, 125_001)))
    assert bytes(sink.kept["stdout"]).endswith(b"0400000\n")
