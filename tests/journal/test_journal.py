"""The journal on a real disk: durable, private, locked, and clear about what is wrong with it."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
from datetime import timedelta

import anyio
import pytest

from aspot.errors import AspotError, ConfigError
from aspot.journal import database, epochs
from aspot.journal import runs as listing
from aspot.journal.folders import RunFolder
from aspot.journal.sqlite import SqliteJournal
from aspot.machine.events import JobsCancelled, JobsSubmitted, SubmissionClosed, Ticked
from aspot.machine.model import JobSpec
from aspot.ports import TakenOver
from aspot.results import Kept
from tests.journal.conftest import AT, RUN

pytestmark = pytest.mark.anyio


def ticks(count):
    return [JobsCancelled(at=AT, jobs=(str(number),)) for number in range(count)]


async def test_what_was_appended_is_there_in_order(journal):
    await journal.append(ticks(3))
    await journal.append([Ticked(at=AT)])
    await journal.append([])
    assert listing.load_events(journal.folder) == [*ticks(3), Ticked(at=AT)]


async def test_appends_of_several_tasks_keep_their_batches_whole(journal):
    async with anyio.create_task_group() as group:
        for number in range(20):
            group.start_soon(journal.append, [JobsCancelled(at=AT, jobs=(f"{number}.{part}",)) for part in range(3)])
    names = [event.jobs[0] for event in listing.load_events(journal.folder)]
    assert len(names) == 60
    assert all(name.startswith(names[at - at % 3].split(".")[0] + ".") for at, name in enumerate(names))


async def test_the_specification_and_options_are_there_for_others(journal, spec):
    assert listing.load_spec(journal.folder) == (spec, AT)
    found = listing.newest("study")
    assert (found.id, found.region, found.created, found.ended, found.is_live) == (RUN, "us-east-1", AT, None, True)
    assert found.options == {"results": "here"}


async def test_the_end_is_written_down_with_what_is_left(journal):
    await journal.finish(["i-0abc"])
    await journal.aclose()
    found = listing.runs()[0]
    assert found.ended is not None
    assert (found.left, found.is_live, found.trouble) == (("i-0abc",), False, "")


@pytest.mark.parametrize("left", [[], ["i-0abc"]])
async def test_keys_go_when_nothing_is_left_that_they_open(journal, left):
    (journal.folder.keys / "id_ed25519").write_text("secret")
    await journal.finish(left)
    assert journal.folder.keys.exists() == bool(left)


KEPT = Kept(
    name="study_1", instance_id="i-0abc", job="train", until=AT, price_per_hour=0.03, most=0.01, address="198.51.100.7",
    port=22, user="ec2-user", ssh="ssh ec2-user@198.51.100.7",
)  # fmt: skip


async def test_what_is_kept_is_written_down_and_the_keys_that_open_it_stay(journal):
    (journal.folder.keys / "id_ed25519").write_text("secret")
    await journal.finish([], [KEPT.to_json()])
    found = listing.newest("study")
    assert (found.left, found.kept) == ((), (KEPT,))
    assert journal.folder.keys.exists()
    assert found.kept_at(AT - timedelta(seconds=1)) == (KEPT,)
    assert found.kept_at(AT) == ()
    await journal.finish([])
    assert listing.newest("study").kept == ()
    assert not journal.folder.keys.exists()


async def test_a_request_of_another_process_is_heard_once(journal):
    assert await journal.requests() == []
    listing.ask(journal.folder, "stop")
    listing.ask(journal.folder, "again")
    assert await journal.requests() == ["stop", "again"]
    assert await journal.requests() == []


async def test_nobody_can_be_asked_when_nobody_drives_the_run(journal):
    await journal.aclose()
    with pytest.raises(AspotError, match="no process drives study") as caught:
        listing.ask(journal.folder, "stop")
    assert "aspot down study" in caught.value.fix


async def test_only_one_process_drives_a_run(journal):
    with pytest.raises(AspotError, match=f"driven by another aspot \\(process {os.getpid()}\\)"):
        SqliteJournal.open(journal.folder)
    await journal.aclose()
    again = SqliteJournal.open(journal.folder)
    await again.append(ticks(1))
    await again.aclose()
    assert listing.load_events(journal.folder) == ticks(1)


async def test_probing_does_not_disturb_who_takes_the_lock(journal):
    folder = journal.folder
    await journal.aclose()
    is_over = threading.Event()
    prober = threading.Thread(target=lambda: [folder.is_live for _ in iter(is_over.is_set, True)])
    prober.start()
    try:
        for _ in range(50):
            os.close(folder.take())
    finally:
        is_over.set()
        prober.join()


async def test_closing_twice_is_harmless(journal):
    await journal.aclose()
    await journal.aclose()


async def test_all_is_private_whatever_the_umask(state, spec):
    before = os.umask(0)
    try:
        journal = SqliteJournal.create(spec, created=AT)
        await journal.append(ticks(1))
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in [state, *state.rglob("*")]}
        await journal.aclose()
    finally:
        os.umask(before)
    assert {name for name, mode in modes.items() if mode & 0o077} == set()
    assert modes["journal.db"] == modes["journal.db-wal"] == modes["lock"] == 0o600


async def test_a_run_is_never_created_twice(journal, spec):
    await journal.aclose()
    with pytest.raises(AspotError, match="File exists"):
        SqliteJournal.create(spec, created=AT)


async def test_events_are_never_changed_or_removed(journal):
    await journal.append(ticks(1))
    with contextlib.closing(sqlite3.connect(journal.folder.journal)) as other:
        for statement in ("DELETE FROM event", "UPDATE event SET kind = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="events are never"):
                other.execute(statement)


async def test_a_full_disk_is_said_and_nothing_is_half_written(journal):
    await journal.append(ticks(1))
    pages = journal._connection.execute("PRAGMA page_count").fetchone()[0]
    journal._connection.execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(AspotError, match="the disk is full") as caught:
        await journal.append(ticks(2000))
    assert str(journal.folder.journal) in caught.value.message
    assert caught.value.fix.startswith("make room")
    journal._connection.execute("PRAGMA max_page_count = 1000000")
    await journal.append(ticks(1))
    assert len(listing.load_events(journal.folder)) == 2


async def test_a_disk_that_became_read_only_is_said(journal):
    journal._connection.execute("PRAGMA query_only = 1")
    with pytest.raises(AspotError, match="cannot be written to"):
        await journal.append(ticks(1))


async def test_a_journal_of_a_newer_aspot_is_left_alone(journal):
    journal._connection.execute("PRAGMA user_version = 99")
    await journal.aclose()
    before = journal.folder.journal.read_bytes()
    with pytest.raises(AspotError, match="version 99, this one reads 1"):
        SqliteJournal.open(journal.folder)
    assert journal.folder.journal.read_bytes() == before
    assert "newer aspot" in listing.runs()[0].trouble


@pytest.mark.parametrize("damage", ["header", "pages", "empty", "text"])
async def test_a_damaged_journal_is_reported_and_kept(journal, damage):
    await journal.append(ticks(500))
    await journal.aclose()
    path = journal.folder.journal
    data = bytearray(path.read_bytes())
    broken = {
        "header": lambda: b"x" * 100 + data[100:],
        "pages": lambda: data[:4096] + b"\xff" * (len(data) - 4096),
        "empty": lambda: b"",
        "text": lambda: b"hello, world\n" * 1000,
    }[damage]()
    path.write_bytes(bytes(broken))
    with pytest.raises(AspotError, match="damaged") as caught:
        SqliteJournal.open(journal.folder)
    assert "aside" in caught.value.fix
    assert path.read_bytes() == bytes(broken)
    assert "damaged" in listing.runs()[0].trouble
    assert not listing.runs()[0].is_live


async def test_a_run_that_died_before_its_first_row_is_listed_as_such(state, spec):
    folder = RunFolder.of(spec.name, spec.id)
    folder.make()
    assert listing.runs() == []
    database.create(folder.journal).close()
    assert "never begun" in listing.runs()[0].trouble


async def test_a_journal_that_is_gone_is_said(journal):
    await journal.aclose()
    journal.folder.journal.unlink()
    with pytest.raises(AspotError, match="there is no journal at"):
        listing.load_events(journal.folder)
    assert "no journal" in listing.runs()[0].trouble


async def test_the_newest_run_of_a_name_is_found(state, spec):
    import attrs

    for number in range(3):
        await SqliteJournal.create(attrs.evolve(spec, id=f"0{number}" + "k" * 24), created=AT).aclose()
    assert listing.newest("study").id == "02" + "k" * 24
    assert [item.id[:2] for item in listing.runs()] == ["00", "01", "02"]
    with pytest.raises(ConfigError, match="no fleet 'other' is known here"):
        listing.newest("other")


async def test_replay_leads_to_the_same_state_every_time(journal, spec):
    from aspot.machine.step import start_run, step

    happened = [
        JobsSubmitted(at=AT, jobs=(JobSpec(name="a", script="a.sh"), JobSpec(name="b", script="b.sh"))),
        JobsCancelled(at=AT, jobs=("a",)),
        SubmissionClosed(at=AT),
    ]
    run = start_run(spec, AT)
    for event in happened:
        run, _ = step(run, event)
        await journal.append([event])
    assert listing.replay(journal.folder) == listing.replay(journal.folder) == run


WRITER = """
    import os, sys
    from datetime import UTC, datetime
    import anyio
    from aspot.journal.sqlite import SqliteJournal
    from aspot.machine.events import JobsCancelled
    from aspot.machine.model import RunSpec

    async def main():
        journal = SqliteJournal.create(RunSpec(id="01" + "k" * 24, name="study", region="r"), created=datetime.now(UTC))
        for number in range(100000):
            await journal.append([JobsCancelled(at=datetime.now(UTC), jobs=(str(number),))] * 2)
            print(number, flush=True)

    anyio.run(main)
"""


@pytest.mark.parametrize("after", [0, 3, 17])
async def test_what_was_acknowledged_survives_a_kill(state, after):
    writer = subprocess.Popen([sys.executable, "-c", textwrap.dedent(WRITER)], stdout=subprocess.PIPE, text=True)
    with writer:
        for line in writer.stdout:
            if int(line) >= after:
                break
        assert listing.newest("study").is_live
        writer.send_signal(signal.SIGKILL)
        rest = writer.stdout.read().split()
    acknowledged = int(rest[-1]) if rest else after
    found = listing.newest("study")
    assert not found.is_live
    numbers = [int(event.jobs[0]) for event in listing.load_events(found.folder)]
    assert len(numbers) >= 2 * (acknowledged + 1)
    assert numbers == [number for number in range(len(numbers) // 2) for _ in range(2)]
    journal = SqliteJournal.open(found.folder)
    await journal.append(ticks(1))
    await journal.aclose()


async def test_a_cut_write_ahead_log_loses_whole_batches_only(journal, tmp_path):
    for _ in range(10):
        await journal.append(ticks(3))
    wal = journal.folder.path / "journal.db-wal"
    copy = RunFolder(tmp_path / "runs" / f"study-{RUN}")
    for size in range(0, wal.stat().st_size, 4999):
        copy.path.mkdir(parents=True, exist_ok=True)
        copy.journal.write_bytes(journal.folder.journal.read_bytes())
        (copy.path / "journal.db-wal").write_bytes(wal.read_bytes()[:size])
        (copy.path / "journal.db-shm").unlink(missing_ok=True)
        with contextlib.suppress(AspotError):  # cut before the schema was there
            assert len(listing.load_events(copy)) % 3 == 0


async def test_a_stale_writer_commits_nothing_any_more(journal):
    await journal.append(ticks(1))
    newer = await anyio.to_thread.run_sync(SqliteJournal.wrest, journal.folder)
    with pytest.raises(TakenOver) as caught:
        await journal.append(ticks(5))
    assert caught.value.client == newer.client == listing.newest("study").driver
    with pytest.raises(TakenOver):
        await journal.finish([])
    assert journal.folder.keys.exists()
    await newer.append([Ticked(at=AT)])
    await journal.aclose()
    found = listing.newest("study")
    assert (found.ended, found.is_live) == (None, True)
    assert listing.load_events(journal.folder) == [*ticks(1), Ticked(at=AT)]
    await newer.aclose()
    assert not listing.newest("study").is_live


async def test_looking_who_drives_the_run(journal):
    journal.check()
    newer = SqliteJournal.wrest(journal.folder)
    with pytest.raises(TakenOver, match=f"process {os.getpid()} on "):
        journal.check()
    newer.check()
    newer.folder.lock.unlink()  # the lock is a courtesy: what counts is in the journal
    newer.check()
    await newer.aclose()


async def test_requests_are_for_who_drives_the_run_but_not_its_own_to_leave(journal):
    listing.ask(journal.folder, f"leave {epochs.this_process().word}")
    listing.ask(journal.folder, "stop")
    newer = SqliteJournal.wrest(journal.folder)
    with pytest.raises(TakenOver):
        await journal.requests()
    assert await newer.requests() == ["stop"]
    await newer.aclose()


async def test_each_client_has_a_higher_epoch(journal):
    known = [journal.client]
    await journal.aclose()
    for _ in range(3):
        again = SqliteJournal.open(journal.folder)
        known.append(again.client)
        await again.aclose()
    assert [client.epoch for client in known] == sorted({client.epoch for client in known})
    assert {client.pid for client in known} == {os.getpid()}


async def test_whoever_waited_for_a_lock_that_was_replaced_does_not_get_it(journal):
    stale = os.open(journal.folder.lock, os.O_RDWR)
    newer = SqliteJournal.wrest(journal.folder)
    await journal.aclose()
    assert not journal.folder.holds(stale)
    os.close(stale)
    with pytest.raises(AspotError, match="driven by another aspot"):
        SqliteJournal.open(journal.folder)
    await newer.aclose()
    await SqliteJournal.open(journal.folder).aclose()
    assert [path.name for path in journal.folder.path.glob("lock*")] == ["lock"]


async def test_a_process_that_sleeps_in_the_middle_of_a_write_is_named(journal, monkeypatch):
    monkeypatch.setattr(database, "BUSY_S", 0.1)
    journal._connection.execute("BEGIN IMMEDIATE")
    with pytest.raises(AspotError, match="stopped in the middle of writing") as caught:
        SqliteJournal.wrest(journal.folder)
    assert caught.value.fix == f"kill -9 {os.getpid()}, then aspot attach study"
    journal._connection.execute("ROLLBACK")
    await journal.append(ticks(1))
    assert [path.name for path in journal.folder.path.glob("lock*")] == ["lock"]


async def test_a_run_of_an_older_aspot_can_be_taken_up(journal):
    journal._connection.execute("DROP TABLE client")
    await journal.aclose()
    assert listing.newest("study").driver is None
    again = SqliteJournal.open(journal.folder)
    assert listing.newest("study").driver == again.client
    await again.aclose()
