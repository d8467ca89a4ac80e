"""A flood of output: the machine keeps its beginning and its end, and its disk."""

from __future__ import annotations

import re
import shutil

import pytest
from waiting import until

from tests.runner.conftest import RUN
from tests.runner.test_lease import LONG, arm

MOST = 10_000
END = 1 << 20
LINE = b"%07d\n"
MARK = re.compile(rb"\n\[aspot: (\d+) bytes of output are left out here: max_output\]\n")


def lines(first, last):
    return b"".join(LINE % number for number in range(first, last + 1))


def count(first, last, more=""):
    """Return a command that prints numbers of seven digits."""
    return f"awk 'BEGIN {{ for (i = {first}; i <= {last}; i++) printf \"%07d\\n\", i }}' {more}"


@pytest.mark.parametrize("stream", ["stdout", "stderr"])
def test_the_beginning_and_the_end_are_kept_and_what_lies_between_is_counted(machine, stream):
    folder = machine.start(count(1, 500_000, ">&2" if stream == "stderr" else "") + "; exit 3", max_output=MOST)
    status = machine.ended()
    kept, everything = (folder / stream).read_bytes(), lines(1, 500_000)
    found = MARK.search(kept)
    assert (kept[: found.start()], kept[found.end() :]) == (everything[:MOST], everything[-END:])
    assert int(found[1]) == len(everything) - MOST - END
    assert (status.code, status.why) == (3, "exit")
    assert (status.out, status.err) == ((len(kept), 0) if stream == "stdout" else (0, len(kept)))


@pytest.mark.parametrize("last", [MOST // 8 - 1, MOST // 8, MOST // 8 + 1, 100_000])
def test_what_its_beginning_and_its_end_cover_is_whole(machine, last):
    folder = machine.start(count(1, last), max_output=MOST)
    assert machine.ended().out == last * 8
    assert (folder / "stdout").read_bytes() == lines(1, last)


def test_without_a_limit_nothing_is_cut(machine):
    folder = machine.start(count(1, 300_000))
    machine.ended()
    assert (folder / "stdout").read_bytes() == lines(1, 300_000)


def holes(machine) -> None:
    if machine.shell == "busybox":
        pytest.skip("busybox's fallocate makes no holes")
    if shutil.which("fallocate") is None:
        pytest.skip("fallocate is not installed")


def test_while_the_job_runs_the_disk_has_its_beginning_and_its_end_only(machine):
    holes(machine)
    arm(machine, term=80, idle=LONG)
    rounds = [
        f"until [ -e go{n} ]; do sleep 0.05; done; {count(n * 400_000 + 1, (n + 1) * 400_000)}; " for n in range(3)
    ]
    folder = machine.start("".join(rounds) + "until [ -e end ]; do sleep 0.05; done; echo last", max_output=MOST)
    output = folder / "stdout"
    for number in range(3):
        (folder / f"work/go{number}").touch()
        until(lambda n=number: output.stat().st_size == (n + 1) * 3_200_000)
        until(lambda: output.stat().st_blocks * 512 < MOST + END + 65536)
        with output.open("rb") as file:
            assert file.read(MOST) == lines(1, MOST // 8)
    (folder / "work/end").touch()
    machine.ended()
    kept, everything = output.read_bytes(), lines(1, 1_200_000) + b"last\n"
    found = MARK.search(kept)
    assert (kept[: found.start()], kept[found.end() :]) == (everything[:MOST], everything[-END:])
    assert int(found[1]) == len(everything) - MOST - END
    assert list(folder.glob("stdout.*")) == []


def test_a_flood_without_end_takes_little_of_the_disk(machine):
    holes(machine)
    arm(machine, term=80, idle=LONG)
    folder = machine.start("awk 'BEGIN { while (1) print \"flood\" }'", max_output=MOST, timeout_s=6.0)
    output = folder / "stdout"
    until(lambda: output.stat().st_size > 4 * END > output.stat().st_blocks * 512, every_s=0.02)  # it soon grows again
    assert machine.ended().why == "timeout"
    kept = output.read_bytes()
    found = MARK.search(kept)
    assert kept[: found.start()] == (b"flood\n" * MOST)[:MOST]
    assert set(kept[found.end() :]) == set(b"flood\n")
    assert len(kept) == MOST + len(found[0]) + END


def test_a_job_that_begins_its_output_anew_is_believed(machine):
    arm(machine, term=80, idle=LONG)
    wait = "until [ -e go ]; do sleep 0.05; done; "
    folder = machine.start(count(1, 300_000) + "; " + wait + ": >../stdout; echo new", max_output=MOST)
    until(lambda: (folder / "stdout").stat().st_size == 2_400_000)
    (folder / "work/go").touch()
    assert machine.ended().out == 4
    assert (folder / "stdout").read_bytes() == b"new\n"


def test_of_an_output_that_is_full_nothing_more_is_followed(machine):
    wait = "until [ -e go ]; do sleep 0.05; done; "
    folder = machine.start(f"{count(1, 100_000)}; echo begun >&2; {wait} echo done >&2", max_output=MOST)
    until(lambda: (folder / "stderr").read_bytes() == b"begun\n")
    number = machine.begin("follow", RUN, "job", 1, MOST, 2)
    (folder / "work/go").touch()
    machine.ended()
    found = machine.wait(number)
    assert found.out.partition("@aspot\n")[2] == f"{MOST} {MOST}\n"
    assert found.err.partition("@aspot\n")[2] == f"2 {MOST}\ngun\ndone\n"
