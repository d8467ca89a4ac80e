"""Power loss: of what a journal's process wrote, the disk has what it was told to sync, and of the rest what it likes.

strace records each write and sync of a process that appends and says so; the disk is put together from that.
"""

from __future__ import annotations

import itertools
import random
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from aspot.journal import runs as listing
from aspot.journal.folders import RunFolder

APPENDS = 45
SECTOR = 512
RUN = "01" + "k" * 24
CALLS = "pwrite64,write,ftruncate,fdatasync,fsync,unlink"
CALL = re.compile(r"^(\d+) +(\w+)\((.*)\) += (-?\d+)(?:<.*>)?(?: \w+ \(.*\))?$")
CUT = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
RESUMED = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")

WRITER = f"""
    import os
    from datetime import UTC, datetime
    import anyio
    from aspot.journal.sqlite import SqliteJournal
    from aspot.machine.events import JobsCancelled
    from aspot.machine.model import RunSpec

    async def main():
        journal = SqliteJournal.create(RunSpec(id="{RUN}", name="study", region="r"), created=datetime.now(UTC))
        for number in range({APPENDS}):
            name = f"{{number}} " + "x" * 60_000  # so that SQLite moves the log into the file on the way
            await journal.append([JobsCancelled(at=datetime.now(UTC), jobs=(name,))] * 2)
            os.write(1, f"{{number}}\\n".encode())
        os._exit(0)

    anyio.run(main)
"""


@attrs.define
class File:
    """What the disk has for certain, and writes that it may have."""

    kept: bytearray = attrs.field(factory=bytearray)
    waiting: list[tuple[int, bytes | None]] = attrs.field(factory=list)  # None: the file ends here

    def sync(self) -> None:
        self.kept = self.after(lambda _: True)
        self.waiting.clear()

    def after(self, keeps) -> bytearray:
        """Return the contents if of the writes that wait those sectors were kept that `keeps` says."""
        found = bytearray(self.kept)
        for at, content in self.waiting:
            if content is None:
                if keeps(None):
                    del found[at:]
                    found.extend(bytes(at - len(found)))
                continue
            for start in range(0, len(content), SECTOR):
                piece = content[start : start + SECTOR]
                if keeps(piece):
                    found.extend(bytes(max(0, at + start + len(piece) - len(found))))
                    found[at + start : at + start + len(piece)] = piece
        return found


@attrs.define
class Disk:
    files: dict[str, File] = attrs.field(factory=dict)
    synced_folders: set[str] = attrs.field(factory=set)

    def at(self, path: str) -> File:
        return self.files.setdefault(Path(path).name, File())


def calls(trace: Path) -> Iterator[tuple[str, str, int]]:
    """Yield (call, arguments, result) in the order in which they ended; those of threads are put together."""
    begun: dict[str, str] = {}
    for line in trace.read_text().splitlines():
        if found := CUT.match(line):
            begun[found[1]] = found[2]
            continue
        resumed = RESUMED.match(line)
        if found := CALL.match(f"{resumed[1]} {begun.pop(resumed[1])}{resumed[2]}" if resumed else line):
            yield found[2], found[3], int(found[4])


def plain(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def play(recorded: list[tuple[str, str, int]]) -> Iterator[tuple[Disk, int]]:
    """Yield the disk, and how many appends are acknowledged by then, before each sync and at each acknowledgement."""
    disk, acknowledged = Disk(), 0
    for call, arguments, result in recorded:
        if result < 0:
            continue
        target = re.match(r'(?:\d+<|")((?:\\x..)+)', arguments)
        path = plain(target[1]).decode() if target else ""
        if call == "write" and arguments.startswith("1<"):
            acknowledged += 1
            yield disk, acknowledged
        elif call in ("fdatasync", "fsync"):
            yield disk, acknowledged
            if "." in Path(path).name and Path(path).name in disk.files:
                disk.at(path).sync()
            disk.synced_folders.add(path)
        elif call == "pwrite64":
            content, _, at = re.search(r'"((?:\\x..)*)", (\d+), (\d+)$', arguments).groups()
            disk.at(path).waiting.append((int(at), plain(content)[:result]))
        elif call == "ftruncate":
            disk.at(path).waiting.append((int(arguments.rpartition(", ")[2]), None))
        elif call == "unlink":
            disk.files.pop(Path(path).name, None)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """What the process did, and its state folder."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    folder = tmp_path_factory.mktemp("recorded")
    trace, state = folder / "trace", folder / "state"
    words = ["strace", "-f", "-y", "-xx", "-s", "10000000", "-e", f"trace={CALLS}", "-o", str(trace)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASPOT_STATE_DIR", str(state))
        done = subprocess.run(
            [*words, sys.executable, "-c", textwrap.dedent(WRITER)], capture_output=True, text=True, check=False
        )
    if "ptrace" in done.stderr or "PTRACE" in done.stderr:
        pytest.skip(f"strace may not trace here: {done.stderr.strip()}")
    assert done.stdout.split() == [str(number) for number in range(APPENDS)], done.stderr
    return list(calls(trace)), state


def numbers_on(disk: Disk, folder: Path, keeps) -> list[int]:
    """Return what a journal tells that lies on the disk as it is after the power came back."""
    copy = RunFolder(folder / "runs" / f"study-{RUN}")
    shutil.rmtree(copy.path, ignore_errors=True)
    copy.path.mkdir(parents=True)
    for name in ("journal.db", "journal.db-wal", "journal.db-journal"):
        if name in disk.files:
            (copy.path / name).write_bytes(disk.files[name].after(keeps))
    return [int(event.jobs[0].split()[0]) for event in listing.load_events(copy)]


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_what_was_acknowledged_is_on_the_disk_whatever_else_is(recorded, tmp_path, share):
    chance = random.Random(f"power {share}")
    moments = [acknowledged for _, acknowledged in play(recorded[0]) if acknowledged]
    assert moments[-1] == APPENDS
    chosen = {*chance.sample(range(len(moments)), 25), len(moments) - 1}
    looked = 0
    for number, (disk, acknowledged) in enumerate(moment for moment in play(recorded[0]) if moment[1]):
        if number in chosen:
            found = numbers_on(disk, tmp_path, lambda _: chance.random() < share)
            assert len(found) >= 2 * acknowledged
            assert found == [n for n in range(len(found) // 2) for _ in range(2)], "batches are whole"
            looked += 1
    assert looked == len(chosen)


def test_the_log_was_moved_into_the_file_meanwhile(recorded):
    """Else the test before this one would have tried the log alone."""
    sizes = [len(disk.files["journal.db"].kept) for disk, acknowledged in play(recorded[0]) if acknowledged]
    assert sizes[0] < 100_000 < 1_000_000 < sizes[-1]
    assert len(list(itertools.groupby(sizes))) > 1


def test_the_folders_above_the_journal_are_on_the_disk_before_anything_is_acknowledged(recorded):
    done, state = recorded
    disk, _ = next(moment for moment in play(done) if moment[1])
    assert {str(state), str(state / "runs"), str(state / "runs" / f"study-{RUN}")} <= disk.synced_folders


def test_without_syncs_the_same_look_finds_that_events_are_lost(recorded, tmp_path, monkeypatch):
    """The harness itself: on a disk that heeds no sync, acknowledged events are lost."""
    monkeypatch.setattr(File, "sync", lambda _: None)
    disk, acknowledged = list(play(recorded[0]))[-1]
    assert acknowledged == APPENDS
    with pytest.raises(Exception, match="journal"):
        numbers_on(disk, tmp_path, lambda _: False)
